//! The candidates that lead to the relay, as clients are told them.

use std::net::{IpAddr, SocketAddr};

use crate::datapath::addresses::Address;

/// Priorities, below all of a client's own (RFC 8445, section 5.1.2.1): over UDP, over TCP at the relay's
/// port, and over TCP at another one. They are so far apart that there are some for every time.
const UDP: u32 = 255;
const TCP: u32 = 127;
const OTHER_TCP: u32 = 63;

/// The candidates that lead to a relay at these addresses: lines of a description without their `a=` and
/// their end. With `tcp`, clients also come over TCP: to the relay, and to an `other` server where it
/// listens, unless its port is 0.
///
/// No two have the same foundation, nor those of different `times` the same priority.
pub(super) fn lines(addresses: &[Address], tcp: bool, other: Option<SocketAddr>, times: u8) -> Vec<String> {
    let told = || addresses.iter().map(|address| address.told);
    let over_tcp = told().filter(|_| tcp).map(|told| (TCP, told));
    let other = other.filter(|other| tcp && other.port() != 0);
    let at_other = addresses.iter().filter_map(|address| {
        let is_there = |other: &SocketAddr| {
            listens_at(other.ip(), address.bound.ip())
                || address.is_everywhere && other.ip() == address.told.ip()
        };
        let port = other.filter(is_there)?.port();
        let told = SocketAddr::new(address.told.ip(), port);
        (told != address.told).then_some((OTHER_TCP, told))
    });
    let ways: Vec<_> = told().map(|told| (UDP, told)).chain(over_tcp).chain(at_other).collect();
    let first = usize::from(times) * ways.len() + 1;
    let line = |((priority, told), foundation): ((u32, SocketAddr), usize)| {
        let (transport, more) = if priority == UDP { ("udp", "") } else { ("tcp", " tcptype passive") };
        let priority = priority - u32::from(times);
        let ip = told.ip();
        let port = told.port();
        format!("candidate:{foundation} 1 {transport} {priority} {ip} {port} typ host{more}")
    };
    ways.into_iter().zip(first..).map(line).collect()
}

/// True if a server that is bound to an address has the connections to that one of the relay.
fn listens_at(server: IpAddr, relay: IpAddr) -> bool {
    // `::` has the connections of IPv4, too.
    server == relay || server.is_unspecified() && (server.is_ipv6() || relay.is_ipv4())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv6Addr;

    use super::*;

    fn address(bound: &str, told: &str) -> Address {
        Address { bound: bound.parse().unwrap(), told: told.parse().unwrap(), is_everywhere: false }
    }

    /// Transport, priority and address of each line.
    fn words(addresses: &[Address], tcp: bool, other: Option<SocketAddr>) -> Vec<String> {
        let words = |line: String| line.split(' ').skip(2).take(4).collect::<Vec<_>>().join(" ");
        lines(addresses, tcp, other, 0).into_iter().map(words).collect()
    }

    /// A port that clients reach at each address.
    fn named(port: u16) -> Option<SocketAddr> {
        Some((Ipv6Addr::UNSPECIFIED, port).into())
    }

    #[test]
    fn the_port_of_a_server_is_told_where_it_listens() {
        let addresses = [
            address("10.0.0.7:3478", "198.51.100.7:3478"),
            address("[2001:db8::7]:3478", "[2001:db8::7]:3478"),
        ];
        let both = ["198.51.100.7 443", "2001:db8::7 443"];
        for (server, expected) in [
            ("[::]:443", &both[..]),
            ("0.0.0.0:443", &both[..1]),
            ("10.0.0.7:443", &both[..1]),
            ("[2001:db8::7]:443", &both[1..]),
            ("127.0.0.1:443", &[]),
        ] {
            let other = Some(server.parse().unwrap());
            let told = words(&addresses, true, other);
            let expected: Vec<_> = expected.iter().map(|at| format!("tcp 63 {at}")).collect();
            assert_eq!(told[4..], expected, "{server}");
            assert!(words(&addresses, false, other).len() == 2);
        }
    }

    #[test]
    fn a_named_port_is_told_once() {
        let addresses = [address("10.0.0.7:3478", "198.51.100.7:3478")];
        let at = |port| words(&addresses, true, named(port));
        let own = ["udp 255 198.51.100.7 3478", "tcp 127 198.51.100.7 3478"];
        assert_eq!(at(443), [own[0], own[1], "tcp 63 198.51.100.7 443"]);
        assert_eq!(at(3478), own);
        assert_eq!(at(0), own);
    }

    #[test]
    fn candidates_that_are_told_again_are_always_new() {
        let addresses = ["10.0.0.7:3478", "[2001:db8::7]:3478"].map(|at| address(at, at));
        let all: Vec<String> = (0..=8).flat_map(|times| lines(&addresses, true, named(443), times)).collect();
        let word = |at: usize| move |line: &String| line.split(' ').nth(at).unwrap().to_owned();
        let foundations: HashSet<String> = all.iter().map(word(0)).collect();
        assert_eq!(foundations.len(), all.len());
        let priorities: HashSet<String> = all.iter().map(word(3)).collect();
        assert_eq!((priorities.len(), priorities.contains("0")), (27, false));
    }
}
