//! The stored keys as this process knows them, to notice what others change: `peerbroker keys`, or another node.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use crate::keys::Key;
use crate::wire::ApiKey;

/// Stored keys, each with a digest of what may change. Empty until they are read.
#[derive(Default)]
pub(super) struct KnownKeys(Mutex<Option<HashMap<ApiKey, u64>>>);

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
                known.insert(key.key.clone(), digest(key));
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
        let now = stored.iter().map(|key| (key.key.clone(), digest(key))).collect();
        let Some(mut before) = self.with(|known| known.replace(now)) else { return Vec::new() };
        let mut differences = Vec::new();
        for key in stored {
            match before.remove(&key.key) {
                None => differences.push(Difference::Added(key.clone())),
                Some(old) if old != digest(key) => differences.push(Difference::Changed(key.clone())),
                Some(_) => {}
            }
        }
        differences.extend(before.into_keys().map(Difference::Removed));
        differences
    }

    fn with<R>(&self, act: impl FnOnce(&mut Option<HashMap<ApiKey, u64>>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Of the name and the settings. There may be very many keys, so no copies of them are kept.
fn digest(key: &Key) -> u64 {
    let mut digest = DefaultHasher::new();
    key.name.hash(&mut digest);
    serde_json::to_string(&key.settings).unwrap_or_default().hash(&mut digest);
    digest.finish()
}
