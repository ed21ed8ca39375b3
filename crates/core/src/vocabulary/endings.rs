//! The table of endings: why a handshake opens no WebSocket, why a client is not admitted, why a connection
//! ends, and why a request about a room, or a message to the app, is refused.
//!
//! `docs/PROTOCOL.md` has the same table, and `tests/api/docs/endings.rs` compares the two. No other file has
//! a close code.

use std::borrow::Cow;

use super::limit::Limit;
use super::names::InvalidName;
use super::tables::{numbers, table};

/// A row of the table of close reasons, or of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The name in metrics and logs.
    pub label: &'static str,
    /// The close code; `None` is a close frame without a code, as the reference sends it.
    pub code: Option<u16>,
    /// The text for the client: the close reason, if there is a code. A refused client also gets it in the
    /// frame before.
    pub text: &'static str,
    /// True if the same client can succeed later without a change: it should reconnect, with a pause.
    pub retry: bool,
}

/// The code of a client that does not come back (RFC 6455, section 7.4.1). `peer.disconnect()` sends none,
/// and may be followed by `peer.reconnect()`.
pub const NORMAL: u16 = 1000;

/// The code of browsers when a page goes away, or is loaded again (RFC 6455, section 7.4.1). Their `close()`
/// sends none.
pub const GOING_AWAY: u16 = 1001;

/// The code of a pipe that is refused for a reason whose row has none. The text says the reason, and the page
/// does not come back by itself.
pub const REFUSED: u16 = 4014;

/// The close reason in place of the one of [`CloseReason::Replaced`], if an id changes hands several times in
/// a minute.
pub const DUPLICATED_TAB: &str = "two pages use this id and one token: a duplicated tab?";

table! {
    /// The reason why a connection that had an id ended. Codes below 4000 are those of RFC 6455, section
    /// 7.4.1, and of IANA's registry (1013).
    CloseReason.ending: Ending(label, code, text, retry);
    /// The client closed it, or it broke.
    Left: "left", Some(1000), "", true;
    /// A new connection came with the same id and token.
    Replaced: "replaced", Some(4001), "replaced by a newer connection", false;
    /// The client did not answer a probe, and another client may get its id.
    Evicted: "evicted", Some(4002), "did not answer, and its id was asked for", true;
    /// The client was silent for the alive timeout.
    TimedOut: "timed_out", None, "", true;
    /// The client did not read its messages.
    SlowReader: "slow_reader", Some(4003), "too slow in reading", true;
    /// The key was disabled or removed.
    KeyRevoked: "key_revoked", Some(4004), "the key is not valid any more", false;
    /// The operator removed the client.
    Kicked: "kicked", Some(4005), "removed by the operator", false;
    /// After an outage of the store that its nodes share, another client had the id, and the better claim to
    /// it.
    Outranked: "outranked", Some(4006), "another client has its id", true;
    /// The room that a client of Matchbox named takes no more members: it has no other way to say so.
    RoomFull: "room_full", Some(4007), "the room is full", true;
    /// The operator has banned the address of the client.
    Banned: "banned", Some(4008), "this address is banned", false;
    /// A client of Matchbox waited for too long for a place in a group: its node could not learn which one
    /// gives them.
    NoPlace: "no_place", Some(1013), "no node gives places in this room", true;
    /// A client of RxDB sent a message that its protocol does not have: RxDB's server closes the connection
    /// too.
    WrongMessage: "wrong_message", Some(4009), "the protocol has no such message", false;
    /// No other end of the pipe came in time.
    PipeAlone: "pipe_alone", Some(4010), "no other end came", false;
    /// The other end of the pipe has left for good, or did not come back in time.
    PipeLeft: "pipe_left", Some(4011), "the other end has left", false;
    /// An end of the pipe has read nothing for too long.
    PipeStalled: "pipe_stalled", Some(4012), "an end did not read", false;
    /// The connection of an end of a pipe cannot go on: nothing came from it, so its network may be gone, or
    /// the message that it gets will never be whole.
    PipeBroken: "pipe_broken", None, "", true;
    /// The server or the key has no pipes any more.
    PipesOff: "pipes_off", Some(REFUSED), "Pipes are off", false;
    /// The server stops.
    Shutdown: "shutdown", Some(1001), "server is stopping", true;
    /// The client broke RFC 6455.
    ProtocolError: "protocol_error", Some(1002), "", false;
    /// A text message was not UTF-8.
    NotUtf8: "not_utf8", Some(1007), "", false;
    /// A message was longer than `max_message_bytes`.
    TooBig: "too_big", Some(1009), "a message over --max_message_bytes", false;
    /// The unfinished and waiting messages of all connections use up their quota.
    TryAgainLater: "try_again_later", Some(1013), "", true;
}

