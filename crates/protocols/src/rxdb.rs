//! The protocol of the signaling server of RxDB's `replication-webrtc`: members of a room signal each other.
//!
//! The server gives each client an id first. Whenever a room changes, all of its members hear all of their
//! ids. See RxDB 17.6, `src/plugins/replication-webrtc/signaling-server.ts` and
//! `connection-handler-simple-peer.ts`.

mod advice;
mod client;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::json::{Object, short_string, write_string};
use super::signal::SignalKind;
pub(super) use advice::ADVICE;
pub use client::RxDb;
use peerbroker_core::vocabulary::Frame;
use peerbroker_rooms::{MemberView, RoomFrames, StateView};

/// UTF-16 units of a room's name, as RxDB's server counts them. Others are invalid.
const ROOM_UNITS: RangeInclusive<usize> = 6..=99;

/// A command of a client.
#[derive(Debug)]
pub enum RxDbCommand<'a> {
    /// Join a room.
    Join(Cow<'a, str>),
    /// Send this frame to another client.
    Signal(Signal<'a>),
    /// The client is there.
    Ping,
}

/// A message from one client to another.
#[derive(Debug)]
pub struct Signal<'a> {
    /// The id that the sender gives itself.
    pub from: Cow<'a, str>,
    /// The id of the recipient.
    pub to: Cow<'a, str>,
    /// Its kind.
    pub kind: SignalKind,
}

/// Decodes one text frame; `None` for one that the protocol does not have.
pub fn decode(text: &str) -> Option<RxDbCommand<'_>> {
    let frame = Object::parse_with(text, &["data"])?;
    Some(match &*frame.string("type")? {
        "join" => {
            let room = frame.get("room").and_then(|room| short_string(room, *ROOM_UNITS.end()))?;
            RxDbCommand::Join(Some(room).filter(|room| ROOM_UNITS.contains(&room.encode_utf16().count()))?)
        }
        "signal" => RxDbCommand::Signal(Signal {
            from: frame.string("senderPeerId")?,
            to: frame.string("receiverPeerId")?,
            kind: SignalKind::of(frame.object("data").and_then(|data| data.get("type"))),
        }),
        "ping" => RxDbCommand::Ping,
        _ => return None,
    })
}

/// Tells a client its id, before all else.
pub fn init(id: &str) -> Frame {
    Frame::text(id.len() + 40, |out| {
        out.extend_from_slice(br#"{"type":"init","yourPeerId":"#);
        write_string(out, id);
        out.push(b'}');
    })
}

/// The frames that members of a room hear: only lists. Signals go from client to client.
#[derive(Debug)]
pub struct RxDbRooms;

impl RoomFrames for RxDbRooms {
    fn members(
        &self,
        _room: &str,
        members: &mut dyn Iterator<Item = MemberView<'_>>,
        _state: &mut dyn Iterator<Item = StateView<'_>>,
        _request: Option<&str>,
    ) -> Option<Frame> {
        Some(Frame::text(256, |out| {
            out.extend_from_slice(br#"{"type":"joined","otherPeerIds":["#);
            for (number, MemberView { id, .. }) in members.enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                write_string(out, id);
            }
            out.extend_from_slice(b"]}");
        }))
    }

    fn sends_all_members(&self) -> bool {
        true
    }

    fn member_bytes(&self, member: MemberView<'_>) -> usize {
        member.id.len() + 3
    }

    fn room_of(&self, _message: &Frame) -> Option<String> {
        None
    }
}
