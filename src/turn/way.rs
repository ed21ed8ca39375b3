//! The way back to a client.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::relay::Port;

/// What brings bytes to clients: a UDP port, or a connection.
pub(super) trait Way: Send + Sync {
    /// Sends a STUN message or ChannelData to the client. Never waits. False if there is no room.
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool;
}

impl Way for Port {
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        Port::send(self, to, bytes, bytes.len())
    }
}

/// Where a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entrance {
    /// At a UDP port of ours.
    Port(SocketAddr),
    /// Over the connection with this number, which no other one ever has.
    Connection(u64),
}

/// Which client this is (RFC 8656, section 2.2: the 5-tuple).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId {
    pub(super) address: SocketAddr,
    pub(super) entrance: Entrance,
}

/// A client, and the way back to it.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) way: Arc<dyn Way>,
}

impl Client {
    pub(super) fn send(&self, bytes: &[u8]) -> bool {
        self.way.send(self.id.address, bytes)
    }
}
