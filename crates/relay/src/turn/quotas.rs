//! Counts allocations: in all, of each key, and of each client's address and site.

use std::net::IpAddr;
use std::sync::Arc;

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::AddressPrefix;
use peerbroker_media_api::{KeyLimits, MediaLimits, TurnRefusal};

use crate::datapath::of_key::KeyTraffic;
use crate::datapath::shares::{Share, Shares};

/// A site, the /48 of an IPv6 address, may have as many allocations as this many addresses. Mobile networks
/// have thousands of customers in one.
const ADDRESSES_PER_SITE: usize = 4;

/// Counts allocations.
#[derive(Default)]
pub(super) struct Quotas {
    pub(super) all: Share,
    by_key: Shares<String, KeyTraffic>,
    pub(super) by_address: Shares<AddressPrefix>,
    pub(super) by_site: Shares<AddressPrefix>,
}

/// The place of one allocation. Its drop gives it back.
pub(super) struct AllocationPermit {
    _all: Share,
    pub(super) of_key: Share<KeyTraffic>,
    of_address: Share,
    of_site: Share,
}

impl Quotas {
    /// A place for an allocation of a key and a client's address, or the quota that is used up. The key may
    /// have limits of its own.
    pub(super) fn take(
        &self,
        key: &str,
        own: KeyLimits,
        address: IpAddr,
        limits: MediaLimits,
    ) -> Result<AllocationPermit, TurnRefusal> {
        let place = AllocationPermit {
            _all: self.all.clone(),
            of_key: self.by_key.add(key.to_owned()),
            of_address: self.by_address.add(AddressPrefix::of(address)),
            of_site: self.by_site.add(AddressPrefix::site(address)),
        };
        place.of_key.own.store(Arc::new(own));
        let per_site = limits.allocations_per_address().saturating_mul(ADDRESSES_PER_SITE);
        if self.all.count() > limits.allocations {
            Err(TurnRefusal::Capacity)
        } else if place.of_key.count() > own.calls.unwrap_or(limits.allocations) {
            Err(TurnRefusal::KeyQuota)
        } else if place.of_address.count() > limits.allocations_per_address()
            || place.of_site.count() > per_site
        {
            Err(TurnRefusal::AddressQuota)
        } else {
            Ok(place)
        }
    }

    /// Forgets addresses without allocations, and keys whose full burst is available again. Sets the limits
    /// of the others' `own`.
    pub(super) fn sweep(&self, now: Instant, own: impl Fn(&str) -> KeyLimits) {
        self.by_key.all().iter().for_each(|(key, traffic)| traffic.own.store(Arc::new(own(key))));
        self.by_key.sweep(|traffic| !traffic.rate.is_rested(now));
        self.by_address.sweep(|()| false);
        self.by_site.sweep(|()| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_per_key_and_per_address_and_given_back() {
        let limits = MediaLimits { allocations: 22, ..MediaLimits::default() };
        let own = KeyLimits { calls: Some(3), ..KeyLimits::default() };
        let quotas = Arc::new(Quotas::default());
        let take = |key, address: u8| quotas.take(key, own, [192, 0, 2, address].into(), limits);
        let mut places = vec![take("a", 1).ok(), take("a", 1).ok()];
        assert_eq!(take("a", 1).err(), Some(TurnRefusal::AddressQuota));
        places.push(take("a", 2).ok());
        assert_eq!(take("a", 2).err(), Some(TurnRefusal::KeyQuota));
        let others: Vec<String> = (0..19).map(|number| format!("b{number}")).collect();
        places.extend((3..).zip(&others).map(|(address, key)| take(key, address).ok()));
        assert_eq!(take("c", 99).err(), Some(TurnRefusal::Capacity));
        assert_eq!(quotas.all.count(), 22);
        assert!(places.iter().all(Option::is_some));
        places.remove(0);
        assert!(take("c", 99).is_ok());
        places.clear();
        quotas.sweep(Instant::default(), |_| KeyLimits::default());
        assert_eq!(
            (quotas.all.count(), quotas.by_key.len(), quotas.by_address.len() + quotas.by_site.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_site_has_as_many_places_as_four_addresses() {
        let limits = MediaLimits { allocations: 40, ..MediaLimits::default() };
        let quotas = Arc::new(Quotas::default());
        let take = |address: String| quotas.take("a", KeyLimits::default(), address.parse().unwrap(), limits);
        let places: Vec<_> = (0..12).map(|subnet| take(format!("2001:db8:1:{subnet:x}::1"))).collect();
        assert_eq!(places.iter().filter(|place| place.is_ok()).count(), 8);
        assert_eq!(places.last().unwrap().as_ref().err(), Some(&TurnRefusal::AddressQuota));
        assert!(take("2001:db8:2::1".to_owned()).is_ok());
        assert!(take("192.0.2.1".to_owned()).is_ok());
    }

    #[test]
    fn a_key_that_comes_back_has_no_new_burst() {
        let own = KeyLimits { key_bytes_per_second: Some(10), ..KeyLimits::default() };
        let quotas = Arc::new(Quotas::default());
        let take = || {
            let address = [192, 0, 2, 1].into();
            quotas.take("a", own, address, MediaLimits::default()).ok().unwrap()
        };
        let charge = |count| take().of_key.charge(count, Instant::default());
        assert!(charge(100) && !charge(1));
        quotas.sweep(Instant::default(), |_| own);
        assert!(!charge(1));
        quotas.sweep(Instant::from_millis(10_000), |_| own);
        assert!(quotas.by_key.len() == 0);
    }
}
