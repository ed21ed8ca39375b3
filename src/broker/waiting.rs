//! The queue of an absent peer, and the senders that lose messages there.

use std::collections::VecDeque;

use super::budget::Reservation;
use super::guard::Guard;
use super::outgoing::{HandOver, Outgoing};
use super::queue::{Overflow, QueueEnd};
use super::slot::Timeouts;
use crate::events::Outcome;
use crate::wire::{DropReason, MessageKind, PeerId};

impl Guard<'_> {
    /// Keeps a message for the next holder. Its sender is not told if that fails.
    pub(super) fn keep(&mut self, outgoing: Outgoing, end: QueueEnd) -> Result<(), DropReason> {
        let (realm, kind) = (self.realm, outgoing.counted());
        let shared = &realm.shared;
        if realm.quota.is_revoked() {
            // Nobody can register any more to get it.
            self.count(kind, Outcome::Dropped(DropReason::KeyRevoked));
            return Err(DropReason::KeyRevoked);
        }
        let now = shared.now();
        let must_not_be_lost = outgoing.kept_from().is_some();
        let is_sought = self.is_sought();
        let queue = self.queue.get_or_insert_default();
        let kept = queue.keep(outgoing, end, now, &shared.config().limits, &realm.room, is_sought);
        self.note_queue();
        match kept {
            Ok(()) => {
                self.count(kind, Outcome::Queued);
                Ok(())
            }
            Err(Overflow { reason, lost }) => {
                self.count_all(lost, Outcome::Dropped(reason));
                shared.counters().expired(usize::from(must_not_be_lost));
                self.note_limit(reason);
                Err(reason)
            }
        }
    }

    /// Keeps what an outbox still held and must not be lost. The rest is dropped with its connection.
    pub(super) fn keep_all(&mut self, unsent: impl IntoIterator<Item = Outgoing>, end: QueueEnd) {
        let kept = unsent.into_iter().filter_map(|mut outgoing| {
            if outgoing.kept_from().is_none() {
                self.realm.shared.count(outgoing.counted(), Outcome::Dropped(DropReason::Disconnected));
                return None;
            }
            if outgoing.is_foreign() {
                // Its own node keeps it, with the others of its sender.
                outgoing.settle(HandOver::NotHere);
                return None;
            }
            Some(outgoing)
        });
        let kept: Vec<Outgoing> = kept.collect();
        self.carry_over(kept, end);
    }

    /// Keeps all that an outbox still held for the next connection of the same client, which takes it before anybody
    /// else gets to the slot.
    pub(super) fn carry_over(&mut self, unsent: impl IntoIterator<Item = Outgoing>, end: QueueEnd) {
        for outgoing in unsent {
            let from = outgoing.kept_from().cloned();
            // The batch is lost as a whole.
            if from.as_ref().is_some_and(|from| self.losers.contains(from)) {
                self.count(outgoing.counted(), Outcome::Expired);
                continue;
            }
            match self.keep(outgoing, end) {
                // With the key, its senders go too.
                Ok(()) | Err(DropReason::KeyRevoked) => {}
                Err(_) => self.losers.extend(from),
            }
        }
    }

    /// Takes out the batches that have waited too long at `now`.
    pub(super) fn expire(&mut self, now: u64, timeouts: &Timeouts) {
        let Some(began) = now.checked_sub(timeouts.expire) else { return };
        let realm = self.realm;
        let shared = &realm.shared;
        let Some(queue) = &mut self.queue else { return };
        let expired = queue.expire(began, &realm.room);
        self.note_queue();
        for (sender, messages) in expired {
            if messages.iter().any(|kind| kind.waits()) {
                shared.counters().expired(1);
                self.losers.push(sender);
            }
            self.count_all(messages, Outcome::Expired);
        }
    }

    /// Drops everything that one sender has waiting here, without telling it.
    pub(super) fn drop_batch(&mut self, sender: &PeerId, outcome: Outcome) {
        let realm = self.realm;
        if let Some(queue) = &mut self.queue {
            let dropped = queue.drop_batch(sender, &realm.room);
            self.note_queue();
            self.count_all(dropped, outcome);
        }
    }

    /// Takes all queued messages, for the new holder.
    pub(super) fn take_queue(&mut self) -> Option<(VecDeque<Outgoing>, Reservation)> {
        self.slot.set_waiting_since(None);
        let (messages, reservation) = self.queue.take()?.drain(&self.realm.room);
        for outgoing in &messages {
            self.count(outgoing.counted(), Outcome::Delivered);
            self.realm.shared.counters().sent(outgoing.frame.len());
        }
        Some((messages, reservation))
    }

    /// Drops all queued messages. The senders are not told.
    pub(super) fn drop_queue(&mut self) {
        self.slot.set_waiting_since(None);
        let Some(queue) = self.queue.take() else { return };
        let (messages, _reservation) = queue.drain(&self.realm.room);
        let kinds = messages.iter().filter_map(Outgoing::kind).collect();
        self.count_all(kinds, Outcome::Dropped(DropReason::KeyRevoked));
    }

    pub(super) fn note_queue(&mut self) {
        self.slot.set_waiting_since(self.queue.as_ref().and_then(|queue| queue.oldest()));
        if self.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.queue = None;
        }
    }

    pub(super) fn note_limit(&self, reason: DropReason) {
        if let Some(limit) = reason.limit() {
            self.realm.shared.events.limit_hit(limit, || Some(self.realm.key().clone()), None);
        }
    }

    pub(super) fn count(&self, kind: Option<MessageKind>, outcome: Outcome) {
        self.realm.shared.count(kind, outcome);
    }

    pub(super) fn count_all(&self, kinds: Vec<MessageKind>, outcome: Outcome) {
        kinds.into_iter().for_each(|kind| self.count(Some(kind), outcome));
    }
}
