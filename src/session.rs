//! One connected client, from admission to goodbye.

mod admission;
mod farewell;
mod guest;
mod peerjs;
mod run;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::app::Service;
use crate::transport::Socket;

pub(crate) use admission::{Claim, ConnectRequest, Refusal, Source};
pub(crate) use stream::{PostOutcome, PostRefusal, open_stream, sender};

/// Serves a client at the address of PeerJS.
pub(crate) fn serve_peer<S: Socket>(
    socket: S,
    service: &Arc<Service>,
    ConnectRequest { query, source, counted }: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    run::run(socket, service, counted, peerjs::entry(Arc::clone(service), query, source))
}

/// Serves a client at the root, in whichever dialect it speaks.
pub(crate) fn serve_guest<S: Socket>(
    socket: S,
    service: &Arc<Service>,
    ConnectRequest { query, source, counted }: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    run::run(socket, service, counted, guest::entry(Arc::clone(service), query, source))
}
