//! Threads that work for a broker in the background. One follows the store of keys, which other processes
//! write to.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::runtime::Runtime;
use crate::runtime::control::Control;
use peerbroker_keys::KeyError;
use peerbroker_system::threads::{Threads, caught};

/// Calls `work` after each interval, until the owner is gone. A thread rather than a task: it belongs to no
/// worker, and needs no runtime of an embedding program.
pub(crate) fn repeat<T: Send + Sync + 'static>(
    threads: &Threads,
    name: &str,
    owner: &Arc<T>,
    interval: fn(&T) -> Duration,
    mut work: impl FnMut(&T) + Send + 'static,
) {
    let owner = Arc::downgrade(owner);
    start(threads, name, move || {
        while let Some(pause) = owner.upgrade().map(|owner| interval(&owner)) {
            thread::sleep(pause);
            if let Some(owner) = owner.upgrade() {
                work(&owner);
            }
        }
    });
}

/// Follows the store of keys until the owner is gone. Clients whose keys are unknown wait for its next look,
/// if other processes may add keys.
pub(super) fn watch_keys(runtime: &Arc<Runtime>) {
    let owner = Arc::downgrade(runtime);
    let mut watch = KeyWatch::default();
    let is_shared = runtime.control.store.is_shared();
    let lookout = if is_shared { runtime.node.look_out() } else { Arc::default() };
    start(runtime.events.threads(), "key-watch", move || {
        while owner.strong_count() > 0 {
            lookout.wait(KeyWatch::INTERVAL);
            if let Some(runtime) = owner.upgrade() {
                lookout.end(watch.look(&runtime.control));
            }
        }
    });
}

/// Interval at which the bans of a cluster are read.
const BANS_INTERVAL: Duration = Duration::from_secs(1);

/// Follows the bans in the store that all nodes share, until the owner is gone.
pub(super) fn watch_bans(runtime: &Arc<Runtime>) {
    repeat(
        runtime.events.threads(),
        "ban-watch",
        runtime,
        |_| BANS_INTERVAL,
        |runtime| {
            // The log has the outage of the cluster.
            if let Err(error) = runtime.control.bans.read() {
                log::debug!("the bans stay as they are: {error}");
            }
        },
    );
}

/// Starts a thread without which the server cannot go on.
pub(super) fn start(threads: &Threads, name: &str, work: impl FnMut() + Send + 'static) {
    if let Err(error) = threads.keep(name, work) {
        threads.fail(error.to_string());
    }
}

/// Interval at which the last use of keys is stored, and unused keys are removed.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// Activates changes of the store, and stores which keys were used.
#[derive(Default)]
struct KeyWatch {
    /// The time of the last housekeeping.
    kept_house: Option<Instant>,
    /// The last look failed, so the log has the reason.
    has_failed: bool,
    /// The last housekeeping failed, so the log has the reason. Keys may be readable, and not writable.
    has_failed_to_write: bool,
}

impl KeyWatch {
    /// Longest interval between calls of [`look`](Self::look).
    const INTERVAL: Duration = Duration::from_millis(500);

    /// True if the store could be read. Logs the first of failures that follow each other.
    fn look(&mut self, control: &Control) -> bool {
        // The store may be an embedding program's.
        let read =
            caught(|| control.read_changed_keys()).unwrap_or_else(|panic| Err(KeyError::Store(panic.into())));
        let had_failed = std::mem::replace(&mut self.has_failed, read.is_err());
        if read.is_err() != had_failed {
            let lost = read.is_err().then(|| caught(|| control.store.lost()).ok().flatten()).flatten();
            control.lost.store(lost.map(Arc::new));
        }
        match &read {
            Err(error) if !had_failed => log::error!("{error}"),
            Ok(()) if had_failed => log::info!("the keys can be reached again"),
            _ => {}
        }
        if read.is_ok() {
            let _ = caught(|| control.keep());
        }
        if read.is_ok() && self.kept_house.is_none_or(|at| at.elapsed() >= HOUSEKEEPING_INTERVAL) {
            self.kept_house = Some(Instant::now());
            self.keep_house(control);
        }
        read.is_ok()
    }

    fn keep_house(&mut self, control: &Control) {
        let kept = caught(|| control.keep_house()).unwrap_or_else(|panic| Err(KeyError::Store(panic.into())));
        let had_failed = std::mem::replace(&mut self.has_failed_to_write, kept.is_err());
        if let Err(error) = kept
            && !had_failed
        {
            log::error!("the last use of keys cannot be stored, and unused keys are not removed: {error}");
        }
    }
}
