//! Advice about mistakes with Nostr.

use crate::advice::{Advice, NamedBy};

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["Nostr"],
    named_by: NamedBy::FirstOfList,
    commands: &[&["EVENT", "REQ", "CLOSE"]],
    // Each has an answer that says what is wrong.
    lacks: |_, _| "the answer says why".to_owned(),
    other_commands: "",
    elsewhere: "",
    below: "",
};
