//! Periodic work of a realm: pings, timeouts, expiry.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::place::{Place, Times, Verdict};
use super::queue::End;
use super::realm::Realm;
use super::types::Goodbye;

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
                if let Some(conn) = &mut state.conn {
                    conn.outbox.push_ping();
                    conn.outbox.flush();
                }
            }
            Verdict::Dismiss(Goodbye::SlowReader) => self.drop_slow_reader(place, &mut state, &mut losses),
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
        state.end_reservation(now);
        place.settle(&state, now);
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
            state.end_reservation(u64::MAX);
            self.retire_if_vacant(&place, &mut state);
        }
    }

    /// Dismisses everybody who is here.
    pub(super) fn close(&self, why: Goodbye) {
        for place in self.held_places() {
            self.dismiss(&place, &mut place.lock(), why);
        }
    }
}
