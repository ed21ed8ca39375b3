//! The stored keys as this process knows them, to notice what others change: `peerbroker keys`, or another node.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use crate::keys::Key;
use crate::wire::ApiKey;

/// Stored keys. Empty until they are read.
#[derive(Default)]
pub(super) struct KnownKeys(Mutex<Option<HashMap<ApiKey, Key>>>);

/// What somebody else has done with a key.
pub(super) enum Difference {
    Added(Key),
    Changed(Key),
    Removed(ApiKey),
}

impl KnownKeys {
    /// This process has written a key.
    pub(super) fn note(&self, key: &Key) {
        self.with(|known| {
            if let Some(known) = known {
                known.insert(key.key.clone(), key.clone());
            }
        });
    }

    /// This process has removed a key.
    pub(super) fn forget(&self, key: &ApiKey) {
        self.with(|known| known.as_mut().and_then(|known| known.remove(key)));
    }

    /// These keys are stored now. Gives what others have changed since this process read or wrote them; nothing the first
    /// time.
    pub(super) fn replace(&self, stored: &[Key]) -> Vec<Difference> {
        let now = stored.iter().map(|key| (key.key.clone(), key.clone())).collect();
        let Some(mut before) = self.with(|known| known.replace(now)) else { return Vec::new() };
        let mut differences = Vec::new();
        for key in stored {
            match before.entry(key.key.clone()) {
                Entry::Vacant(_) => differences.push(Difference::Added(key.clone())),
                Entry::Occupied(old) => {
                    let old = old.remove();
                    if (&old.settings, &old.name) != (&key.settings, &key.name) {
                        differences.push(Difference::Changed(key.clone()));
                    }
                }
            }
        }
        differences.extend(before.into_keys().map(Difference::Removed));
        differences
    }

    fn with<R>(&self, act: impl FnOnce(&mut Option<HashMap<ApiKey, Key>>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
