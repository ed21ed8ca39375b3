//! The stored keys as a process knows them: the changes of others, and those of its own that the store could
//! not keep.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use peerbroker_core::vocabulary::{ApiKey, expected};
use peerbroker_events::{Actor, KeyEvent};
use peerbroker_keys::{Change, Key};

/// Changes of more keys at once are one event: slow readers of events would lose others.
pub(super) const MANY: usize = 100;

/// The keys of the store while they are read, and what others have changed in them.
#[derive(Default)]
pub(super) struct StoredKeys {
    pub(super) digests: HashMap<ApiKey, u64>,
    /// New and changed keys.
    pub(super) changes: usize,
    /// The first [`MANY`] of them.
    pub(super) changed: Vec<(ApiKey, KeyEvent)>,
}

/// The stored keys as this process knows them, to notice changes by others: `peerbroker keys`, or another
/// node.
#[derive(Default)]
pub(super) struct KnownKeys {
    /// The version of the store when they were read.
    pub(super) version: Option<u64>,
    /// The stored keys, each with a digest of its mutable parts. `None` until they are read.
    pub(super) digests: Option<HashMap<ApiKey, u64>>,
    /// Changes that are active here, though the store could not keep them.
    pub(super) unkept: HashMap<ApiKey, Change>,
}

impl KnownKeys {
    /// Notes that this process has written a key.
    pub(super) fn record(&mut self, key: &Key) {
        self.unkept.remove(&key.key);
        if let Some(known) = &mut self.digests {
            known.insert(key.key.clone(), digest(key));
        }
    }

    /// Notes that this process has removed a key.
    pub(super) fn forget(&mut self, key: &ApiKey) {
        self.unkept.remove(key);
        if let Some(known) = &mut self.digests {
            known.remove(key);
        }
    }

    /// A stored key as it is in force.
    pub(super) fn complete(&self, key: &mut Key) {
        if let Some(change) = self.unkept.get(&key.key) {
            key.apply(change.clone());
        }
    }

    pub(super) fn count(&self) -> usize {
        self.digests.as_ref().map_or(0, HashMap::len)
    }
}

impl StoredKeys {
    pub(super) fn add(&mut self, known: &KnownKeys, key: &Key) {
        let digest = digest(key);
        let before = known.digests.as_ref().map(|known| known.get_key_value(&key.key));
        let change = match before {
            Some(None) => Some(KeyEvent::Created as fn(_, _) -> _),
            Some(Some((_, old))) if *old != digest => Some(KeyEvent::Changed as fn(_, _) -> _),
            _ => None,
        };
        if let Some(change) = change {
            self.changes += 1;
            if self.changes <= MANY {
                self.changed.push((key.key.clone(), change(Actor::Elsewhere, key.described())));
            }
        }
        // The text of a known key is that of its tenant.
        let text = before.flatten().map_or(&key.key, |(text, _)| text);
        self.digests.insert(text.clone(), digest);
    }
}

/// A digest of the name and the settings. Copies of very many keys would take too much memory.
fn digest(key: &Key) -> u64 {
    let mut digest = DefaultHasher::new();
    key.name.hash(&mut digest);
    expected(serde_json::to_string(&key.settings), "settings of a key").hash(&mut digest);
    digest.finish()
}
