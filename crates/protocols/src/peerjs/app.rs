//! Messages between clients and the app's server. No release of PeerJS uses their types, so all of them pass
//! them to listeners of their socket, and log them as a warning.

use serde_json::Value;

use crate::json;
use peerbroker_core::vocabulary::{AppRefusal, Frame};

/// The type of a message, in both directions.
pub(super) const MESSAGE: &str = "SERVER-MESSAGE";

/// The text of a message to a client, or to the members of a room. `payload` is JSON text.
pub fn message(room: Option<&str>, payload: &str) -> String {
    let room = room.map(|room| format!(r#","room":{}"#, Value::from(room))).unwrap_or_default();
    format!(r#"{{"type":"{MESSAGE}"{room},"payload":{payload}}}"#)
}

/// Answers a request. The payload is JSON text, if the app has given one.
pub fn answer(request: &str, payload: Option<&str>) -> Frame {
    json::frame(MESSAGE, 64 + payload.map_or(0, str::len), |out| {
        json::raw(out, "request", Some(request));
        json::raw(out, "payload", payload);
    })
}

/// Refuses a message.
pub fn refused(request: Option<&str>, refusal: AppRefusal) -> Frame {
    let ending = refusal.ending();
    json::frame("SERVER-REFUSED", 128, |out| {
        json::raw(out, "request", request);
        json::reason(out, ending.label, ending.text);
    })
}
