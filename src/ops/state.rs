//! What all operations share.

use std::sync::Arc;

use actix_web::{HttpRequest, web};

use super::problem::Problem;
use crate::app::Parts;
use crate::config::AdminToken;
use crate::events::Actor;

/// What all operations share.
pub(crate) struct Ops {
    pub(super) parts: Arc<Parts>,
    pub(super) token: Option<AdminToken>,
}

impl Ops {
    pub(crate) fn new(parts: Arc<Parts>, token: Option<AdminToken>) -> Self {
        Ops { parts, token }
    }
}

/// Who asks, for the log.
pub(super) fn by(request: &HttpRequest) -> Actor {
    Actor::Api(request.peer_addr().map(|peer| peer.ip().to_canonical()))
}

/// Works where waiting for a disk delays nobody.
pub(super) async fn blocking<T: Send + 'static>(
    ops: web::Data<Ops>,
    work: impl FnOnce(&Parts) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    web::block(move || work(&ops.parts)).await.map_err(|_| Problem::failed())?
}
