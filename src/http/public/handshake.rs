//! The opening handshake (RFC 6455, section 4.2). Both transports carry out the decision that is made here.
//! Connections that upgrade are taken over before actix-web sees their requests.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_http::{Method, Request, RequestHead, StatusCode, Version, h1, ws};
use actix_web::HttpResponse;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::arrival::Arrival;
use super::endpoint::{self, AddressRefused, SocketEndpoint};
use super::handler::Mounted;
use super::routes::{self, Route};
use super::{forwarded, not_found};
use crate::http::path;
use peerbroker_config::Dialects;
use peerbroker_core::vocabulary::{HandshakeRefusal, RealmKind};
use peerbroker_events::Count;
use peerbroker_limits::LimitExceeded;
use peerbroker_node::session::ConnectRequest;
use peerbroker_transport::connection::ConnectionState;
use peerbroker_transport::upgrade::{Upgradable, Upgrade};

/// A handshake that opens a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AcceptedHandshake {
    pub(super) endpoint: SocketEndpoint,
    /// The value of `Sec-WebSocket-Accept`.
    accept: [u8; 28],
    /// The agreed subprotocol: the first one offered, because subprotocols change nothing here.
    protocol: Option<String>,
}

/// Accepts or refuses a handshake, and counts the WebSocket. `None` if the request is not a handshake.
/// `is_secure` says whether it came over TLS.
pub(super) fn open(
    mounted: &Mounted,
    head: &RequestHead,
    is_secure: bool,
    connection: Option<&Rc<ConnectionState>>,
) -> Option<Result<(AcceptedHandshake, ConnectRequest), RefusedHandshake>> {
    let runtime = &mounted.runtime;
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    // Of every request, so of those of a trusted proxy too, whose connection tells nothing of the client.
    if !runtime.node.bans.is_empty()
        && endpoint::is_banned(
            runtime,
            query,
            forwarded::client_address(runtime, head.peer_addr, head.headers()),
        )
    {
        return Some(Err(RefusedHandshake::banned()));
    }
    let route = routes::find_socket(&mounted.path, path);
    let accepted = match decide(head, route, runtime.config().dialects)? {
        Ok(accepted) => accepted,
        Err(why) => return Some(Err(RefusedHandshake::new(why, mounted, head, is_secure))),
    };
    let source = endpoint::source(runtime, head);
    let connection = connection.and_then(|connection| connection.permit());
    let request = Arrival { path, query, source, connection }.enter(mounted, route, accepted.endpoint);
    Some(request.map(|request| (accepted, request)).map_err(RefusedHandshake::from))
}

/// Accepts or refuses a handshake. `None` if the request is not a handshake.
pub(crate) fn decide(
    head: &RequestHead,
    route: Route<'_>,
    dialects: Dialects,
) -> Option<Result<AcceptedHandshake, HandshakeRefusal>> {
    let asks_for_websocket = asks_for_websocket(head.headers());
    let query = head.uri.query().unwrap_or_default();
    match SocketEndpoint::find(route, head.uri.path(), query, dialects) {
        Some(endpoint) if asks_for_websocket => Some(accept(head, endpoint)),
        // The root also serves pages, and a GET with another `Upgrade` gets the page there.
        Some(SocketEndpoint::Of(realm))
            if realm != RealmKind::Guests
                && head.method == Method::GET
                && head.headers().contains_key(header::UPGRADE) =>
        {
            Some(Err(HandshakeRefusal::NoUpgrade))
        }
        None if asks_for_websocket => Some(Err(HandshakeRefusal::NotFound)),
        _ => None,
    }
}

fn accept(head: &RequestHead, endpoint: SocketEndpoint) -> Result<AcceptedHandshake, HandshakeRefusal> {
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
    Ok(AcceptedHandshake {
        endpoint,
        accept: ws::hash_key(key.as_bytes()),
        protocol: protocol.map(str::to_owned),
    })
}

