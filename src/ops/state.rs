//! The state that all operations share.

use std::sync::Arc;

use actix_web::{HttpRequest, web};

use super::problem::Problem;
use super::samples::{Samples, TICK};
use crate::app::{self, Parts};
use crate::events::Actor;

/// The state that all operations share.
pub(crate) struct Ops {
    pub(super) parts: Arc<Parts>,
    pub(super) clients: ClientPort,
    pub(super) samples: Samples,
}

/// Where clients find this server, for the browser of an operator.
pub(crate) struct ClientPort {
    /// The name of its certificate; without one, clients use the name of the machine that the operator uses.
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
    pub(crate) is_secure: bool,
}

impl Ops {
    /// The state of the API. It takes samples of the server's numbers until it is dropped.
    pub(crate) fn start(parts: Arc<Parts>, clients: ClientPort) -> Arc<Self> {
        let ops = Arc::new(Ops { parts, clients, samples: Samples::default() });
        app::repeat(
            ops.parts.events.threads(),
            "samples",
            &ops,
            |_| TICK,
            |ops| ops.samples.take(&ops.parts),
        );
        ops
    }
}

/// The caller, as the log names it.
pub(super) fn actor(request: &HttpRequest) -> Actor {
    Actor::Api(request.peer_addr().map(|peer| peer.ip().to_canonical()))
}

/// Runs work on the blocking pool, because the store of keys may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    ops: web::Data<Ops>,
    work: impl FnOnce(&Parts) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    web::block(move || work(&ops.parts)).await.map_err(|_| Problem::internal())?
}
