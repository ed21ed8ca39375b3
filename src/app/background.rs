//! Threads that work for a broker in the background.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::threads::Threads;

/// Calls `work` after each interval, until the owner is gone. A thread rather than a task: it belongs to no worker, and
/// needs no runtime of an embedding program.
pub(crate) fn repeat<T: Send + Sync + 'static>(
    threads: &Threads,
    name: &str,
    owner: &Arc<T>,
    interval: fn(&T) -> Duration,
    mut work: impl FnMut(&T) + Send + 'static,
) {
    let owner: Weak<T> = Arc::downgrade(owner);
    let worker = move || {
        while let Some(pause) = owner.upgrade().map(|owner| interval(&owner)) {
            thread::sleep(pause);
            if let Some(owner) = owner.upgrade() {
                work(&owner);
            }
        }
    };
    if let Err(error) = threads.keep(name, worker) {
        threads.fail(format!("cannot start the thread {name}: {error}"));
    }
}

/// Calls `work` with each thing that comes, until nothing can come any more.
pub(super) fn take<T: Send + Sync + 'static, W: Send + 'static>(
    threads: &Threads,
    name: &str,
    owner: &Arc<T>,
    coming: Receiver<W>,
    work: impl Fn(&T, W) + Send + 'static,
) {
    let owner: Weak<T> = Arc::downgrade(owner);
    let worker = move || {
        for thing in &coming {
            let Some(owner) = owner.upgrade() else { return };
            work(&owner, thing);
        }
    };
    if let Err(error) = threads.keep(name, worker) {
        threads.fail(format!("cannot start the thread {name}: {error}"));
    }
}
