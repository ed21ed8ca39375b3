//! The protocol of Matchbox: the peers of a room hear of each other, and signal each other.
//!
//! A client hears its id first. Of two peers only one hears of the other, and makes an offer; two offers at
//! once would fail. See matchbox_protocol 0.15.0, `src/lib.rs`, and matchbox_server 0.15.0,
//! `src/topology.rs`.

mod advice;
mod client;
mod groups;

use std::borrow::Cow;

use super::json::{MAX_MEMBERS, Reader, read, string, write_string};
use super::signal::SignalKind;
pub(super) use advice::ADVICE;
pub use client::Matchbox;
pub use groups::Groups;
use peerbroker_core::vocabulary::Frame;
use peerbroker_rooms::{Audience, Change, MemberView, RoomFrames};

/// A message from one client to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal<'a> {
    /// The id of its recipient, in any form of a UUID.
    pub receiver: Cow<'a, str>,
    /// Its kind, as far as the server knows.
    pub kind: SignalKind,
    /// Its content: the JSON text of the sender.
    pub data: &'a str,
}

/// The only message that needs nothing, as serde writes it.
pub const KEEP_ALIVE: &str = r#""KeepAlive""#;

/// Decodes a text frame. `None` for a malformed one, and for [`KEEP_ALIVE`].
pub fn decode(text: &str) -> Option<Signal<'_>> {
    let mut signal = None;
    let is_only = read(text, |reader| {
        reader.object(1, 0, |reader, name| {
            signal = if name.is("Signal") { Some(read_signal(reader)?) } else { None };
            Some(())
        })
    })?;
    signal.filter(|_| is_only)
}

fn read_signal<'a>(reader: &mut Reader<'a>) -> Option<Signal<'a>> {
    let mut receiver = None;
    let mut data = None;
    let is_whole = reader.object(MAX_MEMBERS, "data".len(), |reader, name| {
        match name.index_in(&["receiver", "data"]) {
            Some(0) => receiver = string(reader.value()?),
            Some(_) => data = Some(read_data(reader)?),
            None => {}
        }
        Some(())
    })?;
    let (data, kind) = data?;
    let receiver = receiver?;
    is_whole.then_some(Signal { receiver, kind, data })
}

/// Reads a value and the name of its only member, if it has one. serde writes an enum's variants so.
fn read_data<'a>(reader: &mut Reader<'a>) -> Option<(&'a str, SignalKind)> {
    if reader.peek()? != b'{' {
        return Some((reader.value()?, SignalKind::Other));
    }
    let start = reader.at();
    let mut kind = SignalKind::Other;
    let is_only = reader.object(1, 0, |_, name| {
        kind = match name.index_in(&["Offer", "Answer", "IceCandidate"]) {
            Some(0) => SignalKind::Offer,
            Some(1) => SignalKind::Answer,
            Some(_) => SignalKind::Candidate,
            None => SignalKind::Other,
        };
        Some(())
    })?;
    Some((reader.text_from(start)?, if is_only { kind } else { SignalKind::Other }))
}

/// Tells a client its id.
pub fn id_assigned(id: &str) -> Frame {
    event("IdAssigned", id)
}

/// The message of a client, for its recipient.
pub fn signal(sender: &str, data: &str) -> Frame {
    Frame::text(sender.len() + data.len() + 40, |out| {
        out.extend_from_slice(b"{\"Signal\":{\"sender\":");
        write_string(out, sender);
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
        out.extend_from_slice(b"}}");
    })
}

/// Tells a client an error. Matchbox has no event for it: its client logs the text, and goes on.
pub fn error(message: &str) -> Frame {
    event("Error", message)
}

fn event(name: &str, value: &str) -> Frame {
    Frame::text(name.len() + value.len() + 8, |out| {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_string(out, value);
        out.push(b'}');
    })
}

/// The topology of rooms in which the first peer is the host.
const CLIENT_SERVER: &str = "client_server";

/// The name of the room of those that name none. No client can name it.
const UNNAMED: &str = "/";

/// The end of the name of a room whose peers have hosts, as matchbox_signaling 0.15.0 has them
/// (`src/topologies/client_server.rs`). No client can name it. Each host has a group of its own, with its id.
pub const HOSTED: &str = "/host";

/// The host of a group; `None` for a room whose peers are alike.
pub fn host_of(group: &str) -> Option<&str> {
    let (kind, host) = group.rsplit_once('/')?;
    let (room, _size) = kind.rsplit_once('/')?;
    room.ends_with(HOSTED).then_some(host)
}

/// The frames that the peers of a room hear.
#[derive(Debug)]
pub struct MatchboxRooms;

impl RoomFrames for MatchboxRooms {
    fn max_rooms(&self) -> usize {
        1
    }

    fn audience<'a>(&self, room: &'a str) -> Audience<'a> {
        host_of(room).map_or(Audience::OneOfTwo, Audience::Host)
    }

    fn changed(&self, change: Change, _room: &str, member: MemberView<'_>) -> Option<Frame> {
        match change {
            Change::Joined => Some(event("NewPeer", member.id)),
            Change::Left => Some(event("PeerLeft", member.id)),
            // The protocol has no data of members.
            Change::Updated => None,
        }
    }

    fn room_of(&self, _message: &Frame) -> Option<String> {
        None
    }
}
