//! The threads of a broker: one does what is due by the clock, one follows the store of keys.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::Parts;
use crate::keys::KeyError;

/// How often somebody looks whether keys have changed.
const KEY_WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is noted which keys were used, and those are removed that were not for too long.
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

/// Sees what other processes do to the keys, and tells them which were used.
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

// A thread rather than a task: it belongs to no worker, and works in whatever runtime a broker is
// embedded. It ends with the parts.
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
