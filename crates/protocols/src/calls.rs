//! The protocol of one-to-one calls: each client gets an id, and clients send messages to ids.
//!
//! Frames are `{"action", "data"}`. `data` is forwarded as its sender's own JSON text, except for the
//! member `remoteId`.

mod advice;
mod aliases;
mod client;

use std::borrow::Cow;

use super::json::{self, Object, WriteValue};
use super::signal::SignalKind;
pub(super) use advice::ADVICE;
pub use aliases::{CallAlias, CallAliases};
pub use client::Caller;
pub(super) use client::Pending;
use peerbroker_core::vocabulary::Frame;

/// A command of a client.
#[derive(Debug)]
pub enum CallCommand<'a> {
    /// The client asks for an id, by which others can reach it.
    Start,
    /// Send a message to another client.
    Send(Message<'a>),
    /// Malformed messages are ignored.
    Ignored,
}

/// A message from one client to another.
#[derive(Debug)]
pub struct Message<'a> {
    frame: Object<'a>,
    data: Object<'a>,
    /// The id of the recipient.
    pub to: Cow<'a, str>,
    /// Its kind, as far as the server knows.
    pub kind: SignalKind,
}

/// The actions that the protocol names. Clients may have others.
pub(super) const ACTIONS: &[&str] = &["start", "offer", "answer", "iceCandidate"];

/// Decodes a frame with any action that no other dialect knows.
pub(super) fn decode<'a>(action: &str, mut frame: Object<'a>) -> CallCommand<'a> {
    if action == "start" {
        return CallCommand::Start;
    }
    let Some(data) = frame.take_object("data") else { return CallCommand::Ignored };
    let kind = match action {
        "offer" => SignalKind::Offer,
        "answer" => SignalKind::Answer,
        _ => SignalKind::Other,
    };
    match data.string("remoteId") {
        Some(to) => CallCommand::Send(Message { frame, data, to, kind }),
        None => CallCommand::Ignored,
    }
}

/// Tells a client its id.
pub fn started(id: &str) -> Frame {
    Frame::of_text(&format!(r#"{{"action":"start","id":{}}}"#, serde_json::Value::from(id)))
}

impl Message<'_> {
    /// The frame for the recipient. Only offers name their sender: the recipient needs that id for its
    /// answer, and knows the senders of other messages.
    pub fn frame(&self, sender: &str) -> Frame {
        let remote_id: Option<WriteValue<'_>> =
            if self.kind == SignalKind::Offer { Some(&|out| json::write_string(out, sender)) } else { None };
        let data = |out: &mut Vec<u8>| self.data.write_with(out, "remoteId", remote_id);
        Frame::text(self.frame.len() + sender.len(), |out| {
            self.frame.write_with(out, "data", Some(&data));
        })
    }
}
