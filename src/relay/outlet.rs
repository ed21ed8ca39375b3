//! What the threads of a relay send through.

use std::sync::Arc;

use super::endpoint::{Endpoint, Transport};
use super::port::Port;
use super::streams::Streams;

/// The UDP ports of one thread.
pub(super) struct Ports(pub(super) Vec<Arc<Port>>);

/// What a thread sends through.
#[derive(Clone)]
pub(super) struct Outlet {
    pub(super) ports: Arc<Ports>,
    pub(super) streams: Arc<Streams>,
}

impl Outlet {
    /// Sends datagrams of `size` bytes, the last of which may be shorter. False if there is no room.
    pub(super) fn send(&self, to: Endpoint, bytes: &[u8], size: usize) -> bool {
        let address = to.address();
        match to.transport {
            Transport::Tcp => self.streams.send(address, bytes, size),
            Transport::Udp => {
                // From the port of the recipient's family.
                let port = self.ports.0.iter().find(|port| port.bound().is_ipv4() == address.is_ipv4());
                port.is_some_and(|port| port.send(address, bytes, size))
            }
        }
    }
}
