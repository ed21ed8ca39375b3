//! The messages of rooms, beside those of PeerJS on the same socket.
//!
//! A release of PeerJS that does not know these types passes them on: `peer.socket.send` sends whatever has a
//! `type`, and `peer.socket.on("message", …)` hears every frame. Data, payloads and the ids of requests stay
//! their sender's own JSON text.

use std::borrow::Cow;

use crate::json::{self, raw, text};
use peerbroker_core::address::Network;
use peerbroker_core::vocabulary::{Frame, PeerId, RoomName, RoomRefusal, labels};
use peerbroker_rooms::{Change, MAX_WATCHED, MemberView, RoomFrames, Seat, SeatWish, StateView, StateWrite};

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
        /// Write a name of the state.
        Set = "ROOM-SET",
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
    pub(super) seat: SeatMembers<'a>,
    pub(super) state: StateMembers<'a>,
}

/// Members of a request to join that asks for a seat, as JSON text.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatMembers<'a> {
    /// `true`, or the number of the seat that the client had.
    pub(super) seat: Option<&'a str>,
    /// `false` if it does not want to be host.
    pub(super) host: Option<&'a str>,
    /// `"host"` if only the host may write the state.
    pub(super) writers: Option<&'a str>,
}

/// Members of a request to write the state, as JSON text.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateMembers<'a> {
    pub(super) name: Option<&'a str>,
    /// `None` deletes the name.
    pub(super) value: Option<&'a str>,
    /// The version that the client has seen.
    pub(super) version: Option<&'a str>,
}

impl<'a> Members<'a> {
    /// The request that has these members.
    pub(super) fn request(self, dst: Option<&'a str>, payload: Option<&'a str>) -> Request<'a> {
        let Members { room, data, ids, id, seat, state } = self;
        // As for other messages, a falsy recipient is none.
        let dst = dst.and_then(json::string).filter(|dst| !dst.is_empty());
        Request { room: room.and_then(json::string), data, payload, ids, dst, id, seat, state }
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
    seat: SeatMembers<'a>,
    state: StateMembers<'a>,
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

    /// The seat that a member asks for. Another value than `true` or a number asks for none.
    pub fn seat(&self) -> Option<SeatWish> {
        let SeatMembers { seat, host, writers } = self.seat;
        let seat = seat?;
        let number = seat.parse().ok();
        let wish = SeatWish {
            number,
            never_host: host == Some("false"),
            only_host_writes: writers == Some("\"host\""),
        };
        (seat == "true" || number.is_some()).then_some(wish)
    }

    /// The name of the state that the member writes. A version that is no number was never seen.
    pub fn with_name<R>(&self, act: impl FnOnce(StateWrite<'_>) -> R) -> R {
        let StateMembers { name, value, version } = self.state;
        let name = name.and_then(json::string).unwrap_or_default();
        let seen = version.map(|version| version.parse().unwrap_or(u64::MAX));
        act(StateWrite { name: &name, value, seen })
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
        members: &mut dyn Iterator<Item = MemberView<'_>>,
        state: &mut dyn Iterator<Item = StateView<'_>>,
        request: Option<&str>,
    ) -> Option<Frame> {
        let mut has_state = false;
        Some(frame("ROOM-MEMBERS", room, |out| {
            out.extend_from_slice(b",\"members\":[");
            for (number, member) in members.enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"id\":");
                json::write_string(out, member.id);
                facts(out, member);
                out.push(b'}');
            }
            out.push(b']');
            for (number, entry) in state.enumerate() {
                out.extend_from_slice(if number == 0 { b",\"state\":[{" } else { b",{" });
                // The name is the first member, with no comma in front.
                out.extend_from_slice(b"\"name\":");
                json::write_string(out, entry.name);
                value(out, entry);
                out.push(b'}');
                has_state = true;
            }
            if has_state {
                out.push(b']');
            }
            raw(out, "request", request);
        }))
    }

    fn member_bytes(&self, MemberView { id, data, seat }: MemberView<'_>) -> usize {
        let is_plain = |byte: u8| byte != b'"' && byte != b'\\';
        let escapes = id.bytes().filter(|byte| !is_plain(*byte)).count();
        let of_data = data.map_or(0, |data| r#","data":"#.len() + data.len());
        let of_seat = seat.map_or(0, |_| SEAT_BYTES);
        r#"{"id":""},"#.len() + id.len() + escapes + of_data + of_seat
    }

    fn changed(&self, change: Change, room: &str, member: MemberView<'_>) -> Option<Frame> {
        let kind = match change {
            Change::Joined => "ROOM-JOINED",
            Change::Updated => "ROOM-UPDATED",
            Change::Left => "ROOM-LEFT",
        };
        Some(frame(kind, room, |out| {
            text(out, "id", member.id);
            facts(out, member);
        }))
    }

    fn state(&self, room: &str, entry: StateView<'_>) -> Option<Frame> {
        Some(frame("ROOM-STATE", room, |out| {
            text(out, "name", entry.name);
            value(out, entry);
        }))
    }

    fn refused(&self, room: &str, request: &str, refusal: RoomRefusal) -> Option<Frame> {
        Some(refusal_of(Some(room), Some(request), refusal))
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

/// Most bytes of a seat in a list.
const SEAT_BYTES: usize = r#","seat":65535,"since":1764547200000,"host":false"#.len();

/// Writes what the others see of a member beside its id.
fn facts(out: &mut Vec<u8>, MemberView { data, seat, .. }: MemberView<'_>) {
    raw(out, "data", data);
    if let Some(Seat { since, number, never_host }) = seat {
        raw(out, "seat", Some(&number.to_string()));
        raw(out, "since", Some(&since.to_string()));
        raw(out, "host", never_host.then_some("false"));
    }
}

/// Writes the value of a name of the state.
fn value(out: &mut Vec<u8>, StateView { value, version, by, .. }: StateView<'_>) {
    raw(out, "value", value);
    raw(out, "version", Some(&version.to_string()));
    text(out, "id", by);
}

/// Refuses a request. A name or an id that cannot be valid is not repeated.
pub fn refused(kind: Kind, request: &Request<'_>, refusal: RoomRefusal) -> Frame {
    let room = request.room.as_deref().filter(|_| !matches!(refusal, RoomRefusal::InvalidRoom(_)));
    let id = request.id(()).ok().flatten();
    if kind.is_about_ids() {
        return json::frame("PRESENCE-REFUSED", CAPACITY, |out| {
            raw(out, "request", id);
            json::reason(out, refusal.ending().label, &refusal.text());
        });
    }
    refusal_of(room, id, refusal)
}

fn refusal_of(room: Option<&str>, request: Option<&str>, refusal: RoomRefusal) -> Frame {
    json::frame("ROOM-REFUSED", CAPACITY, |out| {
        if let Some(room) = room {
            text(out, "room", room);
        }
        raw(out, "request", request);
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
