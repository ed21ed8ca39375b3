use crate::broker::outgoing::Outgoing;
use crate::events::PeerAddress;

/// The other nodes, as the broker of one node sees them. A node by itself has [`Alone`].
///
/// The broker asks only about peers that have no connection here, so messages between two peers of one node never
/// come this way. It may hold the lock of the peer's slot meanwhile: an implementation never waits and never calls the
/// broker.
pub trait Cluster: Send + Sync + 'static {
    /// Takes a message, or a notice to the sender of one, for a peer that is not here. `Err` gives it back, because the
    /// peer is on no other node: then a message waits here or is dropped, and a notice is dropped.
    ///
    /// Messages of one sender to one peer have to arrive in the order of these calls. If one that was taken cannot be
    /// delivered, its sender has to get EXPIRE.
    fn forward(&self, to: &PeerAddress, message: Outgoing) -> Result<(), Outgoing>;
}

/// No other node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Cluster for Alone {
    fn forward(&self, _: &PeerAddress, message: Outgoing) -> Result<(), Outgoing> {
        Err(message)
    }
}
