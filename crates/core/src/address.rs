//! Tells addresses of the Internet from others, so that nobody has this machine send into its own network;
//! and which clients are in one network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True if an address may be that of a client somewhere in the Internet. Documentation's addresses may:
/// nobody has them.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => match address.octets() {
            // This network, and what is reserved.
            [0 | 224.., ..] => false,
            // RFC 6598: between a provider and its customers.
            [100, 64..128, ..] => false,
            // RFC 2544: between machines that are measured.
            [198, 18..20, ..] => false,
            // Services of clouds for their own machines, such as metadata, that are not link-local: Azure's,
            // and Oracle's in the block of RFC 6890 that no host has.
            [168, 63, 129, 16] | [192, 0, 0, _] => false,
            _ => !address.is_loopback() && !address.is_private() && !address.is_link_local(),
        },
        IpAddr::V6(address) => match address.segments() {
            // 6to4 and Teredo addresses lead to the IPv4 address that they hold.
            [0x2002, ..] | [0x2001, 0, ..] => false,
            // Only 2000::/3 is assigned.
            [first, ..] => first & 0xE000 == 0x2000,
        },
    }
}

/// True if a machine can have an address. Others are those of no machine, of groups, or of all machines.
pub fn is_of_machine(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !matches!(address.octets(), [0 | 224.., ..]),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_multicast(),
    }
}

/// The address by which a client is known: an IPv4 address within IPv6 is that IPv4 address, also if a
/// translator has put it there (RFC 6052, section 3.1: that holds no other than public ones).
pub fn of_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => embedded(six).map(IpAddr::V4).filter(|four| is_public(*four)).unwrap_or(address),
        four => four,
    }
}

/// The network of a client, as far as its address tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locality {
    /// Nothing: there is none, or it is that of a proxy, behind which may be anybody.
    #[default]
    Unknown,
    /// The client is in the network of this machine.
    Lan,
    /// The client comes over the Internet.
    Internet,
}

/// The first half of an IPv6 address: that of one network.
pub type Prefix = [u16; 4];

/// The network of a client. Clients of one network may see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// The network of this machine.
    Lan,
    /// The network behind a public IPv4 address.
    V4(Ipv4Addr),
    /// The /64 of a public IPv6 address.
    V6(Prefix),
}

impl Locality {
    /// The network of an address from which a client comes. `is_own` tells if this machine has an address
    /// with a prefix.
    pub fn of(address: IpAddr, is_own: impl FnOnce(Prefix) -> bool) -> Self {
        let is_lan = match of_client(address) {
            IpAddr::V4(address) => {
                // RFC 6598: a tunnel such as Tailscale, or the provider of this machine.
                let is_shared = matches!(address.octets(), [100, 64..128, ..]);
                is_shared || address.is_loopback() || address.is_private() || address.is_link_local()
            }
            IpAddr::V6(address) => {
                let is_local =
                    address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local();
                is_local || is_own(prefix(address))
            }
        };
        if is_lan { Locality::Lan } else { Locality::Internet }
    }
}

impl Network {
    /// The network of this name. `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "lan" => Some(Network::Lan),
            name => name.parse().ok().map(|address: IpAddr| match address {
                IpAddr::V4(address) => Network::V4(address),
                IpAddr::V6(address) => Network::V6(prefix(address)),
            }),
        }
    }

    /// The network of a client. `None` if it is unknown.
    pub fn of(address: Option<IpAddr>, locality: Locality) -> Option<Self> {
        match (locality, of_client(address?)) {
            (Locality::Unknown, _) => None,
            (Locality::Lan, _) => Some(Network::Lan),
            (Locality::Internet, IpAddr::V4(address)) => Some(Network::V4(address)),
            (Locality::Internet, IpAddr::V6(address)) => Some(Network::V6(prefix(address))),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Network::Lan => f.write_str("lan"),
            Network::V4(address) => address.fmt(f),
            Network::V6([a, b, c, d]) => Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).fmt(f),
        }
    }
}

