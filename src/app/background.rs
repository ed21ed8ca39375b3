//! The threads of a broker: one does what is due by the clock, one follows the store of keys.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::Service;
use crate::keys::KeyError;

/// How often somebody looks whether keys have changed.
const KEY_WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is noted which keys were used, and those are removed that were not for too long.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn start(service: &Arc<Service>) {
    in_background("sweeper", service, service.broker.limits().sweep_interval(), Service::sweep);
    let mut watch = KeyWatch { version: None, unkept: HOUSEKEEPING_INTERVAL };
    in_background("keys", service, KEY_WATCH_INTERVAL, move |service| {
        watch.look(service).unwrap_or_else(|error| log::error!("{error}"));
    });
}

/// Sees what other processes do to the keys, and tells them which were used.
struct KeyWatch {
    version: Option<u64>,
    /// Time since the last housekeeping.
    unkept: Duration,
}

impl KeyWatch {
    fn look(&mut self, service: &Service) -> Result<(), KeyError> {
        self.unkept += KEY_WATCH_INTERVAL;
        if self.unkept >= HOUSEKEEPING_INTERVAL {
            self.unkept = Duration::ZERO;
            service.keep_house()?;
        }
        let version = Some(service.store.version()?);
        if version != self.version {
            service.read_keys()?;
            self.version = version;
        }
        Ok(())
    }
}

// A thread rather than a task: it belongs to no worker, and works in whatever runtime a broker is
// embedded. It ends with the service.
fn in_background(
    name: &str,
    service: &Arc<Service>,
    every: Duration,
    mut work: impl FnMut(&Service) + Send + 'static,
) {
    let service: Weak<Service> = Arc::downgrade(service);
    let worker = move || {
        loop {
            thread::sleep(every);
            match service.upgrade() {
                Some(service) => work(&service),
                None => return,
            }
        }
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(worker) {
        log::error!("cannot start the thread {name:?}, so what it does is not done: {error}");
    }
}
