use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::budget::{Budget, Reservation};
use super::outgoing::Outgoing;
use crate::config::Limits;
use crate::wire::{DropReason, MessageKind, PeerId};

// Charged for each message besides its bytes: about the memory that it takes if it is the only one for its recipient. So
// many tiny messages are bounded too.
const OVERHEAD: usize = 512;

/// The messages that wait for one absent peer.
///
/// The messages of one sender are a batch with one clock, which starts with the first of them. A batch is delivered as a
/// whole and in order, or expires as a whole.
#[derive(Default)]
pub(super) struct Queue {
    messages: VecDeque<Outgoing>,
    batches: HashMap<PeerId, PendingBatch>,
    bytes: usize,
}

struct PendingBatch {
    since: u64,
    messages: usize,
}

/// Where a message goes in the order of delivery.
#[derive(Clone, Copy)]
pub(super) enum QueueEnd {
    /// In front: the message is older than all that wait.
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
            lost.extend(outgoing.counted());
            return Err(Overflow { reason, lost });
        }
        self.bytes += len;
        if let Some(from) = outgoing.from() {
            let new = PendingBatch { since: now, messages: 0 };
            self.batches.entry(from.clone()).or_insert(new).messages += 1;
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
            let messages = self.drop_if(|outgoing| outgoing.from() == Some(&from), budget);
            (from, messages)
        });
        expired.collect()
    }

    /// The oldest message.
    pub(super) fn front(&self) -> Option<&Outgoing> {
        self.messages.front()
    }

    /// Takes out the messages that do not wait.
    pub(super) fn drop_impatient(&mut self, budget: &Budget) -> Vec<MessageKind> {
        self.drop_if(|outgoing| outgoing.kept_from().is_none(), budget)
    }

    /// Takes out the oldest message.
    pub(super) fn pop(&mut self, budget: &Budget) -> Option<Outgoing> {
        let outgoing = self.messages.pop_front()?;
        self.bytes -= outgoing.frame.len();
        budget.give_back(outgoing.frame.len() + OVERHEAD);
        leave(&mut self.batches, &outgoing);
        Some(outgoing)
    }

    /// Takes out everything of one sender that must not be lost.
    pub(super) fn drop_batch(&mut self, from: &PeerId, budget: &Budget) -> Vec<MessageKind> {
        self.drop_if(|outgoing| outgoing.kept_from() == Some(from), budget)
    }

    fn drop_if(&mut self, goes: impl Fn(&Outgoing) -> bool, budget: &Budget) -> Vec<MessageKind> {
        let (before, mut dropped) = (self.cost(), Vec::new());
        let (messages, batches) = (&mut self.messages, &mut self.batches);
        messages.retain(|outgoing| {
            let goes = goes(outgoing);
            if goes {
                self.bytes -= outgoing.frame.len();
                leave(batches, outgoing);
                dropped.extend(outgoing.counted());
            }
            !goes
        });
        budget.give_back(before - self.cost());
        dropped
    }

    /// The share of this queue in the budget.
    fn cost(&self) -> usize {
        self.bytes + self.messages.len() * OVERHEAD
    }

    /// When the oldest batch began.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.batches.values().map(|batch| batch.since).min()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// All messages in order of arrival, and their share of the budget.
    pub(super) fn drain(self, budget: &Arc<Budget>) -> (VecDeque<Outgoing>, Reservation) {
        let reservation = budget.reserved(self.cost());
        (self.messages, reservation)
    }
}

/// Takes a message out of the batch of its sender.
fn leave(batches: &mut HashMap<PeerId, PendingBatch>, outgoing: &Outgoing) {
    if let Some(from) = outgoing.from()
        && let Some(batch) = batches.get_mut(from)
    {
        batch.messages -= 1;
        if batch.messages == 0 {
            batches.remove(from);
        }
    }
}
