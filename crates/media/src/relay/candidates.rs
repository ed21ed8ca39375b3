//! The candidates that lead to the relay, as clients are told them.

use std::net::{IpAddr, SocketAddr};

use crate::datapath::sockets::Address;

/// Priorities, below all of a client's own (RFC 8445, section 5.1.2.1): over UDP, over TCP at the relay's port, and over TCP at
/// another one. They are so far apart that [`Candidates::renewed`] has some for every time.
const UDP: u32 = 255;
const TCP: u32 = 127;
const OTHER_TCP: u32 = 63;

/// The port of TCP connections that other servers accept, or that a proxy passes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum OtherPort {
    /// Clients reach it at each address of the relay.
    Named(u16),
    /// A server listens there, perhaps not at each address of the relay.
    Of(SocketAddr),
}

/// Candidates, without the names that tell them apart.
pub(super) struct Candidates {
    ways: Vec<(u32, SocketAddr)>,
    /// Lines of a description without their `a=` and their end.
    pub(super) lines: Vec<String>,
}

impl Candidates {
    /// One for each address and transport.
    pub(super) fn new(addresses: &[Address], tcp: bool, other: Option<OtherPort>) -> Self {
        let told = || addresses.iter().map(|address| address.told);
        let over_tcp = told().filter(|_| tcp).map(|told| (TCP, told));
        let other = addresses.iter().filter(|_| tcp).filter_map(|address| {
            let told = SocketAddr::new(address.told.ip(), other?.at(address.bound.ip())?);
            (told != address.told).then_some((OTHER_TCP, told))
        });
        let ways: Vec<_> = told().map(|told| (UDP, told)).chain(over_tcp).chain(other).collect();
        let lines = lines(&ways, 0).collect();
        Candidates { ways, lines }
    }

    /// Candidates that differ from all earlier ones.
    pub(super) fn renewed(&self, times: u8) -> impl Iterator<Item = String> {
        lines(&self.ways, times)
    }
}

impl OtherPort {
    /// The port at an address of the relay, if clients reach it there.
    fn at(self, relay: IpAddr) -> Option<u16> {
        match self {
            OtherPort::Named(port) => Some(port),
            OtherPort::Of(server) => {
                // `::` has the connections of IPv4, too.
                let listens_at_all = server.ip().is_unspecified() && (server.is_ipv6() || relay.is_ipv4());
                (listens_at_all || server.ip() == relay).then_some(server.port())
            }
        }
    }
}

/// No two have the same foundation, nor those of different `times` the same priority.
fn lines(ways: &[(u32, SocketAddr)], times: u8) -> impl Iterator<Item = String> {
    let first = usize::from(times) * ways.len() + 1;
    ways.iter().zip(first..).map(move |((priority, told), foundation)| {
        let (transport, more) = if *priority == UDP { ("udp", "") } else { ("tcp", " tcptype passive") };
        let (priority, ip, port) = (priority - u32::from(times), told.ip(), told.port());
        format!("candidate:{foundation} 1 {transport} {priority} {ip} {port} typ host{more}")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn address(bound: &str, told: &str) -> Address {
        Address { bound: bound.parse().unwrap(), told: told.parse().unwrap() }
    }

    /// Transport, priority and address of each line.
    fn words(lines: impl Iterator<Item = impl AsRef<str>>) -> Vec<String> {
        let words = |line: &str| line.split(' ').skip(2).take(4).collect::<Vec<_>>().join(" ");
        lines.map(|line| words(line.as_ref())).collect()
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
            let other = Some(OtherPort::Of(server.parse().unwrap()));
            let told = words(Candidates::new(&addresses, true, other).lines.iter());
            let expected: Vec<_> = expected.iter().map(|at| format!("tcp 63 {at}")).collect();
            assert_eq!(told[4..], expected, "{server}");
            assert!(words(Candidates::new(&addresses, false, other).lines.iter()).len() == 2);
        }
    }

    #[test]
    fn a_named_port_is_told_once() {
        let addresses = [address("10.0.0.7:3478", "198.51.100.7:3478")];
        let at = |port| words(Candidates::new(&addresses, true, Some(OtherPort::Named(port))).lines.iter());
        let own = ["udp 255 198.51.100.7 3478", "tcp 127 198.51.100.7 3478"];
        assert_eq!(at(443), [own[0], own[1], "tcp 63 198.51.100.7 443"]);
        assert_eq!(at(3478), own);
    }

    #[test]
    fn candidates_that_are_told_again_are_always_new() {
        let addresses = ["10.0.0.7:3478", "[2001:db8::7]:3478"].map(|at| address(at, at));
        let candidates = Candidates::new(&addresses, true, Some(OtherPort::Named(443)));
        let all: Vec<String> = (0..=8).flat_map(|times| candidates.renewed(times)).collect();
        assert_eq!(all[..6], candidates.lines);
        let word = |at: usize| move |line: &String| line.split(' ').nth(at).unwrap().to_owned();
        let foundations: HashSet<String> = all.iter().map(word(0)).collect();
        assert_eq!(foundations.len(), all.len());
        let priorities: HashSet<String> = all.iter().map(word(3)).collect();
        assert_eq!((priorities.len(), priorities.contains("0")), (27, false));
    }
}
