//! Messages of guests: clients at the root of a server, with room codes and calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::raw_client::RawClient;
use crate::wire;

/// A signal of simple-peer.
pub const OFFER: &str = r#"{"type":"offer","sdp":"v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\n"}"#;
pub const ANSWER: &str = r#"{"type":"answer","sdp":"v=0\r\n"}"#;
pub const START: &str = r#"{"action":"start"}"#;
pub const START_GAME: &str = r#"{"action":"startGame"}"#;

/// A player joins a room; `offer` is JSON.
pub fn join(room: &str, username: &str, offer: &str) -> String {
    let room = quoted(room);
    let username = quoted(username);
    format!(r#"{{"action":"joinRoom","room":{room},"username":{username},"offer":{offer}}}"#)
}

/// The [`OFFER`] as the host gets it.
pub fn offered(username: &str) -> String {
    let rest = OFFER.strip_suffix('}').unwrap();
    format!(r#"{rest},"clientUsername":{}}}"#, quoted(username))
}

/// The host answers a player; `response` is JSON.
pub fn respond(username: &str, response: &str) -> String {
    format!(r#"{{"action":"offerResponse","clientUsername":{},"response":{response}}}"#, quoted(username))
}

pub fn problem(text: &str) -> String {
    format!(r#"{{"type":"error","val":{}}}"#, quoted(text))
}

/// A frame of calls; `more` are members of `data` after the id, each with a leading comma.
pub fn call(action: &str, remote_id: &str, more: &str) -> String {
    format!(r#"{{"action":"{action}","data":{{"remoteId":{}{more}}}}}"#, quoted(remote_id))
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}

impl RawClient {
    /// Proves that the server has handled all messages of this client and has sent it nothing else:
    /// the answer to a ping is the next thing that arrives.
    pub fn expect_quiet(&mut self) {
        static MARKERS: AtomicUsize = AtomicUsize::new(0);
        let marker = format!("marker {}", MARKERS.fetch_add(1, Ordering::Relaxed));
        self.ping(marker.as_bytes());
        let payload = self.expect_frame(wire::opcode::PONG, "nothing but a pong");
        assert_eq!(String::from_utf8_lossy(&payload), marker, "{}", self.name);
    }

    /// Opens a room and returns its code.
    pub fn create_room(&mut self) -> String {
        self.send(r#"{"action":"createRoom"}"#);
        let confirmed = self.expect_text();
        let room = confirmed.strip_prefix(r#"{"type":"confirmRoom","room":""#);
        room.and_then(|rest| rest.strip_suffix(r#""}"#)).unwrap_or_else(|| panic!("{confirmed}")).to_owned()
    }

    /// Asks for an id.
    pub fn start(&mut self) -> String {
        self.send(START);
        let started = self.expect_text();
        let id = started.strip_prefix(r#"{"action":"start","id":""#);
        id.and_then(|rest| rest.strip_suffix(r#""}"#)).unwrap_or_else(|| panic!("{started}")).to_owned()
    }

    /// Sends a text and expects an error.
    pub fn expect_problem(&mut self, sent: impl AsRef<str>, text: &str) {
        self.send(sent);
        self.expect(problem(text));
    }
}
