//! How many connections one address may have.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::{Network, TooMany};
use crate::pace::Pace;

/// The bounds of one address; 0 turns one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Most WebSockets and streams at a time.
    pub connections: u32,
    /// New ones a second, for long; ten times as many at once.
    pub opens_per_second: u32,
}

impl Default for AddressLimits {
    fn default() -> Self {
        AddressLimits { connections: 1000, opens_per_second: 50 }
    }
}

/// The addresses that have connections, or had some a moment ago.
pub(crate) struct Addresses {
    limits: AddressLimits,
    known: DashMap<Network, Known>,
}

#[derive(Default)]
struct Known {
    open: u32,
    opens: Pace,
}

/// A connection that counts for its address until it is dropped.
pub(crate) struct Counted {
    addresses: Arc<Addresses>,
    network: Network,
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits) -> Arc<Self> {
        Arc::new(Addresses { limits, known: DashMap::new() })
    }

    /// Counts a new connection at `now` milliseconds; `None` is one that is not counted. Loopback is not: there
    /// it is somebody's proxy, or somebody's own machine.
    pub(crate) fn open(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        now: u64,
    ) -> Result<Option<Counted>, TooMany> {
        let Some(address) = address.filter(|address| !address.to_canonical().is_loopback()) else {
            return Ok(None);
        };
        let network = Network::of(address);
        let AddressLimits { connections, opens_per_second } = self.limits;
        let mut known = self.known.entry(network).or_default();
        if connections > 0 && known.open >= connections {
            return Err(TooMany { retry_after: Duration::from_secs(10) });
        }
        known.opens.try_spend_one(opens_per_second, now).map_err(|retry_after| TooMany { retry_after })?;
        known.open += 1;
        Ok(Some(Counted { addresses: Arc::clone(self), network }))
    }

    /// Forgets the addresses that have nothing open and could do all again.
    pub(crate) fn sweep(&self, now: u64) {
        self.known.retain(|_, known| known.open > 0 || !known.opens.is_rested(now));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.known.len()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(mut known) = self.addresses.known.get_mut(&self.network) {
            known.open = known.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn addresses(connections: u32, opens_per_second: u32) -> Arc<Addresses> {
        Addresses::new(AddressLimits { connections, opens_per_second })
    }

    #[test]
    fn an_address_has_so_many_connections_at_a_time() {
        let addresses = addresses(2, 0);
        let open = || addresses.open(ip("192.0.2.1"), 0);
        let first = open().unwrap();
        let _second = open().unwrap();
        assert!(open().is_err());
        assert!(addresses.open(ip("192.0.2.2"), 0).is_ok());
        drop(first);
        assert!(open().is_ok());
    }

    #[test]
    fn an_address_has_so_many_new_ones_a_second_and_ten_times_as_many_at_once() {
        let addresses = addresses(0, 5);
        let open = |now| addresses.open(ip("192.0.2.1"), now).map(drop);
        for _ in 0..50 {
            assert!(open(0).is_ok());
        }
        assert_eq!(open(0), Err(TooMany { retry_after: Duration::from_millis(200) }));
        assert!(open(199).is_err());
        assert!(open(200).is_ok() && open(200).is_err());
        for _ in 0..50 {
            assert!(open(100_000).is_ok());
        }
        assert!(open(100_000).is_err());
    }

    #[test]
    fn a_household_is_one_address_and_loopback_none() {
        let addresses = addresses(1, 0);
        let _first = addresses.open(ip("2001:db8::1"), 0).unwrap();
        assert!(addresses.open(ip("2001:db8::ffff:ffff"), 0).is_err());
        assert!(addresses.open(ip("2001:db8:0:1::1"), 0).is_ok());
        let _mapped = addresses.open(ip("::ffff:192.0.2.1"), 0).unwrap();
        assert!(addresses.open(ip("192.0.2.1"), 0).is_err());
        for exempt in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(matches!(addresses.open(ip(exempt), 0), Ok(None)), "{exempt}");
        }
    }

    #[test]
    fn who_is_gone_is_forgotten_when_it_could_do_all_again() {
        let addresses = addresses(0, 5);
        let here = addresses.open(ip("192.0.2.1"), 0).unwrap();
        drop(addresses.open(ip("192.0.2.2"), 0).unwrap());
        addresses.sweep(100);
        assert_eq!(addresses.len(), 2);
        addresses.sweep(1000);
        assert_eq!(addresses.len(), 1);
        drop(here);
        addresses.sweep(1000);
        assert_eq!(addresses.len(), 0);
    }
}
