//! A peer that is in rooms: which, and on which connection.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::member::Own;
use super::others::TokenDigest;
use super::room::Room;
use super::watched_ids::WatchedIds;
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{Frame, PeerId, RoomName, RoomRefusal, RoomRight, RoomRights, Token};
use peerbroker_limits::{OwnShare, QuotaExceeded, QuotaShare};
use peerbroker_router::{Flush, Flushes, PeerHandle, STATE_PART};

/// Everything that one peer does in rooms happens under its lock.
pub(super) struct Presence {
    state: Mutex<PresenceState>,
    /// The sender of its messages.
    pub(super) sender: PeerId,
    /// The rate limit of its deliveries.
    pub(super) rate: RateLimit,
    /// The connection that hears of the ids that it watches. Locked behind those.
    watching: Mutex<Option<PeerHandle>>,
    /// The connection had no room to hear of one id: it has to hear of all.
    has_missed: AtomicBool,
}

/// A presence under its lock.
pub(super) struct PresenceGuard<'a> {
    pub(super) id: &'a PeerId,
    pub(super) presence: &'a Arc<Presence>,
    pub(super) state: MutexGuard<'a, PresenceState>,
    /// The recipients that have got something.
    pub(super) flushes: &'a mut Flushes,
}

#[derive(Default)]
pub(super) struct PresenceState {
    /// The connection that has the id, or had it last. `None` before the first join.
    pub(super) peer: Option<PeerHandle>,
    /// The token of that connection.
    pub(super) token: Option<Token>,
    /// Of the token, for the other nodes.
    pub(super) digest: TokenDigest,
    /// The rooms that it may enter. `None` if they are not private.
    pub(super) rights: Option<RoomRights>,
    pub(super) rooms: Vec<Arc<Room>>,
    /// The account of that connection's address.
    pub(super) account: OwnShare,
    pub(super) watched: WatchedIds,
    /// Its parts of the limits of the key. `None` before it is that of a connection.
    pub(super) share_of_rooms: Option<QuotaShare>,
    pub(super) share_of_watched: Option<QuotaShare>,
    /// Clients that watch its id know that it is online on this node.
    pub(super) is_shown: bool,
    /// The number that its news of watched ids have: new with each connection, so that other nodes know where
    /// it was last.
    pub(super) announced: u64,
    /// The connection has left a room. A node that has not heard so may list its client there at any time.
    pub(super) has_left: bool,
    /// The connection has ended, and the memberships end at this time.
    pub(super) away_until: Option<Instant>,
    /// The presence is no longer in the map. Look the id up again.
    pub(super) is_retired: bool,
}

impl Presence {
    pub(super) fn new(id: &PeerId) -> Self {
        Presence {
            state: Mutex::default(),
            sender: id.in_rooms(),
            rate: RateLimit::default(),
            watching: Mutex::default(),
            has_missed: AtomicBool::default(),
        }
    }

    /// From now on this connection hears of the ids that it watches.
    pub(super) fn watch_on(&self, peer: &PeerHandle) {
        *self.watching.lock() = Some(peer.clone());
        self.has_missed.store(false, Ordering::Relaxed);
    }

    /// Tells its client of an id that it watches. If there is no room for that now, it has to hear of all of
    /// them later.
    pub(super) fn send_presence(&self, frame: Frame) -> Option<Flush> {
        let bytes = frame.len();
        self.send_all_presence(iter::once(frame), bytes)
    }

    /// As [`send_presence`](Self::send_presence), of several ids.
    pub(super) fn send_all_presence(
        &self,
        frames: impl ExactSizeIterator<Item = Frame>,
        bytes: usize,
    ) -> Option<Flush> {
        let peer = self.watching.lock();
        let told = peer.as_ref().filter(|_| !self.has_missed())?.send_state(frames, bytes, STATE_PART);
        if told.is_none() {
            self.has_missed.store(true, Ordering::Relaxed);
        }
        told.flatten()
    }

    pub(super) fn has_missed(&self) -> bool {
        self.has_missed.load(Ordering::Relaxed)
    }

    /// For reading only.
    pub(super) fn lock_state(&self) -> MutexGuard<'_, PresenceState> {
        self.state.lock()
    }

    pub(super) fn lock<'a>(
        self: &'a Arc<Self>,
        id: &'a PeerId,
        flushes: &'a mut Flushes,
    ) -> PresenceGuard<'a> {
        PresenceGuard { id, presence: self, state: self.state.lock(), flushes }
    }
}

fn set(share: &mut Option<QuotaShare>, count: usize) -> Result<(), QuotaExceeded> {
    share.as_mut().map_or(Ok(()), |share| share.set(count))
}

impl PresenceState {
    /// True if it is the presence of this connection.
    pub(super) fn is_of(&self, peer: &PeerHandle) -> bool {
        self.peer.as_ref().is_some_and(|own| own.connection() == peer.connection())
    }

    /// True if it has to be remembered.
    pub(super) fn is_used(&self) -> bool {
        !self.rooms.is_empty() || !self.watched.is_empty() || self.is_shown
    }

    /// Counts its rooms, and `more`, for the limit of the key.
    pub(super) fn count_rooms(&mut self, more: usize) -> Result<(), RoomRefusal> {
        set(&mut self.share_of_rooms, self.rooms.len() + more).map_err(|_| RoomRefusal::KeyTooManyRooms)
    }

    /// Sets the number of ids that it watches, for the limit of the key.
    pub(super) fn count_watched(&mut self, count: usize) -> Result<(), RoomRefusal> {
        set(&mut self.share_of_watched, count).map_err(|_| RoomRefusal::KeyTooManyWatched)
    }

    /// The right of the client in a room. A proof that does not list it is refused.
    pub(super) fn right_in(&self, room: &RoomName) -> Result<RoomRight, RoomRefusal> {
        match &self.rights {
            Some(rights) => rights.right_in(room.as_str()).ok_or(RoomRefusal::Private),
            None => Ok(RoomRight::Join),
        }
    }

    /// Refuses a client that may only listen in a room.
    pub(super) fn check_speaker(&self, room: &RoomName) -> Result<(), RoomRefusal> {
        match self.right_in(room)? {
            RoomRight::Join => Ok(()),
            RoomRight::Listen => Err(RoomRefusal::ListenOnly),
        }
    }

    /// The peer as a member of a room.
    pub(super) fn member(&self, peer: &PeerHandle, data: Option<&str>) -> Own {
        Own::new(peer.clone(), self.digest, self.account.clone(), data)
    }

    /// The room of this name, if the peer is in it.
    pub(super) fn room(&self, name: &str) -> Option<&Arc<Room>> {
        self.rooms.iter().find(|room| room.name().as_str() == name)
    }
}
