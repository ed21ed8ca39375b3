//! The clients that watch ids, and if those ids are online.
//!
//! A watched id has a small entry here, and its text once with each client that watches it. So a client that
//! watches many ids costs little more than their texts.
//!
//! The nodes of a cluster tell of this as of rooms, whose names are those
//! [of watched ids](peerbroker_core::vocabulary::RoomName::of_watched): those that watch an id and its holder
//! are the members.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::frames::RoomFrames;
use super::presence::Presence;
use peerbroker_core::vocabulary::{Frame, NodeId, PeerId};
use peerbroker_router::Flushes;

/// Most of all clients of a key on one node.
pub const MAX_WATCHED_OF_KEY: usize = 100_000;

/// The watched ids of one key.
pub(super) struct Watches {
    frames: &'static dyn RoomFrames,
    table: Mutex<Table>,
}

/// The watched ids under their lock. It is taken behind that of a presence, and before that of a slot.
pub(super) struct WatchesGuard<'a> {
    frames: &'static dyn RoomFrames,
    table: MutexGuard<'a, Table>,
}

/// By digests: 64 bits with a key of this process.
#[derive(Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    /// The other nodes on which the client of an id is online, each with the number of that news, the latest
    /// last.
    places: HashMap<u64, Vec<(NodeId, u64)>>,
    digests: RandomState,
}

/// A watched id.
#[derive(Default)]
struct Entry {
    watchers: Watchers,
    /// Clients of other nodes that watch it.
    elsewhere: u32,
    /// Its client is online on this node.
    is_here: bool,
}

/// The clients of this node that watch an id. Most ids have one.
#[derive(Default)]
enum Watchers {
    #[default]
    Nobody,
    One(Arc<Presence>),
    #[expect(
        clippy::box_collection,
        reason = "a vector in the entry of each id would make all of them larger"
    )]
    Many(Box<Vec<Arc<Presence>>>),
}

impl Watches {
    pub(super) fn new(frames: &'static dyn RoomFrames) -> Self {
        Watches { frames, table: Mutex::default() }
    }

    pub(super) fn lock(&self) -> WatchesGuard<'_> {
        WatchesGuard { frames: self.frames, table: self.table.lock() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.lock().entries.is_empty()
    }

    /// True if somebody watches an id.
    pub(super) fn is_watched(&self, id: &PeerId) -> bool {
        let table = self.table.lock();
        table.entries.get(&table.digest(id.as_str())).is_some_and(Entry::is_watched)
    }
}

impl WatchesGuard<'_> {
    /// True if the client of an id is online on any node.
    pub(super) fn is_online(&self, id: &str) -> bool {
        self.table.is_online(self.table.digest(id))
    }

    /// True if the client of an id is online on another node.
    pub(super) fn is_elsewhere(&self, id: &PeerId) -> bool {
        self.table.places.contains_key(&self.table.digest(id.as_str()))
    }

    /// The other nodes on which the client of an id is online.
    pub(super) fn places(&self, id: &PeerId) -> &[(NodeId, u64)] {
        self.table.places.get(&self.table.digest(id.as_str())).map_or(&[], Vec::as_slice)
    }

    /// The number of clients that watch an id.
    pub(super) fn watchers(&self, id: &PeerId) -> usize {
        let entry = self.table.entries.get(&self.table.digest(id.as_str()));
        entry.map_or(0, |entry| entry.watchers.as_slice().len() + entry.elsewhere as usize)
    }

    /// A client of this node watches an id from now on.
    pub(super) fn add(&mut self, id: &str, watcher: &Arc<Presence>) {
        let digest = self.table.digest(id);
        self.table.entries.entry(digest).or_default().watchers.push(watcher);
    }

    /// A client of this node does not watch an id any more. True if nobody does.
    pub(super) fn remove(&mut self, id: &str, watcher: &Arc<Presence>) -> bool {
        let digest = self.table.digest(id);
        let Some(entry) = self.table.entries.get_mut(&digest) else { return true };
        entry.watchers.remove(watcher);
        self.table.retire_if_unused(digest)
    }

    /// As many more clients of other nodes watch an id, or fewer. True if nobody does.
    pub(super) fn add_elsewhere(&mut self, id: &PeerId, more: i32) -> bool {
        let digest = self.table.digest(id.as_str());
        let entry = self.table.entries.entry(digest).or_default();
        entry.elsewhere = entry.elsewhere.saturating_add_signed(more);
        self.table.retire_if_unused(digest)
    }

    /// The client of an id is online on this node from now on, or is not any more.
    pub(super) fn set_here(&mut self, id: &PeerId, is_here: bool, flushes: &mut Flushes) {
        self.change(id, flushes, |entry, _| entry.is_here = is_here);
    }

    /// Changes the nodes on which the client of an id is online.
    pub(super) fn set_places(
        &mut self,
        id: &PeerId,
        flushes: &mut Flushes,
        act: impl FnOnce(&mut Vec<(NodeId, u64)>),
    ) {
        self.change(id, flushes, |_, places| act(places));
    }

    /// Changes where a client is online, and tells those that watch its id if it came or went with that.
    fn change(
        &mut self,
        id: &PeerId,
        flushes: &mut Flushes,
        act: impl FnOnce(&mut Entry, &mut Vec<(NodeId, u64)>),
    ) {
        let digest = self.table.digest(id.as_str());
        let was_online = self.table.is_online(digest);
        let Table { entries, places, .. } = &mut *self.table;
        let entry = entries.entry(digest).or_default();
        let mut of_id = places.remove(&digest).unwrap_or_default();
        act(entry, &mut of_id);
        let is_online = entry.is_here || !of_id.is_empty();
        if !of_id.is_empty() {
            places.insert(digest, of_id);
        }
        if is_online != was_online {
            let mut frame = self.frames.presence(id.as_str(), is_online);
            for watcher in entry.watchers.as_slice() {
                let frame = frame.as_mut().map(Frame::share);
                flushes.extend(frame.and_then(|frame| watcher.send_presence(frame)));
            }
        }
        self.table.retire_if_unused(digest);
    }
}

