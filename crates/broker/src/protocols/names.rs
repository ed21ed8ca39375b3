//! Names that a client of a protocol has: a room code, a player's name, an id in a swarm, a group.

use std::any::Any;

use peerbroker_core::wire::PeerId;

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
