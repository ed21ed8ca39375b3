//! Periodic work of a realm: pings, timeouts, expiry.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::queue::QueueEnd;
use super::realm::Realm;
use super::slot::{HolderCheck, Slot, Timeouts};
use crate::wire::CloseReason;

impl Realm {
    pub(super) fn sweep(&self) {
        let now = self.shared.clock.now();
        let times = Timeouts::from(&self.shared.limits);
        let due: Vec<Arc<Slot>> = self
            .slots
            .iter()
            .filter(|slot| slot.needs_sweep(now, &times))
            .map(|slot| Arc::clone(&slot))
            .collect();
        for slot in due {
            self.sweep_slot(&slot, now, &times);
        }
    }

    fn sweep_slot(&self, slot: &Arc<Slot>, now: u64, times: &Timeouts) {
        let mut state = slot.lock();
        let mut losses = slot.expire(&mut state, now, times, &self.shared);
        self.shared.counters.expired.fetch_add(losses.len() as u64, Ordering::Relaxed);
        match slot.check_holder(&mut state, now, times) {
            HolderCheck::Keep => {}
            HolderCheck::Ping => {
                if let Some(conn) = &mut state.conn {
                    conn.outbox.push_ping();
                    conn.outbox.flush();
                }
            }
            HolderCheck::Dismiss(CloseReason::SlowReader) => {
                self.drop_slow_reader(slot, &mut state, &mut losses)
            }
            HolderCheck::Dismiss(why) => {
                let counter = match why {
                    CloseReason::Evicted => &self.shared.counters.evicted,
                    _ => &self.shared.counters.timed_out,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                let unsent = self.dismiss(slot, &mut state, why);
                self.keep_all(slot, &mut state, unsent, QueueEnd::Back, &mut losses);
            }
        }
        state.end_reservation(now);
        slot.settle(&state, now);
        self.retire_if_vacant(slot, &mut state);
        drop(state);
        self.tell_expired(&slot.id, losses);
    }

    /// Drops all that waits, and tells nobody: the realm itself goes.
    pub(super) fn empty(&self) {
        let slots: Vec<Arc<Slot>> = self.slots.iter().map(|slot| Arc::clone(&slot)).collect();
        for slot in slots {
            let mut state = slot.lock();
            drop(slot.take_queue(&mut state, &self.shared));
            state.end_reservation(u64::MAX);
            self.retire_if_vacant(&slot, &mut state);
        }
    }

    /// Dismisses everybody who is here.
    pub(super) fn close(&self, why: CloseReason) {
        for slot in self.held_slots() {
            self.dismiss(&slot, &mut slot.lock(), why);
        }
    }
}
