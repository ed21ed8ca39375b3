//! How many allocations there are: in all, of each key, and of each client's address and site.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::config::TurnLimits;
use crate::limits::AddressPrefix;
use crate::rate_limit::RateLimit;

/// A site, the /48 of an IPv6 address, may have as many allocations as this many addresses. Mobile networks have thousands of
/// customers in one.
const ADDRESSES_PER_SITE: usize = 4;

/// Why there are too many allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooMany {
    InAll,
    OfKey,
    OfAddress,
}

/// Counts allocations.
#[derive(Default)]
pub(super) struct Quotas {
    all: AtomicUsize,
    by_key: DashMap<String, Arc<Share>>,
    by_address: DashMap<AddressPrefix, Arc<Share>>,
    by_site: DashMap<AddressPrefix, Arc<Share>>,
}

/// The share of one key, one address or one site: all its allocations have it together.
#[derive(Default)]
pub(super) struct Share {
    allocations: AtomicUsize,
    rate: RateLimit,
}

/// The place of one allocation. Its drop gives it back.
pub(super) struct Place {
    quotas: Arc<Quotas>,
    of_key: Arc<Share>,
    of_address: Arc<Share>,
    of_site: Arc<Share>,
}

impl Quotas {
    /// A place for an allocation of a key and a client's address.
    pub(super) fn take(
        self: &Arc<Self>,
        key: &str,
        address: IpAddr,
        limits: TurnLimits,
    ) -> Result<Place, TooMany> {
        let place = Place {
            quotas: Arc::clone(self),
            of_key: Arc::clone(&self.by_key.entry(key.to_owned()).or_default()),
            of_address: Arc::clone(&self.by_address.entry(AddressPrefix::of(address)).or_default()),
            of_site: Arc::clone(&self.by_site.entry(AddressPrefix::site(address)).or_default()),
        };
        // All are counted first, so that the drop gives all of them back.
        let all = self.all.fetch_add(1, Ordering::Relaxed);
        let of_key = place.of_key.allocations.fetch_add(1, Ordering::Relaxed);
        let of_address = place.of_address.allocations.fetch_add(1, Ordering::Relaxed);
        let of_site = place.of_site.allocations.fetch_add(1, Ordering::Relaxed);
        let per_site = limits.allocations_per_address.saturating_mul(ADDRESSES_PER_SITE);
        if all >= limits.allocations {
            Err(TooMany::InAll)
        } else if of_key >= limits.allocations_per_key {
            Err(TooMany::OfKey)
        } else if of_address >= limits.allocations_per_address || of_site >= per_site {
            Err(TooMany::OfAddress)
        } else {
            Ok(place)
        }
    }

    /// Allocations of an address's site.
    pub(super) fn of_site(&self, address: IpAddr) -> usize {
        let share = self.by_site.get(&AddressPrefix::site(address));
        share.map_or(0, |share| share.allocations.load(Ordering::Relaxed))
    }

    /// Allocations that have a place.
    pub(super) fn len(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// Forgets addresses without allocations, and keys whose burst is full again too.
    pub(super) fn sweep(&self, now: u64) {
        self.by_key.retain(|_, share| Arc::strong_count(share) > 1 || !share.rate.is_rested(now));
        self.by_address.retain(|_, share| Arc::strong_count(share) > 1);
        self.by_site.retain(|_, share| Arc::strong_count(share) > 1);
    }
}

impl Place {
    /// Charges bytes to the key. False if that is too early.
    pub(super) fn charge_key(&self, bytes: u32, per_second: u32, now: u64) -> bool {
        self.of_key.rate.try_charge(bytes, per_second, now)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.quotas.all.fetch_sub(1, Ordering::Relaxed);
        self.of_key.allocations.fetch_sub(1, Ordering::Relaxed);
        self.of_address.allocations.fetch_sub(1, Ordering::Relaxed);
        self.of_site.allocations.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_per_key_and_per_address_and_given_back() {
        let limits = TurnLimits {
            allocations: 4,
            allocations_per_key: 3,
            allocations_per_address: 2,
            ..TurnLimits::default()
        };
        let quotas = Arc::new(Quotas::default());
        let take = |key, address: u8| quotas.take(key, [192, 0, 2, address].into(), limits);
        let mut places = vec![take("a", 1).ok(), take("a", 1).ok()];
        assert_eq!(take("a", 1).err(), Some(TooMany::OfAddress));
        places.push(take("a", 2).ok());
        assert_eq!(take("a", 2).err(), Some(TooMany::OfKey));
        places.push(take("b", 3).ok());
        assert_eq!(take("c", 4).err(), Some(TooMany::InAll));
        assert_eq!(quotas.len(), 4);
        assert!(places.iter().all(Option::is_some));
        places.remove(0);
        assert!(take("c", 4).is_ok());
        places.clear();
        quotas.sweep(0);
        assert_eq!(
            (quotas.len(), quotas.by_key.len(), quotas.by_address.len() + quotas.by_site.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_site_has_as_many_places_as_four_addresses() {
        let limits = TurnLimits { allocations_per_address: 2, ..TurnLimits::default() };
        let quotas = Arc::new(Quotas::default());
        let take = |address: String| quotas.take("a", address.parse().unwrap(), limits);
        let places: Vec<_> = (0..12).map(|subnet| take(format!("2001:db8:1:{subnet:x}::1"))).collect();
        assert_eq!(places.iter().filter(|place| place.is_ok()).count(), 8);
        assert_eq!(places.last().unwrap().as_ref().err(), Some(&TooMany::OfAddress));
        assert!(take("2001:db8:2::1".to_owned()).is_ok());
        assert!(take("192.0.2.1".to_owned()).is_ok());
    }

    #[test]
    fn a_key_that_comes_back_has_no_new_burst() {
        let quotas = Arc::new(Quotas::default());
        let take = || quotas.take("a", [192, 0, 2, 1].into(), TurnLimits::default()).ok().unwrap();
        assert!(take().charge_key(100, 10, 0) && !take().charge_key(1, 10, 0));
        quotas.sweep(0);
        assert!(!take().charge_key(1, 10, 0));
        quotas.sweep(10_000);
        assert!(quotas.by_key.is_empty());
    }
}
