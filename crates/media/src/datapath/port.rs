//! A UDP port, as one thread has it.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use peerbroker_core::ports;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

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
        let socket = new_socket(address)?;
        if ports::CAN_BE_SHARED {
            ports::share(&socket)?;
        }
        socket.bind(&address.into())?;
        Port::new(socket)
    }

    /// A socket at the same address that receives the datagrams of one client alone, also after the port was
    /// [left](Self::leave): the kernel prefers it to all others (Linux 5.4).
    pub(super) fn of_client(&self, client: SocketAddr) -> io::Result<Self> {
        let socket = new_socket(self.bound)?;
        ports::share(&socket)?;
        ports::reuse_address(&socket)?;
        socket.bind(&self.bound.into())?;
        // Datagrams of others that came before this stay in its buffer, and are read with their own address.
        socket.connect(&client.into())?;
        Port::new(socket)
    }

    fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let bound = socket.local_addr()?;
        Ok(Port { socket, state, bound })
    }

    /// Fails if a server receives at an address. Sockets of [one client](Self::of_client) and ports that were
    /// [left](Self::leave) do not count.
    pub(super) fn check_free(address: SocketAddr) -> io::Result<()> {
        let socket = new_socket(address)?;
        // Without SO_REUSEPORT: a server that has not left the port lacks this flag, so both cannot be bound.
        ports::reuse_address(&socket)?;
        socket.bind(&address.into())
    }

    /// Leaves the address to the next server. Received datagrams can still be read, and all can still be sent.
    pub(super) fn leave(&self) -> io::Result<()> {
        // A connected socket receives from its peer only, and nothing comes from the port itself.
        self.socket.connect(self.bound)?;
        ports::reuse_address(&SockRef::from(&self.socket))
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

/// A socket that is not bound yet.
fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The kernel gives less where its own limits are lower.
    let _ = socket.set_recv_buffer_size(BUFFER).and(socket.set_send_buffer_size(BUFFER));
    Ok(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn receive(socket: &UdpSocket) -> Vec<u8> {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).expect("a datagram");
        buffer[..length].to_vec()
    }

    fn client_of(port: &Port) -> (UdpSocket, SocketAddr) {
        let client = UdpSocket::bind((port.bound.ip(), 0)).unwrap();
        client.connect(port.bound).unwrap();
        let address = client.local_addr().unwrap();
        (client, address)
    }

    fn a_port_is_left(ip: &str) {
        let old = Port::bind((ip.parse::<std::net::IpAddr>().unwrap(), 0).into()).unwrap();
        let (known, address_of_known) = client_of(&old);
        let (unknown, _) = client_of(&old);
        assert!(Port::check_free(old.bound).is_err());
        unknown.send(b"before").unwrap();
        let of_known = old.of_client(address_of_known).unwrap();
        assert!(Port::check_free(old.bound).is_err(), "it still serves all others");

        old.leave().unwrap();
        Port::check_free(old.bound).unwrap();
        let next = Port::bind(old.bound).unwrap();
        assert!(Port::check_free(old.bound).is_err());
        for number in 0..20 {
            known.send(&[number, 1]).unwrap();
            unknown.send(&[number, 2]).unwrap();
            assert_eq!(receive(&of_known.socket), [number, 1]);
            assert_eq!(receive(&next.socket), [number, 2]);
        }
        assert_eq!(receive(&old.socket), b"before", "what was received is not lost");
        assert!(old.send_now(address_of_known, b"still", 5));
        assert_eq!(receive(&known), b"still");
    }

    #[test]
    fn a_port_that_was_left_belongs_to_the_next_server_and_known_clients_to_the_old_one() {
        a_port_is_left("127.0.0.1");
        if UdpSocket::bind("[::1]:0").is_ok() {
            a_port_is_left("::1");
        }
    }
}
