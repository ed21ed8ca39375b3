//! A store of keys in memory.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use super::{Change, HOUR, Key, KeyError, KeyStore, SharedStore};
use peerbroker_config::Ban;
use peerbroker_core::vocabulary::ApiKey;

/// Keys in memory. They are lost when the process ends.
#[derive(Default)]
pub struct MemoryKeys {
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    keys: BTreeMap<ApiKey, Key>,
    /// The hour in which each key was last used, or added.
    used: HashMap<ApiKey, u64>,
    /// The counted hours, and the time of the last one.
    hours: u64,
    counted: u64,
    version: u64,
    /// By their places.
    bans: BTreeMap<String, Ban>,
}

impl MemoryState {
    fn unused(&self, hours: u64) -> Vec<ApiKey> {
        let used = |key: &Key| self.used.get(&key.key).copied().unwrap_or_default();
        let is_unused = |key: &&Key| key.registered && used(key).saturating_add(hours) <= self.hours;
        self.keys.values().filter(is_unused).map(|key| key.key.clone()).collect()
    }
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

    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }

    fn bans(&self) -> Result<Vec<Ban>, KeyError> {
        Ok(self.state.lock().bans.values().cloned().collect())
    }

    fn put_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        self.state.lock().bans.insert(ban.place(), ban.clone());
        Ok(())
    }

    fn remove_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        self.state.lock().bans.remove(&ban.place());
        Ok(())
    }

    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError> {
        let mut state = self.state.lock();
        if most > 0 && state.keys.values().filter(|key| key.registered).count() >= most {
            return Ok(false);
        }
        if state.keys.contains_key(&key.key) {
            return Err(KeyError::Exists(key.key));
        }
        let hours = state.hours;
        state.used.insert(key.key.clone(), hours);
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
        let hours = state.hours;
        state.used.extend(keys.iter().map(|key| (key.key.clone(), hours)));
        state.keys.extend(keys.into_iter().map(|key| (key.key.clone(), key)));
        Ok(())
    }

    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        let mut state = self.state.lock();
        state.keys.remove(key).ok_or_else(|| KeyError::Unknown(key.clone()))?;
        state.used.remove(key);
        state.version += 1;
        Ok(())
    }

    fn record_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        let mut state = self.state.lock();
        let hours = state.hours;
        for (text, when) in used {
            if let Some(key) = state.keys.get_mut(text) {
                key.used = Some(*when);
                state.used.insert(text.clone(), hours);
            }
        }
        Ok(())
    }

    fn count_hour(&self, now: u64) -> Result<(), KeyError> {
        let mut state = self.state.lock();
        if !(state.counted..state.counted + HOUR).contains(&now) {
            state.hours += 1;
            state.counted = now;
        }
        Ok(())
    }

    fn unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        Ok(self.state.lock().unused(hours))
    }

    fn remove_unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        let mut state = self.state.lock();
        let unused = state.unused(hours);
        for key in &unused {
            state.keys.remove(key);
            state.used.remove(key);
        }
        state.version += u64::from(!unused.is_empty());
        Ok(unused)
    }

    fn version(&self) -> Result<u64, KeyError> {
        Ok(self.state.lock().version)
    }
}
