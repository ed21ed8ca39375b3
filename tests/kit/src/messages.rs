//! Messages of PeerJS clients and servers.

use serde_json::Value;

pub const KINDS: [&str; 3] = ["OFFER", "ANSWER", "CANDIDATE"];
pub const LEAVE: &str = r#"{"type":"LEAVE"}"#;
pub const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;
/// A client that waits for its id gets it after 2 s.
pub const WAITING: &str =
    r#"{"type":"WAITING","payload":{"msg":"The ID may still be in use: waiting for its last connection"}}"#;
pub const ID_TAKEN: &str = r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#;

/// A message as the client sends it; `payload` is JSON.
pub fn message(kind: &str, dst: &str, payload: &str) -> String {
    format!(r#"{{"type":"{kind}","dst":{},"payload":{payload}}}"#, quoted(dst))
}

pub fn offer(dst: &str, payload: &str) -> String {
    message("OFFER", dst, payload)
}

/// The [`message`] as the recipient gets it.
pub fn forwarded(kind: &str, src: &str, dst: &str, payload: &str) -> String {
    let src = quoted(src);
    let dst = quoted(dst);
    format!(r#"{{"type":"{kind}","src":{src},"dst":{dst},"payload":{payload}}}"#)
}

pub fn forwarded_offer(src: &str, dst: &str, payload: &str) -> String {
    forwarded("OFFER", src, dst, payload)
}

/// The notice that messages of `sender` to `absent` have expired.
pub fn expired(absent: &str, sender: &str) -> String {
    format!(r#"{{"type":"EXPIRE","src":{},"dst":{}}}"#, quoted(absent), quoted(sender))
}

pub fn error(text: &str) -> String {
    format!(r#"{{"type":"ERROR","payload":{{"msg":{}}}}}"#, quoted(text))
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}
