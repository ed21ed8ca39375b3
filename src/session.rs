//! One connected client, from admission to goodbye.

mod admission;
mod admit;
mod farewell;
mod guest;
mod handler;
mod peerjs;
mod run;
mod sessions;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::transport::Socket;

pub(crate) use admission::{Claim, ConnectRequest, Source};
pub use sessions::{Client, Message};
pub(crate) use sessions::{OnMessage, Sessions};
pub(crate) use stream::{PostOutcome, PostRefusal, open_stream, sender};

/// Serves a client at the address of PeerJS.
pub(crate) fn serve_peer<S: Socket>(
    socket: S,
    sessions: &Arc<Sessions>,
    request: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    let entry = peerjs::entry(Arc::clone(sessions), request.query, request.source.clone());
    run::run(socket, sessions, request.source, request.permit, entry)
}

/// Serves a client at the root, in whichever dialect it speaks.
pub(crate) fn serve_guest<S: Socket>(
    socket: S,
    sessions: &Arc<Sessions>,
    request: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    let entry = guest::entry(Arc::clone(sessions), request.query, request.source.clone());
    run::run(socket, sessions, request.source, request.permit, entry)
}
