//! Advice about mistakes of PeerJS clients.

use crate::protocols::advice::{Advice, NamedBy};

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["PeerJS"],
    named_by: NamedBy::Member("type"),
    commands: &[
        "OFFER",
        "ANSWER",
        "CANDIDATE",
        "LEAVE",
        "HEARTBEAT",
        "ROOM-JOIN",
        "ROOM-UPDATE",
        "ROOM-LEAVE",
        "ROOM-SEND",
        "PRESENCE-WATCH",
        "PRESENCE-UNWATCH",
        "SERVER-MESSAGE",
    ],
    lacks: |_, _| "it needs the id of its recipient as `dst`".to_owned(),
    other_commands: "Messages to the app's server have the type SERVER-MESSAGE",
    below: "",
};
