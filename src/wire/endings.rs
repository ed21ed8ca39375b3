//! The table of endings: why a handshake opens no WebSocket, why a client is not admitted, and why a connection ends.
//!
//! `docs/PROTOCOL.md` has the same table, and `tests/docs/endings.rs` compares the two. No other file has a close code.

use std::borrow::Cow;

use super::names::InvalidName;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The name in metrics and logs.
    pub label: &'static str,
    /// The close code; `None` is a close frame without a code, as the reference sends it.
    pub code: Option<u16>,
    /// What the client is told: in the frame before the close frame if it is refused, and else as the close reason.
    pub text: &'static str,
    /// Whether the same client can succeed later without a change: it should reconnect, with a pause.
    pub retry: bool,
}

/// Why a connection that had an id ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client closed it, or it broke.
    Left,
    /// The same id and token came on a new connection.
    Replaced,
    /// The client did not answer a probe, and another client may get its id.
    Evicted,
    /// Nothing was heard of the client for the alive timeout.
    TimedOut,
    /// The client did not read what was sent to it.
    SlowReader,
    /// The key was disabled or removed.
    KeyRevoked,
    /// The operator removed the client.
    Kicked,
    /// The server stops.
    Shutdown,
    /// The client broke RFC 6455.
    ProtocolError,
    /// A text message was not UTF-8.
    NotUtf8,
    /// A message was longer than `max_message_bytes`.
    TooBig,
    /// The unfinished messages of all connections use up their quota.
    TryAgainLater,
}

impl CloseReason {
    /// All of them.
    pub const ALL: [CloseReason; 12] = [
        CloseReason::Left,
        CloseReason::Replaced,
        CloseReason::Evicted,
        CloseReason::TimedOut,
        CloseReason::SlowReader,
        CloseReason::KeyRevoked,
        CloseReason::Kicked,
        CloseReason::Shutdown,
        CloseReason::ProtocolError,
        CloseReason::NotUtf8,
        CloseReason::TooBig,
        CloseReason::TryAgainLater,
    ];

    /// Its row. Codes below 4000 are those of RFC 6455, section 7.4.1, and of IANA's registry (1013).
    pub const fn ending(self) -> Ending {
        let (label, code, text, retry) = match self {
            CloseReason::Left => ("left", Some(1000), "", true),
            CloseReason::Replaced => ("replaced", Some(4001), "replaced by a newer connection", false),
            CloseReason::Evicted => ("evicted", Some(4002), "did not answer, and its id was asked for", true),
            CloseReason::TimedOut => ("timed_out", None, "", true),
            CloseReason::SlowReader => ("slow_reader", Some(4003), "too slow in reading", true),
            CloseReason::KeyRevoked => ("key_revoked", Some(4004), "the key is not valid any more", false),
            CloseReason::Kicked => ("kicked", Some(4005), "removed by the operator", false),
            CloseReason::Shutdown => ("shutdown", Some(1001), "server is stopping", true),
            CloseReason::ProtocolError => ("protocol_error", Some(1002), "", false),
            CloseReason::NotUtf8 => ("not_utf8", Some(1007), "", false),
            CloseReason::TooBig => ("too_big", Some(1009), "", false),
            CloseReason::TryAgainLater => ("try_again_later", Some(1013), "", true),
        };
        Ending { label, code, text, retry }
    }

    /// Close code and reason, for the close frame.
    pub fn close(self) -> Option<(u16, &'static str)> {
        let Ending { code, text, .. } = self.ending();
        code.map(|code| (code, text))
    }

    /// Whether the id is reserved for its owner for a while: the client may be there, behind a slow network, and
    /// come back.
    pub(crate) fn is_reclaimable(self) -> bool {
        matches!(self, CloseReason::Evicted | CloseReason::SlowReader)
    }
}

/// Why a client does not get an id. It is told in a frame of its protocol, and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The query lacks a key, an id or a token.
    Incomplete,
    /// The id cannot be one.
    InvalidId(InvalidName),
    /// The token cannot be one.
    InvalidToken(InvalidName),
    /// The key cannot be one.
    MalformedKey(InvalidName),
    /// The key does not exist, is disabled, or was removed.
    InvalidKey,
    /// The page's origin may not use the key.
    ForeignOrigin,
    /// The token does not prove that the id is the client's.
    TokenRefused,
    /// A live connection with another token holds the id.
    IdTaken,
    /// The client of a stream has a WebSocket already, or a client left while it waited for the id. Nobody is told.
    Elsewhere,
    /// The key has as many clients as it may.
    LimitReached,
    /// The server stops.
    Closing,
}

impl Refusal {
    /// All of them, once each.
    pub const ALL: [Refusal; 11] = [
        Refusal::Incomplete,
        Refusal::InvalidId(InvalidName::Empty),
        Refusal::InvalidToken(InvalidName::Empty),
        Refusal::MalformedKey(InvalidName::Empty),
        Refusal::InvalidKey,
        Refusal::ForeignOrigin,
        Refusal::TokenRefused,
        Refusal::IdTaken,
        Refusal::Elsewhere,
        Refusal::LimitReached,
        Refusal::Closing,
    ];

