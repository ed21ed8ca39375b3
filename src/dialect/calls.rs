//! What one-to-one calls say: an id for each client, and whatever they send to each other's ids.
//!
//! Frames are `{"action", "data"}`. What is in `data` goes from frame to frame as its sender's own
//! JSON text, but for the member `remoteId`.

use std::borrow::Cow;

use super::json::{self, Object, Write};
use crate::wire::Frame;

/// What a client wants.
#[derive(Debug)]
pub enum Command<'a> {
    /// An id that others can reach it by.
    Start,
    /// Send something to another client.
    Send(Message<'a>),
    /// Nothing that means anything here: it is dropped in silence.
    Nothing,
}

/// A message from one client to another.
#[derive(Debug)]
pub struct Message<'a> {
    frame: Object<'a>,
    data: Object<'a>,
    /// The id of the recipient.
    pub to: Cow<'a, str>,
    is_offer: bool,
}

/// Understands a frame with any action that no other dialect knows.
pub(super) fn decode<'a>(action: &str, frame: Object<'a>) -> Command<'a> {
    if action == "start" {
        return Command::Start;
    }
    let Some(data) = frame.object("data") else {
        return Command::Nothing;
    };
    match data.string("remoteId") {
        Some(to) => Command::Send(Message { frame, data, to, is_offer: action == "offer" }),
        None => Command::Nothing,
    }
}

/// Tells a client its id: URL-safe characters only.
pub fn started(id: &str) -> Frame {
    Frame::text(32 + id.len(), |out| {
        out.extend_from_slice(br#"{"action":"start","id":"#);
        json::write_string(out, id);
        out.push(b'}');
    })
}

impl Message<'_> {
    /// What the recipient gets. Whose offer it is, it has to know, to answer; all else it has asked
    /// for.
    pub fn frame(&self, sender: &str) -> Frame {
        let remote_id: Option<Write<'_>> =
            if self.is_offer { Some(&|out| json::write_string(out, sender)) } else { None };
        let data = |out: &mut Vec<u8>| self.data.write_with(out, "remoteId", remote_id);
        Frame::text(self.frame.len() + sender.len(), |out| {
            self.frame.write_with(out, "data", Some(&data));
        })
    }
}
