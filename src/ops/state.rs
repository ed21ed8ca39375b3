//! The state that all operations share.

use std::sync::Arc;

use actix_web::{HttpRequest, web};

use super::problem::Problem;
use crate::app::Parts;
use crate::events::Actor;

/// The state that all operations share.
pub(crate) struct Ops {
    pub(super) parts: Arc<Parts>,
}

impl Ops {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Ops { parts }
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
