//! Advice about mistakes with one-to-one calls.

use crate::advice::{Advice, NamedBy};

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["calls"],
    named_by: NamedBy::Member("action"),
    commands: &[super::ACTIONS],
    lacks: |_, _| "messages of calls need data.remoteId".to_owned(),
    other_commands: "Messages of calls need data.remoteId",
    elsewhere: "",
    below: "",
};
