//! A store of keys in memory.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Change, Key, KeyError, KeyStore};
use peerbroker_core::vocabulary::ApiKey;

/// Keys in memory. They are lost when the process ends.
#[derive(Default)]
pub struct MemoryKeys {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<ApiKey, Key>,
    version: u64,
}

impl MemoryKeys {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl KeyStore for MemoryKeys {
    fn all(&self) -> Result<Vec<Key>, KeyError> {
        let mut keys: Vec<Key> = self.state.lock().keys.values().cloned().collect();
        keys.sort_by_key(|key| key.created);
        Ok(keys)
    }

    fn for_each(&self, act: &mut dyn FnMut(Key)) -> Result<(), KeyError> {
        self.state.lock().keys.values().cloned().for_each(act);
        Ok(())
    }

    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        Ok(self.state.lock().keys.get(key).cloned())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError> {
        let mut state = self.state.lock();
        if most > 0 && state.keys.values().filter(|key| key.registered).count() >= most {
            return Ok(false);
        }
        if state.keys.contains_key(&key.key) {
            return Err(KeyError::Exists(key.key));
        }
        state.keys.insert(key.key.clone(), key);
        state.version += 1;
        Ok(true)
    }

    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        let mut state = self.state.lock();
        let found = state.keys.get_mut(key).ok_or_else(|| KeyError::Unknown(key.clone()))?;
        found.apply(change);
        let changed = found.clone();
        state.version += 1;
        Ok(changed)
    }

    fn import(&self, keys: Vec<Key>, replace: bool) -> Result<(), KeyError> {
        let mut state = self.state.lock();
        if !replace && let Some(key) = keys.iter().find(|key| state.keys.contains_key(&key.key)) {
            return Err(KeyError::Exists(key.key.clone()));
        }
        state.version += u64::from(!keys.is_empty());
        state.keys.extend(keys.into_iter().map(|key| (key.key.clone(), key)));
        Ok(())
    }

    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        let mut state = self.state.lock();
        state.keys.remove(key).ok_or_else(|| KeyError::Unknown(key.clone()))?;
        state.version += 1;
        Ok(())
    }

    fn record_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        let mut state = self.state.lock();
        for (key, when) in used {
            if let Some(key) = state.keys.get_mut(key) {
                key.used = Some(*when);
            }
        }
        Ok(())
    }

    fn remove_unused(&self, before: u64) -> Result<Vec<ApiKey>, KeyError> {
        let mut state = self.state.lock();
        let is_unused = |key: &Key| key.registered && key.used.unwrap_or(key.created) < before;
        let unused = state.keys.extract_if(.., |_, key| is_unused(key));
        let removed: Vec<ApiKey> = unused.map(|(key, _)| key).collect();
        state.version += u64::from(!removed.is_empty());
        Ok(removed)
    }

    fn version(&self) -> Result<u64, KeyError> {
        Ok(self.state.lock().version)
    }
}
