//! What `crates/router/src/sync.rs` has, of loom. The map is one behind a lock: loom must see who waits for
//! it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Deref;

use loom::sync::RwLock;
pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub use loom::sync::{Mutex, MutexGuard};

/// As much of the real one as the router uses. It hands out clones, so no reader holds its lock: a reader of
/// the real one holds that of a part of the map, and takes no other lock meanwhile.
pub struct DashMap<K, V>(RwLock<BTreeMap<K, V>>);

pub struct Entry<'a, K, V>(&'a DashMap<K, V>, K);

pub struct Value<V>(V);

impl<V> Deref for Value<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

impl<K: Ord, V: Clone> DashMap<K, V> {
    pub fn new() -> Self {
        DashMap(RwLock::new(BTreeMap::new()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.read().unwrap().is_empty()
    }

    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Value<V>>
    where
        K: Borrow<Q>,
    {
        self.0.read().unwrap().get(key).cloned().map(Value)
    }

    pub fn entry(&self, key: K) -> Entry<'_, K, V> {
        Entry(self, key)
    }

    pub fn remove_if<Q: Ord + ?Sized>(&self, key: &Q, goes: impl FnOnce(&K, &V) -> bool) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let mut map = self.0.write().unwrap();
        let (there, value) = map.get_key_value(key)?;
        if goes(there, value) { map.remove_entry(key) } else { None }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<V>> {
        let values: Vec<V> = self.0.read().unwrap().values().cloned().collect();
        values.into_iter().map(Value)
    }
}

impl<K: Ord, V: Clone> Entry<'_, K, V> {
    pub fn or_insert_with(self, new: impl FnOnce() -> V) -> Value<V> {
        Value(self.0.0.write().unwrap().entry(self.1).or_insert_with(new).clone())
    }
}
