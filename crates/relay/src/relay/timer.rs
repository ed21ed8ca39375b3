//! The timer of all calls.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use parking_lot::Mutex;
use peerbroker_core::clock::{Clock, Instant};
use tokio::sync::Notify;

/// The times at which calls are due, by their numbers. A call that is over stays until then.
#[derive(Default)]
pub(super) struct Timer {
    due: Mutex<BinaryHeap<Reverse<(Instant, u32)>>>,
    /// Signals that another call is the first.
    sooner: Notify,
}

impl Timer {
    pub(super) fn set(&self, number: u32, at: Instant) {
        let mut due = self.due.lock();
        let is_first = due.peek().is_none_or(|Reverse((first, _))| at < *first);
        due.push(Reverse((at, number)));
        drop(due);
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Waits until a call is due.
    pub(super) async fn until_due(&self, clock: &Clock) {
        let first = || self.due.lock().peek().map_or(Instant::MAX, |Reverse((at, _))| *at);
        while first() > clock.now() {
            tokio::select! {
                () = clock.sleep_until(first()) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// A call that is due.
    pub(super) fn next(&self, now: Instant) -> Option<u32> {
        let mut due = self.due.lock();
        due.peek().filter(|Reverse((at, _))| *at <= now)?;
        due.pop().map(|Reverse((_, number))| number)
    }
}
