use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::budget::{Budget, Reservation};
use super::outgoing::Outgoing;
use crate::config::Limits;
use crate::wire::{DropReason, MessageKind, PeerId};

// About what a kept message costs beside its bytes if it is the only one for its recipient, so that
// very many tiny ones are bounded as well.
const OVERHEAD: usize = 512;

/// What waits for one absent peer.
///
/// What one sender has waiting here is one batch with one clock, from its first message: it is delivered whole and in
/// order, or it expires whole.
#[derive(Default)]
pub(super) struct Queue {
    messages: VecDeque<Outgoing>,
    /// Of messages that must not be lost. Other frames are here only during a takeover.
    batches: HashMap<PeerId, PendingBatch>,
    bytes: usize,
}

struct PendingBatch {
    since: u64,
}

/// Where a message goes in the order of delivery.
#[derive(Clone, Copy)]
pub(super) enum QueueEnd {
    /// In front: it was sent before all that waits.
    Front,
    /// Behind: the usual case.
    Back,
}

/// A bound was reached. Everything that the sender had waiting is gone, and this message too.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow {
    /// Which bound.
    pub(super) reason: DropReason,
    /// The messages that are gone.
    pub(super) lost: Vec<MessageKind>,
}

impl Queue {
    /// Keeps a message that comes at `now`.
    pub(super) fn keep(
        &mut self,
        outgoing: Outgoing,
        end: QueueEnd,
        now: u64,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<(), Overflow> {
        let len = outgoing.frame.len();
        let refused = if self.messages.len() >= limits.queue_messages {
            Some(DropReason::QueueMessages)
        } else if self.bytes + len > limits.queue_bytes {
            Some(DropReason::QueueBytes)
        } else if !budget.take(len + OVERHEAD, limits.queue_total_bytes) {
            Some(DropReason::QueueTotalBytes)
        } else {
            None
        };
        if let Some(reason) = refused {
            let mut lost = Vec::new();
            if let Some(from) = outgoing.kept_from() {
                lost = self.drop_batch(from, budget);
            }
            lost.extend(outgoing.kind());
            return Err(Overflow { reason, lost });
        }
        self.bytes += len;
        if let Some(from) = outgoing.kept_from() {
            self.batches.entry(from.clone()).or_insert(PendingBatch { since: now });
        }
        match end {
            QueueEnd::Front => self.messages.push_front(outgoing),
            QueueEnd::Back => self.messages.push_back(outgoing),
        }
        Ok(())
    }

    /// Takes out the batches that began at `began` or before: their senders, and the messages of each.
    pub(super) fn expire(&mut self, began: u64, budget: &Budget) -> Vec<(PeerId, Vec<MessageKind>)> {
        let old = self.batches.iter().filter(|(_, batch)| batch.since <= began);
        let senders: Vec<PeerId> = old.map(|(from, _)| from.clone()).collect();
        let expired = senders.into_iter().map(|from| {
            let messages = self.drop_batch(&from, budget);
            (from, messages)
        });
        expired.collect()
    }

    fn drop_batch(&mut self, from: &PeerId, budget: &Budget) -> Vec<MessageKind> {
        self.batches.remove(from);
        let (before, mut dropped) = (self.cost(), Vec::new());
        self.messages.retain(|kept| {
            let stays = kept.kept_from() != Some(from);
            if !stays {
                self.bytes -= kept.frame.len();
                dropped.extend(kept.kind());
            }
            stays
        });
        budget.give_back(before - self.cost());
        dropped
    }

    /// What this queue takes of the budget.
    fn cost(&self) -> usize {
        self.bytes + self.messages.len() * OVERHEAD
    }

    /// When the oldest batch began.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.batches.values().map(|batch| batch.since).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// All there is, in order of arrival, and what it takes of the budget.
    pub(super) fn drain(self, budget: &Arc<Budget>) -> (VecDeque<Outgoing>, Reservation) {
        let reservation = budget.reserved(self.cost());
        (self.messages, reservation)
    }
}
