//! A peer that is in rooms: which, and on which connection.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::others::TokenDigest;
use super::room::Room;
use crate::rate_limit::RateLimit;
use crate::router::{Flush, Peer};
use crate::wire::{PeerId, RoomName, RoomRefusal, RoomRight, RoomRights, Token};

/// Everything that one peer does in rooms happens under its lock.
pub(super) struct Presence {
    state: Mutex<State>,
    /// The sender of its messages.
    pub(super) sender: PeerId,
    /// The rate limit of its deliveries.
    pub(super) rate: RateLimit,
}

/// A presence under its lock.
pub(super) struct PresenceGuard<'a> {
    pub(super) id: &'a PeerId,
    pub(super) presence: &'a Arc<Presence>,
    pub(super) state: MutexGuard<'a, State>,
    /// The recipients that have got something.
    pub(super) flushes: &'a mut Vec<Flush>,
}

#[derive(Default)]
pub(super) struct State {
    /// The connection that has the id, or had it last. `None` before the first join.
    pub(super) peer: Option<Peer>,
    /// The token of that connection.
    pub(super) token: Option<Token>,
    /// Of the token, for the other nodes.
    pub(super) digest: TokenDigest,
    /// The rooms that it may enter. `None` if they are not private.
    pub(super) rights: Option<RoomRights>,
    pub(super) rooms: Vec<Arc<Room>>,
    /// The connection has ended, and the memberships end at this time.
    pub(super) away_until: Option<u64>,
    /// The presence is no longer in the map. Look the id up again.
    pub(super) is_retired: bool,
}

impl Presence {
    pub(super) fn new(id: &PeerId) -> Self {
        Presence { state: Mutex::default(), sender: id.in_rooms(), rate: RateLimit::default() }
    }

    /// For reading only.
    pub(super) fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn lock<'a>(
        self: &'a Arc<Self>,
        id: &'a PeerId,
        flushes: &'a mut Vec<Flush>,
    ) -> PresenceGuard<'a> {
        PresenceGuard { id, presence: self, state: self.state.lock(), flushes }
    }
}

impl State {
    /// True if it is the presence of this connection.
    pub(super) fn is_of(&self, peer: &Peer) -> bool {
        self.peer.as_ref().is_some_and(|own| own.connection() == peer.connection())
    }

    /// The number of rooms that it has joined.
    pub(super) fn joined(&self) -> usize {
        self.rooms.iter().filter(|room| room.watched().is_none()).count()
    }

    /// The number of ids that it watches, for the peer of this id.
    pub(super) fn watches(&self, own: &PeerId) -> usize {
        self.rooms.iter().filter(|room| room.watched().is_some_and(|id| id != own)).count()
    }

    /// The right of the client in a room. A proof that does not list it is refused. Everybody may watch an id.
    pub(super) fn right_in(&self, room: &RoomName) -> Result<RoomRight, RoomRefusal> {
        match &self.rights {
            Some(rights) if room.watched().is_none() => {
                rights.right_in(room.as_str()).ok_or(RoomRefusal::Private)
            }
            _ => Ok(RoomRight::Join),
        }
    }

    /// Refuses a client that may only listen in a room.
    pub(super) fn check_speaker(&self, room: &RoomName) -> Result<(), RoomRefusal> {
        match self.right_in(room)? {
            RoomRight::Join => Ok(()),
            RoomRight::Listen => Err(RoomRefusal::ListenOnly),
        }
    }

    /// The room of this name, if the peer is in it.
    pub(super) fn room(&self, name: &str) -> Option<&Arc<Room>> {
        self.rooms.iter().find(|room| room.name().as_str() == name)
    }
}
