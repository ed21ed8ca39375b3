//! The ports of a relay, and the threads that read them.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::calls::Calls;
use super::stun::Stun;

/// Most threads for each address.
const MAX_THREADS: usize = 8;

/// Datagrams that one system call may bring, and the most bytes of each: the kernel joins datagrams of one sender.
const BATCH: usize = 16;
const JOINED: usize = 1 << 16;

/// What the kernel keeps while a thread does not run.
const BUFFER: usize = 1 << 21;

/// How long to wait after reading failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The ports of one thread.
struct Ports(Vec<Port>);

struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    bound: SocketAddr,
}

/// All ports, bound and not yet read.
pub(super) struct Sockets(Vec<Ports>);

impl Sockets {
    /// Binds each address once for each thread.
    pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut addresses = addresses.to_vec();
        // Ours share their port. Another server's must not: the kernel would give each of us a part of what comes.
        for address in &addresses {
            drop(UdpSocket::bind(address).map_err(|error| (*address, error))?);
        }
        let mut sockets = Vec::new();
        for _ in 0..threads {
            let ports = addresses.iter_mut().map(|address| {
                let port = Port::bind(*address).map_err(|error| (*address, error))?;
                // The others share the port that the system chose.
                *address = port.bound;
                Ok(port)
            });
            sockets.push(Ports(ports.collect::<Result<_, _>>()?));
        }
        Ok(Sockets(sockets))
    }

    pub(super) fn threads(&self) -> usize {
        self.0.len()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + Clone {
        self.0.first().into_iter().flat_map(|ports| &ports.0).map(|port| port.bound)
    }

    /// Starts the threads. They end when `open` closes.
    pub(super) fn start(self, calls: &Arc<Calls>, open: &watch::Receiver<()>) -> io::Result<()> {
        for (number, ports) in self.0.into_iter().enumerate() {
            let ports = Arc::new(ports);
            for at in 0..ports.0.len() {
                let (ports, calls, open) = (Arc::clone(&ports), Arc::clone(calls), open.clone());
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let work = move || {
                    let reader = Reader { ports: &ports, at, calls: &calls, thread: number };
                    if let Err(error) = runtime.block_on(reader.run(open)) {
                        log::error!("the relay has stopped: {error}");
                    }
                };
                thread::Builder::new().name(format!("relay-{number}")).spawn(work)?;
            }
        }
        Ok(())
    }
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

    /// Sends datagrams of `size` bytes, the last of which may be shorter. False if the socket has no room.
    fn send(&self, to: SocketAddr, bytes: &[u8], size: usize) -> bool {
        let at_once = size.saturating_mul(self.state.max_gso_segments()).max(1);
        bytes.chunks(at_once).all(|contents| {
            let segment_size = (contents.len() > size).then_some(size);
            let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
            self.state.try_send(UdpSockRef::from(&self.socket), &transmit).is_ok()
        })
    }
}

/// What reads one port.
struct Reader<'a> {
    ports: &'a Ports,
    at: usize,
    calls: &'a Calls,
    thread: usize,
}

impl Reader<'_> {
    async fn run(&self, mut open: watch::Receiver<()>) -> io::Result<()> {
        let Some(port) = self.ports.0.get(self.at) else { return Ok(()) };
        let socket = tokio::net::UdpSocket::from_std(port.socket.try_clone()?)?;
        let mut buffers = vec![[0; JOINED]; BATCH];
        loop {
            tokio::select! {
                biased;
                // An error means that the relay is gone.
                _ = open.changed() => return Ok(()),
                () = self.calls.until_due(), if self.is_first() => {
                    self.calls.on_time(self.thread, |to, bytes| self.send(to, bytes, bytes.len()));
                }
                readable = socket.readable() => readable?,
            }
            let mut metas = [RecvMeta::default(); BATCH];
            let read = socket.try_io(Interest::READABLE, || {
                let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
                let mut slices: [IoSliceMut<'_>; BATCH] =
                    std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                port.state.recv(UdpSockRef::from(&socket), &mut slices, &mut metas)
            });
            match read {
                Ok(count) => {
                    for (meta, buffer) in metas.iter().zip(&buffers).take(count) {
                        self.handle(meta, buffer.get(..meta.len).unwrap_or_default());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    log::debug!("the relay cannot read: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One reader has to look after the time.
    fn is_first(&self) -> bool {
        (self.thread, self.at) == (0, 0)
    }

    /// Handles datagrams of one sender, which all have the same size except the last.
    fn handle(&self, meta: &RecvMeta, bytes: &[u8]) {
        let (from, size) = (meta.addr, meta.stride.max(1));
        if bytes.is_empty() {
            return;
        }
        if !bytes.chunks(size).any(Stun::is_stun) {
            return self.forward(from, bytes, size);
        }
        for datagram in bytes.chunks(size) {
            if Stun::is_stun(datagram) {
                self.calls
                    .on_stun(self.thread, from, datagram, |to, bytes| self.send(to, bytes, bytes.len()));
            } else {
                self.forward(from, datagram, size);
            }
        }
    }

    fn forward(&self, from: SocketAddr, bytes: &[u8], size: usize) {
        let packets = bytes.len().div_ceil(size) as u64;
        if let Some(to) = self.calls.forward(self.thread, from, packets, bytes.len()) {
            self.send(to, bytes, size);
        }
    }

    /// Sends from the port of the recipient's family.
    fn send(&self, to: SocketAddr, bytes: &[u8], size: usize) {
        let port = self.ports.0.iter().find(|port| port.bound.is_ipv4() == to.is_ipv4());
        if !port.is_some_and(|port| port.send(to, bytes, size)) {
            self.calls.count_full(self.thread);
        }
    }
}
