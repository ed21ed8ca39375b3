use std::borrow::Cow;
use std::net::SocketAddr;

/// Where a client is: its address, and how datagrams get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Udp,
    /// A connection that the client has opened, with a frame for each datagram.
    Tcp,
}

impl Endpoint {
    pub(super) fn udp(address: SocketAddr) -> Self {
        Endpoint { address, transport: Transport::Udp }
    }

    pub(super) fn tcp(address: SocketAddr) -> Self {
        Endpoint { address, transport: Transport::Tcp }
    }
}

/// A datagram to send.
pub(super) struct Outgoing<'a> {
    pub(super) to: Endpoint,
    pub(super) bytes: Cow<'a, [u8]>,
}

impl Transport {
    /// Milliseconds that better ways have before this one. Firefox keeps the first way that works.
    pub(super) fn head_start(self) -> u64 {
        match self {
            Transport::Udp => 1000,
            Transport::Tcp => 2000,
        }
    }
}
