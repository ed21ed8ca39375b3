//! What party games say: the computer shows a room code, phones join, and the computer answers the
//! offer of each.
//!
//! The client's frames have an `action`, the server's a `type`. Offers and answers go from frame to
//! frame as their sender's own JSON text.

use std::borrow::Cow;

use super::json::{self, Object};
use crate::wire::Frame;

/// Most characters of a username; the rest is cut off.
const MAX_USERNAME: usize = 20;

/// What a client wants.
#[derive(Debug)]
pub enum Command<'a> {
    /// Open a room, with this client as its host.
    Create,
    /// Join a room.
    Join {
        /// Its code; empty if there was none.
        room: Cow<'a, str>,
        /// Under what name.
        username: Option<String>,
        /// What the host gets.
        offer: Option<Object<'a>>,
    },
    /// The host answers a player's offer.
    Answer {
        /// The player's name in the room.
        username: Option<Cow<'a, str>>,
        /// What the player gets: a JSON object, as it was written.
        response: Option<&'a str>,
    },
    /// The host lets nobody else in.
    Start,
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Problem {
    WrongRoom,
    NoPlayer,
    RoomFull,
    TooManyRooms,
    NotTheHost,
    NoUsername,
    NoOffer,
    NoResponse,
}

impl Problem {
    /// What the client is told. The first two are what the public games know.
    pub fn text(self) -> &'static str {
        match self {
            Problem::WrongRoom => "wrong room",
            Problem::NoPlayer => "no player",
            Problem::RoomFull => "room full",
            Problem::TooManyRooms => "too many rooms",
            Problem::NotTheHost => "not the host",
            Problem::NoUsername => "no username",
            Problem::NoOffer => "no offer",
            Problem::NoResponse => "no response",
        }
    }
}

/// Understands a frame with one of the actions of rooms; `None` is any other action.
pub(super) fn decode<'a>(action: &str, frame: &Object<'a>) -> Option<Command<'a>> {
    Some(match action {
        "createRoom" => Command::Create,
        "joinRoom" => Command::Join {
            room: frame.string("room").unwrap_or_default(),
            username: frame.string("username").map(|name| name.chars().take(MAX_USERNAME).collect()),
            offer: frame.object("offer"),
        },
        "offerResponse" => Command::Answer {
            username: frame.string("clientUsername"),
            response: frame.get("response").filter(|response| response.starts_with('{')),
        },
        "startGame" => Command::Start,
        _ => return None,
    })
}

/// Tells a host the code of its room: letters only.
pub fn confirm(room: &str) -> Frame {
    text(&[r#"{"type":"confirmRoom","room":""#, room, r#""}"#])
}

/// What the host gets: the offer, and whose it is.
pub fn offer(offer: &Object<'_>, username: &str) -> Frame {
    Frame::text(offer.len() + username.len() + 32, |out| {
        offer.write_with(out, "clientUsername", Some(&|out| json::write_string(out, username)));
    })
}

/// What a player gets.
pub fn response(response: &str) -> Frame {
    text(&[response])
}

/// Says what is wrong.
pub fn error(message: &str) -> Frame {
    Frame::text(32 + message.len(), |out| {
        out.extend_from_slice(br#"{"type":"error","val":"#);
        json::write_string(out, message);
        out.push(b'}');
    })
}

fn text(parts: &[&str]) -> Frame {
    let len = parts.iter().map(|part| part.len()).sum();
    Frame::text(len, |out| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes())))
}
