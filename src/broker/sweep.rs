//! What time does to a realm: pings, timeouts, expiry, and the notices that follow.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::outbox::{Full, Outgoing};
use super::place::{Place, Times, Verdict};
use super::queue::End;
use super::realm::{Losses, Realm};
use super::types::{Goodbye, PeerId};
use crate::frame::Frame;

impl Realm {
    pub(super) fn sweep(&self) {
        let now = self.shared.clock.now();
        let times = Times::from(&self.shared.limits);
        let due: Vec<Arc<Place>> = self
            .places
            .iter()
            .filter(|place| place.needs_sweep(now, &times))
            .map(|place| Arc::clone(&place))
            .collect();
        for place in due {
            self.sweep_place(&place, now, &times);
        }
    }

    fn sweep_place(&self, place: &Arc<Place>, now: u64, times: &Times) {
        let mut state = place.lock();
        let mut losses = place.expire(&mut state, now, times, &self.shared);
        self.shared.counters.expired.fetch_add(losses.len() as u64, Ordering::Relaxed);
        match place.check_holder(&mut state, now, times) {
            Verdict::Keep => {}
            Verdict::Ping => {
                if let Some(conn) = &mut state.conn
                    && conn.outbox.push(Outgoing { frame: Frame::ping(), from: None }).is_ok()
                {
                    conn.outbox.flush();
                }
            }
            Verdict::Dismiss(why) => {
                let counter = match why {
                    Goodbye::Evicted => &self.shared.counters.evicted,
                    _ => &self.shared.counters.timed_out,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                let unsent = self.dismiss(place, &mut state, why);
                self.keep_all(place, &mut state, unsent, End::Back, &mut losses);
            }
        }
        self.retire_if_vacant(place, &mut state);
        drop(state);
        self.tell_expired(&place.id, losses);
    }

    /// Drops all that waits, and tells nobody: the realm itself goes.
    pub(super) fn empty(&self) {
        let places: Vec<Arc<Place>> = self.places.iter().map(|place| Arc::clone(&place)).collect();
        for place in places {
            let mut state = place.lock();
            drop(place.take_queue(&mut state, &self.shared));
            self.retire_if_vacant(&place, &mut state);
        }
    }

    /// Dismisses everybody who is here.
    pub(super) fn close(&self, why: Goodbye) {
        for place in self.held_places() {
            self.dismiss(&place, &mut place.lock(), why);
        }
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
                if let Some(conn) = &mut state.conn {
                    match conn.outbox.push(Outgoing { frame: notice, from: None }) {
                        Ok(()) => conn.outbox.flush(),
                        Err(Full(_)) => self.drop_slow_reader(&place, &mut state, None, &mut losses),
                    }
                }
                untold.push((sender, losses));
            }
        }
    }
}
