//! The WebSockets that there are.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::rt;

use super::routes::Route;
use super::seen;
use crate::app::Parts;
use crate::config::{Config, Dialects};
use crate::limits::{ConnectionPermit, LimitExceeded};
use crate::session::{self, ConnectRequest, Source};
use crate::transport::connection_state::ConnectionState;
use crate::transport::{MessageLimits, Socket};

/// Where a WebSocket can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// That of PeerJS.
    Peers,
    /// That of room codes and calls.
    Root,
}

impl Endpoint {
    /// That of an address, if there is one and its dialects are on.
    pub(super) fn at(route: Route<'_>, dialects: Dialects) -> Option<Self> {
        match route {
            Route::Socket if dialects.peerjs => Some(Endpoint::Peers),
            Route::Root if dialects.any_at_root() => Some(Endpoint::Root),
            _ => None,
        }
    }

    /// Lets the session go on by itself, as a small task of its own: HTTP's is four times as large and
    /// can end now.
    pub(super) fn serve<S: Socket + 'static>(self, socket: S, service: &Arc<Parts>, caller: ConnectRequest) {
        match self {
            Endpoint::Peers => drop(rt::spawn(session::serve_peer(socket, &service.sessions, caller))),
            Endpoint::Root => drop(rt::spawn(session::serve_guest(socket, &service.sessions, caller))),
        }
    }
}

/// Counts a connection that has just come.
pub(crate) fn connect(
    service: &Parts,
    peer: Option<SocketAddr>,
) -> Result<Option<ConnectionPermit>, LimitExceeded> {
    let address = peer.and_then(|peer| counted_address(&service.config(), peer));
    let connected = service.addresses.connect(address);
    connected.inspect_err(|too_many| service.limit_hit(too_many.limit, address))
}

/// Whose a connection is. All clients of a proxy share its connections, and are counted one by one when they
/// open something.
fn counted_address(config: &Config, peer: SocketAddr) -> Option<IpAddr> {
    Some(peer.ip().to_canonical()).filter(|address| !config.is_proxy(address))
}

/// Who asks, unless its address asks too often.
pub(super) fn caller(
    service: &Parts,
    query: &str,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    exchange: Option<&Rc<ConnectionState>>,
) -> Result<ConnectRequest, LimitExceeded> {
    let source = source(service, headers, peer);
    let connection = exchange.and_then(|exchange| exchange.permit());
    let opened = service.addresses.open(source.address, service.now(), connection);
    let permit = opened.inspect_err(|too_many| service.limit_hit(too_many.limit, source.address))?;
    Ok(ConnectRequest { query: query.to_owned(), source, permit })
}

/// How much of a message a WebSocket may bring.
pub(super) fn bounds(service: &Parts) -> MessageLimits {
    let unfinished = Arc::clone(service.sessions.unfinished());
    MessageLimits { max_message_bytes: service.config().max_message_bytes, unfinished }
}

/// Where a request comes from.
pub(super) fn source(service: &Parts, headers: &HeaderMap, peer: Option<SocketAddr>) -> Source {
    Source { origin: origin(headers), address: seen::client_address(service, headers, peer) }
}

/// The page that asks. Native apps name none.
pub(super) fn origin(headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(header::ORIGIN).filter(|origin| !origin.is_empty())?;
    Some(String::from_utf8_lossy(origin.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_when_they_come_but_for_those_of_proxies() {
        for (proxied, peer, counted) in [
            (false, "198.51.100.1", Some("198.51.100.1")),
            (false, "10.0.0.1", Some("10.0.0.1")),
            (true, "198.51.100.1", Some("198.51.100.1")),
            (true, "10.0.0.1", None),
            (true, "::ffff:10.0.0.1", None),
        ] {
            let config = Config { proxied, ..Config::default() };
            let address = counted_address(&config, SocketAddr::new(peer.parse().unwrap(), 1));
            assert_eq!(address, counted.map(|counted| counted.parse().unwrap()), "{proxied} {peer}");
        }
    }
}
