//! The seam between the router and the other nodes, and what this node knows about a peer there.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::outgoing::Outgoing;
use super::queue::Reservation;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{ConnId, Frame, NodeId, Owner, PeerId};
use peerbroker_events::PeerAddress;

/// The other nodes, as the broker of one node sees them. On a node by itself, an absent peer is nowhere.
///
/// The broker asks only about peers that have no connection here, so messages between two peers of one node
/// never come this way. The caller may hold the lock of the peer's slot: an implementation never waits and
/// never calls the broker. Its answers come later, from a thread of its own.
///
/// A message belongs to the node of its sender until that node knows its outcome. So it is in one slot of one
/// node, in the order in which its sender sent it, and that node alone decides whether it waits, goes to
/// another node, or expires.
pub trait RemotePeers: Send + Sync + 'static {
    /// Asks which node has a peer, for a sender of the same realm; `over` certainly does not have it any
    /// more. Senders take turns. [`Realm::located`](super::Realm::located) gets the answer, unless there is
    /// none.
    fn locate(&self, peer: PeerAddress, from: &PeerId, known_dead: Option<Owner>);

    /// Hands a message over to the node that has its recipient, and keeps the order of calls with the same
    /// node. [`Realm::settle`](super::Realm::settle) gets its outcome, with the same `ticket`. False if there
    /// is no room for it now: then it stays here.
    fn forward(&self, owner: Owner, to: &PeerAddress, ticket: u64, message: &Outgoing) -> bool;

    /// Tells a node that this one has given up a message, whose sender hears so: it must not be delivered any
    /// more.
    fn give_up(&self, owner: Owner, to: &PeerAddress, ticket: u64);

    /// A node has reported nothing about a message for a while: it may be dead, or its client reads slowly.
    fn doubt(&self, node: NodeId);

    /// True if a node is dead, or was doubted and has not answered at all. [`forward`](Self::forward) gives
    /// it nothing.
    fn is_silent(&self, node: NodeId) -> bool;

    /// Sends a notice to a peer on any node. It is lost if the peer is nowhere.
    fn notify(&self, peer: PeerAddress, notice: Frame);

    /// A connection with a claim has lost its id, and no connection of this node has it.
    fn release(&self, peer: PeerAddress, connection: ConnId);
}

/// The knowledge of this node about a peer that is not here.
#[derive(Default)]
pub(super) struct Remote {
    pub(super) place: PeerPlace,
    /// The time at which the place was last asked for, learned, or used.
    pub(super) used: Instant,
    /// The last connection there, which has ended.
    pub(super) known_dead: Option<Owner>,
    /// Messages that another node has, in order. Their outcomes are not known yet.
    pub(super) sent: VecDeque<Sent>,
    pub(super) last_ticket: u64,
    /// Senders that lost a message, and the ticket up to which their losses there count as one, reported
    /// once.
    pub(super) reported_up_to: HashMap<PeerId, u64>,
    /// Woken when no other node has a message.
    pub(super) settled: Vec<oneshot::Sender<()>>,
    /// Its part of the bound on ids that are remembered although nothing waits for them.
    pub(super) remembered: Option<Reservation>,
}

impl Remote {
    /// True if nothing is known and no message is on its way, so that no slot is needed.
    pub(super) fn is_empty(&self) -> bool {
        self.place == PeerPlace::Unknown && self.sent.is_empty() && self.settled.is_empty()
    }

    /// True if another node has a message of this sender, and has not reported its outcome.
    pub(super) fn has_sent(&self, from: &PeerId) -> bool {
        self.sent.iter().any(|sent| !sent.returned && sent.outgoing.from() == Some(from))
    }

    /// Takes out a message that another node has.
    pub(super) fn take_sent(&mut self, wanted: impl Fn(&Sent) -> bool) -> Option<Sent> {
        let at = self.sent.iter().position(|sent| !sent.returned && wanted(sent))?;
        self.sent.remove(at)
    }
}

/// The place of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PeerPlace {
    #[default]
    Unknown,
    /// The answer is on its way.
    Asked,
    /// On no node. Until this time, the node on which it opens will report it.
    Nowhere {
        until: Instant,
    },
    At(Owner),
    /// The peer left its node. The messages that the node still has come back first, so they stay in order.
    Recalled,
}

pub(super) struct Sent {
    pub(super) ticket: u64,
    pub(super) owner: Owner,
    pub(super) since: Instant,
    pub(super) outgoing: Outgoing,
    pub(super) returned: bool,
}
