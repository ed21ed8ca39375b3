//! The quota of bytes that all connections share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use peerbroker_config::LiveConfig;
use peerbroker_core::vocabulary::AddressPrefix;

/// Bytes of each unfinished message that are not charged. An offer with all its candidates has about 10 KB,
/// so other clients can still send offers when an attacker uses the whole quota.
const FREE: usize = 16 << 10;

/// Part of a quota that is left to small shares, so that large ones are refused first.
const LEFT_TO_SMALL: usize = 16;

/// A share is small up to this part of a quota.
const SMALL: usize = 1024;

/// A number of bytes that many connections share.
///
/// An address that has several shares leaves as much free as it has, so the heaviest address is refused first
/// and nobody fills the quota alone: of `n` such addresses each gets one part of `n + 1`. Choudhury and
/// Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998), has the rule.
pub struct Quota {
    most: Most,
    /// Bytes of each share that are not charged.
    free: usize,
    used: AtomicUsize,
    /// The bytes of each address that has any. Locked only for shares with more than the free bytes.
    by_address: Mutex<HashMap<AddressPrefix, usize>>,
}

/// The size of a quota.
enum Most {
    /// The [`unfinished_total_bytes`](peerbroker_config::Config::unfinished_total_bytes) that are set now.
    Unfinished(LiveConfig),
    Fixed(usize),
    /// Things that are all equally small.
    Things(usize),
}

/// The bytes that one connection uses of a quota. The drop returns them.
pub struct QuotaShare {
    quota: Arc<Quota>,
    /// `None` for loopback, which is only limited by the quota.
    address: Option<AddressPrefix>,
    charged: usize,
}

/// The bytes do not fit into the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExceeded;

impl Quota {
    /// The quota of [`unfinished_total_bytes`](peerbroker_config::Config::unfinished_total_bytes).
    pub fn of_unfinished(config: LiveConfig) -> Arc<Self> {
        Quota::of(Most::Unfinished(config), FREE)
    }

    /// A quota of this many bytes, without so many of each share.
    pub fn fixed(most: usize, free: usize) -> Arc<Self> {
        Quota::of(Most::Fixed(most), free)
    }

    /// A quota of so many things instead of bytes.
    pub fn of_things(most: usize, free: usize) -> Arc<Self> {
        Quota::of(Most::Things(most), free)
    }

    fn of(most: Most, free: usize) -> Arc<Self> {
        Arc::new(Quota { most, free, used: AtomicUsize::new(0), by_address: Mutex::default() })
    }

    /// An empty share of an address. `None` for loopback.
    pub fn share(self: &Arc<Self>, address: Option<AddressPrefix>) -> QuotaShare {
        QuotaShare { quota: Arc::clone(self), address, charged: 0 }
    }

    /// A quota of its own, of this many bytes.
    pub fn new(unfinished_total_bytes: usize) -> Arc<Self> {
        Quota::fixed(unfinished_total_bytes, FREE)
    }

    /// The bytes that are in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes more bytes for a share that has some already.
    fn take(&self, more: usize, already: usize, address: Option<AddressPrefix>) -> Result<(), QuotaExceeded> {
        let max = match &self.most {
            Most::Unfinished(config) => config.load().unfinished_total_bytes,
            Most::Fixed(most) | Most::Things(most) => *most,
        };
        let is_small = matches!(self.most, Most::Things(_)) || already.saturating_add(more) <= max / SMALL;
        let mut by_address = address.map(|address| (address, self.by_address.lock()));
        let of_address =
            by_address.as_ref().and_then(|(address, all)| all.get(address)).copied().unwrap_or(0);
        let fits = |used: usize| {
            let is_alone = used <= already;
            let most = if is_small || is_alone { max } else { max - max / LEFT_TO_SMALL };
            let used = used.checked_add(more).filter(|used| *used <= most)?;
            let leaves_enough = of_address <= already || of_address + more <= max - used;
            leaves_enough.then_some(used)
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| QuotaExceeded)?;
        if let Some((address, all)) = &mut by_address {
            *all.entry(*address).or_default() += more;
        }
        Ok(())
    }

