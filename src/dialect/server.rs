//! Messages between clients and the app's server. No release of PeerJS uses their types, so all of them pass them to listeners of
//! their socket, and log them as a warning.

use serde_json::Value;

use super::{json, rooms};
use crate::wire::{AppRefusal, Frame};

/// The type of a message, in both directions.
pub(super) const MESSAGE: &str = "SERVER-MESSAGE";

/// A message of a client.
#[derive(Debug)]
pub struct Request<'a> {
    /// The JSON text of the payload, if there is one.
    pub payload: Option<&'a str>,
    /// The id that the client has given the request, as JSON text. The answer repeats it.
    id: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads a text that [`decode`](super::peerjs::decode) has found to be such a message.
    pub fn parse(text: &'a str) -> Self {
        let mut request = Request { payload: None, id: None };
        json::members(text, |name, value| match json::string(name).as_deref() {
            Some("payload") => request.payload = Some(value),
            Some("request") => request.id = Some(value),
            _ => {}
        });
        request
    }

    /// The id of the request, as JSON text, if it has one.
    pub fn id(&self) -> Result<Option<&'a str>, AppRefusal> {
        match self.id {
            Some(id) if !rooms::is_request_id(id) => Err(AppRefusal::InvalidRequest),
            id => Ok(id),
        }
    }
}

/// The text of a message to a client, or to the members of a room. `payload` is JSON text.
pub fn message(room: Option<&str>, payload: &str) -> String {
    let room = room.map(|room| Value::from(room).to_string());
    let (room, payload) = (member("room", room.as_deref()), member("payload", Some(payload)));
    format!(r#"{{"type":"{MESSAGE}"{room}{payload}}}"#)
}

/// Answers a request. The payload is JSON text, if the app has given one.
pub fn answer(request: &str, payload: Option<&str>) -> Frame {
    let payload = member("payload", payload);
    Frame::of_text(&format!(r#"{{"type":"{MESSAGE}","request":{request}{payload}}}"#))
}

/// Refuses a message.
pub fn refused(request: Option<&str>, refusal: AppRefusal) -> Frame {
    let ending = refusal.ending();
    let why = format!(r#"{{"type":"{}","msg":{}}}"#, ending.label, Value::from(ending.text));
    let (request, payload) = (member("request", request), member("payload", Some(&why)));
    Frame::of_text(&format!(r#"{{"type":"SERVER-REFUSED"{request}{payload}}}"#))
}

/// A member behind others, if there is a value, which is JSON text.
fn member(name: &str, value: Option<&str>) -> String {
    value.map(|value| format!(r#","{name}":{value}"#)).unwrap_or_default()
}
