//! The WebSocket at the root of a server accepts two dialects. The action of a frame selects one.

use super::json::Object;
use super::{calls, rooms};

/// A command of a client, in its dialect.
#[derive(Debug)]
pub enum Command<'a> {
    /// A command for rooms.
    Rooms(rooms::Command<'a>),
    /// A command for one-to-one calls.
    Calls(calls::Command<'a>),
    /// Frames that are not JSON objects with an action are ignored.
    Nothing,
}

/// Decodes one text frame.
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
