//! Advice about mistakes of Matchbox clients.

use super::{CLIENT_SERVER, HOSTED, UNNAMED};
use crate::advice::{Advice, NamedBy};
use peerbroker_core::vocabulary::Foreign;

/// A parameter of an address that has no effect, in words: the mistake, and the advice. The reference ignores
/// it, too. Values of unknown parameters may be secrets.
pub(super) fn odd_parameter(query: &str) -> Option<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| {
        let hint = match &*name {
            "next" if value.parse().is_ok_and(|next: usize| next > 0) => return None,
            "next" => "next is the number of peers of a game, from 1 on, as in ?next=2. Without it, all peers meet in one room".to_owned(),
            "topology" if [CLIENT_SERVER, FULL_MESH].contains(&&*value) => return None,
            "topology" => format!("topology is {CLIENT_SERVER} or {FULL_MESH}, which is the default"),
            "key" => return None,
            _ => {
                let what = format!("opened a room of Matchbox with the parameter {}, which does nothing", Foreign::new(&name));
                return Some((what, "the parameters are next, topology and key".to_owned()));
            }
        };
        let what = format!("opened a room of Matchbox with {name}={}, which does nothing", Foreign::new(&value));
        Some((what, hint))
    })
}

/// Clients that wait in a room of the same name with other parameters, in words: the mistake, and the advice.
pub(super) fn other_room(name: &str, own: &str, others: &str) -> (String, String) {
    let name = Foreign::new(if name == UNNAMED { "" } else { name });
    let what = format!("opened the room {name} of Matchbox {own}, while others wait there {others}");
    (what, "these are two rooms, so they do not meet: open one address in all games".to_owned())
}

/// The parameters of an address that leads to this room, or to its groups of a size.
pub(super) fn parameters(room: &str, size: Option<usize>) -> String {
    match (room.ends_with(HOSTED), size) {
        (true, None | Some(0)) => format!("with topology={CLIENT_SERVER}"),
        (true, Some(size)) => format!("with topology={CLIENT_SERVER}&next={size}"),
        (false, Some(size)) => format!("with next={size}"),
        (false, None) => "without next".to_owned(),
    }
}

/// The topology of rooms without a host.
const FULL_MESH: &str = "full_mesh";

/// The words of the protocol.
pub(crate) const ADVICE: Advice = Advice {
    clients: &["Matchbox"],
    named_by: NamedBy::OnlyMember,
    commands: &[&["Signal"]],
    lacks: |_, _| "a signal needs `receiver`, which is the UUID of a peer, and `data`".to_owned(),
    other_commands: "",
    elsewhere: "",
    below: "the name of a room is one segment, without a slash",
};
