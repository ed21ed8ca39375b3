//! The WebSocket at the root of a server accepts several dialects. The action or the type of a frame selects
//! one.

mod guest;
mod guests;

use super::json::Object;
use super::{calls, nostr, room_codes, topics, tracker};
pub use guest::Guest;
pub use guests::Guests;
use peerbroker_core::vocabulary::Dialect;

/// A command of a client, in its dialect.
#[derive(Debug)]
pub enum Command<'a> {
    /// A command for room codes.
    RoomCodes(room_codes::Command<'a>),
    /// A command for one-to-one calls.
    Calls(calls::Command<'a>),
    /// A command for topics.
    Topics(topics::Command<'a>),
    /// A command for the tracker.
    Tracker(tracker::Command<'a>),
    /// A command for the relay of Nostr.
    Nostr(nostr::Command<'a>),
    /// Other frames are ignored.
    Ignored,
}

impl Command<'_> {
    /// The dialect of the command, unless it does nothing.
    pub fn dialect(&self) -> Option<Dialect> {
        match self {
            Command::RoomCodes(_) => Some(Dialect::RoomCodes),
            Command::Topics(_) => Some(Dialect::Topics),
            Command::Tracker(_) => Some(Dialect::Tracker),
            Command::Nostr(_) => Some(Dialect::Nostr),
            Command::Calls(calls::Command::Ignored) | Command::Ignored => None,
            Command::Calls(_) => Some(Dialect::Calls),
        }
    }
}

/// Members that a protocol reads in, too.
const PARTS: [&str; 5] = ["data", "offer", "offers", "topics", "info_hash"];

/// Decodes one text frame.
pub fn decode(text: &str) -> Command<'_> {
    if let Some(command) = nostr::decode(text) {
        return Command::Nostr(command);
    }
    let Some(mut frame) = Object::parse_with(text, &PARTS) else { return Command::Ignored };
    let Some(action) = frame.string("action") else {
        return topics::decode(&frame).map_or(Command::Ignored, Command::Topics);
    };
    // Calls are the last: with a remote id, any action is one of theirs.
    if let Some(command) = room_codes::decode(&action, &mut frame) {
        Command::RoomCodes(command)
    } else if let Some(command) = tracker::decode(&action, &frame) {
        Command::Tracker(command)
    } else {
        Command::Calls(calls::decode(&action, frame))
    }
}
