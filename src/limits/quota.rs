//! How many bytes all connections may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::LiveConfig;

/// Bytes that each holder has for itself, outside the quota. An offer with all its candidates has some
/// 10 KB, so an attacker that uses the quota up does not keep others from sending theirs.
const FREE: usize = 16 << 10;

/// A number of bytes that many holders share.
#[derive(Debug)]
pub(crate) struct Quota {
    config: LiveConfig,
    used: AtomicUsize,
}

/// The share of one holder in a quota. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Held {
    quota: Arc<Quota>,
    charged: usize,
}

/// The quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl Quota {
    /// The quota of `unfinished_total_bytes`.
    pub(crate) fn of_unfinished(config: LiveConfig) -> Arc<Self> {
        Arc::new(Quota { config, used: AtomicUsize::new(0) })
    }

    /// A holder of nothing.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        Held { quota: Arc::clone(self), charged: 0 }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn new(unfinished_total_bytes: usize) -> Arc<Self> {
        use crate::config::Config;
        Quota::of_unfinished(Config { unfinished_total_bytes, ..Config::default() }.into())
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<(), UsedUp> {
        let max = self.config.load().unfinished_total_bytes;
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= max);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map(drop).map_err(|_| UsedUp)
    }
}

impl Held {
    /// Says how many bytes the holder has now. If they do not fit, it is charged what it was before.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), UsedUp> {
        let charged = bytes.saturating_sub(FREE);
        if charged > self.charged {
            self.quota.take(charged - self.charged)?;
        } else if charged < self.charged {
            self.quota.used.fetch_sub(self.charged - charged, Ordering::Relaxed);
        }
        self.charged = charged;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Fewer bytes always fit.
        let _ = self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_hold_is_bounded_in_total_and_given_back_once() {
        let quota = Quota::new(100);
        let (mut one, mut other) = (quota.hold(), quota.hold());
        assert_eq!(one.set(FREE + 60), Ok(()));
        assert_eq!(other.set(FREE + 41), Err(UsedUp));
        assert_eq!(other.set(FREE + 40), Ok(()));
        assert_eq!(quota.used(), 100);
        // A holder that asks for more than there is keeps its share.
        assert_eq!(one.set(FREE + 61), Err(UsedUp));
        assert_eq!(one.set(FREE + 10), Ok(()));
        assert_eq!(quota.used(), 50);
        drop(one);
        assert_eq!(quota.used(), 40);
        assert_eq!(other.set(0), Ok(()));
        drop(other);
        assert_eq!(quota.used(), 0);
    }

    #[test]
    fn the_first_bytes_of_each_holder_are_not_counted() {
        let quota = Quota::new(0);
        let mut holders: Vec<_> = (0..10).map(|_| quota.hold()).collect();
        assert!(holders.iter_mut().all(|held| held.set(FREE).is_ok()));
        assert!(holders.iter_mut().all(|held| held.set(FREE + 1).is_err()));
        assert_eq!(quota.used(), 0);
    }
}
