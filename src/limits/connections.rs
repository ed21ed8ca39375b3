//! Limits of connections per address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::{AddressPrefix, LimitExceeded};
use crate::config::LiveConfig;
use crate::rate_limit::RateLimit;
use crate::wire::Limit;

/// Counts the connections of each address, and limits how fast it opens new ones.
pub(crate) struct ConnectionLimiter {
    config: LiveConfig,
    known: DashMap<AddressPrefix, AddressUse>,
}

#[derive(Default)]
struct AddressUse {
    open: u32,
    opens: RateLimit,
}

/// Counts one connection towards the limit of its address until the last clone is dropped.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<PermitInner>);

struct PermitInner {
    addresses: Arc<ConnectionLimiter>,
    prefix: AddressPrefix,
}

impl ConnectionLimiter {
    pub(crate) fn new(config: LiveConfig) -> Arc<Self> {
        Arc::new(ConnectionLimiter { config, known: DashMap::new() })
    }

    /// Counts a new connection. Returns `None` for loopback, which is not limited: it is a local proxy or
    /// the operator.
    pub(crate) fn connect(
        self: &Arc<Self>,
        address: Option<IpAddr>,
    ) -> Result<Option<ConnectionPermit>, LimitExceeded> {
        let Some(prefix) = AddressPrefix::of_remote(address) else { return Ok(None) };
        let mut known = self.known.entry(prefix).or_default();
        self.acquire(prefix, &mut known).map(Some)
    }

    /// Counts a new WebSocket or stream at `now` milliseconds. It shares the permit of its `connection`, unless
    /// a proxy names another address.
    pub(crate) fn open(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        now: u64,
        connection: Option<&ConnectionPermit>,
    ) -> Result<Option<ConnectionPermit>, LimitExceeded> {
        let Some(prefix) = AddressPrefix::of_remote(address) else { return Ok(None) };
        let mut known = self.known.entry(prefix).or_default();
        let permit = match connection.filter(|ConnectionPermit(inner)| inner.prefix == prefix) {
            Some(permit) => permit.clone(),
            None => self.acquire(prefix, &mut known)?,
        };
        // A new permit may be dropped below, which locks `known` again.
        let spent = known.opens.try_charge_one(self.config.load().address_limits.opens_per_second, now);
        drop(known);
        spent
            .map(|()| Some(permit))
            .map_err(|retry_after| LimitExceeded { limit: Limit::OpensPerSecond, retry_after })
    }

    fn acquire(
        self: &Arc<Self>,
        prefix: AddressPrefix,
        known: &mut AddressUse,
    ) -> Result<ConnectionPermit, LimitExceeded> {
        let max = self.config.load().address_limits.connections;
        if max > 0 && known.open >= max {
            return Err(LimitExceeded {
                limit: Limit::ConnectionsPerAddress,
                retry_after: Duration::from_secs(10),
            });
        }
        known.open += 1;
        Ok(ConnectionPermit(Arc::new(PermitInner { addresses: Arc::clone(self), prefix })))
    }

    /// Forgets addresses that have no connection and a full burst.
    pub(crate) fn sweep(&self, now: u64) {
        self.known.retain(|_, known| known.open > 0 || !known.opens.is_rested(now));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.known.len()
    }
}

impl Drop for PermitInner {
    fn drop(&mut self) {
        if let Some(mut known) = self.addresses.known.get_mut(&self.prefix) {
            known.open = known.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AddressLimits, Config};

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn addresses(connections: u32, opens_per_second: u32) -> Arc<ConnectionLimiter> {
        let address_limits = AddressLimits { connections, opens_per_second };
        ConnectionLimiter::new(Config { address_limits, ..Config::default() }.into())
    }

    #[test]
    fn an_address_has_at_most_its_limit_of_connections() {
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
    fn zero_turns_the_limit_off() {
        let addresses = addresses(0, 0);
        let open: Vec<_> = (0..2000).map(|_| addresses.open(ip("192.0.2.1"), 0, None)).collect();
        assert!(open.iter().all(Result::is_ok));
    }

    #[test]
    fn a_websocket_shares_the_permit_of_its_connection_and_keeps_it() {
        let addresses = addresses(1, 0);
        let connection = addresses.connect(ip("192.0.2.1")).unwrap().unwrap();
        assert!(addresses.connect(ip("192.0.2.1")).is_err());
        let open = |address, connection| addresses.open(ip(address), 0, connection);
        let websocket = open("192.0.2.1", Some(&connection)).unwrap().unwrap();
        assert!(open("192.0.2.1", None).is_err());
        // The client of a proxy has its own permit.
        let _another = open("192.0.2.2", Some(&connection)).unwrap();
        assert!(addresses.connect(ip("192.0.2.2")).is_err());
        drop(connection);
        assert!(addresses.connect(ip("192.0.2.1")).is_err());
        drop(websocket);
        assert!(addresses.connect(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_websocket_over_the_rate_limit_releases_its_permit() {
        let addresses = addresses(20, 1);
        let opened: Vec<_> = (0..20).map(|_| addresses.open(ip("192.0.2.1"), 0, None)).collect();
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 10);
        drop(opened);
        let connected: Vec<_> = (0..20).map(|_| addresses.connect(ip("192.0.2.1"))).collect();
        assert!(connected.iter().all(Result::is_ok));
    }

    #[test]
    fn new_websockets_of_an_address_have_a_rate_limit_and_a_burst_of_ten_seconds() {
        let addresses = addresses(0, 5);
        let open = |now| addresses.open(ip("192.0.2.1"), now, None).map(drop);
        for _ in 0..50 {
            assert!(open(0).is_ok());
        }
        assert_eq!(
            open(0),
            Err(LimitExceeded { limit: Limit::OpensPerSecond, retry_after: Duration::from_millis(200) })
        );
        assert!(open(199).is_err());
        assert!(open(200).is_ok() && open(200).is_err());
        for _ in 0..50 {
            assert!(open(100_000).is_ok());
        }
        assert!(open(100_000).is_err());
    }

    #[test]
    fn an_ipv6_prefix_is_one_address_and_loopback_is_not_limited() {
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
    fn an_address_without_connections_is_forgotten_when_its_burst_is_full_again() {
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
