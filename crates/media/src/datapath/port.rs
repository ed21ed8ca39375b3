//! A UDP port, as one thread has it.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Size of the kernel's buffer, which is used while a thread does not run.
const BUFFER: usize = 1 << 21;

/// A UDP port. Several threads may send through it.
pub(crate) struct Port {
    pub(super) socket: UdpSocket,
    pub(super) state: UdpSocketState,
    bound: SocketAddr,
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

    /// The address that it is bound to.
    pub(crate) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// The number of datagrams that one system call can send.
    pub(super) fn at_once(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends datagrams of `size` bytes, the last of which may be shorter. False if the socket has no room.
    pub(super) fn send_now(&self, to: SocketAddr, bytes: &[u8], size: usize) -> bool {
        let at_once = size.saturating_mul(self.at_once()).max(1);
        bytes.chunks(at_once).all(|contents| {
            let segment_size = (contents.len() > size).then_some(size);
            let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
            self.state.try_send(UdpSockRef::from(&self.socket), &transmit).is_ok()
        })
    }
}
