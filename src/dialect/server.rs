//! Messages of the app's server to clients. No release of PeerJS uses their type, so all of them pass it to listeners of their
//! socket, and log it as a warning.

use serde_json::Value;

/// The text of a message to a client, or to the members of a room. `payload` is JSON text.
pub fn message(room: Option<&str>, payload: &str) -> String {
    let room = room.map(|room| format!(r#","room":{}"#, Value::from(room))).unwrap_or_default();
    format!(r#"{{"type":"SERVER-MESSAGE"{room},"payload":{payload}}}"#)
}
