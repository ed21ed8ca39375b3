//! Advice about mistakes of RxDB's replication.

use super::ROOM_UNITS;
use crate::advice::{Advice, NamedBy, OWN_APP};
use crate::json::Object;
use peerbroker_core::vocabulary::Foreign;

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["RxDB"],
    named_by: NamedBy::Member("type"),
    commands: &[&["join", "signal", "ping"]],
    lacks,
    other_commands: "",
    elsewhere: OWN_APP,
    below: "the room of RxDB is its `topic`, and not in the address",
};

fn lacks(command: Foreign<'_>, text: &str) -> String {
    let frame = Object::parse(text);
    let string = |member| frame.as_ref().and_then(|frame| frame.string(member));
    match command.as_str() {
        "join" if string("room").is_some_and(|room| ROOM_UNITS.contains(&room.encode_utf16().count())) => {
            "a room, which is the `topic` of the replication, has no control characters, such as line breaks"
                .to_owned()
        }
        "join" => {
            let first = ROOM_UNITS.start();
            let last = ROOM_UNITS.end();
            let room = string("room").map_or_else(
                || "it has no room".to_owned(),
                |room| format!("its room {} has {}", Foreign::new(&room), room.encode_utf16().count()),
            );
            format!(
                "a room, which is the `topic` of the replication, has {first} to {last} characters, and {room}"
            )
        }
        "signal" if string("senderPeerId").is_some() && string("receiverPeerId").is_some() => {
            "its senderPeerId is another client's. The id in `init` is valid for one connection only"
                .to_owned()
        }
        _ => "a signal needs senderPeerId and receiverPeerId".to_owned(),
    }
}
