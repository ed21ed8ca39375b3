//! The PeerJS protocol, for clients of every version.
//!
//! A payload is never parsed into a tree: the recipient gets the sender's own JSON text.

mod advice;
pub mod app;
mod client;
mod near;
pub mod rooms;

use std::borrow::Cow;

use super::json;
use super::signal::SignalKind;
pub(super) use advice::ADVICE;
pub use advice::NO_ID;
pub use client::PeerJs;
use peerbroker_core::vocabulary::{Frame, MessageKind, labels};

/// A command of a client.
#[derive(Debug)]
pub enum PeerJsCommand<'a> {
    /// Forward a message to a peer.
    Forward(Envelope<'a>),
    /// A heartbeat, which only shows that the client is alive.
    Heartbeat,
    /// The client leaves all its peers.
    Leave,
    /// A request about a room.
    Room(rooms::Kind, rooms::Request<'a>),
    /// A message to the app's server.
    App(rooms::Request<'a>),
    /// Malformed messages are ignored, as the reference does.
    Ignored,
}

/// A message from one peer to another.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// The type of the message.
    pub kind: Kind,
    /// The id of the recipient. Never empty.
    pub dst: Cow<'a, str>,
    /// The JSON text of the `payload`, if there is one.
    pub payload: Option<&'a str>,
}

labels! {
    /// The types of forwarded messages.
    pub enum Kind {
        /// The offer of a connection.
        Offer = "OFFER",
        /// The answer to an offer.
        Answer = "ANSWER",
        /// An address for a connection.
        Candidate = "CANDIDATE",
        /// The end of all connections to a peer.
        Leave = "LEAVE",
    }
}

impl Kind {
    /// The type of a message of this kind, if PeerJS has it.
    pub fn of(kind: MessageKind) -> Option<Self> {
        Kind::ALL.into_iter().find(|known| MessageKind::from(*known) == kind)
    }

    /// The `type` on the wire.
    pub fn as_str(self) -> &'static str {
        self.label()
    }
}

impl From<Kind> for MessageKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Offer => MessageKind::Offer,
            Kind::Answer => MessageKind::Answer,
            Kind::Candidate => MessageKind::Candidate,
            Kind::Leave => MessageKind::Leave,
        }
    }
}

impl From<Kind> for SignalKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Offer => SignalKind::Offer,
            Kind::Answer => SignalKind::Answer,
            Kind::Candidate => SignalKind::Candidate,
            Kind::Leave => SignalKind::Other,
        }
    }
}

/// The heartbeat as all releases of PeerJS write it. A reader of texts looks for it first.
pub const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;

/// Decodes one text frame. Text that is not a JSON object is [`PeerJsCommand::Ignored`].
pub fn decode(text: &str) -> PeerJsCommand<'_> {
    let Some(Members { kind: Some(name), dst, payload, room }) = Members::read(text) else {
        return PeerJsCommand::Ignored;
    };
    let Some(name) = json::string(name) else { return PeerJsCommand::Ignored };
    let kind = match &*name {
        "HEARTBEAT" => return PeerJsCommand::Heartbeat,
        app::MESSAGE => return PeerJsCommand::App(room.request(dst, payload)),
        name => match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            Some(kind) => kind,
            // Other types, such as EXPIRE, are only for the server.
            None => {
                let Some(kind) = rooms::Kind::of(name) else { return PeerJsCommand::Ignored };
                return PeerJsCommand::Room(kind, room.request(dst, payload));
            }
        },
    };
    match dst.and_then(json::string) {
        Some(dst) if !dst.is_empty() => PeerJsCommand::Forward(Envelope { kind, dst, payload }),
        _ if kind == Kind::Leave && is_falsy(dst) => PeerJsCommand::Leave,
        _ => PeerJsCommand::Ignored,
    }
}

/// The members that the server reads, as JSON text.
struct Members<'a> {
    kind: Option<&'a str>,
    dst: Option<&'a str>,
    payload: Option<&'a str>,
    room: rooms::Members<'a>,
}

