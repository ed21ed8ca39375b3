//! A UDP port that several threads read.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

/// Most threads for each address.
const MAX_THREADS: usize = 8;

/// Datagrams that one system call may bring, and the most bytes of each: the kernel joins datagrams of one sender.
const BATCH: usize = 16;
const JOINED: usize = 1 << 16;

/// What the kernel keeps while a thread does not run.
const BUFFER: usize = 1 << 21;

/// How long to wait after reading failed.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// A port, as one thread reads it.
pub(crate) struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    bound: SocketAddr,
}

/// Binds each address once for each thread. Gives the ports of each thread.
pub(crate) fn bind_threads(addresses: &[SocketAddr]) -> Result<Vec<Vec<Port>>, (SocketAddr, io::Error)> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let mut addresses = addresses.to_vec();
    // Ours share their port. Another server's must not: the kernel would give each of us a part of what comes.
    for address in &addresses {
        drop(UdpSocket::bind(address).map_err(|error| (*address, error))?);
    }
    let mut of_threads = Vec::new();
    for _ in 0..threads {
        let ports = addresses.iter_mut().map(|address| {
            let port = Port::bind(*address).map_err(|error| (*address, error))?;
            // The others share the port that the system chose.
            *address = port.bound;
            Ok(port)
        });
        of_threads.push(ports.collect::<Result<_, _>>()?);
    }
    Ok(of_threads)
}

impl Port {
    fn bind(address: SocketAddr) -> io::Result<Self> {
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

    /// Sends datagrams of `size` bytes, the last of which may be shorter. False if the socket has no room.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8], size: usize) -> bool {
        let at_once = size.saturating_mul(self.state.max_gso_segments()).max(1);
        bytes.chunks(at_once).all(|contents| {
            let segment_size = (contents.len() > size).then_some(size);
            let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
            self.state.try_send(UdpSockRef::from(&self.socket), &transmit).is_ok()
        })
    }

    /// What reads it, on the current runtime.
    pub(crate) fn reader(&self) -> io::Result<PortReader<'_>> {
        let socket = tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?;
        Ok(PortReader { port: self, socket, buffers: vec![[0; JOINED]; BATCH] })
    }
}

/// Reads a port.
pub(crate) struct PortReader<'a> {
    port: &'a Port,
    socket: tokio::net::UdpSocket,
    buffers: Vec<[u8; JOINED]>,
}

/// Datagrams of one sender.
pub(crate) struct Joined<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: &'a [u8],
    /// The size of each, except the last.
    pub(crate) size: usize,
}

impl PortReader<'_> {
    /// Ready when there is something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Gives `handle` what is there, up to a batch. Waits for a moment if that fails.
    pub(crate) async fn read(&mut self, mut handle: impl FnMut(Joined<'_>)) {
        let mut metas = [RecvMeta::default(); BATCH];
        let read = self.socket.try_io(Interest::READABLE, || {
            let mut slices = self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
            let mut slices: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            self.port.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
        });
        match read {
            Ok(count) => {
                for (meta, buffer) in metas.iter().zip(&self.buffers).take(count) {
                    let bytes = buffer.get(..meta.len).unwrap_or_default();
                    if !bytes.is_empty() {
                        handle(Joined { from: meta.addr, bytes, size: meta.stride.max(1) });
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                log::debug!("cannot read UDP port {}: {error}", self.port.bound);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