    /// Its row. The texts of `Incomplete`, `InvalidKey`, `LimitReached` and `IdTaken` are the reference's, and so are
    /// the close frames without a code.
    pub const fn ending(self) -> Ending {
        let (label, code, text, retry) = match self {
            Refusal::Incomplete => {
                ("incomplete", None, "No id, token, or key supplied to websocket server", false)
            }
            Refusal::InvalidId(_) => ("invalid_id", None, "Invalid id provided", false),
            // Both say the same: why a proof failed is for the operator's log.
            Refusal::InvalidToken(_) => ("invalid_token", None, "Invalid token provided", false),
            Refusal::TokenRefused => ("token_refused", None, "Invalid token provided", false),
            Refusal::MalformedKey(_) => ("malformed_key", None, "Invalid key provided", false),
            Refusal::InvalidKey => ("invalid_key", None, "Invalid key provided", false),
            Refusal::ForeignOrigin => ("foreign_origin", None, "This origin may not use the key", false),
            Refusal::IdTaken => ("id_taken", None, "ID is taken", true),
            // On its WebSocket the client hears all there is to hear.
            Refusal::Elsewhere => ("elsewhere", None, "", false),
            Refusal::LimitReached => {
                ("limit_reached", None, "Server has reached its concurrent user limit", true)
            }
            Refusal::Closing => ("closing", CloseReason::Shutdown.ending().code, "Server is stopping", true),
        };
        Ending { label, code, text, retry }
    }

    /// What the client is told.
    pub fn text(self) -> Cow<'static, str> {
        let text = self.ending().text;
        match self {
            Refusal::InvalidId(why) | Refusal::InvalidToken(why) | Refusal::MalformedKey(why) => {
                format!("{text}: {why}").into()
            }
            _ => text.into(),
        }
    }

    /// Close code and reason, for the close frame behind the text.
    pub fn close(self) -> Option<(u16, &'static str)> {
        match self {
            Refusal::Closing => CloseReason::Shutdown.close(),
            _ => None,
        }
    }
}

/// One row of the table for a handshake, which is refused over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeEnding {
    /// The name in metrics and logs.
    pub label: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer. `None` is the 404, whose text depends on the request.
    pub text: Option<&'static str>,
    /// Whether the same handshake can succeed later.
    pub retry: bool,
}

/// Why a handshake opens no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeRefusal {
    /// No WebSocket is at this address.
    NotFound,
    /// Only GET opens a WebSocket.
    BadMethod,
    /// HTTP/1.0, or a header of the upgrade is missing.
    NoUpgrade,
    /// The body is chunked, so frames would come in chunks, which no WebSocket client sends.
    BadBody,
    /// The version of the WebSocket protocol is neither 13 nor 8.
    BadVersion,
    /// The key of the handshake is missing or malformed.
    BadKey,
    /// The address of the client has too many connections, or opens too many.
    TooManyConnections,
}

impl HandshakeRefusal {
    /// All of them.
    pub const ALL: [HandshakeRefusal; 7] = [
        HandshakeRefusal::NotFound,
        HandshakeRefusal::BadMethod,
        HandshakeRefusal::NoUpgrade,
        HandshakeRefusal::BadBody,
        HandshakeRefusal::BadVersion,
        HandshakeRefusal::BadKey,
        HandshakeRefusal::TooManyConnections,
    ];

    /// Its row.
    pub const fn ending(self) -> HandshakeEnding {
        let (label, status, text, retry) = match self {
            HandshakeRefusal::NotFound => ("not_found", 404, None, false),
            HandshakeRefusal::BadMethod => {
                ("bad_method", 405, Some("a WebSocket is opened with GET\n"), false)
            }
            HandshakeRefusal::NoUpgrade => (
                "no_upgrade",
                400,
                Some(
                    "a WebSocket needs HTTP/1.1 and the headers 'Upgrade: websocket' and 'Connection: Upgrade'\n",
                ),
                false,
            ),
            HandshakeRefusal::BadBody => {
                ("bad_body", 400, Some("a WebSocket is opened without Transfer-Encoding\n"), false)
            }
            HandshakeRefusal::BadVersion => {
                ("bad_version", 400, Some("Sec-WebSocket-Version must be 13 or 8\n"), false)
            }
            HandshakeRefusal::BadKey => {
                ("bad_websocket_key", 400, Some("Sec-WebSocket-Key must be 16 bytes in base64\n"), false)
            }
            HandshakeRefusal::TooManyConnections => {
                ("too_many_connections", 429, Some("Too many connections from this address\n"), true)
            }
        };
        HandshakeEnding { label, status, text, retry }
    }
}

/// Whether a close frame of a client may have this code: those of RFC 6455, section 7.4, and of IANA's registry, and
/// those of applications.
pub(crate) fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
