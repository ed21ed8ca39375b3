//! The UDP ports of a relay, and what its threads send through.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::endpoint::{Endpoint, Transport};
use super::streams::Streams;

/// What the kernel keeps while a thread does not run.
const BUFFER: usize = 1 << 21;

/// The ports of one thread.
pub(super) struct Ports(pub(super) Vec<Port>);

/// A UDP port.
pub(super) struct Port {
    pub(super) socket: UdpSocket,
    pub(super) state: UdpSocketState,
    pub(super) bound: SocketAddr,
}

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
                let port = self.ports.0.iter().find(|port| port.bound.is_ipv4() == address.is_ipv4());
                port.is_some_and(|port| port.send(address, bytes, size))
            }
        }
    }
}

impl Port {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(true)?;
        // The kernel gives less where its own limits are lower.
        let _ = socket.set_recv_buffer_size(BUFFER).and(socket.set_send_buffer_size(BUFFER));
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let bound = socket.local_addr()?;
        Ok(Port { socket, state, bound })
    }

    /// Sends datagrams of `size` bytes, the last of which may be shorter. False if the socket has no room.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8], size: usize) -> bool {
        let at_once = size.saturating_mul(self.state.max_gso_segments()).max(1);
        bytes.chunks(at_once).all(|contents| {
            let segment_size = (contents.len() > size).then_some(size);
            let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
            self.state.try_send(UdpSockRef::from(&self.socket), &transmit).is_ok()
        })
    }
}