/// The first half of an address.
pub fn prefix(address: Ipv6Addr) -> Prefix {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d]
}

/// The IPv4 address that a translator has put into one of IPv6 (RFC 6052): all of them share a prefix.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(address: IpAddr) -> Network {
        let own = |prefix| prefix == [0x2001, 0xdb8, 0, 0xa];
        Network::of(Some(address), Locality::of(address, own)).unwrap()
    }

    #[test]
    fn clients_of_one_lan_are_in_one_network_whatever_their_kind_of_address() {
        for address in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.178.20",
            "169.254.7.7",
            "100.64.0.9",
            "fe80::1",
            "fd00::5",
            "::ffff:192.168.1.1",
            // Of the network in which this machine is.
            "2001:db8:0:a::5",
        ] {
            assert_eq!(network(address.parse().unwrap()), Network::Lan, "{address}");
        }
    }

    #[test]
    fn clients_over_the_internet_are_in_the_network_of_their_address() {
        for (address, expected) in [
            ("203.0.113.5", "203.0.113.5"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
            ("64:ff9b::203.0.113.5", "203.0.113.5"),
            // Next to private addresses.
            ("172.32.0.1", "172.32.0.1"),
            ("100.128.0.1", "100.128.0.1"),
            ("2001:db8:0:b:1:2:3:4", "2001:db8:0:b::"),
            ("2002:a00:1::1", "2002:a00:1::"),
        ] {
            assert_eq!(network(address.parse().unwrap()).to_string(), expected, "{address}");
        }
    }

    #[test]
    fn no_network_is_known_of_a_client_whose_address_is_that_of_a_proxy() {
        let address = Some("203.0.113.5".parse().unwrap());
        assert_eq!(Network::of(address, Locality::Unknown), None);
        assert_eq!(Network::of(None, Locality::Lan), None);
    }

    proptest! {
        #[test]
        fn two_ipv4_addresses_of_the_internet_are_never_in_one_network(a: u32, b: u32) {
            let [a, b] = [a, b].map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits)));
            prop_assume!(a != b && is_public(a));
            prop_assert_ne!(network(a), network(b));
            prop_assert_ne!(network(a), Network::Lan);
        }

        #[test]
        fn two_ipv6_addresses_of_the_internet_are_in_one_network_if_they_share_64_bits(
            site in 0x2003u16..0x3fff, a: [u16; 7], b: [u16; 7], is_same: bool,
        ) {
            let of = |[s, t, u, v, w, x, y]: [u16; 7]| IpAddr::from([site, s, t, u, v, w, x, y]);
            let [.., v, w, x, y] = b;
            let b = if is_same { [a[0], a[1], a[2], v, w, x, y] } else { b };
            prop_assert_eq!(network(of(a)) == network(of(b)), a[..3] == b[..3]);
            prop_assert_ne!(network(of(a)), Network::Lan);
        }

        #[test]
        fn different_networks_have_different_names(a: [u8; 16], b: [u8; 16]) {
            let [a, b] = [a, b].map(|octets| network(IpAddr::from(octets)));
            prop_assert_eq!(a == b, a.to_string() == b.to_string());
            prop_assert_eq!(Network::parse(&a.to_string()), Some(a));
            prop_assert!(!a.to_string().contains('/'), "it ends the name of a room");
        }
    }

    #[test]
    fn groups_and_nobody_are_no_machines() {
        for address in
            ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:224.0.0.1"]
        {
            assert!(!is_of_machine(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "169.254.1.2", "1.1.1.1", "::1", "fe80::1", "2001:db8::1"] {
            assert!(is_of_machine(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for (address, expected) in [
            ("1.1.1.1", true),
            ("203.0.113.5", true),
            ("2606:4700::1111", true),
            ("2001:db8::1", true),
            ("::ffff:1.1.1.1", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("192.0.0.192", false),
            ("192.0.2.1", true),
            ("100.64.0.1", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
            ("2001:0:1::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:168.63.129.16", false),
            ("::127.0.0.1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}
