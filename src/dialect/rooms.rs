//! The messages of rooms, beside those of PeerJS on the same socket.
//!
//! A release of PeerJS that does not know these types passes them on: `peer.socket.send` sends whatever has a `type`, and
//! `peer.socket.on("message", …)` hears every frame. Data, payloads and the ids of requests stay their sender's own JSON text.

use std::borrow::Cow;

use super::json;
use crate::wire::{Frame, PeerId, RoomRefusal};

/// Most bytes of the id of a request, as JSON text.
const MAX_REQUEST_BYTES: usize = 64;

/// A request about a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Join, or join again with new data.
    Join,
    /// Part.
    Leave,
    /// Change the own data.
    Update,
    /// Send a message to one member, or to all others.
    Send,
    /// Hear when clients with some ids come and go.
    Watch,
    /// Hear it no longer.
    Unwatch,
}

/// The members of a request about a room. `None` if one is missing or has the wrong type.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The name of the room.
    pub room: Option<Cow<'a, str>>,
    /// The data of the member, as JSON text.
    pub data: Option<&'a str>,
    /// The JSON text of the payload.
    pub payload: Option<&'a str>,
    /// The ids to watch, as JSON text.
    ids: Option<&'a str>,
    /// The id of the member that gets a message.
    pub dst: Option<Cow<'a, str>>,
    /// The id that the client has given the request, as JSON text. The answer repeats it.
    id: Option<&'a str>,
}

impl Kind {
    /// The kind of a `type` on the wire.
    pub(super) fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "ROOM-JOIN" => Kind::Join,
            "ROOM-LEAVE" => Kind::Leave,
            "ROOM-UPDATE" => Kind::Update,
            "ROOM-SEND" => Kind::Send,
            "PRESENCE-WATCH" => Kind::Watch,
            "PRESENCE-UNWATCH" => Kind::Unwatch,
            _ => return None,
        })
    }

    /// True if the request is about ids, and not about a room.
    fn is_about_ids(self) -> bool {
        matches!(self, Kind::Watch | Kind::Unwatch)
    }
}

impl<'a> Request<'a> {
    /// Reads a text that [`decode`](super::peerjs::decode) has found to be a request about a room.
    pub fn parse(text: &'a str) -> Self {
        let mut request = Request::default();
        json::members(text, |name, value| match json::string(name).as_deref() {
            Some("room") => request.room = json::string(value),
            Some("data") => request.data = Some(value),
            Some("payload") => request.payload = Some(value),
            Some("ids") => request.ids = Some(value),
            // As for other messages, a falsy recipient is none.
            Some("dst") => request.dst = json::string(value).filter(|dst| !dst.is_empty()),
            Some("request") => request.id = Some(value),
            _ => {}
        });
        request
    }

    /// The ids to watch: one or more.
    pub fn ids(&self) -> Result<Vec<PeerId>, RoomRefusal> {
        let ids: Vec<String> = serde_json::from_str(self.ids.unwrap_or_default()).unwrap_or_default();
        let ids: Result<Vec<PeerId>, _> = ids.iter().map(|id| PeerId::parse(id)).collect();
        ids.ok().filter(|ids| !ids.is_empty()).ok_or(RoomRefusal::InvalidIds)
    }

    /// The id of the request, as JSON text, if it has one.
    pub fn id(&self) -> Result<Option<&'a str>, RoomRefusal> {
        match self.id {
            Some(id) if !is_request_id(id) => Err(RoomRefusal::InvalidRequest),
            id => Ok(id),
        }
    }
}

/// True for the JSON text of a short string or number.
pub(super) fn is_request_id(json: &str) -> bool {
    json.len() <= MAX_REQUEST_BYTES && json.starts_with(|first| matches!(first, '"' | '-' | '0'..='9'))
}

/// The list of all members, with the data of each.
pub fn members<'a>(
    room: &str,
    members: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    request: Option<&str>,
) -> Frame {
    frame("ROOM-MEMBERS", room, |out| {
        out.extend_from_slice(b",\"members\":[");
        for (number, (id, data)) in members.enumerate() {
            if number > 0 {
                out.push(b',');
            }
            listed(out, id, data);
        }
        out.push(b']');
        raw(out, "request", request);
    })
}

