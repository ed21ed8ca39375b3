//! The peers that clients may reach outside of this process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use peerbroker_core::address::is_public;

use crate::datapath::addresses::{Addresses, is_local};

/// The addresses that clients may send to.
#[derive(Debug)]
pub(super) struct Peers {
    /// The known addresses of this machine.
    own: Addresses,
    /// True if private addresses are allowed, as in a local network.
    private: bool,
    /// True if this machine is allowed, except its ports in `own`.
    loopback: bool,
    /// True if the system says which addresses are this machine's.
    knows_local: bool,
}

impl Peers {
    pub(super) fn new(own: Addresses, private: bool, loopback: bool) -> Self {
        // With `ip_nonlocal_bind` every address could be bound. No machine has this one (RFC 5737).
        let knows_local = !is_local(Ipv4Addr::new(192, 0, 2, 1).into());
        Peers { own, private, loopback, knows_local }
    }

    /// True if clients may get a permission for an address. This machine's own is fine, because other clients
    /// are reached there: see [`accept`](Self::accept).
    pub(super) fn may_permit(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.own.has_ip(peer)
            || self.is_allowed(peer) && !(self.knows_local && !self.loopback && is_local(peer))
    }

    /// True if a datagram may leave for an address, or come from there.
    pub(super) fn accept(&self, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        let port = peer.port();
        let is_own = if self.loopback { self.own.has((ip, port).into()) } else { self.own.has_ip(ip) };
        port != 0 && !is_own && self.is_allowed(ip)
    }

    fn is_allowed(&self, peer: IpAddr) -> bool {
        is_public(peer) || self.private && is_private(peer) || self.loopback && peer.is_loopback()
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

    fn peers(private: bool) -> Peers {
        Peers::new(Addresses::of("203.0.113.1:3479"), private, false)
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
        let loopback = Peers::new(Addresses::of("127.0.0.1:3479"), true, true);
        assert!(loopback.accept("127.0.0.1:5000".parse().unwrap()));
        assert!(!loopback.accept("127.0.0.1:3479".parse().unwrap()));
    }
}
