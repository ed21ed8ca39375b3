//! The endpoints of WebSockets, and the connections that clients open there.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use actix_http::RequestHead;
use actix_http::header::{HeaderMap, USER_AGENT};
use actix_web::{HttpRequest, rt};
use memchr::memmem;

use super::forwarded;
use super::handler::{Mounted, origin};
use super::routes::{self, Route};
use crate::http::path;
use crate::runtime::Runtime;
use peerbroker_config::{Config, Dialect, Dialects};
use peerbroker_core::vocabulary::{ApiKey, HandshakeRefusal, PeerId, RealmKind, Refusal};
use peerbroker_events::{Count, Event, Mistake, TurnedAway};
use peerbroker_limits::{ConnectionPermit, LimitExceeded};
use peerbroker_node::session::{self, ClientSource, ConnectRequest, Credentials};
use peerbroker_protocols::client::Protocol as _;
use peerbroker_protocols::peerjs::PeerJs;
use peerbroker_protocols::pipes;
use peerbroker_protocols::query::values;
use peerbroker_protocols::with_clients;
use peerbroker_transport::connection::ConnectionState;
use peerbroker_transport::decoder::Decoder;
use peerbroker_transport::{MessageLimits, Socket};

/// The name of `peerbroker doctor`: in `User-Agent`, and among the protocols that it offers over TLS (ALPN).
const DOCTOR: &[u8] = b"peerbroker-doctor/";

/// An endpoint that opens WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketEndpoint {
    /// The address of the clients of a realm.
    Of(RealmKind),
    /// The address of an end of a pipe.
    Pipe,
    /// The mount path, for PeerJS clients: a proxy in front has cut the path.
    CutPath,
    /// The mount path, for PeerJS clients of a server without PeerJS: without a refusal they would wait for
    /// ever.
    PeerJsOff,
    /// Any other path, for PeerJS clients with a wrong one: they are told the right one.
    WrongPath,
}

impl SocketEndpoint {
    /// The endpoint that a client means with a path and a query, in whatever way it connects.
    pub(super) fn find(route: Route<'_>, path: &str, query: &str, dialects: Dialects) -> Option<Self> {
        let peerjs = dialects.has(Dialect::PeerJs);
        let is_of_peerjs = || routes::ends_like_the_socket(path) && Credentials::parse(query).is_ok();
        match route {
            Route::Pipe(_) => Some(SocketEndpoint::Pipe),
            Route::Socket(Dialect::PeerJs) if peerjs => Some(SocketEndpoint::Of(RealmKind::PeerJs)),
            _ if peerjs && is_of_peerjs() => Some(SocketEndpoint::WrongPath),
            Route::Room(dialect, room) if dialects.has(dialect) => path::decode(room)
                .is_some_and(|room| with_clients!(dialect.realm(), C => C::is_room(&room)))
                .then_some(SocketEndpoint::Of(dialect.realm())),
            Route::Socket(dialect) if dialects.has(dialect) => Some(SocketEndpoint::Of(dialect.realm())),
            Route::Root if Credentials::are_in(query) && peerjs => Some(SocketEndpoint::CutPath),
            Route::Root if Credentials::are_in(query) => Some(SocketEndpoint::PeerJsOff),
            Route::Root if dialects.any_at_root() => Some(SocketEndpoint::Of(RealmKind::Guests)),
            _ => None,
        }
    }

    /// The decoder of the frames of a client, with its limits.
    pub(super) fn decoder(self, runtime: &Runtime, request: &ConnectRequest) -> Decoder {
        let limits = |max_message_bytes| {
            let unfinished = Arc::clone(&runtime.node.unfinished);
            MessageLimits { max_message_bytes, unfinished, permit: request.permit.clone() }
        };
        match self {
            SocketEndpoint::Pipe => Decoder::new(limits(pipes::MAX_MESSAGE)).in_parts(),
            _ => Decoder::new(limits(runtime.config().max_message_bytes)),
        }
    }

    /// Runs the session as a separate task. The task of HTTP is four times as large, and can end now.
    pub(super) fn serve(self, socket: impl Socket + 'static, mounted: &Mounted, request: ConnectRequest) {
        let node = &mounted.runtime.node;
        match self {
            #[cfg(test)]
            SocketEndpoint::Of(RealmKind::PeerJs) if request.query.ends_with("&echo") => {
                drop(rt::spawn(session::serve::<_, super::tests::echo::Echo>(socket, node, request)));
            }
            SocketEndpoint::Of(realm) => {
                with_clients!(realm, C => drop(rt::spawn(session::serve::<_, C>(socket, node, request))));
            }
            SocketEndpoint::Pipe => drop(rt::spawn(session::serve_end(socket, node, request))),
            SocketEndpoint::CutPath => drop(rt::spawn(session::serve::<_, PeerJs>(socket, node, request))),
            SocketEndpoint::PeerJsOff => {
                let refusal = Refusal::PeerJsOff;
                drop(rt::spawn(session::turn_away(socket, node, request, refusal, &refusal.text())));
            }
            SocketEndpoint::WrongPath => {
                let refusal = Refusal::WrongPath;
                let told = format!("{}: this broker is at {}", refusal.text(), mounted.path.shown());
                drop(rt::spawn(session::turn_away(socket, node, request, refusal, &told)));
            }
        }
    }
}

