//! The periodic work of a realm: pings, timeouts, expiry, the end of probes.

use std::sync::Arc;

use super::guard::Guard;
use super::realm::Realm;
use super::slot::{Slot, Timeouts};
use crate::wire::CloseReason;

/// The sweeper's decision about the holder of an id.
enum HolderCheck {
    Keep,
    Ping,
    Dismiss(CloseReason),
}

impl Realm {
    /// Does all that is due by the clock: pings the silent, drops the dead, expires what has waited too long, ends
    /// probes. Cheap when nothing is due.
    pub fn sweep(&self) {
        let now = self.now();
        let timeouts = Timeouts::from(&self.shared.config().limits);
        for slot in self.slots_that(|slot| slot.needs_sweep(now, &timeouts)) {
            self.with(&slot, |guard| guard.sweep(now, &timeouts));
        }
        if self.shared.is_closing() {
            // A peer may have registered meanwhile.
            self.close(CloseReason::Shutdown);
        }
    }

    /// Dismisses every peer.
    pub fn close(&self, why: CloseReason) {
        for slot in self.slots_that(Slot::is_held) {
            self.with(&slot, |guard| guard.dismiss(why));
        }
    }

    /// Drops all that waits, and tells nobody: the realm itself goes.
    pub fn empty(&self) {
        let all: Vec<Arc<Slot>> = self.slots_that(|_| true);
        for slot in all {
            self.with(&slot, |guard| {
                guard.drop_queue();
                guard.end_reservation(u64::MAX);
            });
        }
    }
}

impl Guard<'_> {
    fn sweep(&mut self, now: u64, timeouts: &Timeouts) {
        self.expire(now, timeouts);
        match self.check_holder(now, timeouts) {
            HolderCheck::Keep => {}
            HolderCheck::Ping => {
                if let Some(conn) = &mut self.conn {
                    conn.outbox.push_ping();
                    conn.outbox.flush();
                }
            }
            HolderCheck::Dismiss(why) => self.dismiss(why),
        }
        self.end_reservation(now);
        self.sweep_remote(now);
        self.note_due(now);
    }

    /// Notes whether the sweeper has to look here again soon.
    fn note_due(&self, now: u64) {
        let crowded = self.conn.as_ref().is_some_and(|conn| conn.crowded.is_some());
        let unrested = self.conn.is_none() && !self.slot.is_rested(|| now);
        self.slot.set_due(crowded || self.is_reserved() || unrested || self.has_remote());
    }

    fn check_holder(&mut self, now: u64, timeouts: &Timeouts) -> HolderCheck {
        let slot = self.slot;
        if self.conn.as_mut().is_some_and(|conn| conn.note_progress(now) && conn.outbox.is_direct()) {
            slot.note_heard(now);
            self.forget_probes();
            slot.set_probed(false);
        }
        let probe = self.first_probe();
        let Some(conn) = &mut self.conn else {
            slot.set_probed(false);
            return HolderCheck::Keep;
        };
        let heard = slot.last_heard();
        let silent = now.saturating_sub(heard);
        if silent >= timeouts.alive {
            return HolderCheck::Dismiss(CloseReason::TimedOut);
        }
        if probe.is_some_and(|probe| probe.due <= now) {
            return HolderCheck::Dismiss(CloseReason::Evicted);
        }
        if conn.crowded.is_some_and(|since| now.saturating_sub(since) >= timeouts.stall) {
            return HolderCheck::Dismiss(CloseReason::SlowReader);
        }
        if silent >= timeouts.ping && now.saturating_sub(conn.pinged.max(heard)) >= timeouts.ping {
            conn.pinged = now;
            return HolderCheck::Ping;
        }
        HolderCheck::Keep
    }
}
