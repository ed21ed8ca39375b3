use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::outbox::Outgoing;
use super::{Limits, Shared};
use crate::wire::PeerId;

// About what a kept message costs beside its bytes if it is the only one for its recipient, so that
// very many tiny ones are bounded as well.
const OVERHEAD: usize = 512;

/// What waits for one absent peer.
///
/// What one sender has waiting here is one batch with one clock, from its first message:
/// it is delivered whole and in order, or it expires whole.
#[derive(Default)]
pub(super) struct Queue {
    messages: VecDeque<Outgoing>,
    /// Of messages that must not be lost. Other frames are here only during a takeover.
    batches: HashMap<PeerId, PendingBatch>,
    bytes: usize,
}

/// Messages that waited for a peer, on their way into its outbox.
pub(super) struct WaitingMessages {
    pub(super) messages: VecDeque<Outgoing>,
    pub(super) charge: QueueReservation,
}

/// A part of the bytes that may wait for all peers. Dropping it gives them back.
pub(super) struct QueueReservation {
    shared: Arc<Shared>,
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

/// A bound was reached; the sender's batch is gone, this message included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Queue {
    /// Keeps a message. On overflow the sender's whole batch is dropped.
    pub(super) fn keep(
        &mut self,
        outgoing: Outgoing,
        end: QueueEnd,
        shared: &Shared,
    ) -> Result<(), Overflow> {
        let Limits { queue_messages, queue_bytes, queue_total_bytes, .. } = shared.limits;
        let len = outgoing.frame.len();
        let fits = self.messages.len() < queue_messages
            && self.bytes + len <= queue_bytes
            && reserve(&shared.queued_bytes, len + OVERHEAD, queue_total_bytes);
        if !fits {
            if let Some(from) = outgoing.kept_from() {
                self.drop_batch(from, &shared.queued_bytes);
            }
            return Err(Overflow);
        }
        self.bytes += len;
        if let Some(from) = outgoing.kept_from() {
            let begin = || PendingBatch { since: shared.clock.now() };
            self.batches.entry(from.clone()).or_insert_with(begin);
        }
        match end {
            QueueEnd::Front => self.messages.push_front(outgoing),
            QueueEnd::Back => self.messages.push_back(outgoing),
        }
        Ok(())
    }

    /// Takes out the batches that began at `began` or before, and says whose they were.
    pub(super) fn expire(&mut self, began: u64, total: &AtomicUsize) -> Vec<PeerId> {
        let expired: Vec<PeerId> = self
            .batches
            .iter()
            .filter(|(_, batch)| batch.since <= began)
            .map(|(from, _)| from.clone())
            .collect();
        for from in &expired {
            self.drop_batch(from, total);
        }
        expired
    }

    fn drop_batch(&mut self, from: &PeerId, total: &AtomicUsize) {
        self.batches.remove(from);
        let before = self.cost();
        self.messages.retain(|kept| {
            let stays = kept.kept_from() != Some(from);
            if !stays {
                self.bytes -= kept.frame.len();
            }
            stays
        });
        total.fetch_sub(before - self.cost(), Ordering::Relaxed);
    }

    /// What this queue takes of the total.
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

    /// All there is, in order of arrival.
    pub(super) fn drain(self, shared: &Arc<Shared>) -> WaitingMessages {
        let charge = QueueReservation { shared: Arc::clone(shared), bytes: self.cost() };
        WaitingMessages { messages: self.messages, charge }
    }
}

impl QueueReservation {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for QueueReservation {
    fn drop(&mut self) {
        self.shared.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn reserve(total: &AtomicUsize, len: usize, max: usize) -> bool {
    total
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| {
            sum.checked_add(len).filter(|sum| *sum <= max)
        })
        .is_ok()
}
