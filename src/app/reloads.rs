//! Remembers whether the last reloads of the configuration worked.

use std::sync::{Mutex, PoisonError};

use crate::events::{Event, Events};
use crate::keys::unix_time;

/// When the configuration was last read again.
#[derive(Default)]
pub(crate) struct Reloads(Mutex<LastReloads>);

/// The last reloads, in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastReloads {
    /// When it last worked.
    pub(crate) succeeded: Option<u64>,
    /// When it last failed.
    pub(crate) failed: Option<u64>,
    /// Why the last one failed, if it did.
    pub(crate) error: Option<String>,
}

impl Reloads {
    pub(crate) fn last(&self) -> LastReloads {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn succeeded(&self, events: &Events, changed: Vec<String>, pending: Vec<String>) {
        self.change(|last| (last.succeeded, last.error) = (Some(unix_time()), None));
        events.emit(|| Event::Reloaded { changed, pending });
    }

    pub(crate) fn failed(&self, events: &Events, why: String) {
        self.change(|last| (last.failed, last.error) = (Some(unix_time()), Some(why.clone())));
        events.emit(|| Event::ReloadFailed { why });
    }

    fn change(&self, change: impl FnOnce(&mut LastReloads)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
