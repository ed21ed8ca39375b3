//! Advice about mistakes of Matchbox clients.

use crate::protocols::advice::{Advice, NamedBy};

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["Matchbox"],
    named_by: NamedBy::Nothing,
    commands: &[],
    lacks: |_, _| String::new(),
    other_commands: "",
    below: "the name of a room is one segment, without a slash",
};
