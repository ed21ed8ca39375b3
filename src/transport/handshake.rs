//! The server's side of the opening handshake (RFC 6455, section 4.2), for connections that the
//! server takes over itself.

use actix_http::RequestHead;
use actix_http::header::{self, HeaderMap, HeaderName};
use actix_http::{Method, Version, ws};

/// Why a request to upgrade is not a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHandshake {
    #[error("a WebSocket is opened with GET")]
    Method,
    #[error("a WebSocket needs HTTP/1.1 and the headers 'Upgrade: websocket' and 'Connection: Upgrade'")]
    NoUpgrade,
    #[error("Sec-WebSocket-Version must be 13 or 8")]
    Version,
    #[error("a WebSocket is opened without Transfer-Encoding")]
    Body,
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
}

/// The bytes that accept a handshake.
pub(crate) fn accept(head: &RequestHead) -> Result<Vec<u8>, BadHandshake> {
    let key = check(head)?;
    let mut answer = Vec::with_capacity(160);
    answer.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    answer.extend_from_slice(&ws::hash_key(key.as_bytes()));
    if let Some(protocol) = first_protocol(head.headers()) {
        answer.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        answer.extend_from_slice(protocol.as_bytes());
    }
    answer.extend_from_slice(b"\r\n\r\n");
    Ok(answer)
}

/// Whether a request opens a WebSocket; gives its key.
pub(crate) fn check(head: &RequestHead) -> Result<&str, BadHandshake> {
    if head.method != Method::GET {
        return Err(BadHandshake::Method);
    }
    if !head.upgrade() || head.version != Version::HTTP_11 || !asks_for_websocket(head.headers()) {
        return Err(BadHandshake::NoUpgrade);
    }
    // Frames would come in chunks, which no WebSocket client sends.
    if head.headers().contains_key(header::TRANSFER_ENCODING) {
        return Err(BadHandshake::Body);
    }
    match header(head.headers(), &header::SEC_WEBSOCKET_VERSION) {
        Some("13" | "8") => {}
        _ => return Err(BadHandshake::Version),
    }
    let key = header(head.headers(), &header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    if is_key(key) { Ok(key) } else { Err(BadHandshake::Key) }
}

/// The subprotocol to agree to: the first one offered, because none changes anything here.
pub(crate) fn first_protocol(headers: &HeaderMap) -> Option<&str> {
    let offered = header(headers, &header::SEC_WEBSOCKET_PROTOCOL)?;
    offered.split(',').map(str::trim).find(|protocol| !protocol.is_empty())
}

/// Whether a request wants a WebSocket, well or not.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    header(headers, &header::UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

// 16 bytes are 22 characters and two signs of padding.
fn is_key(key: &str) -> bool {
    let alphabet = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(alphabet)
}
