//! The number of things that each owner has, and the state that they share. Owners are keys, clients or
//! addresses.

use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

use dashmap::DashMap;

/// The owners that have something, and what each has once for all its things.
pub(crate) struct Shares<K, T = ()>(DashMap<K, Arc<T>>);

/// The share of one thing in what its owner has. It counts until it is dropped. The share of an owner alone
/// counts its clones.
#[derive(Clone, Default)]
pub(crate) struct Share<T = ()>(Arc<T>);

impl<K: Eq + Hash, T> Default for Shares<K, T> {
    fn default() -> Self {
        Shares(DashMap::new())
    }
}

impl<K: Eq + Hash, T: Default> Shares<K, T> {
    /// Counts one thing more of an owner.
    pub(crate) fn add(&self, owner: K) -> Share<T> {
        Share(Arc::clone(&self.0.entry(owner).or_default()))
    }

    /// The number of things that an owner has.
    pub(crate) fn count(&self, owner: &K) -> usize {
        self.0.get(owner).map_or(0, |share| others(&share))
    }

    /// Forgets owners that have nothing, except those to `keep`.
    pub(crate) fn sweep(&self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|_, share| others(share) > 0 || keep(share));
    }

    /// All owners with their shares, each of which is counted once more meanwhile.
    pub(crate) fn all(&self) -> Vec<(K, Share<T>)>
    where
        K: Clone,
    {
        self.0.iter().map(|share| (share.key().clone(), Share(Arc::clone(&share)))).collect()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Share<T> {
    /// The number of things that its owner has.
    pub(crate) fn count(&self) -> usize {
        others(&self.0)
    }
}

impl<T> Deref for Share<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The references beside that of the map.
fn others<T>(share: &Arc<T>) -> usize {
    Arc::strong_count(share).saturating_sub(1)
}