impl AcceptedHandshake {
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

const WEBSOCKET: &str = "websocket";

/// True if a request asks for a WebSocket, even with a malformed handshake. Any of several `Upgrade` headers
/// counts, as in actix-http.
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

/// The status of the answer.
pub(super) fn status_of(why: HandshakeRefusal) -> StatusCode {
    // Always valid: a test checks all rows.
    StatusCode::from_u16(why.ending().status).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The headers of a refusal. [`RefusedHandshake`] adds the common ones and `Retry-After`.
fn headers_of(why: HandshakeRefusal) -> &'static [(&'static str, &'static str)] {
    match why {
        // The text contains the host, and the key of a cache in front may lack it.
        HandshakeRefusal::NotFound => &[("Cache-Control", "no-store")],
        HandshakeRefusal::BadMethod => &[("Allow", "GET")],
        HandshakeRefusal::BadVersion => &[("Sec-WebSocket-Version", "13, 8")],
        HandshakeRefusal::NoUpgrade | HandshakeRefusal::BadBody | HandshakeRefusal::BadKey => &[],
        // Told before a request is read, so to pages of any origin. A page whose socket does not open asks
        // for the reason.
        HandshakeRefusal::Banned | HandshakeRefusal::TooManyConnections => {
            &[("Access-Control-Allow-Origin", "*")]
        }
    }
}

/// The answer that refuses a handshake.
pub(crate) struct RefusedHandshake {
    pub(super) why: HandshakeRefusal,
    text: Cow<'static, str>,
    retry_after: Option<u64>,
    /// An answer to HEAD has no body.
    is_to_head: bool,
}

impl From<AddressRefused> for RefusedHandshake {
    fn from(why: AddressRefused) -> Self {
        match why {
            AddressRefused::Banned => RefusedHandshake::banned(),
            AddressRefused::TooMany(too_many) => RefusedHandshake::too_many(too_many),
        }
    }
}

impl RefusedHandshake {
    /// The answer to a request. `is_secure` says whether it came over TLS.
    pub(super) fn new(why: HandshakeRefusal, mounted: &Mounted, head: &RequestHead, is_secure: bool) -> Self {
        let text = why.ending().text.map_or_else(
            || {
                let options = forwarded::client_options_of(mounted, head, is_secure);
                let text = if asks_for_websocket(head.headers()) {
                    not_found::record_socket(mounted, head);
                    not_found::socket_text(mounted, head, &options)
                } else {
                    not_found::record_request(mounted, head);
                    not_found::text(mounted, head.method.as_str(), head.uri.path(), &options)
                };
                text.into()
            },
            Cow::Borrowed,
        );
        RefusedHandshake { why, text, retry_after: None, is_to_head: head.method == Method::HEAD }
    }

    /// The answer to a client whose address has too many connections.
    pub(crate) fn too_many(too_many: LimitExceeded) -> Self {
        let retry_after = Some(too_many.seconds());
        RefusedHandshake { retry_after, ..RefusedHandshake::of_address(HandshakeRefusal::TooManyConnections) }
    }

    /// The answer to a client whose address is banned.
    fn banned() -> Self {
        RefusedHandshake::of_address(HandshakeRefusal::Banned)
    }

    fn of_address(why: HandshakeRefusal) -> Self {
        let text = why.ending().text.unwrap_or_default().into();
        RefusedHandshake { why, text, retry_after: None, is_to_head: false }
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> + use<> {
        let common = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")];
        let fixed = headers_of(self.why).iter().copied().chain(common);
        let retry_after = self.retry_after.map(|seconds| ("Retry-After", seconds.to_string().into()));
        retry_after.into_iter().chain(fixed.map(|(name, value)| (name, value.into())))
    }

    /// The bytes of the answer, for a connection that was taken over from HTTP.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let status = status_of(self.why);
        let length = self.text.len();
        let reason = status.canonical_reason().unwrap_or_default();
        let mut answer = format!("HTTP/1.1 {} {reason}\r\n", status.as_str());
        for (name, value) in self.headers() {
            answer.extend([name, ": ", &value, "\r\n"]);
        }
        answer += &format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
        if !self.is_to_head {
            answer += &self.text;
        }
        answer.into_bytes()
    }

    /// The answer for actix-web, which omits the body if the request is a HEAD.
    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(status_of(self.why));
        for (name, value) in self.headers() {
            response.insert_header((name, value.as_ref()));
        }
        response.force_close().body(self.text.into_owned())
    }
}

/// Time limit for a client to read a refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers the handshake and starts the session as a separate task, so that the task of HTTP can end.
pub(crate) async fn upgrade<T>(mounted: Arc<Mounted>, mut request: Request, framed: Framed<T, h1::Codec>)
where
    T: Upgradable + AsyncWrite + Unpin + 'static,
{
    path::merge_slashes(request.head_mut());
    let connection = request.conn_data::<Rc<ConnectionState>>();
    // actix-http also hands over CONNECT requests.
    let not_found =
        || RefusedHandshake::new(HandshakeRefusal::NotFound, &mounted, request.head(), mounted.secure);
    let opened = open(&mounted, request.head(), mounted.secure, connection);
    let (accepted, request) = match opened.unwrap_or_else(|| Err(not_found())) {
        Ok(opened) => opened,
        Err(refused) => {
            mounted.runtime.events.counters().add(Count::HandshakesRefused(refused.why), 1);
            return refuse(framed, refused).await;
        }
    };
    let runtime = &mounted.runtime;
    let decoder = accepted.endpoint.decoder(runtime, &request);
    let connection = Upgrade { parts: framed.into_parts(), response: accepted.to_bytes(), decoder };
    accepted.endpoint.serve(connection.open(), &mounted, request);
}

async fn refuse<T: AsyncWrite + Unpin>(framed: Framed<T, h1::Codec>, refused: RefusedHandshake) {
    let FramedParts { mut io, write_buf, .. } = framed.into_parts();
    let why = refused.why;
    let sent = async {
        // Answers to earlier requests of this connection.
        io.write_all(&write_buf).await?;
        io.write_all(&refused.into_bytes()).await?;
        io.shutdown().await
    };
    if let Ok(Err(error)) = timeout(REFUSAL_TIMEOUT, sent).await {
        log::debug!(refusal = why.ending().label; "a client did not take the refusal {}: {error}", why.ending().label);
    }
}
