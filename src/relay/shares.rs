//! What the calls of one key have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::load::Ranking;
use crate::rate_limit::RateLimit;
use crate::wire::ApiKey;

/// The keys that have calls.
#[derive(Default)]
pub(super) struct Shares(Mutex<HashMap<ApiKey, Weak<OfKey>>>);

struct OfKey {
    key: ApiKey,
    rate: RateLimit,
    ranking: Mutex<Ranking<u32>>,
}

/// Counts one call of a key until it is dropped.
pub(super) struct Share(Arc<OfKey>);

impl Shares {
    /// Counts a call of a key.
    pub(super) fn add(&self, key: &ApiKey) -> Share {
        let mut keys = self.keys();
        Share(keys.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let (rate, ranking) = Default::default();
            let of_key = Arc::new(OfKey { key: key.clone(), rate, ranking });
            keys.insert(key.clone(), Arc::downgrade(&of_key));
            of_key
        }))
    }

    /// Forgets keys without calls, and calls that are over.
    pub(super) fn sweep(&self, is_there: impl Fn(&u32) -> bool) {
        self.keys().retain(|_, of_key| of_key.strong_count() > 0);
        let all: Vec<_> = self.keys().values().filter_map(Weak::upgrade).collect();
        for share in all.into_iter().map(Share) {
            share.ranking().sweep(share.calls(), &is_there);
        }
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

    /// Calls of the key.
    pub(super) fn calls(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// The rate limit of all calls of the key.
    pub(super) fn rate(&self) -> &RateLimit {
        &self.0.rate
    }

    /// The order in which its calls give way.
    pub(super) fn ranking(&self) -> MutexGuard<'_, Ranking<u32>> {
        self.0.ranking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
