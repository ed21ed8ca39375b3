//! Advice about mistakes with room codes.

use crate::advice::{Advice, NamedBy};

/// An answer for no player, in words: the mistake, and the advice.
pub(super) fn nameless_answer() -> (String, String) {
    let what = "sent the action \"offerResponse\" without clientUsername, which does nothing";
    let hint = "offerResponse needs clientUsername, the name in the offer that it answers";
    (what.to_owned(), hint.to_owned())
}

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["room codes"],
    named_by: NamedBy::Member("action"),
    commands: &[super::ACTIONS],
    // Each has an answer that says what is wrong.
    lacks: |_, _| "the answer says why".to_owned(),
    other_commands: "",
    elsewhere: "",
    below: "",
};
