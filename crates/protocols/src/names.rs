//! Names that clients hold among all nodes beside their ids, such as a room code, and the seats that clients
//! of other nodes take under them.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::watch;

use peerbroker_core::vocabulary::{CloseReason, PeerId};
use peerbroker_router::Realm;

/// Something that is dropped with a name: the hold on it in a cluster.
pub type Hold = Box<dyn Any + Send + Sync>;

/// The outcome of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The name is the client's, or may be used before the other nodes can be asked.
    Granted,
    /// Another client has it.
    Taken,
    /// The other nodes cannot be asked.
    Unavailable,
}

/// The state of the peer that has the wanted name, as far as it is known.
#[derive(Clone, Debug)]
pub enum NameHolder {
    /// Nobody has asked the peer.
    Unasked,
    /// The peer has answered.
    Alive,
    /// The peer did not answer, or has left.
    Gone(PeerId),
}

/// The state of a seat, as the client that has it has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// Others may come.
    Open,
    /// Nobody else comes.
    Closed,
    /// The client does not have it any more.
    Lost,
}

/// The names of one kind that clients of a key hold on this node, for the other nodes.
pub trait Names: Send + Sync {
    /// The client that others reach by a name.
    fn client(&self, _name: &str) -> Option<PeerId> {
        None
    }

    /// Gives a client of another node a seat under a name, and says what that node is told, in the protocol's
    /// own words. An error is a number of the protocol. Names without seats need none.
    fn seat(
        self: Arc<Self>,
        _name: &str,
        _wanted: &str,
        _client: &PeerId,
        _holder: &NameHolder,
    ) -> Result<Seating, u8> {
        Err(NO_SUCH_NAME)
    }

    /// A client of another node has a name that this client has held. `None` if there is no client of the
    /// realm any more.
    fn lose(&self, _name: &str, holder: &PeerId, realm: Option<&Realm>) {
        if let Some(realm) = realm {
            realm.dismiss_id(holder.as_str(), CloseReason::Outranked);
        }
    }

    /// Other nodes have taken this one for dead, and its seats for free.
    fn lapse(&self) {}
}

/// No client here has the name.
pub const NO_SUCH_NAME: u8 = 0;

/// The result of the request for a seat.
pub enum Seating {
    /// The client has the seat, and its node is told this.
    Given(Box<dyn GivenSeat>, String),
    /// The peer that has the seat. If it does not live any more, the client is to get the seat.
    Held(PeerId),
}

/// A seat that a client of another node has on this one. Dropping it gives the seat up.
pub trait GivenSeat: Send {
    /// Its state, if that can change.
    fn state(&self) -> Option<watch::Receiver<SeatState>> {
        None
    }

    /// Notes that it is in doubt if the client has the seat. Returns the seat if it is kept until the
    /// client's node says otherwise, or is dead.
    fn doubt(self: Box<Self>) -> Option<Box<dyn GivenSeat>>;
}

/// A client's seat on another node. Dropping it gives the seat up.
pub trait Seat: Any + Send + Sync {
    /// True if that node may still have it.
    fn is_kept(&self) -> bool;
}

/// The outcome of the request for a seat on another node.
pub enum Seated {
    /// The client has it.
    In {
        /// Its hold on it.
        seat: Box<dyn Seat>,
        /// The words of the protocol with which the node has given it.
        told: String,
        /// Its state.
        state: watch::Receiver<SeatState>,
    },
    /// A client of another node holds the name, and nothing else was wanted.
    Found,
    /// No client of another node holds the name.
    Nowhere,
    /// The holder's node gives none, for this number of the protocol.
    Refused(u8),
    /// The holder's node did not answer, or cannot be found now.
    Unavailable,
}