numbers! {
    CloseReason: Left = 0, Replaced = 1, Evicted = 2, TimedOut = 3, SlowReader = 4, KeyRevoked = 5, Kicked = 6,
    Outranked = 7, Shutdown = 8, ProtocolError = 9, NotUtf8 = 10, TooBig = 11, TryAgainLater = 12, RoomFull = 13,
    Banned = 14, NoPlace = 15, WrongMessage = 16, PipeAlone = 17, PipeLeft = 18, PipeStalled = 19, PipeBroken = 20,
    PipesOff = 21,
}

impl Ending {
    /// Close code and reason, for the close frame.
    pub fn close(&self) -> Option<(u16, &'static str)> {
        self.code.map(|code| (code, self.text))
    }
}

impl CloseReason {
    /// The limit that the connection has reached, if it was one.
    pub fn limit(self) -> Option<Limit> {
        match self {
            CloseReason::TooBig => Some(Limit::MaxMessageBytes),
            CloseReason::TryAgainLater => Some(Limit::UnfinishedTotalBytes),
            _ => None,
        }
    }

    /// True if the id is reserved for its owner for a while: the client may be there, behind a slow network,
    /// and come back.
    pub fn is_reclaimable(self) -> bool {
        matches!(self, CloseReason::Evicted | CloseReason::SlowReader)
    }
}

table! {
    /// The reason why a client gets no id. It is told in a frame of its protocol, and closed. The texts of
    /// `Incomplete`, `InvalidKey`, `LimitReached` and `IdTaken` are the reference's, and so are the close
    /// frames without a code.
    Refusal.ending: Ending(label, code, text, retry);
    /// The query lacks a key, an id or a token.
    Incomplete: "incomplete", None, "No id, token, or key supplied to websocket server", false;
    /// The id is not valid.
    InvalidId(InvalidName): "invalid_id", None, "Invalid id provided", false;
    /// The token is not valid as text.
    InvalidToken(InvalidName): "invalid_token", None, "Invalid token provided", false;
    /// The key is not valid as text.
    MalformedKey(InvalidName): "malformed_key", None, "Invalid key provided", false;
    /// The key does not exist, is disabled, or was removed.
    InvalidKey: "invalid_key", None, "Invalid key provided", false;
    /// The page's origin may not use the key.
    ForeignOrigin: "foreign_origin", None, "This origin may not use the key", false;
    /// The token does not prove that the id is the client's. The client is not told why: that is for the
    /// operator's log.
    TokenRefused: "token_refused", None, "Invalid token provided", false;
    /// The token was valid, and has expired. Only its owner has it, so the client is told.
    TokenExpired: "token_expired", None, "The token has expired", false;
    /// The operator has banned the address of the client for this key.
    Banned: "banned", CloseReason::Banned.ending().code, "This address is banned", false;
    /// A live connection with another token holds the id.
    IdTaken: "id_taken", None, "ID is taken", true;
    /// The client of a stream already has a WebSocket, where it gets OPEN or the refusal.
    Elsewhere: "elsewhere", None, "", false;
    /// The client left while it waited for the id.
    Gone: "gone", None, "", true;
    /// The key has reached its limit of clients.
    LimitReached: "limit_reached", None, "Server has reached its concurrent user limit", true;
    /// The nodes cannot agree on the owner of the id, because the store that they share cannot be reached.
    Unavailable: "unavailable", Some(1013), "Server is not available at the moment", true;
    /// A PeerJS client opened a WebSocket at a path that this server does not have. The text goes on with the
    /// right path.
    WrongPath: "wrong_path", None, "Wrong path", false;
    /// A PeerJS client opened a WebSocket at the root of a server whose dialects lack PeerJS.
    PeerJsOff: "peerjs_off", None, "This server does not speak PeerJS", false;
    /// The server has no pipes, or the key has none.
    PipesOff: "pipes_off", None, "Pipes are off", false;
    /// The id of the pipe or of its end is not 22 characters of base64url.
    InvalidPipe: "invalid_pipe", None, "Invalid pipe provided", false;
    /// Two other ends have the pipe.
    PipeTaken: "pipe_taken", None, "Two other ends have this pipe", false;
    /// A limit of pipes is reached.
    TooManyPipes: "too_many_pipes", None, "Too many pipes", true;
    /// The server stops.
    Closing: "closing", CloseReason::Shutdown.ending().code, "Server is stopping", true;
}