impl<'a> Members<'a> {
    /// `None` if the text is not a JSON object, or has too many members. The last of duplicate members
    /// counts, as in JavaScript.
    fn read(text: &'a str) -> Option<Self> {
        const NAMES: [&str; 13] = [
            "type", "dst", "payload", "room", "data", "request", "seat", "host", "writers", "name", "value",
            "version", "ids",
        ];
        let mut values = [None; NAMES.len() - 1];
        let mut ids = Vec::new();
        let is_whole = json::read(text, |reader| {
            reader.object(json::MAX_MEMBERS, "dst".len(), |reader, name| {
                let Some(index) = name.index_in(&NAMES) else { return Some(()) };
                match values.get_mut(index) {
                    Some(value) => *value = Some(reader.value()?),
                    None => ids = reader.list()?,
                }
                Some(())
            })
        })?;
        let [kind, dst, payload, room, data, id, seat, host, writers, name, value, version] = values;
        let seat = rooms::SeatMembers { seat, host, writers };
        let state = rooms::StateMembers { name, value, version };
        let room = rooms::Members { room, data, ids, id, seat, state };
        is_whole.then_some(Members { kind, dst, payload, room })
    }
}

/// True if clients of PeerJS 0.3.x without a WebSocket post messages to paths with this last word: the type
/// in small letters.
pub fn is_posted_to(word: &str) -> bool {
    let all = Kind::LABELS.into_iter().chain(rooms::Kind::LABELS).chain([app::MESSAGE]);
    all.into_iter().any(|kind| kind.to_ascii_lowercase() == word)
}

/// True if a member is missing or falsy in JavaScript.
fn is_falsy(member: Option<&str>) -> bool {
    member.is_none_or(|value| matches!(value, "null" | "false" | "\"\"" | "0"))
}

/// The id of a connection in the payload of its offer or answer, as JSON text.
pub fn connection(payload: &str) -> Option<&str> {
    json::member_of(payload, "connectionId")
}

/// Writes a message for its recipient.
pub fn forward(kind: Kind, src: &str, dst: &str, payload: Option<&str>) -> Frame {
    addressed(kind.as_str(), src, dst, payload)
}

/// The payload of a candidate for a connection, whose id is JSON text. Clients read nothing else in it.
pub fn candidate(candidate: &str, connection: &str) -> String {
    format!(r#"{{"candidate":{{"candidate":"{candidate}","sdpMLineIndex":0}},"connectionId":{connection}}}"#)
}

/// Tells a sender that its messages to an absent peer have expired.
pub fn expire(absent: &str, sender: &str) -> Frame {
    addressed("EXPIRE", absent, sender, None)
}

// Every message comes here: one allocation, because the names and the type have fewer than 64 bytes, and few
// pieces.
fn addressed(kind: &str, src: &str, dst: &str, payload: Option<&str>) -> Frame {
    Frame::text(64 + src.len() + dst.len() + payload.map_or(0, str::len), |out| {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"src\":");
        json::write_string(out, src);
        out.extend_from_slice(b",\"dst\":");
        json::write_string(out, dst);
        if let Some(payload) = payload {
            out.extend_from_slice(b",\"payload\":");
            out.extend_from_slice(payload.as_bytes());
        }
        out.push(b'}');
    })
}

/// The first frame that an admitted client gets.
pub fn open() -> Frame {
    Frame::of_text(r#"{"type":"OPEN"}"#)
}

/// Tells a client that it waits for its id. PeerJS knows no such type, and logs the message as a warning.
pub fn waiting() -> Frame {
    notice("WAITING", "The ID may still be in use: waiting for its last connection")
}

/// Refuses a client whose id belongs to another client.
pub fn id_taken(message: &str) -> Frame {
    notice("ID-TAKEN", message)
}

/// Refuses a client for any other reason. An admitted client never gets this.
pub fn error(message: &str) -> Frame {
    notice("ERROR", message)
}

fn notice(kind: &str, message: &str) -> Frame {
    let message = serde_json::Value::from(message);
    Frame::of_text(&format!(r#"{{"type":"{kind}","payload":{{"msg":{message}}}}}"#))
}
