//! An address with its transport: UDP or TCP.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The address of a client, and how datagrams get there. Half as large as a `SocketAddr`, because there are
/// many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    /// Of IPv4 in its mapped form.
    ip: [u8; 16],
    port: u16,
    pub(super) transport: Transport,
}

/// Over TCP, the client has opened a connection, with a frame for each datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Udp,
    Tcp,
    /// A connection that the broker has accepted. Two clients behind a NAT may come to both ports from one
    /// address and port.
    BrokerTcp,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, transport: Transport) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Endpoint { ip: ip.octets(), port: address.port(), transport }
    }

    pub(super) fn is_tcp(self) -> bool {
        self.transport != Transport::Udp
    }

    pub(super) fn is_ipv4(self) -> bool {
        self.address().is_ipv4()
    }

    pub(super) fn address(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.ip).to_canonical(), self.port)
    }
}

/// A datagram to send.
pub(super) struct Outgoing<'a> {
    pub(super) to: Endpoint,
    pub(super) bytes: Cow<'a, [u8]>,
    /// True for the relay's own checks and answers, which are not relayed.
    pub(super) is_own: bool,
}

impl Transport {
    /// The head start of better paths. Firefox keeps the first path that works.
    pub(super) fn head_start(self) -> Duration {
        Duration::from_secs(match self {
            Transport::Udp => 1,
            Transport::Tcp | Transport::BrokerTcp => 2,
        })
    }
}
