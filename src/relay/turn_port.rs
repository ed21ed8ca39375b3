//! TURN at the ports of a relay.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::port::Port;

/// The serving of one connection, until it ends.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A TURN server that shares the ports of a relay.
pub(crate) trait TurnPort: Send + Sync {
    /// Handles a datagram if it is one of TURN. False if it is not, such as a STUN Binding.
    fn receive(&self, port: &Arc<Port>, from: SocketAddr, datagram: &[u8]) -> bool;

    /// Serves a connection of TURN, of which `read` was read already.
    fn serve(&self, stream: TcpStream, read: BytesMut, from: SocketAddr) -> Serving;
}
