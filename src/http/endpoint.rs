//! The WebSockets that there are.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use actix_web::rt;

use super::routes::Route;
use crate::service::Service;
use crate::session;
use crate::transport::{Socket, handshake};

/// Where a WebSocket can be opened.
#[derive(Clone, Copy)]
pub(super) enum Endpoint {
    /// That of PeerJS.
    Peers,
    /// That of room codes and calls.
    Root,
}

impl Endpoint {
    /// That of an address, if there is one and its dialects are on. At the root there is also a page,
    /// for those who would upgrade to something else.
    pub(super) fn at(service: &Service, route: Route<'_>, headers: &HeaderMap) -> Option<Self> {
        let dialects = service.config.dialects;
        match route {
            Route::Socket if dialects.peerjs => Some(Endpoint::Peers),
            Route::Root if dialects.any_at_root() && handshake::asks_for_websocket(headers) => {
                Some(Endpoint::Root)
            }
            _ => None,
        }
    }

    /// Lets the session go on by itself, as a small task of its own: HTTP's is four times as large and
    /// can end now.
    pub(super) fn serve<S: Socket + 'static>(self, socket: S, service: &Arc<Service>, query: &str) {
        match self {
            Endpoint::Peers => drop(rt::spawn(session::serve_peer(socket, service, query))),
            Endpoint::Root => drop(rt::spawn(session::serve_guest(socket, service, query))),
        }
    }
}