fn listed(out: &mut Vec<u8>, id: &str, data: Option<&str>) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, id);
    raw(out, "data", data);
    out.push(b'}');
}

/// The bytes of one member in a list.
pub fn member_bytes(id: &str, data: Option<&str>) -> usize {
    let is_plain = |byte: u8| byte != b'"' && byte != b'\\';
    let escapes = id.bytes().filter(|byte| !is_plain(*byte)).count();
    let of_data = data.map_or(0, |data| r#","data":"#.len() + data.len());
    r#"{"id":""},"#.len() + id.len() + escapes + of_data
}

/// A member has joined.
pub fn joined(room: &str, id: &str, data: Option<&str>) -> Frame {
    of_member("ROOM-JOINED", room, id, data)
}

/// A member has other data now.
pub fn updated(room: &str, id: &str, data: Option<&str>) -> Frame {
    of_member("ROOM-UPDATED", room, id, data)
}

/// A member has gone.
pub fn left(room: &str, id: &str) -> Frame {
    of_member("ROOM-LEFT", room, id, None)
}

fn of_member(kind: &str, room: &str, id: &str, data: Option<&str>) -> Frame {
    frame(kind, room, |out| {
        text(out, "id", id);
        raw(out, "data", data);
    })
}

/// A message of a member. `dst` is the recipient, unless it is for all.
pub fn message(room: &str, src: &str, dst: Option<&str>, payload: Option<&str>) -> Frame {
    frame("ROOM-MESSAGE", room, |out| {
        text(out, "src", src);
        if let Some(dst) = dst {
            text(out, "dst", dst);
        }
        raw(out, "payload", payload);
    })
}

/// A client with a watched id is online, or not.
pub fn presence(id: &str, is_online: bool) -> Frame {
    typed("PRESENCE", |out| {
        text(out, "id", id);
        raw(out, "online", Some(if is_online { "true" } else { "false" }));
    })
}

/// The answer to a request that has no other answer.
pub fn done(room: &str, request: &str) -> Frame {
    frame("ROOM-OK", room, |out| raw(out, "request", Some(request)))
}

/// The answer to a request about ids.
pub fn done_ids(request: &str) -> Frame {
    typed("PRESENCE-OK", |out| raw(out, "request", Some(request)))
}

/// Refuses a request. A name or an id that cannot be valid is not repeated.
pub fn refused(kind: Kind, request: &Request<'_>, refusal: RoomRefusal) -> Frame {
    let room = request.room.as_deref().filter(|_| !matches!(refusal, RoomRefusal::InvalidRoom(_)));
    typed(if kind.is_about_ids() { "PRESENCE-REFUSED" } else { "ROOM-REFUSED" }, |out| {
        if let Some(room) = room.filter(|_| !kind.is_about_ids()) {
            text(out, "room", room);
        }
        raw(out, "request", request.id().ok().flatten());
        out.extend_from_slice(b",\"payload\":{\"type\":");
        json::write_string(out, refusal.ending().label);
        text(out, "msg", &refusal.text());
        out.push(b'}');
    })
}

/// Writes a frame that begins with its type and the room.
fn frame(kind: &str, room: &str, rest: impl FnOnce(&mut Vec<u8>)) -> Frame {
    typed(kind, |out| {
        text(out, "room", room);
        rest(out);
    })
}

/// Writes a frame that begins with its type.
fn typed(kind: &str, rest: impl FnOnce(&mut Vec<u8>)) -> Frame {
    Frame::text(128, |out| {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        rest(out);
        out.push(b'}');
    })
}

/// Appends a member whose value is a string.
fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    member(out, name);
    json::write_string(out, value);
}

/// Appends a member whose value is JSON text, if there is one.
fn raw(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        member(out, name);
        out.extend_from_slice(value.as_bytes());
    }
}

fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