impl Refusal {
    /// The limit that the client has reached, if it was one.
    pub fn limit(self) -> Option<Limit> {
        (self == Refusal::LimitReached).then_some(Limit::ConcurrentLimit)
    }

    /// True if the client is told. The others have no text.
    pub fn is_told(self) -> bool {
        !matches!(self, Refusal::Elsewhere | Refusal::Gone)
    }

    /// The text for the client.
    pub fn text(self) -> Cow<'static, str> {
        let text = self.ending().text;
        match self {
            Refusal::InvalidId(why) | Refusal::InvalidToken(why) | Refusal::MalformedKey(why) => {
                format!("{text}: {why}").into()
            }
            _ => text.into(),
        }
    }
}

/// A row of the table for a request, which is refused in a frame. The connection stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestEnding {
    /// The type of the refusal, for the client, metrics and logs.
    pub label: &'static str,
    /// The text for the client.
    pub text: &'static str,
    /// True if the same request can succeed later.
    pub retry: bool,
    /// The limit that the client has reached, if it was one.
    pub limit: Option<Limit>,
}

const INVALID_REQUEST: &str = "A request is a string or a number of at most 64 bytes";

table! {
    /// The reason why a request about a room is refused.
    RoomRefusal.ending: RequestEnding(label, text, retry, limit);
    /// Rooms are off for the key.
    Off: "rooms_off", "Rooms are off for this key", false, None;
    /// The name of the room is missing or not valid.
    InvalidRoom(InvalidName): "invalid_room", "Invalid room provided", false, None;
    /// The name is nearly one of a room of one network, or would be taken for one.
    NotNear: "not_near", "Rooms of one network are ~near and, with a PIN, ~near:4821", false, None;
    /// The id of the request is not a short string or number.
    InvalidRequest: "invalid_request", INVALID_REQUEST, false, None;
    /// The data of the member are longer than the limit.
    DataTooLong: "data_too_long", "The data of a member have at most 1024 bytes", false, None;
    /// The rooms of the key are private, and the proof of the client does not list this one.
    Private: "private_room", "This room is private", false, None;
    /// Clients of one network do not find each other with this key.
    NearOff: "near_off", "Discovery is off for this key", false, None;
    /// The clients of one network find each other by a PIN.
    PinNeeded: "pin_needed", "This room needs a PIN, as in ~near:4821", false, None;
    /// A proxy hides the address of the client.
    NetworkUnknown: "network_unknown", "A proxy hides your network", false, None;
    /// The proof of the client lets it only listen.
    ListenOnly: "listen_only", "You may only listen in this room", false, None;
    /// The client is not in the room.
    NotMember: "not_member", "You are not in this room", false, None;
    /// Nobody in the room has the id.
    NoSuchMember: "no_such_member", "Nobody in this room has this id", true, None;
    /// The client is in as many rooms as it may.
    TooManyRooms: "too_many_rooms", "You are in too many rooms", false, Some(Limit::RoomsPerClient);
    /// The clients of the key are in as many rooms as they may.
    KeyTooManyRooms: "key_too_many_rooms", "The clients of this key are in too many rooms", true,
        Some(Limit::KeyRooms);
    /// The ids to watch are missing or not valid.
    InvalidIds: "invalid_ids", "The ids to watch are an array of valid ids", false, None;
    /// The client watches as many ids as it may.
    TooManyWatched: "too_many_watched", "You watch too many ids", false, Some(Limit::WatchedIds);
    /// The clients of the key watch as many ids as they may.
    KeyTooManyWatched: "key_too_many_watched", "Too many ids are watched with this key", true,
        Some(Limit::KeyWatchedIds);
    /// The room has as many members as it may.
    Full: "room_full", "The room is full", true, Some(Limit::RoomMembers);
    /// The list of the room's members has as many bytes as it may.
    ListFull: "room_list_full", "The list of the members of this room is too long", true,
        Some(Limit::RoomListBytes);
    /// The name of a value of the state is missing, or too long.
    InvalidStateName: "invalid_name", "A name of the state has 1 to 64 bytes", false, None;
    /// The state of the room has as many names or bytes as it may.
    StateFull: "state_full", "The state of a room has at most 256 names and 65536 bytes", false,
        Some(Limit::RoomState);
    /// The states of the rooms of the key have as many bytes as they may.
    KeyStateFull: "key_state_full", "The states of the rooms of this key are too long", true,
        Some(Limit::KeyState);
    /// Another member has written the name since.
    StateChanged: "state_changed", "This name has another value by now", true, None;
    /// Only the host writes the state of this room.
    NotHost: "not_host", "Only the host of this room changes its state", false, None;
    /// Too much waits for the recipient of a message.
    MemberBusy: "member_busy", "Too much waits for this member", true, None;
    /// Too much waits for another node with members of the room.
    ClusterBusy: "cluster_busy", "Too much waits for members on other servers", true, Some(Limit::LinkBytes);
    /// The client causes too many frames for others.
    TooFast: "too_fast", "Too many messages to this room", true, Some(Limit::RoomDeliveries);
    /// All clients of the key together cause too many frames for others.
    KeyTooFast: "key_too_fast", "Too many messages to the rooms of this key", true,
        Some(Limit::RoomKeyDeliveries);
}

