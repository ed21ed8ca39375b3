//! What the calls of one key have in common.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::rate_limit::RateLimit;
use crate::wire::ApiKey;

/// The keys that have calls.
#[derive(Default)]
pub(super) struct Shares(Mutex<HashMap<ApiKey, Weak<OfKey>>>);

struct OfKey {
    key: ApiKey,
    calls: AtomicUsize,
    rate: RateLimit,
}

/// Counts one call of a key until it is dropped.
pub(super) struct Share(Arc<OfKey>);

impl Shares {
    /// Counts a call of a key, unless that has `max` calls.
    pub(super) fn admit(&self, key: &ApiKey, max: usize) -> Option<Share> {
        let mut keys = self.keys();
        let of_key = keys.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let (calls, rate) = Default::default();
            let of_key = Arc::new(OfKey { key: key.clone(), calls, rate });
            keys.insert(key.clone(), Arc::downgrade(&of_key));
            of_key
        });
        drop(keys);
        let is_within = of_key.calls.fetch_add(1, Ordering::Relaxed) < max;
        // Dropped if it is one too many.
        let share = Share(of_key);
        is_within.then_some(share)
    }

    /// Forgets keys without calls.
    pub(super) fn sweep(&self) {
        self.keys().retain(|_, of_key| of_key.strong_count() > 0);
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<ApiKey, Weak<OfKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// The key.
    pub(super) fn key(&self) -> &ApiKey {
        &self.0.key
    }

    /// The rate limit of all calls of the key.
    pub(super) fn rate(&self) -> &RateLimit {
        &self.0.rate
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
