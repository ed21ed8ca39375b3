//! A rate limit for datagrams of addresses that have proved nothing yet.

use std::net::IpAddr;

use dashmap::DashMap;

use super::AddressPrefix;
use crate::rate_limit::RateLimit;

/// Datagrams per second; bursts of ten times as many. A page that opens thirty calls at once sends some 500.
const PER_SECOND: u32 = 100;

/// Most addresses that are remembered. A flood from more than these is dropped.
const MAX: usize = 100_000;

/// Counts datagrams of strangers by address.
#[derive(Default)]
pub(crate) struct Strangers(DashMap<AddressPrefix, RateLimit>);

impl Strangers {
    /// Counts a datagram at `now` milliseconds. False if it is too many.
    pub(crate) fn admit(&self, address: IpAddr, now: u64) -> bool {
        let prefix = AddressPrefix::of(address);
        if let Some(known) = self.0.get(&prefix) {
            return known.try_charge(1, PER_SECOND, now);
        }
        self.0.len() < MAX && self.0.entry(prefix).or_default().try_charge(1, PER_SECOND, now)
    }

    /// Forgets addresses whose burst is full again.
    pub(crate) fn sweep(&self, now: u64) {
        self.0.retain(|_, rate| !rate.is_rested(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_has_a_rate_limit_of_its_own_and_is_forgotten() {
        let strangers = Strangers::default();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        assert_eq!((0..2000).filter(|_| strangers.admit(one, 0)).count(), 1000);
        assert!(strangers.admit(other, 0));
        assert!(!strangers.admit(one, 9) && strangers.admit(one, 10));
        strangers.sweep(10_010);
        assert!(strangers.0.is_empty());
    }
}
