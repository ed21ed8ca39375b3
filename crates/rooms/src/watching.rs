//! The ids that a client watches, and its own id for those that watch it.

use super::Rooms;
use super::presence::PresenceGuard;
use super::watched_ids::MAX_WATCHED;
use peerbroker_core::vocabulary::{Frame, PeerId, RoomName, RoomRefusal};
use peerbroker_router::PeerHandle;

/// The watching of one client, under the lock of its presence.
pub(super) struct Watching<'a, 'presence> {
    pub(super) rooms: &'a Rooms,
    pub(super) guard: &'a mut PresenceGuard<'presence>,
}

impl Watching<'_, '_> {
    /// Begins to watch an id, which `most` peers may watch, or tells again if that is online.
    pub(super) fn watch(&mut self, peer: &PeerHandle, id: &PeerId, most: usize) -> Result<(), RoomRefusal> {
        let rooms = self.rooms;
        let is_new = !self.guard.state.watched.contains(id.as_str());
        // Counted once: it reads all of them.
        let count = self.guard.state.watched.len();
        if is_new && count >= MAX_WATCHED {
            return Err(RoomRefusal::TooManyWatched);
        }
        let mut watches = rooms.watches.lock();
        if is_new {
            if watches.watchers(id) >= most {
                return Err(RoomRefusal::Full);
            }
            self.guard.state.count_watched(count + 1)?;
        }
        if let Err(refusal) = rooms.limits.charge(self.guard, 1) {
            self.count_watched();
            return Err(refusal);
        }
        let PresenceGuard { id: own, presence, state, flushes } = &mut *self.guard;
        if is_new {
            if state.watched.is_empty() {
                presence.watch_on(peer);
            }
            state.watched.push(id.as_str());
            watches.add(id.as_str(), presence);
            rooms.neighbours.announce_watched(id.as_str(), own, state);
        }
        let frame = rooms.frames.presence(id.as_str(), watches.is_online(id.as_str()));
        flushes.extend(frame.and_then(|frame| peer.reply(frame)));
        Ok(())
    }

    /// Watches ids no longer. One that it does not watch needs nothing.
    pub(super) fn stop<'i>(&mut self, ids: impl Iterator<Item = &'i str>, for_good: bool) {
        ids.for_each(|id| self.stop_one(id, for_good));
        self.count_watched();
    }

    fn stop_one(&mut self, id: &str, for_good: bool) {
        if !self.guard.state.watched.remove(id) {
            return;
        }
        let is_unwatched = self.rooms.watches.lock().remove(id, self.guard.presence);
        // Where it was before does not count for those that watch.
        let _ = self.rooms.neighbours.announce_unwatched(id, self.guard.id, for_good, Vec::new());
        if let Ok(id) = PeerId::parse(id)
            && is_unwatched
        {
            self.rooms.store.visit_soon(&id);
        }
    }

    fn count_watched(&mut self) {
        // Ids that its client watches on another node too stay, even if they do not fit.
        let count = self.guard.state.watched.len();
        let _ = self.guard.state.count_watched(count);
    }

    /// Watches nothing any more.
    pub(super) fn stop_all(&mut self, for_good: bool) {
        let watched: Vec<String> = self.guard.state.watched.iter().map(str::to_owned).collect();
        self.stop(watched.iter().map(String::as_str), for_good);
    }

    /// Goes on with a new connection, also with the ids that the client watches on other nodes.
    pub(super) fn go_on(&mut self, peer: &PeerHandle, elsewhere: &[RoomName]) {
        for id in elsewhere.iter().filter_map(RoomName::watched).filter(|id| id != peer.id()) {
            if !self.guard.state.watched.contains(id.as_str()) {
                self.guard.state.watched.push(id.as_str());
                self.rooms.watches.lock().add(id.as_str(), self.guard.presence);
            }
        }
        self.count_watched();
        for id in self.guard.state.watched.iter() {
            self.rooms.neighbours.announce_watched(id, self.guard.id, &self.guard.state);
        }
        if !self.guard.state.watched.is_empty() {
            self.rooms.limits.charge_on_credit(self.guard, self.guard.state.watched.len());
            self.send_all(peer);
        }
    }

    /// Tells the client of all ids that it watches.
    pub(super) fn send_all(&mut self, peer: &PeerHandle) {
        let watches = self.rooms.watches.lock();
        self.guard.presence.watch_on(peer);
        let frame = |id: &str| self.rooms.frames.presence(id, watches.is_online(id));
        let frames: Vec<Frame> = self.guard.state.watched.iter().filter_map(frame).collect();
        let bytes = frames.iter().map(Frame::len).sum();
        self.guard.flushes.extend(self.guard.presence.send_all_presence(frames.into_iter(), bytes));
    }

    /// The client is online for those that watch its id.
    pub(super) fn show(&mut self) {
        if !std::mem::replace(&mut self.guard.state.is_shown, true) {
            let mut watches = self.rooms.watches.lock();
            self.rooms.limits.charge_on_credit(self.guard, watches.watchers(self.guard.id));
            let PresenceGuard { id, state, flushes, .. } = &mut *self.guard;
            watches.set_here(id, true, flushes);
            self.rooms.neighbours.announce_watched(id.as_str(), id, state);
        }
    }

    /// The client is not online on this node any more, and nowhere if that is `for_good`.
    pub(super) fn hide(&mut self, for_good: bool) {
        if std::mem::take(&mut self.guard.state.is_shown) {
            let mut watches = self.rooms.watches.lock();
            self.rooms.limits.charge_on_credit(self.guard, watches.watchers(self.guard.id));
            let PresenceGuard { id, flushes, .. } = &mut *self.guard;
            watches.set_here(id, false, flushes);
            let mut former = Vec::new();
            if for_good {
                former.extend(watches.places(id).iter().map(|(node, number)| (node.get(), *number)));
            }
            let are_told = self.rooms.neighbours.announce_unwatched(id.as_str(), id, for_good, former);
            if are_told && for_good {
                watches.set_places(id, flushes, Vec::clear);
            }
        }
    }
}
