//! The WebSocket at the root of a server speaks two dialects; the action says which one is meant.

use super::json::Object;
use super::{calls, rooms};

/// What a client wants, in its dialect.
#[derive(Debug)]
pub enum Command<'a> {
    /// Room codes.
    Rooms(rooms::Command<'a>),
    /// One-to-one calls.
    Calls(calls::Command<'a>),
    /// No JSON object with an action: it is dropped in silence.
    Nothing,
}

/// Understands one text frame.
pub fn decode(text: &str) -> Command<'_> {
    let Some(frame) = Object::parse(text) else {
        return Command::Nothing;
    };
    let Some(action) = frame.string("action") else {
        return Command::Nothing;
    };
    match rooms::decode(&action, &frame) {
        Some(command) => Command::Rooms(command),
        None => Command::Calls(calls::decode(&action, frame)),
    }
}
