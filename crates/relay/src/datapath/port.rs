//! A UDP port, as one thread has it.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use peerbroker_system::ports;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::reader::Reader;

/// Size of the kernel's buffer, which is used while a thread does not run.
const BUFFER: usize = 1 << 21;

/// Longest datagram that is sent together with others: as much as fits into an Ethernet frame with IPv6. The
/// kernel refuses longer ones where frames are that short, and then quinn-udp would never join datagrams
/// again.
const MAX_JOINED: usize = 1452;

/// Most bytes that are sent together, a little less than an IP packet can have.
const MAX_BYTES: usize = 65_000;

/// A UDP port. Several threads may send through it.
pub(crate) struct Port {
    socket: UdpSocket,
    /// `None` where the system refuses an option that quinn-udp needs, as wine does: then datagrams go one by
    /// one.
    state: Option<UdpSocketState>,
    /// The address that it is bound to.
    pub(crate) bound: SocketAddr,
    /// Clients are told another address than this one: what they get leaves from elsewhere.
    is_former: AtomicBool,
}

impl Port {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = new_socket(address)?;
        if ports::CAN_BE_SHARED {
            ports::share(&socket)?;
        }
        socket.bind(&address.into())?;
        Port::new(socket.into())
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
        Port::new(socket.into())
    }

    fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let bound = socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket));
        let state =
            state.inspect_err(|why| log::debug!("UDP port {bound} takes datagrams one by one: {why}")).ok();
        // quinn-udp has asked for the mark of congestion of each datagram (ECN), which nobody reads here.
        let socket = Socket::from(socket);
        let _ =
            if bound.is_ipv4() { socket.set_recv_tos_v4(false) } else { socket.set_recv_tclass_v6(false) };
        Ok(Port { socket: socket.into(), state, bound, is_former: AtomicBool::new(false) })
    }

    /// True if datagrams to clients of a family leave here.
    pub(crate) fn sends(&self, is_ipv4: bool) -> bool {
        self.bound.is_ipv4() == is_ipv4 && !self.is_former.load(Ordering::Relaxed)
    }

    /// Clients are told another address from now on.
    pub(super) fn set_former(&self) {
        self.is_former.store(true, Ordering::Relaxed);
    }

    /// Fails if a server receives at an address. Sockets of [one client](Self::of_client) and ports that were
    /// [left](Self::leave) do not count.
    pub(super) fn check_free(address: SocketAddr) -> io::Result<()> {
        let socket = new_socket(address)?;
        // Without SO_REUSEPORT: a server that has not left the port lacks this flag, so both cannot be bound.
        ports::reuse_address(&socket)?;
        socket.bind(&address.into())
    }

    /// Leaves the address to the next server. Received datagrams can still be read, and all can still be
    /// sent.
    pub(super) fn leave(&self) -> io::Result<()> {
        // A connected socket receives from its peer only, and nothing comes from the port itself, nor from an
        // address of documentation (RFC 5737 and 3849), which leaves the interface that leads out as the
        // source.
        let nobody: SocketAddr = match self.bound {
            SocketAddr::V4(at) if at.ip().is_unspecified() => (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
            SocketAddr::V6(at) if at.ip().is_unspecified() => {
                (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into()
            }
            bound => bound,
        };
        // Without a way out, all clients are on this machine.
        self.socket.connect(nobody).or_else(|_| self.socket.connect(self.bound))?;
        ports::reuse_address(&SockRef::from(&self.socket))
    }

    /// The number of datagrams of `size` bytes that one system call can send.
    pub(super) fn at_once(&self, size: usize) -> usize {
        match size {
            1..=MAX_JOINED => {
                self.state.as_ref().map_or(1, UdpSocketState::max_gso_segments).min(MAX_BYTES / size)
            }
            _ => 1,
        }
    }

    /// Sends datagrams of `size` bytes, the last of which may be shorter. Returns the number of those for
    /// which the socket had no room.
    pub(super) fn send_now(&self, to: SocketAddr, bytes: &[u8], size: usize) -> usize {
        let size = size.max(1);
        if bytes.len() <= size {
            return usize::from(!self.transmit(to, bytes, size));
        }
        let at_once = self.at_once(size);
        let together = bytes.chunks(size * at_once);
        let lost = together.filter(|contents| !self.transmit(to, contents, size));
        let lost: usize = lost.map(|contents| contents.len().div_ceil(size)).sum();
        // The network card cannot split datagrams, as quinn-udp has just learned: then these were not sent.
        if lost > 0 && self.at_once(size) < at_once { self.send_now(to, bytes, size) } else { lost }
    }

    fn transmit(&self, to: SocketAddr, contents: &[u8], size: usize) -> bool {
        // A datagram alone takes the kernel less time by `send_to`.
        let state = self.state.as_ref().filter(|_| contents.len() > size);
        let Some(state) = state else { return self.socket.send_to(contents, to).is_ok() };
        let transmit =
            Transmit { destination: to, ecn: None, contents, segment_size: Some(size), src_ip: None };
        state.try_send(UdpSockRef::from(&self.socket), &transmit).is_ok()
    }

    /// Tells the runtime of this thread when there is something to read.
    pub(super) fn reader(&self) -> io::Result<Reader> {
        Reader::new(self.socket.try_clone()?)
    }

    /// Most datagrams, or joined ones, that one system call brings into so many buffers.
    pub(super) fn read_at_once(&self, buffers: usize) -> usize {
        if self.state.is_some() { buffers.min(quinn_udp::BATCH_SIZE) } else { 1 }
    }

    /// Reads datagrams into buffers. The kernel joins those of one size from one sender.
    pub(super) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        if let Some(state) = &self.state {
            return state.recv(UdpSockRef::from(&self.socket), buffers, metas);
        }
        let ([buffer, ..], [meta, ..]) = (buffers, metas) else { return Ok(0) };
        let (length, from) = self.socket.recv_from(buffer)?;
        meta.addr = from;
        meta.len = length;
        meta.stride = length;
        Ok(1)
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
    use std::time::{Duration, Instant};

    use super::*;

    fn receive(socket: &UdpSocket) -> Vec<u8> {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 2048];
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
        assert_eq!(old.send_now(address_of_known, b"still", 5), 0);
        assert_eq!(receive(&known), b"still");
    }

    /// The length of each, in datagrams: those that the kernel joins.
    fn received(port: &Port, size: usize, datagrams: usize) -> Vec<usize> {
        let mut buffers = vec![[0; 1 << 16]; datagrams];
        let mut metas = vec![RecvMeta::default(); datagrams];
        let mut lengths = Vec::new();
        let begun = Instant::now();
        while lengths.iter().sum::<usize>() < datagrams {
            assert!(begun.elapsed() < Duration::from_secs(10), "only {lengths:?} came");
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            match port.receive(&mut slices, &mut metas) {
                Ok(count) => lengths.extend(metas[..count].iter().map(|meta| meta.len / size)),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        lengths
    }

    fn datagrams_are_sent_together(ip: &str) {
        let [from, to] =
            [(); 2].map(|()| Port::bind((ip.parse::<std::net::IpAddr>().unwrap(), 0).into()).unwrap());
        let (client, address) = client_of(&from);
        for port in [&from, &from.of_client(address).unwrap()] {
            assert_eq!(port.send_now(address, &[7; 3000], 1200), 0);
            assert_eq!([(); 3].map(|()| receive(&client).len()), [1200, 1200, 600]);
        }
        assert_eq!(from.send_now(to.bound, &[], 0), 0);
        assert_eq!(from.send_now(to.bound, &[7; 40 * 1200], 1200), 0);
        assert_eq!(received(&to, 1200, 40), [0, 40]);
        assert_eq!(from.send_now(to.bound, &[7; 10 * 1453], 1453), 0);
        assert_eq!(received(&to, 1453, 10), [1; 10], "they may be too long for a card that splits datagrams");
    }

    #[test]
    fn a_burst_leaves_together_in_both_families_and_from_sockets_of_clients() {
        datagrams_are_sent_together("127.0.0.1");
        if UdpSocket::bind("[::1]:0").is_ok() {
            datagrams_are_sent_together("::1");
        }
    }

    #[test]
    fn where_the_system_refuses_options_datagrams_go_one_by_one() {
        let bind = || Port { state: None, ..Port::bind(([127, 0, 0, 1], 0).into()).unwrap() };
        let from = bind();
        let to = bind();
        assert_eq!(from.send_now(to.bound, &[7; 3 * 1200], 1200), 0);
        assert_eq!(received(&to, 1200, 3), [1, 1, 1]);
    }

    #[test]
    fn a_port_that_was_left_belongs_to_the_next_server_and_known_clients_to_the_old_one() {
        a_port_is_left("127.0.0.1");
        if UdpSocket::bind("[::1]:0").is_ok() {
            a_port_is_left("::1");
        }
    }
}
