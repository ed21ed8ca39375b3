//! The rooms and presences of a key by their names, and when the sweeper visits a presence.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::presence::{Presence, PresenceGuard};
use super::room::{Room, RoomGuard, Shared};
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{PeerId, RoomName};
use peerbroker_router::{Flushes, PeerHandle};

/// Pause between two checks if the rate limit of a client without rooms may be forgotten.
const REST: u64 = 1000;

/// Nothing in it is empty: a room goes with its last member, and a presence with its last room.
pub(super) struct Store {
    pub(super) shared: Arc<Shared>,
    rooms: DashMap<ByName, ()>,
    presences: DashMap<PeerId, Arc<Presence>>,
    /// Presences that the sweeper has to visit, and when; the earliest first. The reclaim timeout may have
    /// become shorter.
    due: Mutex<BinaryHeap<Reverse<(Instant, PeerId)>>>,
}

/// A room, found by its name. Very many rooms have one member, so no map has the name again.
pub(super) struct ByName(Arc<Room>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name().as_str()
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.0.name().as_str().hash(to);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ByName {}

impl Store {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (rooms, presences, due) = Default::default();
        Store { shared, rooms, presences, due }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.presences.is_empty() && self.rooms.is_empty()
    }

    pub(super) fn room(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.get(name).map(|room| Arc::clone(&room.key().0))
    }

    // Collected first: no map guard is held while a room is locked.
    pub(super) fn all_rooms(&self) -> Vec<Arc<Room>> {
        self.rooms.iter().map(|room| Arc::clone(&room.key().0)).collect()
    }

    pub(super) fn all_presences(&self) -> Vec<(PeerId, Arc<Presence>)> {
        self.presences.iter().map(|presence| (presence.key().clone(), Arc::clone(&presence))).collect()
    }

    pub(super) fn presence(&self, id: &PeerId) -> Option<Arc<Presence>> {
        self.presences.get(id).map(|presence| Arc::clone(&presence))
    }

    /// Works on a presence under its lock, and creates it if there is none. Then the caller has to
    /// [retire](Self::retire_if_unused) it.
    pub(super) fn with_presence<R>(
        &self,
        id: &PeerId,
        flushes: &mut Flushes,
        act: impl FnOnce(&mut PresenceGuard<'_>) -> R,
    ) -> R {
        loop {
            let new = || Arc::new(Presence::new(id));
            let presence = Arc::clone(&self.presences.entry(id.clone()).or_insert_with(new));
            let mut guard = presence.lock(id, flushes);
            if guard.state.is_retired {
                continue;
            }
            return act(&mut guard);
        }
    }

    /// Works on a room under its lock, and creates it if there is none.
    pub(super) fn with_room<R>(
        &self,
        known: Option<Arc<Room>>,
        name: RoomName,
        act: impl FnOnce(&mut RoomGuard<'_>) -> R,
    ) -> R {
        loop {
            let room = known.clone().or_else(|| self.room(name.as_str())).unwrap_or_else(|| {
                let new = Arc::new(Room::new(name.clone(), Arc::clone(&self.shared)));
                Arc::clone(&self.rooms.entry(ByName(new)).or_default().key().0)
            });
            let mut members = room.lock();
            if members.is_retired() {
                continue;
            }
            let result = act(&mut members);
            self.retire_if_empty(&mut members);
            return result;
        }
    }

    pub(super) fn retire_if_empty(&self, members: &mut RoomGuard<'_>) {
        let room = members.room;
        if members.retire_if_empty() {
            self.rooms.remove_if(room.name().as_str(), |there, ()| Arc::ptr_eq(&there.0, room));
        }
    }

    /// Counts the rooms of a presence after work on it. Forgets one without rooms, once its rate limit is
    /// rested: joining and leaving must give no new burst. One whose connection has left a room stays until
    /// that ends: other nodes' lists of its rooms may be older.
    pub(super) fn retire_if_unused(&self, guard: &mut PresenceGuard<'_>) {
        // Rooms that come with its client from another node stay, even if they do not fit.
        let _ = guard.state.count_rooms(0);
        if guard.state.is_used() {
            return;
        }
        if guard.state.has_left && guard.state.peer.as_ref().is_some_and(PeerHandle::is_current) {
            return;
        }
        let now = self.shared.clock.now();
        if guard.presence.rate.is_rested(now) {
            guard.state.is_retired = true;
            self.presences.remove_if(guard.id, |_, there| Arc::ptr_eq(there, guard.presence));
        } else {
            self.visit(now.plus_millis(REST), guard.id);
        }
    }

    /// Has the sweeper visit a presence soon, whose lock may not be taken now.
    pub(super) fn visit_soon(&self, id: &PeerId) {
        self.visit(self.shared.clock.now(), id);
    }

    /// Has the sweeper visit a presence.
    pub(super) fn visit(&self, at: Instant, id: &PeerId) {
        self.due.lock().push(Reverse((at, id.clone())));
    }

    /// The next presence that the sweeper has to visit by now.
    pub(super) fn next_visit(&self, now: Instant) -> Option<(PeerId, Arc<Presence>)> {
        loop {
            let id = {
                let mut due = self.due.lock();
                let next = due.peek_mut().filter(|next| next.0.0 <= now)?;
                PeekMut::pop(next).0.1
            };
            if let Some(presence) = self.presence(&id) {
                return Some((id, presence));
            }
        }
    }
}
