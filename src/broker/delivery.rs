//! Messages on their way: to the holder of an id, into its queue, or back to the sender as a notice that
//! they expired.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::outbox::{Outgoing, Pushed};
use super::place::Place;
use super::queue::{End, Overflow};
use super::realm::Realm;
use super::registration::{Flush, Routed};
use super::state::State;
use super::types::{ConnId, Goodbye, PeerId};
use crate::frame::Frame;

/// Conversations that expired at one place: the senders have to hear of it once its lock is free.
pub(super) type Losses = Vec<PeerId>;

impl Realm {
    /// Sends a message to the peer `to`. With `keep`, it waits if the peer is absent.
    pub fn route(&self, from: &PeerId, to: &str, frame: Frame, keep: bool) -> Routed {
        let place = match self.find(to) {
            Some(place) => place,
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
            self.at_place(&place, |place, state| self.deliver(place, state, from, outgoing, &mut losses));
        self.tell_expired(&place.id, losses);
        routed
    }

    fn deliver(
        &self,
        place: &Arc<Place>,
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
            return match self.keep(place, state, outgoing, End::Back) {
                Ok(()) => Routed::Kept,
                Err(Overflow) => Routed::Expired,
            };
        };
        let pushed = conn.outbox.push(outgoing);
        if !pushed.refused && pushed.expired.is_empty() {
            return Routed::Sent(conn.outbox.wants_flush().then(|| Flush::new(Arc::clone(place))));
        }
        let refused = self.note_crowded(place, state, pushed, losses);
        let wants_flush = state.conn.as_mut().is_some_and(|conn| conn.outbox.wants_flush());
        match refused {
            false => Routed::Sent(wants_flush.then(|| Flush::new(Arc::clone(place)))),
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
    fn notify(&self, place: &Place, state: &mut State, notice: Frame, losses: &mut Losses) {
        let Some(conn) = &mut state.conn else { return };
        let pushed = conn.outbox.push(Outgoing::notice(notice));
        if (pushed.refused || !pushed.expired.is_empty()) && self.note_crowded(place, state, pushed, losses) {
            self.drop_slow_reader(place, state, losses);
        }
    }

    /// Notes that an outbox was full, and whose conversations went for it; says whether the frame was
    /// refused all the same.
    fn note_crowded(&self, place: &Place, state: &mut State, pushed: Pushed, losses: &mut Losses) -> bool {
        self.shared.counters.expired.fetch_add(pushed.expired.len() as u64, Ordering::Relaxed);
        losses.extend(pushed.expired);
        place.crowd(state, self.now());
        pushed.refused
    }

    /// Sends something to the client of one connection, see [`Peer::reply`](super::Peer::reply).
    pub(super) fn reply(&self, place: &Arc<Place>, conn: ConnId, frame: Frame) -> Option<Flush> {
        let mut wants_flush = false;
        self.with_holder(place, conn, |state, losses| {
            self.notify(place, state, frame, losses);
            wants_flush = state.conn.as_mut().is_some_and(|conn| conn.outbox.wants_flush());
        });
        wants_flush.then(|| Flush::new(Arc::clone(place)))
    }

    fn keep(&self, place: &Place, state: &mut State, outgoing: Outgoing, end: End) -> Result<(), Overflow> {
        if self.seats.is_revoked() {
            // Nobody comes for it any more, and no sweep.
            return Ok(());
        }
        let must_not_be_lost = outgoing.keep;
        let kept = place.keep(state, outgoing, end, &self.shared);
        if kept.is_err() && must_not_be_lost {
            self.shared.counters.expired.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    /// Keeps what an outbox still held and must not be lost, and notes whose conversations were too much.
    pub(super) fn keep_all(
        &self,
        place: &Place,
        state: &mut State,
        unsent: impl IntoIterator<Item = Outgoing>,
        end: End,
        losses: &mut Losses,
    ) {
        self.carry_over(place, state, unsent.into_iter().filter(|unsent| unsent.keep), end, losses);
    }

    /// The same for all that an outbox still held: for the next connection of the client, which takes it
    /// before anybody else gets to the place.
    pub(super) fn carry_over(
        &self,
        place: &Place,
        state: &mut State,
        unsent: impl IntoIterator<Item = Outgoing>,
        end: End,
        losses: &mut Losses,
    ) {
        for outgoing in unsent {
            let from = outgoing.kept_from().cloned();
            // The conversation is lost as a whole.
            let goes_too = from.as_ref().is_some_and(|from| losses.contains(from));
            if !goes_too && self.keep(place, state, outgoing, end).is_err() {
                losses.extend(from);
            }
        }
    }

    /// Ends a connection that does not read. Its unsent messages wait.
    pub(super) fn drop_slow_reader(&self, place: &Place, state: &mut State, losses: &mut Losses) {
        self.shared.counters.slow_readers.fetch_add(1, Ordering::Relaxed);
        let unsent = self.dismiss(place, state, Goodbye::SlowReader);
        self.keep_all(place, state, unsent, End::Back, losses);
    }

    /// Tells senders, once the place's lock is free, that what they sent there has expired.
    pub(super) fn tell_expired(&self, absent: &PeerId, senders: Losses) {
        if senders.is_empty() {
            return;
        }
        let mut untold = vec![(absent.clone(), senders)];
        while let Some((absent, senders)) = untold.pop() {
            for sender in senders {
                let Some(place) = self.find(sender.as_str()) else { continue };
                let notice = (self.expired)(absent.as_str(), sender.as_str());
                let mut losses = Losses::new();
                let mut state = place.lock();
                self.notify(&place, &mut state, notice, &mut losses);
                if let Some(conn) = &mut state.conn {
                    conn.outbox.flush();
                }
                drop(state);
                untold.push((sender, losses));
            }
        }
    }
}
