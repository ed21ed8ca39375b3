//! Advice about mistakes with topics.

use super::MAX_TOPICS;
use crate::advice::{Advice, NamedBy, OWN_APP};
use crate::json;
use peerbroker_core::vocabulary::{Foreign, InvalidName, RoomRefusal};

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["y-webrtc", "Trystero"],
    named_by: NamedBy::Member("type"),
    commands: &[&["subscribe", "unsubscribe", "publish", "ping"]],
    lacks,
    other_commands: OWN_APP,
    elsewhere: "",
    below: "",
};

fn lacks(command: Foreign<'_>, text: &str) -> String {
    match command.as_str() {
        "publish" => "it needs its `topic`, which is a text".to_owned(),
        _ if json::member_of(text, "topics").is_some() => {
            format!("`topics` is a list, as in {{\"type\":{command},\"topics\":[\"minutes\"]}}")
        }
        _ => "it needs `topics`, a list of texts, or `topic`".to_owned(),
    }
}

/// A subscription that is refused, in words: the mistake, and the advice. `None` if it is no mistake of the
/// client.
pub(super) fn refused(topic: &str, refusal: RoomRefusal) -> Option<(String, String)> {
    match refusal {
        RoomRefusal::InvalidRoom(why) => {
            let what = match why {
                InvalidName::TooLong(_) => format!("subscribed to a topic of {} bytes", topic.len()),
                InvalidName::Empty => "subscribed to an empty topic".to_owned(),
                InvalidName::ControlCharacter => {
                    "subscribed to a topic that has control characters".to_owned()
                }
            };
            let hint = match why {
                InvalidName::TooLong(most) => format!("it hears nothing there: a topic has at most {most}"),
                _ => "it hears nothing there".to_owned(),
            };
            Some((format!("{what}, which does nothing"), hint))
        }
        RoomRefusal::TooManyRooms => Some((
            format!("subscribed to more than {MAX_TOPICS} topics"),
            "it hears nothing of the others: have it unsubscribe first, or open another connection"
                .to_owned(),
        )),
        _ => None,
    }
}