impl RoomRefusal {
    /// The text for the client.
    pub fn text(self) -> Cow<'static, str> {
        let text = self.ending().text;
        match self {
            RoomRefusal::InvalidRoom(why) => format!("{text}: {why}").into(),
            _ => text.into(),
        }
    }
}

table! {
    /// The reason why a message of a client to the app gets no answer of the app.
    AppRefusal.ending: RequestEnding(label, text, retry, limit);
    /// The app takes no messages of clients of this key.
    Off: "messages_off", "The app takes no messages of clients", false, None;
    /// The id of the request is not a short string or number.
    InvalidRequest: "invalid_request", INVALID_REQUEST, false, None;
    /// The payload is longer than the limit.
    TooLong: "message_too_long", "A message to the app has at most 65536 bytes", false, None;
    /// Too many messages of the client, of its key, or of all wait for the app.
    TooMany: "too_many_messages", "Too many messages wait for the app", true, Some(Limit::AppMessages);
    /// The app cannot be reached, fails, or takes too long. It may have the message.
    NoAnswer: "no_answer", "The app did not answer", true, None;
}

/// A row of the table for a handshake, which is refused over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeEnding {
    /// The name in metrics and logs.
    pub label: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer. `None` is the 404, whose text depends on the request.
    pub text: Option<&'static str>,
    /// True if the same handshake can succeed later.
    pub retry: bool,
}

table! {
    /// The reason why a handshake opens no WebSocket.
    HandshakeRefusal.ending: HandshakeEnding(label, status, text, retry);
    /// No WebSocket is at this address.
    NotFound: "not_found", 404, None, false;
    /// Only GET opens a WebSocket.
    BadMethod: "bad_method", 405, Some("a WebSocket is opened with GET\n"), false;
    /// HTTP/1.0, or a header of the upgrade is missing.
    NoUpgrade: "no_upgrade", 400,
        Some("a WebSocket needs HTTP/1.1 and the headers 'Upgrade: websocket' and 'Connection: Upgrade'\n"), false;
    /// The body is chunked. Frames would come in chunks, which no WebSocket client sends.
    BadBody: "bad_body", 400, Some("a WebSocket is opened without Transfer-Encoding\n"), false;
    /// The version of the WebSocket protocol is neither 13 nor 8.
    BadVersion: "bad_version", 400, Some("Sec-WebSocket-Version must be 13 or 8\n"), false;
    /// The key of the handshake is missing or malformed.
    BadKey: "bad_websocket_key", 400, Some("Sec-WebSocket-Key must be 16 bytes in base64\n"), false;
    /// The operator has banned the address of the client.
    Banned: "banned", 403, Some("This address is banned\n"), false;
    /// The address of the client has too many connections, or opens too many.
    TooManyConnections: "too_many_connections", 429, Some("Too many connections from this address\n"), true;
}

/// True if a close frame of a client may have this code: those of RFC 6455, section 7.4, and of IANA's
/// registry, and those of applications.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
