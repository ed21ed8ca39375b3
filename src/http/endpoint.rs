//! The endpoints of WebSockets, and the connections that clients open there.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, rt};

use super::forwarded;
use super::mounted::Mounted;
use super::routes::Route;
use crate::app::Parts;
use crate::config::{Config, Dialects};
use crate::limits::{ConnectionPermit, LimitExceeded};
use crate::session::{self, ConnectRequest, Source};
use crate::transport::connection_state::ConnectionState;
use crate::transport::{MessageLimits, Socket};

/// An endpoint that opens WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `{path}peerjs`, for PeerJS clients.
    Peers,
    /// The mount path itself, for room codes and calls.
    Root,
    /// Any other path, for PeerJS clients that have a wrong one: they are told the right one.
    WrongPath,
}

impl Endpoint {
    /// The endpoint of a route, if it has one and its dialects are enabled.
    pub(super) fn at(route: Route<'_>, dialects: Dialects) -> Option<Self> {
        match route {
            Route::Socket if dialects.peerjs => Some(Endpoint::Peers),
            Route::Root if dialects.any_at_root() => Some(Endpoint::Root),
            _ => None,
        }
    }

    /// Runs the session as a task of its own. The task of HTTP is four times as large, and can end now.
    pub(super) fn serve<S: Socket + 'static>(self, socket: S, mounted: &Mounted, request: ConnectRequest) {
        let sessions = &mounted.parts.sessions;
        match self {
            Endpoint::Peers => drop(rt::spawn(session::serve_peer(socket, sessions, request))),
            Endpoint::Root => drop(rt::spawn(session::serve_guest(socket, sessions, request))),
            Endpoint::WrongPath => {
                drop(rt::spawn(session::redirect(socket, sessions, request, mounted.path.shown())))
            }
        }
    }
}

/// Counts a new connection.
pub(crate) fn count_connection(
    parts: &Parts,
    peer: Option<SocketAddr>,
) -> Result<Option<ConnectionPermit>, LimitExceeded> {
    let address = peer.and_then(|peer| counted_address(&parts.config(), peer));
    let connected = parts.addresses.connect(address);
    connected.inspect_err(|too_many| parts.limit_hit(too_many.limit, address))
}

/// The address that a connection counts for. Clients of a trusted proxy share its connections, so each client is counted
/// later, when it opens a WebSocket or a stream.
fn counted_address(config: &Config, peer: SocketAddr) -> Option<IpAddr> {
    Some(peer.ip().to_canonical()).filter(|address| !config.is_proxy(address))
}

/// Counts a WebSocket or stream that a client opens, unless its address is over a limit.
pub(super) fn connect_request(
    parts: &Parts,
    query: &str,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    connection: Option<&Rc<ConnectionState>>,
) -> Result<ConnectRequest, LimitExceeded> {
    let source = source(parts, headers, peer);
    let connection = connection.and_then(|connection| connection.permit());
    let opened = parts.addresses.open(source.address, parts.now(), connection);
    let permit = opened.inspect_err(|too_many| parts.limit_hit(too_many.limit, source.address))?;
    Ok(ConnectRequest { query: query.to_owned(), source, permit })
}

/// Counts a request that costs as much as a WebSocket that opens, unless its address is over a limit.
pub(super) fn count_open(parts: &Parts, request: &HttpRequest) -> Result<(), LimitExceeded> {
    let connection = request.conn_data::<Rc<ConnectionState>>();
    connect_request(parts, "", request.headers(), request.peer_addr(), connection).map(drop)
}

/// The size limits of messages on a WebSocket.
pub(super) fn bounds(parts: &Parts) -> MessageLimits {
    let unfinished = Arc::clone(parts.sessions.unfinished());
    MessageLimits { max_message_bytes: parts.config().max_message_bytes, unfinished }
}

/// The page and the address that a request comes from.
pub(super) fn source(parts: &Parts, headers: &HeaderMap, peer: Option<SocketAddr>) -> Source {
    Source { origin: origin(headers), address: forwarded::client_address(parts, headers, peer) }
}

/// The origin of the page that sends the request. Native apps send none.
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