/// The reason why an address gets no connection.
pub(crate) enum AddressRefused {
    /// The address is banned.
    Banned,
    /// The address is over a limit.
    TooMany(LimitExceeded),
}

/// Counts a new connection, unless its address is over a limit, or banned and the connection is one of
/// clients.
pub(crate) fn count_connection(
    runtime: &Runtime,
    peer: Option<SocketAddr>,
    is_of_clients: bool,
) -> Result<Option<ConnectionPermit>, AddressRefused> {
    let address = peer.and_then(|peer| counted_address(&runtime.config(), peer));
    if is_of_clients && is_banned(runtime, "", address) {
        runtime.events.counters().add(Count::HandshakesRefused(HandshakeRefusal::Banned), 1);
        return Err(AddressRefused::Banned);
    }
    runtime.addresses.connect(address).map_err(|too_many| {
        runtime.events.limit_hit(too_many.limit, None, address);
        turned_away(runtime, HandshakeRefusal::TooManyConnections, "", address);
        AddressRefused::TooMany(too_many)
    })
}

/// True if an address is banned. Tells operators of its client.
pub(super) fn is_banned(runtime: &Runtime, query: &str, address: Option<IpAddr>) -> bool {
    let is_banned = runtime.node.bans.has(address, None);
    if is_banned {
        turned_away(runtime, HandshakeRefusal::Banned, query, address);
    }
    is_banned
}

/// Tells operators of a client whose address is refused, with the key and the id of its query if they are
/// valid.
fn turned_away(runtime: &Runtime, why: HandshakeRefusal, query: &str, address: Option<IpAddr>) {
    runtime.events.emit(|| {
        let [key, id] = values(query, ["key", "id"]);
        let key = ApiKey::parse(&key).ok();
        let id = PeerId::parse(&id).ok();
        Event::TurnedAway(Box::new(TurnedAway { why, key, id, address }))
    });
}

/// The address that a connection counts for. Clients of a trusted proxy share its connections, so each client
/// is counted later, when it opens a WebSocket or a stream.
fn counted_address(config: &Config, peer: SocketAddr) -> Option<IpAddr> {
    Some(peer.ip().to_canonical()).filter(|address| !config.is_proxy(address))
}

/// Counts what a client opens, such as a WebSocket or a stream, unless its address is over a limit.
/// `connection` is that of the connection it comes over, if it was counted.
pub(super) fn connect_request(
    runtime: &Runtime,
    query: String,
    source: ClientSource,
    connection: Option<&ConnectionPermit>,
) -> Result<ConnectRequest, LimitExceeded> {
    let opened = runtime.addresses.open(source.address, runtime.now(), connection);
    let permit = opened.inspect_err(|too_many| {
        runtime.events.limit_hit(too_many.limit, None, source.address);
        turned_away(runtime, HandshakeRefusal::TooManyConnections, &query, source.address);
    })?;
    Ok(ConnectRequest { query, source, permit })
}

/// Counts a request that costs as much as a WebSocket that opens, unless its address is over a limit.
pub(super) fn count_open(runtime: &Runtime, request: &HttpRequest) -> Result<(), LimitExceeded> {
    let connection = request.conn_data::<Rc<ConnectionState>>().and_then(|connection| connection.permit());
    connect_request(runtime, String::new(), source(runtime, request.head()), connection).map(drop)
}

/// The page and the address that a request comes from.
pub(super) fn source(runtime: &Runtime, head: &RequestHead) -> ClientSource {
    source_of(runtime, head.peer_addr, head.headers())
}

/// The page and the address of a request that came over a connection from `peer`, by whatever transport.
pub(super) fn source_of(runtime: &Runtime, peer: Option<SocketAddr>, headers: &HeaderMap) -> ClientSource {
    let (address, locality) = forwarded::client_locality(runtime, peer, headers);
    ClientSource { origin: origin(headers), address, locality, is_doctor: is_of_doctor(headers) }
}

/// True if `peerbroker doctor` sent the request with these headers.
pub(super) fn is_of_doctor(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(DOCTOR))
}

/// True if `peerbroker doctor` sent these bytes. It also tries what must fail, so the operator needs no
/// advice about it.
pub(crate) fn names_doctor(bytes: &[u8]) -> bool {
    memmem::find(bytes, DOCTOR).is_some()
}

/// Tells the operator of a client's mistake in a request.
pub(super) fn mistake(runtime: &Runtime, head: &RequestHead, mistake: Mistake) {
    source(runtime, head).record_mistake(&runtime.node, || mistake);
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
