//! Advice about mistakes of Matchbox clients.

use crate::protocols::advice::{Advice, NamedBy};

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["Matchbox"],
    named_by: NamedBy::OnlyMember,
    commands: &["Signal"],
    lacks: |_, _| "a signal needs `receiver`, which is the UUID of a peer, and `data`".to_owned(),
    other_commands: "",
    elsewhere: "",
    below: "the name of a room is one segment, without a slash",
};
