//! The active bans. A connection is looked up before anything is read from it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use peerbroker_config::Ban;
use peerbroker_config::key::unix_time;
use peerbroker_core::address::of_client;

/// The active bans, sorted by their networks. Each connection looks several times, so without a ban a look-up
/// reads a flag alone.
#[derive(Default)]
pub struct Bans {
    has_any: AtomicBool,
    sorted: ArcSwap<Sorted>,
}

#[derive(Default)]
struct Sorted {
    bans: Vec<Ban>,
    /// The different sizes of the networks, so that each is one binary search.
    sizes: Vec<(bool, u8)>,
}

/// The place of a network in the order: its family, its size, its first address.
fn place(network: &IpNet) -> (bool, u8, IpAddr) {
    (network.addr().is_ipv4(), network.prefix_len(), network.network())
}

impl Bans {
    /// Replaces all bans.
    pub fn replace(&self, mut bans: Vec<Ban>) {
        bans.sort_by_key(|ban| place(&ban.network));
        let mut sizes: Vec<_> =
            bans.iter().map(|ban| (ban.network.addr().is_ipv4(), ban.network.prefix_len())).collect();
        sizes.dedup();
        let has_any = !bans.is_empty();
        self.sorted.store(Sorted { bans, sizes }.into());
        self.has_any.store(has_any, Ordering::Release);
    }

    /// All bans.
    pub fn all(&self) -> Vec<Ban> {
        self.sorted.load().bans.clone()
    }

    /// True if nobody is banned.
    pub fn is_empty(&self) -> bool {
        !self.has_any.load(Ordering::Acquire)
    }

    /// True if clients of this address are refused: with no key those that are banned for all keys, with a
    /// key also those that are banned for that key.
    pub fn has(&self, address: Option<IpAddr>, key: Option<&str>) -> bool {
        if self.is_empty() {
            return false;
        }
        let sorted = self.sorted.load();
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        let is_banned = |address| sorted.has(address, key);
        is_banned(address) || is_banned(of_client(address))
    }
}

impl Sorted {
    fn has(&self, address: IpAddr, key: Option<&str>) -> bool {
        let is_for = |ban: &&Ban| ban.key.as_ref().is_none_or(|of| key == Some(of.as_str()));
        let sizes = self.sizes.iter().filter(|(is_ipv4, _)| *is_ipv4 == address.is_ipv4());
        let mut networks = sizes.filter_map(|(_, size)| IpNet::new(address, *size).ok());
        networks.any(|network| {
            let place_of = place(&network);
            let first = self.bans.partition_point(|ban| place(&ban.network) < place_of);
            let same = self.bans.iter().skip(first).take_while(|ban| place(&ban.network) == place_of);
            same.filter(is_for).any(|ban| !ban.is_over(unix_time()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bans(texts: &[&str]) -> Bans {
        let bans = Bans::default();
        bans.replace(texts.iter().map(|text| Ban::parse(text).unwrap()).collect());
        bans
    }

    fn has(bans: &Bans, address: &str, key: Option<&str>) -> bool {
        bans.has(Some(address.parse().unwrap()), key)
    }

    #[test]
    fn an_address_is_banned_with_its_network() {
        let bans = bans(&["192.0.2.0/24", "192.0.2.7", "198.51.100.128/25", "2001:db8::/48", "10.0.0.0/8"]);
        for (address, is_banned) in [
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("::ffff:192.0.2.9", true),
            ("64:ff9b::192.0.2.9", true),
            ("64:ff9b::192.0.3.0", false),
            ("192.0.3.0", false),
            ("198.51.100.127", false),
            ("198.51.100.128", true),
            ("10.255.0.1", true),
            ("2001:db8:0:ffff::1", true),
            ("2001:db8:1::1", false),
            ("::1", false),
        ] {
            assert_eq!(has(&bans, address, None), is_banned, "{address}");
        }
        assert!(!bans.has(None, None) && !Bans::default().has("192.0.2.7".parse().ok(), None));
    }

    #[test]
    fn a_network_of_one_family_has_no_address_of_the_other() {
        let six = bans(&["::/0"]);
        let four = bans(&["0.0.0.0/0"]);
        assert!(has(&six, "2001:db8::1", None) && !has(&six, "192.0.2.7", None));
        assert!(has(&four, "192.0.2.7", None) && !has(&four, "2001:db8::1", None));
    }

    #[test]
    fn a_ban_of_a_key_is_for_its_clients_alone_and_one_that_is_over_is_none() {
        let bans = bans(&[
            "192.0.2.7,key=a",
            "192.0.2.7,key=b,until=2020-01-01T00:00:00Z",
            "192.0.2.7,until=2020-01-01T00:00:00Z",
            "192.0.2.8,until=2999-01-01T00:00:00Z",
        ]);
        let of = |key| has(&bans, "192.0.2.7", key);
        assert_eq!([of(None), of(Some("a")), of(Some("b"))], [false, true, false]);
        assert!(has(&bans, "192.0.2.8", None) && has(&bans, "192.0.2.8", Some("a")));
    }
}
