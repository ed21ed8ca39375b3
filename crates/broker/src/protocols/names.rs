//! Names that a client of a protocol has: a room code, a player's name, an id in a swarm, a group.

use std::any::Any;

use serde::{Deserialize, Serialize};

use peerbroker_core::wire::{PeerId, RoomName, numbers};

/// Something that is dropped with a name: the hold on it in a cluster.
pub type Hold = Box<dyn Any + Send + Sync>;

/// The state of the peer that has the wanted name, as far as it is known.
#[derive(Clone, Debug)]
pub enum NameHolder {
    /// Nobody has asked it.
    Unasked,
    /// It has answered.
    Alive,
    /// It did not answer, or has left.
    Gone(PeerId),
}

/// The room and the size of groups. Nothing fills a group of size 0, which has a host.
pub type GroupKind = (RoomName, usize);

/// The state of a group, as a client with a place in it has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Others may come.
    Open,
    /// It is full, or its host has left: nobody else comes.
    Closed,
    /// Its clients have to take other places.
    Ended,
}

/// The error of an operation in the room of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomCodeError {
    /// There is no such room, or it has ended.
    NoRoom,
    /// There is no such player in the room.
    NoPlayer,
    /// The room has reached its limit of players.
    Full,
    /// The limit of rooms is reached.
    TooMany,
    /// The host of the room was lost, and may come back.
    HostAway,
}

numbers!(RoomCodeError: NoRoom = 0, NoPlayer = 1, Full = 2, TooMany = 3, HostAway = 4);

/// A player's name that was written down.
#[derive(Serialize, Deserialize)]
pub struct KeptName {
    pub(super) code: String,
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) generation: u64,
}
