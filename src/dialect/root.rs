//! The WebSocket at the root of a server accepts two dialects. The action of a frame selects one.

use std::borrow::Cow;

use super::json::Object;
use super::{calls, room_codes};

/// A command of a client, in its dialect.
#[derive(Debug)]
pub enum Command<'a> {
    /// A command for room codes.
    RoomCodes(room_codes::Command<'a>),
    /// A command for one-to-one calls.
    Calls(calls::Command<'a>),
    /// Frames that are not JSON objects with an action are ignored.
    Nothing,
}

/// The actions that the protocols name.
const ACTIONS: &[&str] =
    &["createRoom", "joinRoom", "offerResponse", "startGame", "start", "offer", "answer", "iceCandidate"];

/// Most edits between a misspelt action and the right one.
const MAX_EDITS: usize = 2;

/// The action of a text frame, if it is a JSON object with one.
pub fn action(text: &str) -> Option<Cow<'_, str>> {
    Object::parse(text)?.string("action")
}

/// Longest action that is compared with others.
const MAX_ACTION: usize = 32;

/// The action that is most similar to this one, if any is.
pub fn similar_action(action: &str) -> Option<&'static str> {
    if action.len() > MAX_ACTION {
        return None;
    }
    let edits = |known: &&str| strsim::osa_distance(&known.to_lowercase(), &action.to_lowercase());
    ACTIONS.iter().copied().min_by_key(edits).filter(|known| edits(known) <= MAX_EDITS)
}

/// Decodes one text frame.
pub fn decode(text: &str) -> Command<'_> {
    let Some(frame) = Object::parse(text) else { return Command::Nothing };
    let Some(action) = frame.string("action") else { return Command::Nothing };
    match room_codes::decode(&action, &frame) {
        Some(command) => Command::RoomCodes(command),
        None => Command::Calls(calls::decode(&action, frame)),
    }
}