    /// Takes bytes back from a share.
    fn give_back(&self, bytes: usize, address: Option<AddressPrefix>) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(address) = address {
            let mut all = self.by_address.lock();
            let left = all.get(&address).map_or(0, |held| held.saturating_sub(bytes));
            if left > 0 {
                all.insert(address, left)
            } else {
                all.remove(&address)
            };
        }
    }
}

impl QuotaShare {
    /// Sets the size of the share. If the bytes do not fit, the share keeps its size.
    pub fn set(&mut self, bytes: usize) -> Result<(), QuotaExceeded> {
        let charged = bytes.saturating_sub(self.quota.free);
        if charged > self.charged {
            self.quota.take(charged - self.charged, self.charged, self.address)?;
        } else if charged < self.charged {
            self.quota.give_back(self.charged - charged, self.address);
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

    fn address(last: u8) -> Option<AddressPrefix> {
        AddressPrefix::of_remote(Some([192, 0, 2, last].into()))
    }

    /// The shares of 100 bytes that an address gets, at most 20.
    fn hundreds(quota: &Arc<Quota>, address: Option<AddressPrefix>) -> Vec<QuotaShare> {
        let share = || {
            let mut share = quota.share(address);
            share.set(FREE + 100).ok().map(|()| share)
        };
        (0..20).map_while(|_| share()).collect()
    }

    #[test]
    fn an_address_with_many_shares_leaves_as_much_as_it_has() {
        let quota = Quota::new(1200);
        let first = hundreds(&quota, address(1));
        assert_eq!(first.len(), 6, "one half");
        let mut second = hundreds(&quota, address(2));
        assert_eq!(second.len(), 3, "one half of the rest");
        // The heavier one gets no more before it has given back; a third one does.
        assert_eq!(hundreds(&quota, address(1)).len(), 0);
        assert_eq!(hundreds(&quota, address(3)).len(), 1);
        drop(first);
        second.append(&mut hundreds(&quota, address(2)));
        assert_eq!(second.len(), 6);
        drop(second);
        assert_eq!(quota.used(), 0);
        assert!(quota.by_address.lock().is_empty(), "nothing is kept of addresses without bytes");
    }

    #[test]
    fn a_single_share_of_an_address_may_have_all() {
        let quota = Quota::new(1000);
        let mut only = quota.share(address(1));
        assert_eq!((only.set(FREE + 600), only.set(FREE + 1000)), (Ok(()), Ok(())));
    }

    #[test]
    fn loopback_which_may_be_an_unknown_proxy_is_limited_only_by_the_quota() {
        let quota = Quota::new(1600);
        assert_eq!(hundreds(&quota, None).len(), 15);
    }

    #[test]
    fn all_shares_together_are_limited_and_refunded_once() {
        let quota = Quota::new(160);
        let mut one = quota.share(None);
        let mut other = quota.share(None);
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
        let mut large: Vec<_> = (0..15).map(|_| quota.share(None)).collect();
        assert!(large.iter_mut().all(|share| share.set(FREE + (1 << 16)).is_ok()));
        assert_eq!(quota.share(None).set(FREE + 1025), Err(QuotaExceeded));
        let mut small: Vec<_> = (0..64).map(|_| quota.share(None)).collect();
        assert!(small.iter_mut().all(|share| share.set(FREE + 1024).is_ok()));
        assert_eq!(quota.share(None).set(FREE + 1), Err(QuotaExceeded));
    }

    #[test]
    fn the_first_bytes_of_each_share_are_not_charged() {
        let quota = Quota::new(0);
        let mut shares: Vec<_> = (0..10).map(|_| quota.share(None)).collect();
        assert!(shares.iter_mut().all(|held| held.set(FREE).is_ok()));
        assert!(shares.iter_mut().all(|held| held.set(FREE + 1).is_err()));
        assert_eq!(quota.used(), 0);
    }
}
