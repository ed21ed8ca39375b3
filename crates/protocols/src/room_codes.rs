//! The protocol of room codes, for party games: a computer shows a code, phones join, and the computer
//! answers the offer of each phone.
//!
//! Frames of clients have an `action`, those of the server a `type`. Offers and answers are forwarded as
//! their sender's own JSON text.

mod advice;
mod client;
mod codes;

use std::borrow::Cow;
use std::cell::Cell;

use super::json::{self, Object};
pub(super) use advice::ADVICE;
pub(super) use client::Pending;
pub use client::Player;
pub use codes::{HostedRoom, PlayerName, RoomCodeError, RoomCodes, Seating};
use peerbroker_core::vocabulary::{Frame, expected, labels};

/// Maximum characters of a username; the rest is cut off.
const MAX_USERNAME: usize = 20;

/// A command of a client.
#[derive(Debug)]
pub enum RoomCodeCommand<'a> {
    /// Open a room, with this client as its host.
    Create,
    /// Join a room.
    Join {
        /// The code of the room; empty if it was missing.
        room: Cow<'a, str>,
        /// The player's name, if it was given.
        username: Option<String>,
        /// The offer for the host.
        offer: Option<Offer>,
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

labels! {
    /// The reason why the server refuses a command. The labels are the texts for the client. Existing games
    /// know the first two.
    pub enum Problem {
        /// There is no room with this code.
        WrongRoom = "wrong room",
        /// There is no player with this name in the room.
        NoPlayer = "no player",
        /// The room has as many players as it may.
        RoomFull = "room full",
        /// There are as many rooms as there may be.
        TooManyRooms = "too many rooms",
        /// Only the host may do that.
        NotTheHost = "not the host",
        /// A name is missing.
        NoUsername = "no username",
        /// An offer is missing.
        NoOffer = "no offer",
        /// An answer is missing.
        NoResponse = "no response",
        /// The other nodes cannot be asked.
        Unavailable = "Server is not available at the moment",
    }
}

/// The actions of clients.
pub(super) const ACTIONS: &[&str] = &["createRoom", "joinRoom", "offerResponse", "startGame"];

/// Decodes a frame with an action of this protocol; `None` for any other action.
pub(super) fn decode<'a>(action: &str, frame: &mut Object<'a>) -> Option<RoomCodeCommand<'a>> {
    Some(match action {
        "createRoom" => RoomCodeCommand::Create,
        "joinRoom" => RoomCodeCommand::Join {
            room: frame.string("room").unwrap_or_default(),
            username: frame.string("username").map(|name| name.chars().take(MAX_USERNAME).collect()),
            offer: frame.take_object("offer").map(|offer| Offer::of(&offer)),
        },
        "offerResponse" => RoomCodeCommand::Answer {
            username: frame.string("clientUsername"),
            response: frame.get("response").filter(|response| response.starts_with('{')),
        },
        "startGame" => RoomCodeCommand::Start,
        _ => return None,
    })
}

/// Tells a host the code of its room. `room` must consist of letters.
pub fn confirm(room: &str) -> Frame {
    Frame::of_text(&format!(r#"{{"type":"confirmRoom","room":"{room}"}}"#))
}

/// The offer of a player, without its name: that may be made longer.
#[derive(Debug)]
pub struct Offer {
    text: String,
    /// The place of the name.
    name_at: usize,
}

impl Offer {
    fn of(offer: &Object<'_>) -> Self {
        let mut text = Vec::with_capacity(offer.len() + 32);
        let name_at = Cell::new(0);
        offer.write_with(&mut text, "clientUsername", Some(&|out| name_at.set(out.len())));
        let text = expected(String::from_utf8(text), "a text made of texts");
        Offer { text, name_at: name_at.get() }
    }

    /// The offer as the host hears it, with the name of the player.
    pub fn frame(&self, username: &str) -> Frame {
        let (before, behind) =
            expected(self.text.split_at_checked(self.name_at).ok_or(self), "the place of a name");
        Frame::text(self.text.len() + username.len() + 2, |out| {
            out.extend_from_slice(before.as_bytes());
            json::write_string(out, username);
            out.extend_from_slice(behind.as_bytes());
        })
    }
}

/// Forwards an answer to a player.
pub fn response(response: &str) -> Frame {
    Frame::of_text(response)
}
