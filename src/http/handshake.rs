//! The opening handshake (RFC 6455, section 4.2). Both transports carry out the decision that is made here.

mod refusal;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use actix_http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_http::{Method, RequestHead, Uri, Version, ws};
use actix_web::HttpResponse;

use super::endpoint::{self, Endpoint};
use super::mounted::Mounted;
use super::not_found;
use super::routes::{self, Route};
use crate::config::Dialects;
use crate::session::{Claim, ConnectRequest};
use crate::transport::connection_state::ConnectionState;
use crate::wire::HandshakeRefusal;

pub(crate) use refusal::Refused;

/// A handshake that opens a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(super) endpoint: Endpoint,
    /// The value of `Sec-WebSocket-Accept`.
    accept: [u8; 28],
    /// The agreed subprotocol: the first one offered, because subprotocols change nothing here.
    protocol: Option<String>,
}

/// Accepts or refuses a handshake, and counts the WebSocket. `None` if the request is not a handshake. `is_secure` says
/// whether it came over TLS.
pub(super) fn open(
    mounted: &Mounted,
    head: &RequestHead,
    is_secure: bool,
    connection: Option<&Rc<ConnectionState>>,
) -> Option<Result<(Accepted, ConnectRequest), Refused>> {
    let parts = &mounted.parts;
    let route = routes::find(&mounted.path, head.uri.path());
    let accepted = match decide(head, route, parts.config().dialects)? {
        Ok(accepted) => accepted,
        Err(why) => return Some(Err(Refused::new(why, mounted, head, is_secure))),
    };
    if accepted.endpoint == Endpoint::WrongPath {
        not_found::note(mounted, head);
    }
    let query = head.uri.query().unwrap_or_default();
    let request = endpoint::connect_request(parts, query, head.headers(), head.peer_addr, connection);
    Some(request.map(|request| (accepted, request)).map_err(Refused::too_many))
}

/// Accepts or refuses a handshake. `None` if the request is not a handshake.
pub(crate) fn decide(
    head: &RequestHead,
    route: Route<'_>,
    dialects: Dialects,
) -> Option<Result<Accepted, HandshakeRefusal>> {
    let asks_for_websocket = asks_for_websocket(head.headers());
    let endpoint = match Endpoint::at(route, dialects) {
        Some(Endpoint::Peers) => Some(Endpoint::Peers),
        _ if dialects.peerjs && is_of_peerjs(&head.uri) => Some(Endpoint::WrongPath),
        other => other,
    };
    match endpoint {
        Some(endpoint) if asks_for_websocket => Some(accept(head, endpoint)),
        // The root also serves pages, and a GET with another `Upgrade` gets the page there.
        Some(Endpoint::Peers)
            if head.method == Method::GET && head.headers().contains_key(header::UPGRADE) =>
        {
            Some(Err(HandshakeRefusal::NoUpgrade))
        }
        None if asks_for_websocket => Some(Err(HandshakeRefusal::NotFound)),
        _ => None,
    }
}

fn accept(head: &RequestHead, endpoint: Endpoint) -> Result<Accepted, HandshakeRefusal> {
    if head.method != Method::GET {
        return Err(HandshakeRefusal::BadMethod);
    }
    let is_websocket =
        header(head, &header::UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(WEBSOCKET));
    if !head.upgrade() || head.version != Version::HTTP_11 || !is_websocket {
        return Err(HandshakeRefusal::NoUpgrade);
    }
    if head.headers().contains_key(header::TRANSFER_ENCODING) {
        return Err(HandshakeRefusal::BadBody);
    }
    if !matches!(header(head, &header::SEC_WEBSOCKET_VERSION), Some("13" | "8")) {
        return Err(HandshakeRefusal::BadVersion);
    }
    let key = header(head, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let key = key.ok_or(HandshakeRefusal::BadKey)?;
    let offered = header(head, &header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    let protocol = offered.split(',').map(str::trim).find(|protocol| !protocol.is_empty());
    Ok(Accepted { endpoint, accept: ws::hash_key(key.as_bytes()), protocol: protocol.map(str::to_owned) })
}

impl Accepted {
    /// The bytes of the answer, for a connection that is taken over from HTTP.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut answer = Vec::with_capacity(160);
        answer.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        answer.extend_from_slice(&self.accept);
        if let Some(protocol) = &self.protocol {
            answer.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            answer.extend_from_slice(protocol.as_bytes());
        }
        answer.extend_from_slice(b"\r\n\r\n");
        answer
    }

    /// Sets the headers of this handshake in an answer of actix-ws.
    pub(super) fn write_to(&self, answer: &mut HttpResponse) {
        let mut set = |name, value| {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                answer.headers_mut().insert(name, value);
            }
        };
        set(header::SEC_WEBSOCKET_ACCEPT, &self.accept);
        if let Some(protocol) = &self.protocol {
            set(header::SEC_WEBSOCKET_PROTOCOL, protocol.as_bytes());
        }
    }
}

/// Whether a URL is one that only PeerJS clients open, at whatever path.
fn is_of_peerjs(uri: &Uri) -> bool {
    let is_socket = routes::ends_like_the_socket(uri.path());
    is_socket && Claim::parse(uri.query().unwrap_or_default()).is_ok()
}

const WEBSOCKET: &str = "websocket";

/// Whether a request asks for a WebSocket, even with a malformed handshake. Any of several `Upgrade` headers counts, as
/// in actix-http.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).filter_map(text).any(|upgrade| upgrade.eq_ignore_ascii_case(WEBSOCKET))
}

fn header<'a>(head: &'a RequestHead, name: &HeaderName) -> Option<&'a str> {
    head.headers().get(name).and_then(text)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim)
}

// 16 bytes in base64 are 22 characters and two padding characters.
fn is_key(key: &str) -> bool {
    let alphabet = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(alphabet)
}
