//! The state of a room: named values that its members share.
//!
//! One node decides which of two writes came first: that of the member with the oldest seat. Each write gets
//! a version from there, and every node keeps, of each name, the write with the greatest one. So all nodes
//! end with the same state, even if two of them decided for a while.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use peerbroker_core::vocabulary::{NodeId, RoomRefusal};
use peerbroker_limits::QuotaShare;

/// Most bytes of all names and values of a room, as JSON text.
pub const MAX_STATE_BYTES: usize = 64 * 1024;

/// Most names with a value in a room.
pub const MAX_STATE_NAMES: usize = 256;

/// Most bytes of a name.
pub const MAX_STATE_NAME: usize = 64;

/// Most bytes of the states of all rooms of a key on one node, in shares of the addresses of writers.
pub const MAX_STATE_OF_KEY: usize = 16 << 20;

/// Bytes of an entry, in a list or in memory, beside its name and its value.
const ENTRY_OVERHEAD: usize = 192;

/// The entry that says that only the host may write. No member can write its name.
pub(super) const ONLY_HOST: StateWrite<'_> = StateWrite { name: "", value: Some("\"host\""), seen: None };

/// The order of writes. With one number, the write of the node with the greater id is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// From 1. Greater than that of all writes of the room which the node knew.
    pub number: u64,
    /// The node that has decided the order.
    pub node: u64,
}

/// A name with its value, as the members see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateView<'a> {
    /// The name.
    pub name: &'a str,
    /// The value, as JSON text. `None` if it was deleted.
    pub value: Option<&'a str>,
    /// The number of its version.
    pub version: u64,
    /// The id of the member that has written it.
    pub by: &'a str,
}

impl StateView<'_> {
    /// Its bytes in a frame.
    pub(super) fn bytes(&self) -> usize {
        self.name.len() + self.by.len() + self.value.map_or(0, str::len) + ENTRY_OVERHEAD
    }

    /// Its bytes in a list, which has no deleted names.
    pub(super) fn list_bytes(&self) -> usize {
        self.value.map_or(0, |_| self.bytes())
    }
}

/// A write of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWrite<'a> {
    /// The name.
    pub name: &'a str,
    /// The value, as JSON text. `None` deletes the name.
    pub value: Option<&'a str>,
    /// The version that the member has seen: the write is refused if there is another one by now. 0 is that
    /// of a name without a value.
    pub seen: Option<u64>,
}

/// The state of one room.
#[derive(Default)]
pub(super) struct State {
    entries: BTreeMap<Box<str>, Entry>,
    /// The greatest number of a version.
    latest: u64,
    /// Bytes of all names and values.
    bytes: usize,
}

/// The latest write of one name.
pub(super) struct Entry {
    /// `None` if it was deleted: a write that is late must not bring it back.
    value: Option<Box<str>>,
    version: Version,
    by: Box<str>,
    /// The number of the change of the room by which it came.
    changed: u64,
    /// Its bytes in the quota of the key.
    _share: QuotaShare,
}

impl StateWrite<'_> {
    /// Refuses a name that is empty or too long.
    pub(super) fn check(&self) -> Result<(), RoomRefusal> {
        let is_name = (1..=MAX_STATE_NAME).contains(&self.name.len());
        if is_name { Ok(()) } else { Err(RoomRefusal::InvalidStateName) }
    }

    /// The bytes that count for the limit of a room.
    pub(super) fn bytes(&self) -> usize {
        self.value.map_or(0, |value| self.name.len() + value.len())
    }

    /// The bytes that it takes here. Deleted names are kept for a while.
    pub(super) fn kept_bytes(&self) -> usize {
        ENTRY_OVERHEAD + self.name.len() + self.value.map_or(0, str::len)
    }
}

