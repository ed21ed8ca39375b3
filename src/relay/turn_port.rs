//! TURN at the ports of a relay.

use std::net::SocketAddr;
use std::sync::Arc;

use super::port::Port;

/// A TURN server that shares the ports of a relay.
pub(crate) trait TurnPort: Send + Sync {
    /// Handles a datagram if it is one of TURN. False if it is not, such as a STUN Binding.
    fn receive(&self, port: &Arc<Port>, from: SocketAddr, datagram: &[u8]) -> bool;
}
