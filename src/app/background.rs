//! The background threads: one sweeps, one watches the store of keys.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::Parts;
use crate::keys::KeyError;

/// How often the store is asked whether keys have changed.
const KEY_WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often the last uses of keys are stored, and unused registered keys are removed.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn start(parts: &Arc<Parts>) {
    in_background("sweeper", parts, |parts| parts.config().limits.sweep_interval(), Parts::sweep);
    let mut watch = KeyWatch { version: None, unkept: HOUSEKEEPING_INTERVAL };
    in_background(
        "keys",
        parts,
        |_| KEY_WATCH_INTERVAL,
        move |parts| {
            watch.look(parts).unwrap_or_else(|error| log::error!("{error}"));
        },
    );
}

/// Notices changes of keys by other processes, and stores which keys were used.
struct KeyWatch {
    version: Option<u64>,
    /// Time since the last housekeeping.
    unkept: Duration,
}

impl KeyWatch {
    fn look(&mut self, parts: &Parts) -> Result<(), KeyError> {
        self.unkept += KEY_WATCH_INTERVAL;
        if self.unkept >= HOUSEKEEPING_INTERVAL {
            self.unkept = Duration::ZERO;
            parts.admin.keep_house()?;
        }
        let version = Some(parts.admin.version()?);
        if version != self.version {
            parts.admin.read_keys()?;
            self.version = version;
        }
        Ok(())
    }
}

// A thread and not a task: it belongs to no worker, and needs no runtime of the embedding program. It ends with the
// broker.
fn in_background(
    name: &str,
    parts: &Arc<Parts>,
    every: fn(&Parts) -> Duration,
    mut work: impl FnMut(&Parts) + Send + 'static,
) {
    let parts: Weak<Parts> = Arc::downgrade(parts);
    let worker = move || {
        while let Some(pause) = parts.upgrade().map(|parts| every(&parts)) {
            thread::sleep(pause);
            if let Some(parts) = parts.upgrade() {
                work(&parts);
            }
        }
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(worker) {
        log::error!("cannot start the thread {name:?}, so what it does is not done: {error}");
    }
}
