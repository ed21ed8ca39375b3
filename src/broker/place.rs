//! What is known of a peer that is on another node, or may be.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::budget::Reservation;
use super::outgoing::Outgoing;
use crate::wire::{Owner, PeerId};

/// What is known of a peer that is not here.
#[derive(Default)]
pub(super) struct Remote {
    pub(super) place: Place,
    /// When the place was last asked for, learned, or used.
    pub(super) used: u64,
    /// The connection that was there last, and is not any more.
    pub(super) over: Option<Owner>,
    /// Messages that another node has, in order. What became of them is not known yet.
    pub(super) sent: VecDeque<Sent>,
    pub(super) last_ticket: u64,
    /// Senders that lost a message, up to which ticket: what they had there by then is one loss, and told once.
    pub(super) told: HashMap<PeerId, u64>,
    /// Woken when no other node has a message.
    pub(super) settled: Vec<oneshot::Sender<()>>,
    /// Its part of the bound on ids that are remembered although nothing waits for them.
    pub(super) remembered: Option<Reservation>,
}

impl Remote {
    /// True if nothing is known and nothing is on its way: such a one needs no slot.
    pub(super) fn is_empty(&self) -> bool {
        self.place == Place::Unknown && self.sent.is_empty() && self.settled.is_empty()
    }

    /// True if another node has a message of this sender, and has not said what became of it.
    pub(super) fn has_sent(&self, from: &PeerId) -> bool {
        self.sent.iter().any(|sent| !sent.returned && sent.outgoing.from() == Some(from))
    }
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Unknown,
    /// The answer is on its way.
    Asked,
    /// On no node. Until then, the node that it opens on will tell.
    Nowhere {
        until: u64,
    },
    At(Owner),
    /// It left its node. The messages that its node still has come back first, so that they stay in order.
    Recalled,
}

pub(super) struct Sent {
    pub(super) ticket: u64,
    pub(super) owner: Owner,
    pub(super) since: u64,
    pub(super) outgoing: Outgoing,
    pub(super) returned: bool,
}
