//! The peers that clients may reach outside of this process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use peerbroker_core::address::is_public;
use peerbroker_media_api::PeerRule;

use crate::datapath::addresses::{Addresses, is_local};

/// The addresses that clients may send to.
#[derive(Debug)]
pub(super) struct Peers {
    /// The known addresses of this machine.
    own: Addresses,
    rules: Vec<PeerRule>,
    /// True if the system says which addresses are this machine's.
    knows_local: bool,
}

impl Peers {
    pub(super) fn new(own: Addresses, rules: Vec<PeerRule>) -> Self {
        // With `ip_nonlocal_bind` every address could be bound. No machine has this one (RFC 5737).
        let knows_local = !is_local(Ipv4Addr::new(192, 0, 2, 1).into());
        Peers { own, rules, knows_local }
    }

    /// True if clients may get a permission for an address. This machine's own is fine, because other clients
    /// are reached there: see [`accept`](Self::accept).
    pub(super) fn may_permit(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.own.has_ip(peer)
            || self.is_allowed(peer) && (self.is_named(peer) || !self.knows_local || !is_local(peer))
    }

    /// True if a datagram may leave for an address, or come from there.
    pub(super) fn accept(&self, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        let port = peer.port();
        let is_own = if self.is_named(ip) { self.own.has((ip, port).into()) } else { self.own.has_ip(ip) };
        port != 0 && !is_own && self.is_allowed(ip)
    }

    /// The rule of the smallest network that has an address; of equal ones, that which denies.
    fn rule(&self, peer: IpAddr) -> Option<&PeerRule> {
        let rules = self.rules.iter().filter(|rule| rule.network.contains(&peer));
        rules.max_by_key(|rule| (rule.network.prefix_len(), !rule.allows))
    }

    /// True if a rule allows this address alone.
    fn is_named(&self, peer: IpAddr) -> bool {
        self.rules.contains(&PeerRule { network: peer.into(), allows: true })
    }

    fn is_allowed(&self, peer: IpAddr) -> bool {
        self.rule(peer).map_or(is_public(peer), |rule| {
            rule.allows && (is_public(peer) || is_private(peer) || self.is_named(peer))
        })
    }
}

/// True if an address is that of a host in a local network. Link-local ones are not: the metadata of clouds
/// is there.
fn is_private(peer: IpAddr) -> bool {
    match peer {
        // RFC 6598: between a provider and its customers.
        IpAddr::V4(peer) => peer.is_private() || matches!(peer.octets(), [100, 64..128, ..]),
        IpAddr::V6(peer) => peer.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers_of(own: &str, rules: &[&str]) -> Peers {
        let rule = |text: &&str| {
            let network = text.trim_start_matches('!').parse().unwrap();
            PeerRule { network, allows: !text.starts_with('!') }
        };
        Peers::new(Addresses::of(own), rules.iter().map(rule).collect())
    }

    fn peers(private: bool) -> Peers {
        peers_of("203.0.113.1:3479", if private { &["0.0.0.0/0", "::/0"] } else { &[] })
    }

    #[test]
    fn only_public_addresses_are_peers_and_private_ones_if_they_are_allowed() {
        for (peer, is_public, is_private) in [
            ("1.1.1.1", true, true),
            ("2606:4700::1111", true, true),
            ("::ffff:1.1.1.1", true, true),
            ("10.0.0.1", false, true),
            ("172.16.0.1", false, true),
            ("192.168.1.1", false, true),
            ("100.64.0.1", false, true),
            ("fd00::1", false, true),
            ("::ffff:10.0.0.1", false, true),
            // CVE-2020-26262: all of these reach services of the relay's own machine.
            ("0.0.0.0", false, false),
            ("0.0.0.1", false, false),
            ("127.0.0.1", false, false),
            ("127.255.255.254", false, false),
            ("::", false, false),
            ("::1", false, false),
            ("::ffff:0.0.0.0", false, false),
            ("::ffff:127.0.0.1", false, false),
            ("::127.0.0.1", false, false),
            // NAT64, 6to4, Teredo and others that hold an IPv4 address.
            ("64:ff9b::7f00:1", false, false),
            ("64:ff9b:1::7f00:1", false, false),
            ("2002:7f00:1::", false, false),
            ("2002:a9fe:a9fe::", false, false),
            ("2001:0:7f00:1::", false, false),
            ("fe80::5efe:7f00:1", false, false),
            // The metadata of clouds.
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("168.63.129.16", false, false),
            ("::ffff:168.63.129.16", false, false),
            // Site-local (RFC 3879).
            ("fec0::1", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("ff02::1", false, false),
        ] {
            for (peers, expected) in [(peers(false), is_public), (peers(true), is_private)] {
                let ip: IpAddr = peer.parse().unwrap();
                assert_eq!(peers.may_permit(ip), expected, "{peer}");
                assert_eq!(peers.accept((ip, 53).into()), expected, "{peer}");
                assert!(!peers.accept((ip, 0).into()), "{peer}");
            }
        }
    }

    #[test]
    fn nothing_is_sent_to_a_port_of_this_machine() {
        for peers in [peers(false), peers(true)] {
            let own = "203.0.113.1".parse().unwrap();
            assert!(peers.may_permit(own), "other clients are there");
            for port in [22, 53, 3479, 60_000] {
                assert!(!peers.accept((own, port).into()), "{port}");
            }
            assert!(!peers.accept("[::ffff:203.0.113.1]:22".parse().unwrap()));
        }
    }

    #[test]
    fn a_peer_on_this_machine_is_named_alone_and_a_network_names_none() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (own, peer) in
            [("127.0.0.1", "127.0.0.1"), ("203.0.113.1", "203.0.113.1"), ("203.0.113.1", "127.0.0.1")]
        {
            for (rule, is_open) in [(format!("{peer}/32"), true), (format!("{peer}/31"), false)] {
                let peers = peers_of(&format!("{own}:3479"), &[&rule]);
                assert_eq!(peers.accept(addr(&format!("{peer}:5000"))), is_open, "{own} {rule}");
                assert_eq!(peers.accept(addr(&format!("[::ffff:{peer}]:5000"))), is_open, "{own} {rule}");
                assert!(!peers.accept(addr(&format!("{own}:3479"))), "the server's own port");
            }
        }
        assert!(peers_of("203.0.113.1:3479", &["127.0.0.1/32"]).may_permit("127.0.0.1".parse().unwrap()));
        assert!(!peers_of("203.0.113.1:3479", &["127.0.0.0/8"]).may_permit("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_smallest_network_decides_and_of_equal_ones_that_which_denies() {
        let rules =
            ["10.0.0.0/8", "!10.1.0.0/16", "10.1.2.3/32", "!8.8.8.0/24", "8.8.8.0/24", "169.254.1.1/32"];
        let peers = peers_of("203.0.113.1:3479", &rules);
        for (peer, is_open) in [
            ("10.2.0.1", true),
            ("10.1.0.1", false),
            ("10.1.2.3", true),
            ("192.168.0.1", false),
            ("8.8.8.8", false),
            ("8.8.4.4", true),
            ("169.254.1.1", true),
            ("169.254.169.254", false),
        ] {
            assert_eq!(peers.accept((peer.parse::<IpAddr>().unwrap(), 53).into()), is_open, "{peer}");
        }
        let only = peers_of("203.0.113.1:3479", &["!0.0.0.0/0", "!::/0", "1.1.1.1/32"]);
        let open =
            ["1.1.1.1", "1.0.0.1", "2606:4700::1111"].map(|peer| only.may_permit(peer.parse().unwrap()));
        assert_eq!(open, [true, false, false]);
    }
}
