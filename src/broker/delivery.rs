//! Messages on their way: to the holder of an id, into its queue, or back to the sender as a notice that
//! they expired.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::lease::{Flush, Routed};
use super::outbox::{Outgoing, Pushed};
use super::queue::{Overflow, QueueEnd};
use super::realm::Realm;
use super::slot::Slot;
use super::state::State;
use crate::wire::Frame;
use crate::wire::{CloseReason, ConnId, PeerId};

/// Conversations that expired at one slot: the senders have to hear of it once its lock is free.
pub(super) type Losses = Vec<PeerId>;

impl Realm {
    /// Sends a message to the peer `to`. With `keep`, it waits if the peer is absent.
    pub fn route(&self, from: &PeerId, to: &str, frame: Frame, keep: bool) -> Routed {
        let slot = match self.find(to) {
            Some(slot) => slot,
            None if !keep => return Routed::Dropped,
            None => match PeerId::parse(to) {
                Ok(to) => self.find_or_create(&to),
                // No client can ever have such an id.
                Err(_) => return Routed::Expired,
            },
        };
        let mut losses = Losses::new();
        let outgoing = Outgoing { frame, from: Some(from.clone()), keep };
        let routed =
            self.at_slot(&slot, |slot, state| self.deliver(slot, state, from, outgoing, &mut losses));
        self.tell_expired(&slot.id, losses);
        routed
    }

    fn deliver(
        &self,
        slot: &Arc<Slot>,
        state: &mut State,
        from: &PeerId,
        outgoing: Outgoing,
        losses: &mut Losses,
    ) -> Routed {
        let keep = outgoing.keep;
        let Some(conn) = &mut state.conn else {
            if !keep {
                return Routed::Dropped;
            }
            return match self.keep(slot, state, outgoing, QueueEnd::Back) {
                Ok(()) => Routed::Kept,
                Err(Overflow) => Routed::Expired,
            };
        };
        let pushed = conn.outbox.push(outgoing);
        if !pushed.refused && pushed.expired.is_empty() {
            return Routed::Sent(conn.outbox.wants_flush().then(|| Flush::new(Arc::clone(slot))));
        }
        let refused = self.note_crowded(slot, state, pushed, losses);
        let wants_flush = state.conn.as_mut().is_some_and(|conn| conn.outbox.wants_flush());
        match refused {
            false => Routed::Sent(wants_flush.then(|| Flush::new(Arc::clone(slot)))),
            true if keep => {
                // Its session says so by itself.
                losses.retain(|loser| loser != from);
                Routed::Expired
            }
            true => Routed::Dropped,
        }
    }

    /// Sends a client a notice of the broker. A client without room for it does not read its own answers: it
    /// is dismissed.
    fn notify(&self, slot: &Slot, state: &mut State, notice: Frame, losses: &mut Losses) {
        let Some(conn) = &mut state.conn else { return };
        let pushed = conn.outbox.push(Outgoing::notice(notice));
        if (pushed.refused || !pushed.expired.is_empty()) && self.note_crowded(slot, state, pushed, losses) {
            self.drop_slow_reader(slot, state, losses);
        }
    }

    /// Notes that an outbox was full, and whose conversations went for it; says whether the frame was
    /// refused all the same.
    fn note_crowded(&self, slot: &Slot, state: &mut State, pushed: Pushed, losses: &mut Losses) -> bool {
        self.shared.counters.expired.fetch_add(pushed.expired.len() as u64, Ordering::Relaxed);
        losses.extend(pushed.expired);
        slot.crowd(state, self.now());
        pushed.refused
    }

    /// Sends something to the client of one connection, see [`Peer::reply`](super::Peer::reply).
    pub(super) fn reply(&self, slot: &Arc<Slot>, conn: ConnId, frame: Frame) -> Option<Flush> {
        let mut wants_flush = false;
        self.with_holder(slot, conn, |state, losses| {
            self.notify(slot, state, frame, losses);
            wants_flush = state.conn.as_mut().is_some_and(|conn| conn.outbox.wants_flush());
        });
        wants_flush.then(|| Flush::new(Arc::clone(slot)))
    }

    fn keep(
        &self,
        slot: &Slot,
        state: &mut State,
        outgoing: Outgoing,
        end: QueueEnd,
    ) -> Result<(), Overflow> {
        if self.quota.is_revoked() {
            // Nobody comes for it any more, and no sweep.
            return Ok(());
        }
        let must_not_be_lost = outgoing.keep;
        let kept = slot.keep(state, outgoing, end, &self.shared);
        if kept.is_err() && must_not_be_lost {
            self.shared.counters.expired.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    /// Keeps what an outbox still held and must not be lost, and notes whose conversations were too much.
    pub(super) fn keep_all(
        &self,
        slot: &Slot,
        state: &mut State,
        unsent: impl IntoIterator<Item = Outgoing>,
        end: QueueEnd,
        losses: &mut Losses,
    ) {
        self.carry_over(slot, state, unsent.into_iter().filter(|unsent| unsent.keep), end, losses);
    }

    /// The same for all that an outbox still held: for the next connection of the client, which takes it
    /// before anybody else gets to the slot.
    pub(super) fn carry_over(
        &self,
        slot: &Slot,
        state: &mut State,
        unsent: impl IntoIterator<Item = Outgoing>,
        end: QueueEnd,
        losses: &mut Losses,
    ) {
        for outgoing in unsent {
            let from = outgoing.kept_from().cloned();
            // The conversation is lost as a whole.
            let goes_too = from.as_ref().is_some_and(|from| losses.contains(from));
            if !goes_too && self.keep(slot, state, outgoing, end).is_err() {
                losses.extend(from);
            }
        }
    }

    /// Ends a connection that does not read. Its unsent messages wait.
    pub(super) fn drop_slow_reader(&self, slot: &Slot, state: &mut State, losses: &mut Losses) {
        self.shared.counters.slow_readers.fetch_add(1, Ordering::Relaxed);
        let unsent = self.dismiss(slot, state, CloseReason::SlowReader);
        self.keep_all(slot, state, unsent, QueueEnd::Back, losses);
    }

    /// Tells senders, once the place's lock is free, that what they sent there has expired.
    pub(super) fn tell_expired(&self, absent: &PeerId, senders: Losses) {
        if senders.is_empty() {
            return;
        }
        let mut untold = vec![(absent.clone(), senders)];
        while let Some((absent, senders)) = untold.pop() {
            for sender in senders {
                let Some(slot) = self.find(sender.as_str()) else { continue };
                let notice = (self.expired)(absent.as_str(), sender.as_str());
                let mut losses = Losses::new();
                let mut state = slot.lock();
                self.notify(&slot, &mut state, notice, &mut losses);
                if let Some(conn) = &mut state.conn {
                    conn.outbox.flush();
                }
                drop(state);
                untold.push((sender, losses));
            }
        }
    }
}