impl Table {
    fn digest(&self, id: &str) -> u64 {
        self.digests.hash_one(id)
    }

    fn is_online(&self, digest: u64) -> bool {
        self.entries.get(&digest).is_some_and(|entry| entry.is_here) || self.places.contains_key(&digest)
    }

    /// True if nobody watches the id.
    fn retire_if_unused(&mut self, digest: u64) -> bool {
        let Some(entry) = self.entries.get(&digest) else { return true };
        let is_unwatched = !entry.is_watched();
        if is_unwatched && !entry.is_here && !self.places.contains_key(&digest) {
            self.entries.remove(&digest);
        }
        is_unwatched
    }
}

impl Entry {
    fn is_watched(&self) -> bool {
        self.elsewhere > 0 || !self.watchers.as_slice().is_empty()
    }
}

impl Watchers {
    fn as_slice(&self) -> &[Arc<Presence>] {
        match self {
            Watchers::Nobody => &[],
            Watchers::One(one) => std::slice::from_ref(one),
            Watchers::Many(many) => many,
        }
    }

    fn push(&mut self, watcher: &Arc<Presence>) {
        *self = match std::mem::take(self) {
            Watchers::Nobody => Watchers::One(Arc::clone(watcher)),
            Watchers::One(one) => Watchers::Many(Box::new(vec![one, Arc::clone(watcher)])),
            Watchers::Many(mut many) => {
                many.push(Arc::clone(watcher));
                Watchers::Many(many)
            }
        };
    }

    fn remove(&mut self, watcher: &Arc<Presence>) {
        let Some(at) = self.as_slice().iter().position(|one| Arc::ptr_eq(one, watcher)) else { return };
        match self {
            Watchers::Nobody | Watchers::One(_) => *self = Watchers::Nobody,
            Watchers::Many(many) => {
                many.swap_remove(at);
                if many.is_empty() {
                    *self = Watchers::Nobody;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A protocol whose clients hear nothing.
    struct Silent;

    impl RoomFrames for Silent {
        fn room_of(&self, _: &Frame) -> Option<String> {
            None
        }
    }

    #[test]
    fn an_id_that_nobody_watches_leaves_nothing() {
        let watches = Watches::new(&Silent);
        let id = PeerId::parse("b").unwrap();
        let watchers = ["x", "y", "z"].map(|id| Arc::new(Presence::new(&PeerId::parse(id).unwrap())));
        let mut table = watches.lock();
        watchers.iter().for_each(|watcher| table.add("b", watcher));
        assert!(!table.add_elsewhere(&id, 1) && table.watchers(&id) == 4);
        for watcher in &watchers {
            assert!(!table.remove("b", watcher));
        }
        table.set_here(&id, true, &mut Flushes::new());
        assert!(table.add_elsewhere(&id, -1) && table.is_online("b"));
        table.set_here(&id, false, &mut Flushes::new());
        assert!(!table.is_online("b") && table.table.entries.is_empty());
    }

    #[test]
    fn an_entry_has_few_bytes() {
        assert!(size_of::<(u64, Entry)>() <= 32, "{}", size_of::<(u64, Entry)>());
    }
}
