//! How many connections one address may have.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::{Network, TooMany};
use crate::config::LiveConfig;
use crate::rate_limit::RateLimit;
use crate::wire::Limit;

/// The addresses that have connections, or had some a moment ago.
pub(crate) struct Addresses {
    config: LiveConfig,
    known: DashMap<Network, Known>,
}

#[derive(Default)]
struct Known {
    open: u32,
    opens: RateLimit,
}

/// A place among the connections of an address, shared by all that goes on in one connection.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<CountedConnection>);

/// Given back when it is dropped.
struct CountedConnection {
    addresses: Arc<Addresses>,
    network: Network,
}

impl Addresses {
    pub(crate) fn new(config: LiveConfig) -> Arc<Self> {
        Arc::new(Addresses { config, known: DashMap::new() })
    }

    /// Counts a new connection; `None` is one that is not counted. Loopback is not: there it is somebody's
    /// proxy, or somebody's own machine.
    pub(crate) fn connect(
        self: &Arc<Self>,
        address: Option<IpAddr>,
    ) -> Result<Option<ConnectionPermit>, TooMany> {
        let Some(network) = network(address) else { return Ok(None) };
        let mut known = self.known.entry(network).or_default();
        self.place(network, &mut known).map(Some)
    }

    /// Counts a new WebSocket or stream at `now` milliseconds. It needs no place of its own if its connection
    /// has one.
    pub(crate) fn open(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        now: u64,
        connection: Option<&ConnectionPermit>,
    ) -> Result<Option<ConnectionPermit>, TooMany> {
        let Some(network) = network(address) else { return Ok(None) };
        let mut known = self.known.entry(network).or_default();
        let placed = match connection.filter(|ConnectionPermit(place)| place.network == network) {
            Some(placed) => placed.clone(),
            None => self.place(network, &mut known)?,
        };
        // A place of its own goes back below, when nothing is locked.
        let spent = known.opens.try_charge_one(self.config.load().address_limits.opens_per_second, now);
        drop(known);
        spent
            .map(|()| Some(placed))
            .map_err(|retry_after| TooMany { limit: Limit::OpensPerSecond, retry_after })
    }

    fn place(self: &Arc<Self>, network: Network, known: &mut Known) -> Result<ConnectionPermit, TooMany> {
        let most = self.config.load().address_limits.connections;
        if most > 0 && known.open >= most {
            return Err(TooMany {
                limit: Limit::ConnectionsPerAddress,
                retry_after: Duration::from_secs(10),
            });
        }
        known.open += 1;
        Ok(ConnectionPermit(Arc::new(CountedConnection { addresses: Arc::clone(self), network })))
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

impl Drop for CountedConnection {
    fn drop(&mut self) {
        if let Some(mut known) = self.addresses.known.get_mut(&self.network) {
            known.open = known.open.saturating_sub(1);
        }
    }
}

fn network(address: Option<IpAddr>) -> Option<Network> {
    let address = address.filter(|address| !address.to_canonical().is_loopback())?;
    Some(Network::of(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AddressLimits, Config};

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn addresses(connections: u32, opens_per_second: u32) -> Arc<Addresses> {
        let address_limits = AddressLimits { connections, opens_per_second };
        Addresses::new(Config { address_limits, ..Config::default() }.into())
    }

    #[test]
    fn an_address_has_so_many_connections_at_a_time() {
        let addresses = addresses(2, 0);
        let open = || addresses.open(ip("192.0.2.1"), 0, None);
        let first = open().unwrap();
        let _second = open().unwrap();
        assert!(open().is_err());
        assert!(addresses.open(ip("192.0.2.2"), 0, None).is_ok());
        drop(first);
        assert!(open().is_ok());
    }

    #[test]
    fn zero_is_any_number() {
        let addresses = addresses(0, 0);
        let open: Vec<_> = (0..2000).map(|_| addresses.open(ip("192.0.2.1"), 0, None)).collect();
        assert!(open.iter().all(Result::is_ok));
    }

    #[test]
    fn a_websocket_shares_the_place_of_its_connection_and_keeps_it() {
        let addresses = addresses(1, 0);
        let connection = addresses.connect(ip("192.0.2.1")).unwrap().unwrap();
        assert!(addresses.connect(ip("192.0.2.1")).is_err());
        let open = |address, connection| addresses.open(ip(address), 0, connection);
        let websocket = open("192.0.2.1", Some(&connection)).unwrap().unwrap();
        assert!(open("192.0.2.1", None).is_err());
        // Whom a proxy speaks for has a place of its own.
        let _another = open("192.0.2.2", Some(&connection)).unwrap();
        assert!(addresses.connect(ip("192.0.2.2")).is_err());
        drop(connection);
        assert!(addresses.connect(ip("192.0.2.1")).is_err());
        drop(websocket);
        assert!(addresses.connect(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_websocket_that_is_opened_too_soon_leaves_no_place_behind() {
        let addresses = addresses(20, 1);
        let opened: Vec<_> = (0..20).map(|_| addresses.open(ip("192.0.2.1"), 0, None)).collect();
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 10);
        drop(opened);
        let connected: Vec<_> = (0..20).map(|_| addresses.connect(ip("192.0.2.1"))).collect();
        assert!(connected.iter().all(Result::is_ok));
    }

    #[test]
    fn an_address_has_so_many_new_ones_a_second_and_ten_times_as_many_at_once() {
        let addresses = addresses(0, 5);
        let open = |now| addresses.open(ip("192.0.2.1"), now, None).map(drop);
        for _ in 0..50 {
            assert!(open(0).is_ok());
        }
        assert_eq!(
            open(0),
            Err(TooMany { limit: Limit::OpensPerSecond, retry_after: Duration::from_millis(200) })
        );
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
        let _first = addresses.open(ip("2001:db8::1"), 0, None).unwrap();
        assert!(addresses.open(ip("2001:db8::ffff:ffff"), 0, None).is_err());
        assert!(addresses.open(ip("2001:db8:0:1::1"), 0, None).is_ok());
        let _mapped = addresses.open(ip("::ffff:192.0.2.1"), 0, None).unwrap();
        assert!(addresses.open(ip("192.0.2.1"), 0, None).is_err());
        for exempt in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(matches!(addresses.open(ip(exempt), 0, None), Ok(None)), "{exempt}");
        }
    }

    #[test]
    fn who_is_gone_is_forgotten_when_it_could_do_all_again() {
        let addresses = addresses(0, 5);
        let here = addresses.open(ip("192.0.2.1"), 0, None).unwrap();
        drop(addresses.open(ip("192.0.2.2"), 0, None).unwrap());
        addresses.sweep(100);
        assert_eq!(addresses.len(), 2);
        addresses.sweep(1000);
        assert_eq!(addresses.len(), 1);
        drop(here);
        addresses.sweep(1000);
        assert_eq!(addresses.len(), 0);
    }
}
