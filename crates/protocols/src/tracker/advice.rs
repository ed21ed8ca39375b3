//! Advice about mistakes with the tracker.

use crate::advice::{Advice, NamedBy};

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["WebTorrent"],
    named_by: NamedBy::Member("action"),
    commands: &[super::ACTIONS],
    // Each has an answer that says what is wrong.
    lacks: |_, _| "the answer says why".to_owned(),
    other_commands: "",
    elsewhere: "",
    below: "",
};
