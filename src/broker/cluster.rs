use super::outgoing::Outgoing;
use crate::events::PeerAddress;
use crate::wire::{ConnId, Frame, NodeId, Owner, PeerId};

/// The other nodes, as the broker of one node sees them. A node by itself has [`Alone`].
///
/// The broker asks only about peers that have no connection here, so messages between two peers of one node never
/// come this way. It may hold the lock of the peer's slot meanwhile: an implementation never waits and never calls the
/// broker. Its answers come later, from a thread of its own.
///
/// A message belongs to the node of its sender until that node knows what became of it. So it is in one slot of one node, in
/// the order in which its sender sent it, and that node alone decides whether it waits, goes to another node, or expires.
pub trait Cluster: Send + Sync + 'static {
    /// Whether there are other nodes. If not, a peer that is not here is nowhere, and nothing below is called.
    fn is_shared(&self) -> bool;

    /// Asks which node has a peer, for a sender of the same realm; `over` certainly has it no more. Senders take turns.
    /// [`Realm::located`](super::Realm::located) gets the answer, unless there is none.
    fn locate(&self, peer: PeerAddress, from: &PeerId, over: Option<Owner>);

    /// Hands a message over to the node that has its recipient, and keeps the order of calls with the same node.
    /// [`Realm::settle`](super::Realm::settle) gets its outcome, with the same `ticket`. False if there is no room for it now:
    /// then it stays here.
    fn forward(&self, owner: Owner, to: &PeerAddress, ticket: u64, message: &Outgoing) -> bool;

    /// A node has answered nothing about a message for a while: it may be dead, or its client reads slowly.
    fn doubt(&self, node: NodeId);

    /// True if a node is dead, or was doubted and does not answer at all. [`forward`](Self::forward) gives it nothing.
    fn is_silent(&self, node: NodeId) -> bool;

    /// Tells a peer something, wherever it is. Lost if it is nowhere.
    fn notify(&self, peer: PeerAddress, notice: Frame);

    /// A connection that had claimed its id has lost it, and nobody here has it.
    fn release(&self, peer: PeerAddress, connection: ConnId);
}

/// No other node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Cluster for Alone {
    fn is_shared(&self) -> bool {
        false
    }

    fn locate(&self, _: PeerAddress, _: &PeerId, _: Option<Owner>) {}

    fn forward(&self, _: Owner, _: &PeerAddress, _: u64, _: &Outgoing) -> bool {
        false
    }

    fn doubt(&self, _: NodeId) {}

    fn is_silent(&self, _: NodeId) -> bool {
        false
    }

    fn notify(&self, _: PeerAddress, _: Frame) {}

    fn release(&self, _: PeerAddress, _: ConnId) {}
}
