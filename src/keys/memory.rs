//! Keys that live as long as the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Change, Key, KeyError, KeyStore};
use crate::wire::ApiKey;

/// Keys in memory: those of the flags, and what an embedder adds.
#[derive(Default)]
pub struct MemoryKeys {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    keys: BTreeMap<ApiKey, Key>,
    version: u64,
}

impl MemoryKeys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for MemoryKeys {
    fn all(&self) -> Result<Vec<Key>, KeyError> {
        let mut keys: Vec<Key> = self.lock().keys.values().cloned().collect();
        keys.sort_by_key(|key| key.created);
        Ok(keys)
    }

    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        Ok(self.lock().keys.get(key).cloned())
    }

    fn add(&self, key: Key) -> Result<(), KeyError> {
        let mut kept = self.lock();
        if kept.keys.contains_key(&key.key) {
            return Err(KeyError::Exists(key.key));
        }
        kept.keys.insert(key.key.clone(), key);
        kept.version += 1;
        Ok(())
    }

    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        let mut kept = self.lock();
        let found = kept.keys.get_mut(key).ok_or_else(|| KeyError::Unknown(key.clone()))?;
        found.apply(change);
        let changed = found.clone();
        kept.version += 1;
        Ok(changed)
    }

    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        let mut kept = self.lock();
        kept.keys.remove(key).ok_or_else(|| KeyError::Unknown(key.clone()))?;
        kept.version += 1;
        Ok(())
    }

    fn note_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        let mut kept = self.lock();
        for (key, when) in used {
            if let Some(key) = kept.keys.get_mut(key) {
                key.used = Some(*when);
            }
        }
        Ok(())
    }

    fn count_registered(&self) -> Result<usize, KeyError> {
        Ok(self.lock().keys.values().filter(|key| key.registered).count())
    }

    fn remove_unused(&self, before: u64) -> Result<Vec<ApiKey>, KeyError> {
        let mut kept = self.lock();
        let is_unused = |key: &Key| key.registered && key.used.unwrap_or(key.created) < before;
        let unused = kept.keys.extract_if(.., |_, key| is_unused(key));
        let removed: Vec<ApiKey> = unused.map(|(key, _)| key).collect();
        if !removed.is_empty() {
            kept.version += 1;
        }
        Ok(removed)
    }

    fn version(&self) -> Result<u64, KeyError> {
        Ok(self.lock().version)
    }
}
