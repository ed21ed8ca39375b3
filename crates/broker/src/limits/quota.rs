//! The quota of bytes that all connections share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::LiveConfig;

/// Bytes of each share that are not charged. An offer with all its candidates has about 10 KB, so other
/// clients can still send offers when an attacker uses the whole quota.
const FREE: usize = 16 << 10;

/// This part of a quota is left to small shares, so that large ones are refused first.
const LEFT_TO_SMALL: usize = 16;

/// A share is small up to this part of a quota.
const SMALL: usize = 1024;

/// A number of bytes that many connections share.
#[derive(Debug)]
pub struct Quota {
    config: LiveConfig,
    used: AtomicUsize,
}

/// The bytes that one connection uses of a quota. The drop returns them.
#[derive(Debug)]
pub struct QuotaShare {
    quota: Arc<Quota>,
    charged: usize,
}

/// The bytes do not fit into the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExceeded;

impl Quota {
    /// The quota of [`unfinished_total_bytes`](crate::config::Config::unfinished_total_bytes).
    pub fn of_unfinished(config: LiveConfig) -> Arc<Self> {
        Arc::new(Quota { config, used: AtomicUsize::new(0) })
    }

    /// An empty share.
    pub fn share(self: &Arc<Self>) -> QuotaShare {
        QuotaShare { quota: Arc::clone(self), charged: 0 }
    }

    /// A quota of its own, of this many bytes.
    pub fn new(unfinished_total_bytes: usize) -> Arc<Self> {
        use crate::config::Config;
        Quota::of_unfinished(Config { unfinished_total_bytes, ..Config::default() }.into())
    }

    /// The bytes that are in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes more bytes for a share that has some already.
    fn take(&self, more: usize, already: usize) -> Result<(), QuotaExceeded> {
        let max = self.config.load().unfinished_total_bytes;
        let is_small = already.saturating_add(more) <= max / SMALL;
        let fits = |used: usize| {
            let is_alone = used <= already;
            let most = if is_small || is_alone { max } else { max - max / LEFT_TO_SMALL };
            used.checked_add(more).filter(|used| *used <= most)
        };
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map(drop).map_err(|_| QuotaExceeded)
    }
}

impl QuotaShare {
    /// Sets the size of the share. If the bytes do not fit, the share keeps its size.
    pub fn set(&mut self, bytes: usize) -> Result<(), QuotaExceeded> {
        let charged = bytes.saturating_sub(FREE);
        if charged > self.charged {
            self.quota.take(charged - self.charged, self.charged)?;
        } else if charged < self.charged {
            self.quota.used.fetch_sub(self.charged - charged, Ordering::Relaxed);
        }
        self.charged = charged;
        Ok(())
    }
}

impl Drop for QuotaShare {
    fn drop(&mut self) {
        // Fewer bytes always fit.
        let _ = self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_are_limited_and_refunded_once() {
        let quota = Quota::new(160);
        let (mut one, mut other) = (quota.share(), quota.share());
        assert_eq!(one.set(FREE + 60), Ok(()));
        assert_eq!(other.set(FREE + 91), Err(QuotaExceeded));
        assert_eq!(other.set(FREE + 90), Ok(()));
        assert_eq!(quota.used(), 150);
        // A share that does not fit keeps its size.
        assert_eq!(one.set(FREE + 61), Err(QuotaExceeded));
        assert_eq!(one.set(FREE + 10), Ok(()));
        assert_eq!(quota.used(), 100);
        drop(one);
        assert_eq!(quota.used(), 90);
        assert_eq!(other.set(FREE + 160), Ok(()));
        drop(other);
        assert_eq!(quota.used(), 0);
    }

    #[test]
    fn large_shares_are_refused_first() {
        let quota = Quota::new(1 << 20);
        let mut large: Vec<_> = (0..15).map(|_| quota.share()).collect();
        assert!(large.iter_mut().all(|share| share.set(FREE + (1 << 16)).is_ok()));
        assert_eq!(quota.share().set(FREE + 1025), Err(QuotaExceeded));
        let mut small: Vec<_> = (0..64).map(|_| quota.share()).collect();
        assert!(small.iter_mut().all(|share| share.set(FREE + 1024).is_ok()));
        assert_eq!(quota.share().set(FREE + 1), Err(QuotaExceeded));
    }

    #[test]
    fn the_first_bytes_of_each_share_are_not_charged() {
        let quota = Quota::new(0);
        let mut shares: Vec<_> = (0..10).map(|_| quota.share()).collect();
        assert!(shares.iter_mut().all(|held| held.set(FREE).is_ok()));
        assert!(shares.iter_mut().all(|held| held.set(FREE + 1).is_err()));
        assert_eq!(quota.used(), 0);
    }
}
