//! The messages of rooms, beside those of PeerJS on the same socket.
//!
//! A release of PeerJS that does not know these types passes them on: `peer.socket.send` sends whatever has a
//! `type`, and `peer.socket.on("message", …)` hears every frame. Data, payloads and the ids of requests stay
//! their sender's own JSON text.

use std::borrow::Cow;

use crate::json::{self, raw, text};
use peerbroker_core::address::Network;
use peerbroker_core::vocabulary::{Frame, PeerId, RoomName, RoomRefusal, labels};
use peerbroker_rooms::{Change, MAX_WATCHED, RoomFrames};

/// Most bytes of the id of a request, as JSON text.
const MAX_REQUEST_BYTES: usize = 64;

const _: () = assert!(MAX_WATCHED < json::MAX_ELEMENTS);

labels! {
    /// A request about a room. The labels are its types on the wire.
    pub enum Kind {
        /// Join, or join again with new data.
        Join = "ROOM-JOIN",
        /// Part.
        Leave = "ROOM-LEAVE",
        /// Change the own data.
        Update = "ROOM-UPDATE",
        /// Send a message to one member, or to all others.
        Send = "ROOM-SEND",
        /// Hear when clients with some ids come and go.
        Watch = "PRESENCE-WATCH",
        /// Hear it no longer.
        Unwatch = "PRESENCE-UNWATCH",
    }
}

/// Members that only requests about rooms have, as JSON text.
pub(super) struct Members<'a> {
    pub(super) room: Option<&'a str>,
    pub(super) data: Option<&'a str>,
    pub(super) ids: Vec<&'a str>,
    pub(super) id: Option<&'a str>,
}

impl<'a> Members<'a> {
    /// The request that has these members.
    pub(super) fn request(self, dst: Option<&'a str>, payload: Option<&'a str>) -> Request<'a> {
        let Members { room, data, ids, id } = self;
        // As for other messages, a falsy recipient is none.
        let dst = dst.and_then(json::string).filter(|dst| !dst.is_empty());
        Request { room: room.and_then(json::string), data, payload, ids, dst, id }
    }
}

/// The members of a request about a room, or of a message to the app's server. `None` if one is missing or
/// has the wrong type.
#[derive(Debug)]
pub struct Request<'a> {
    /// The name of the room.
    pub room: Option<Cow<'a, str>>,
    /// The data of the member, as JSON text.
    pub data: Option<&'a str>,
    /// The JSON text of the payload.
    pub payload: Option<&'a str>,
    /// The first ids to watch, as JSON text.
    ids: Vec<&'a str>,
    /// The id of the member that gets a message.
    pub dst: Option<Cow<'a, str>>,
    /// The id that the client has given the request, as JSON text. The answer repeats it.
    id: Option<&'a str>,
}

impl Kind {
    /// The kind of a `type` on the wire.
    pub(super) fn of(text: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.label() == text)
    }

    /// True if the request is about ids, and not about a room.
    fn is_about_ids(self) -> bool {
        matches!(self, Kind::Watch | Kind::Unwatch)
    }
}

impl<'a> Request<'a> {
    /// The ids to watch: one or more, and no more than `most`.
    pub fn ids(&self, most: usize) -> Result<Vec<PeerId>, RoomRefusal> {
        let mut ids = Vec::new();
        for &id in &self.ids {
            let id = json::string(id).ok_or(RoomRefusal::InvalidIds)?;
            if ids.len() == most {
                return Err(RoomRefusal::TooManyWatched);
            }
            ids.push(PeerId::parse(&id).map_err(|_| RoomRefusal::InvalidIds)?);
        }
        if ids.is_empty() { Err(RoomRefusal::InvalidIds) } else { Ok(ids) }
    }

    /// The id of the request, as JSON text, if it has one. `invalid` is the error of one that is no short
    /// string or number.
    pub fn id<E>(&self, invalid: E) -> Result<Option<&'a str>, E> {
        let is_short = |id: &str| id.len() <= MAX_REQUEST_BYTES;
        let is_scalar = |id: &str| id.starts_with(|first| matches!(first, '"' | '-' | '0'..='9'));
        match self.id {
            Some(id) if !is_short(id) || !is_scalar(id) => Err(invalid),
            id => Ok(id),
        }
    }
}

