//! After a gap in its time (SIGSTOP, `docker pause`, a suspended machine), a node goes on sleeping for its
//! clients until the backplane has said whose its ids are: other nodes may have given them to other
//! connections meanwhile.
//!
//! The threads that serve clients wait before they read and before they write, so that all they do is as if
//! the gap had been that much longer. The worker of the cluster renews the lease, and reads what others have
//! said until then. Without a gap nothing waits: a node that loses the backplane while it runs is in an
//! outage.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use peerbroker_core::clock::Clock;
use tokio::sync::Notify;

/// Longest wait. The backplane answers or fails within two seconds; but a client that has an id now, and does
/// not answer its node, may take longer.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The node's knowledge of its ids since the last gaps in its time.
pub(super) struct Awakening {
    clock: Clock,
    /// The number of gaps after which this node knows whose its ids are.
    sure: AtomicU64,
    changing: Mutex<()>,
    changed: Condvar,
    /// Somebody waits: the lease is renewed at once.
    pub(super) awaited: Notify,
}

impl Awakening {
    pub(super) fn new(clock: Clock) -> Self {
        Awakening {
            clock,
            sure: AtomicU64::new(0),
            changing: Mutex::default(),
            changed: Condvar::new(),
            awaited: Notify::new(),
        }
    }

    pub(super) fn is_sure(&self) -> bool {
        self.sure.load(Ordering::Acquire) >= self.clock.gaps_so_far()
    }

    pub(super) fn wait_until_sure(&self) {
        if self.is_sure() {
            return;
        }
        self.awaited.notify_one();
        let deadline = Instant::now() + MAX_WAIT;
        let mut changing = self.changing.lock();
        while !self.is_sure() {
            if self.changed.wait_until(&mut changing, deadline).timed_out() {
                drop(changing);
                log::warn!(
                    "after a pause, the other nodes did not say in time whose the ids of this node are"
                );
                return self.record_sure(self.clock.gaps_so_far());
            }
        }
    }

    /// After so many gaps, this node knows whose its ids are, or cannot find out.
    pub(super) fn record_sure(&self, gaps: u64) {
        let changing = self.changing.lock();
        if self.sure.fetch_max(gaps, Ordering::AcqRel) < gaps {
            self.changed.notify_all();
        }
        drop(changing);
    }
}