impl State {
    /// The greatest number of a version.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// The names with a value.
    pub(super) fn present(&self) -> impl Iterator<Item = StateView<'_>> {
        self.behind(0).filter(|view| view.value.is_some())
    }

    /// The latest write of each name that was written since a change of the room.
    pub(super) fn behind(&self, heard: u64) -> impl Iterator<Item = StateView<'_>> {
        let entries = self.entries.iter().filter(move |(_, entry)| entry.changed > heard);
        entries.map(|(name, entry)| entry.view(name))
    }

    /// The latest write of each name: all, or those that one node has decided.
    pub(super) fn writes(&self, of: Option<NodeId>) -> impl Iterator<Item = (StateView<'_>, Version)> {
        let is_of = move |entry: &Entry| of.is_none_or(|of| entry.version.node == of.get());
        let entries = self.entries.iter().filter(move |(_, entry)| is_of(entry));
        entries.map(|(name, entry)| (entry.view(name), entry.version))
    }

    /// The latest write of a name.
    pub(super) fn view(&self, name: &str) -> Option<StateView<'_>> {
        self.entries.get_key_value(name).map(|(name, entry)| entry.view(name))
    }

    /// Its bytes in the list of the room.
    pub(super) fn list_bytes(&self) -> usize {
        self.behind(0).map(|view| view.list_bytes()).sum()
    }

    /// True if only the host may write.
    pub(super) fn is_of_host(&self) -> bool {
        self.entries.contains_key(ONLY_HOST.name)
    }

    /// Refuses a write that does not fit, or whose member has not seen the latest one.
    pub(super) fn check(&self, write: &StateWrite<'_>) -> Result<(), RoomRefusal> {
        let known = self.entries.get(write.name).filter(|entry| entry.value.is_some());
        if write.seen.is_some_and(|seen| seen != known.map_or(0, |entry| entry.version.number)) {
            return Err(RoomRefusal::StateChanged);
        }
        let value = known.and_then(|entry| entry.value.as_deref());
        let before = value.map_or(0, |value| write.name.len() + value.len());
        let others = self.present().filter(|view| ![ONLY_HOST.name, write.name].contains(&view.name));
        let fits = self.bytes - before + write.bytes() <= MAX_STATE_BYTES && others.count() < MAX_STATE_NAMES;
        if fits || write.value.is_none() { Ok(()) } else { Err(RoomRefusal::StateFull) }
    }

    /// Keeps a write, unless there is a later one of its name.
    pub(super) fn keep(&mut self, name: &str, entry: Entry) -> bool {
        if self.entries.get(name).is_some_and(|known| known.version >= entry.version) {
            return false;
        }
        self.latest = self.latest.max(entry.version.number);
        let bytes = |entry: &Entry| entry.value.as_ref().map_or(0, |value| name.len() + value.len());
        self.bytes += bytes(&entry);
        let before = self.entries.insert(name.into(), entry);
        self.bytes -= before.as_ref().map_or(0, bytes);
        self.forget_deleted();
        true
    }

    /// Only late writes need to know of deleted names, so few are enough.
    fn forget_deleted(&mut self) {
        if self.entries.len() > 2 * MAX_STATE_NAMES {
            let deleted = self.entries.iter().filter(|(_, entry)| entry.value.is_none());
            let oldest = deleted.min_by_key(|(_, entry)| entry.version).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.entries.remove(&name));
        }
    }
}

impl Entry {
    pub(super) fn new(
        write: &StateWrite<'_>,
        version: Version,
        by: &str,
        changed: u64,
        share: QuotaShare,
    ) -> Self {
        Entry { value: write.value.map(Box::from), version, by: by.into(), changed, _share: share }
    }

    fn view<'a>(&'a self, name: &'a str) -> StateView<'a> {
        StateView { name, value: self.value.as_deref(), version: self.version.number, by: &self.by }
    }
}

#[cfg(test)]
mod tests {
    use peerbroker_limits::Quota;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Nodes that hear the same writes in different orders, some twice, have one state.
        #[test]
        fn the_order_in_which_writes_come_makes_no_difference(
            writes in vec((0..4_u8, prop::option::of(0..9_u8), 1..6_u64, 1..4_u64), 0..30),
            orders in vec(vec(0..30_usize, 0..60), 2..4),
        ) {
            let quota = Quota::fixed(1 << 20, 0);
            // One write has a version: all nodes that tell of it tell the same.
            let value = |name: u8, (number, node): (u64, u64)| {
                let first = writes.iter().find(|write| (write.0, write.2, write.3) == (name, number, node));
                first.and_then(|write| write.1).map(|value| value.to_string())
            };
            let mut states = Vec::new();
            for order in &orders {
                let mut state = State::default();
                let all = order.iter().copied().filter(|place| *place < writes.len()).chain(0..writes.len());
                for (changed, place) in all.enumerate() {
                    let (name, _, number, node) = writes[place];
                    let value = value(name, (number, node));
                    let name = name.to_string();
                    let write = StateWrite { name: &name, value: value.as_deref(), seen: None };
                    let version = Version { number, node };
                    let entry = Entry::new(&write, version, "x", 1 + changed as u64, quota.share(None));
                    state.keep(&name, entry);
                }
                let bytes: usize = state.present().map(|view| view.name.len() + view.value.map_or(0, str::len)).sum();
                prop_assert_eq!(state.bytes, bytes);
                states.push(state.writes(None).map(|write| format!("{write:?}")).collect::<Vec<_>>());
            }
            prop_assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", states);
        }
    }

    #[test]
    fn few_deleted_names_are_remembered() {
        let quota = Quota::fixed(1 << 20, 0);
        let mut state = State::default();
        for number in 1..=10_000 {
            let name = number.to_string();
            let write = StateWrite { name: &name, value: None, seen: None };
            let version = Version { number, node: 0 };
            state.keep(&name, Entry::new(&write, version, "x", number, quota.share(None)));
        }
        assert_eq!((state.entries.len(), state.latest()), (2 * MAX_STATE_NAMES, 10_000));
    }
}