/// A message of a member of a room to another one, or to all others. The payload is JSON text.
pub fn message(room: &str, src: &str, dst: Option<&str>, payload: Option<&str>) -> Frame {
    frame("ROOM-MESSAGE", room, |out| {
        text(out, "src", src);
        if let Some(dst) = dst {
            text(out, "dst", dst);
        }
        raw(out, "payload", payload);
    })
}

/// The frames by which PeerJS clients hear of rooms.
#[derive(Debug)]
pub struct PeerJsRooms;

impl RoomFrames for PeerJsRooms {
    fn members(
        &self,
        room: &str,
        members: &mut dyn Iterator<Item = (&str, Option<&str>)>,
        request: Option<&str>,
    ) -> Option<Frame> {
        Some(frame("ROOM-MEMBERS", room, |out| {
            out.extend_from_slice(b",\"members\":[");
            for (number, (id, data)) in members.enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"id\":");
                json::write_string(out, id);
                raw(out, "data", data);
                out.push(b'}');
            }
            out.push(b']');
            raw(out, "request", request);
        }))
    }

    fn member_bytes(&self, id: &str, data: Option<&str>) -> usize {
        let is_plain = |byte: u8| byte != b'"' && byte != b'\\';
        let escapes = id.bytes().filter(|byte| !is_plain(*byte)).count();
        let of_data = data.map_or(0, |data| r#","data":"#.len() + data.len());
        r#"{"id":""},"#.len() + id.len() + escapes + of_data
    }

    fn changed(&self, change: Change, room: &str, id: &str, data: Option<&str>) -> Option<Frame> {
        let kind = match change {
            Change::Joined => "ROOM-JOINED",
            Change::Updated => "ROOM-UPDATED",
            Change::Left => "ROOM-LEFT",
        };
        Some(frame(kind, room, |out| {
            text(out, "id", id);
            raw(out, "data", data);
        }))
    }

    fn presence(&self, id: &str, is_online: bool) -> Option<Frame> {
        Some(json::frame("PRESENCE", CAPACITY, |out| {
            text(out, "id", id);
            raw(out, "online", Some(if is_online { "true" } else { "false" }));
        }))
    }

    fn done(&self, room: Option<&str>, request: &str) -> Option<Frame> {
        let request = |out: &mut Vec<u8>| raw(out, "request", Some(request));
        Some(match room {
            Some(room) => frame("ROOM-OK", room, request),
            None => json::frame("PRESENCE-OK", CAPACITY, request),
        })
    }

    fn known<'a>(&self, room: &'a str) -> &'a str {
        RoomName::known(room)
    }

    fn is_open_to(&self, room: &RoomName, network: Option<Network>) -> bool {
        room.is_open_to(network)
    }

    fn room_of(&self, message: &Frame) -> Option<String> {
        let text = std::str::from_utf8(message.payload()).ok()?;
        json::member_of(text, "room").and_then(json::string).map(Cow::into_owned)
    }
}

/// Refuses a request. A name or an id that cannot be valid is not repeated.
pub fn refused(kind: Kind, request: &Request<'_>, refusal: RoomRefusal) -> Frame {
    let room = request.room.as_deref().filter(|_| !matches!(refusal, RoomRefusal::InvalidRoom(_)));
    let answer = if kind.is_about_ids() { "PRESENCE-REFUSED" } else { "ROOM-REFUSED" };
    json::frame(answer, CAPACITY, |out| {
        if let Some(room) = room.filter(|_| !kind.is_about_ids()) {
            text(out, "room", room);
        }
        raw(out, "request", request.id(()).ok().flatten());
        json::reason(out, refusal.ending().label, &refusal.text());
    })
}

/// Room for a frame beyond which it grows.
const CAPACITY: usize = 128;

/// Writes a frame that begins with its type and the room, by the name that members know.
fn frame(kind: &str, room: &str, rest: impl FnOnce(&mut Vec<u8>)) -> Frame {
    json::frame(kind, CAPACITY, |out| {
        text(out, "room", RoomName::known(room));
        rest(out);
    })
}
