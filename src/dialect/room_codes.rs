//! The protocol of room codes, for party games: a computer shows a code, phones join, and the computer answers the
//! offer of each phone.
//!
//! Frames of clients have an `action`, those of the server a `type`. Offers and answers are forwarded as
//! their sender's own JSON text.

use std::borrow::Cow;

use super::json::{self, Object};
use crate::wire::Frame;

/// Maximum characters of a username; the rest is cut off.
const MAX_USERNAME: usize = 20;

/// A command of a client.
#[derive(Debug)]
pub enum Command<'a> {
    /// Open a room, with this client as its host.
    Create,
    /// Join a room.
    Join {
        /// The code of the room; empty if it was missing.
        room: Cow<'a, str>,
        /// The player's name, if it was given.
        username: Option<String>,
        /// The offer for the host.
        offer: Option<Object<'a>>,
    },
    /// The host answers a player's offer.
    Answer {
        /// The player's name in the room.
        username: Option<Cow<'a, str>>,
        /// The answer for the player: the JSON text of an object.
        response: Option<&'a str>,
    },
    /// The host starts the game, so no more players can join.
    Start,
}

/// The reason why the server refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no room with this code.
    WrongRoom,
    /// There is no player with this name in the room.
    NoPlayer,
    /// The room has as many players as it may.
    RoomFull,
    /// There are as many rooms as there may be.
    TooManyRooms,
    /// Only the host may do that.
    NotTheHost,
    /// A name is missing.
    NoUsername,
    /// An offer is missing.
    NoOffer,
    /// An answer is missing.
    NoResponse,
}

impl Problem {
    /// The text for the client. Existing games know the first two.
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

/// Decodes a frame with an action of this protocol; `None` for any other action.
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

/// Tells a host the code of its room. `room` must consist of letters.
pub fn confirm(room: &str) -> Frame {
    Frame::of_text(&format!(r#"{{"type":"confirmRoom","room":"{room}"}}"#))
}

/// Forwards an offer to the host, with the name of the player.
pub fn offer(offer: &Object<'_>, username: &str) -> Frame {
    Frame::text(offer.len() + username.len() + 32, |out| {
        offer.write_with(out, "clientUsername", Some(&|out| json::write_string(out, username)));
    })
}

/// Forwards an answer to a player.
pub fn response(response: &str) -> Frame {
    Frame::of_text(response)
}

/// Tells a client an error.
pub fn error(message: &str) -> Frame {
    Frame::of_text(&format!(r#"{{"type":"error","val":{}}}"#, serde_json::Value::from(message)))
}
