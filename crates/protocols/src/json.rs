//! JSON as the protocols read it, and the frames in which they answer.

use peerbroker_core::vocabulary::Frame;
pub use peerbroker_json::{LONGEST_NAME, MAX_ELEMENTS, MAX_MEMBERS, Object, Reader, WriteValue};
pub use peerbroker_json::{member_of, members, read, short_string, string, write_string};

/// Tells a client an error, in the frame of clients whose protocol has none.
pub fn error(message: &str) -> Frame {
    Frame::of_text(&format!(r#"{{"type":"error","val":{}}}"#, serde_json::Value::from(message)))
}

/// Writes a frame with an object that begins with its type. `rest` appends the other members.
pub(super) fn frame(kind: &str, capacity: usize, rest: impl FnOnce(&mut Vec<u8>)) -> Frame {
    Frame::text(capacity, |out| {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        rest(out);
        out.push(b'}');
    })
}

/// Appends a member whose value is a string.
pub(super) fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    member(out, name);
    write_string(out, value);
}

/// Appends a member whose value is JSON text, if there is one.
pub(super) fn raw(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        member(out, name);
        out.extend_from_slice(value.as_bytes());
    }
}

/// Appends the payload that tells a client why its request is refused.
pub(super) fn reason(out: &mut Vec<u8>, label: &str, message: &str) {
    out.extend_from_slice(b",\"payload\":{\"type\":");
    write_string(out, label);
    text(out, "msg", message);
    out.push(b'}');
}

fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{matchbox, peerjs};

    #[test]
    fn a_message_of_peerjs_or_matchbox_has_a_limited_number_of_members() {
        let is_leave = |more: &str| {
            matches!(peerjs::decode(&format!(r#"{{"type":"LEAVE"{more}}}"#)), peerjs::PeerJsCommand::Leave)
        };
        let is_signal = |more: &str| {
            matchbox::decode(&format!(r#"{{"Signal":{{"receiver":"x","data":1{more}}}}}"#)).is_some()
        };
        for name in ["data", r"\u0064ata", "other"] {
            let more = |count: usize| format!(r#","{name}":1"#).repeat(count);
            assert!(is_leave(&more(MAX_MEMBERS - 1)) && !is_leave(&more(MAX_MEMBERS)), "{name}");
            assert!(is_signal(&more(MAX_MEMBERS - 2)) && !is_signal(&more(MAX_MEMBERS - 1)), "{name}");
        }
        // They cost little, and no protocol knows them.
        let short = r#","":1"#.repeat(1_000);
        assert!(is_leave(&short) && is_signal(&short));
    }
}
