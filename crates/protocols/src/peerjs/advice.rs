//! Advice about mistakes of PeerJS clients.

use super::{Kind, app, rooms};
use crate::advice::{Advice, NamedBy};

/// The advice for an offer to nobody.
pub const NO_ID: &str =
    "peer.connect and peer.call need the id of the other peer, and peer.id is known only after its `open`";

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["PeerJS"],
    named_by: NamedBy::Member("type"),
    commands: &[&Kind::LABELS, &rooms::Kind::LABELS, &["HEARTBEAT", app::MESSAGE]],
    lacks: |command, _| match command.as_str() {
        "OFFER" => NO_ID.to_owned(),
        _ => "it needs the id of its recipient as `dst`".to_owned(),
    },
    other_commands: "Messages to the app's server have the type SERVER-MESSAGE",
    elsewhere: "",
    below: "",
};
