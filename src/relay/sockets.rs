//! Everything that a relay binds, and the threads that read it.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quinn_udp::{RecvMeta, UdpSockRef};
use tokio::io::Interest;
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::calls::Calls;
use super::endpoint::Endpoint;
use super::ports::{Outlet, Port, Ports};
use super::streams::Streams;
use super::stun::Stun;
use super::tcp::{self, Server};

/// Most threads for each address.
const MAX_THREADS: usize = 8;

/// Datagrams that one system call may bring, and the most bytes of each: the kernel joins datagrams of one sender.
const BATCH: usize = 16;
const JOINED: usize = 1 << 16;

/// How long to wait after reading failed.
const PAUSE: Duration = Duration::from_millis(100);

/// All ports, bound and not yet read.
pub(super) struct Sockets {
    ports: Vec<Ports>,
    listeners: Vec<TcpListener>,
}

impl Sockets {
    /// Binds each address once for each thread, and for TCP if that is wanted.
    pub(super) fn bind(addresses: &[SocketAddr], tcp: bool) -> Result<Self, (SocketAddr, io::Error)> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut addresses = addresses.to_vec();
        // Ours share their port. Another server's must not: the kernel would give each of us a part of what comes.
        for address in &addresses {
            drop(UdpSocket::bind(address).map_err(|error| (*address, error))?);
        }
        let mut listeners = Vec::new();
        for address in addresses.iter_mut().filter(|_| tcp) {
            let listener = tcp::listen(*address).map_err(|error| (*address, error))?;
            *address = listener.local_addr().map_err(|error| (*address, error))?;
            listeners.push(listener);
        }
        let mut all = Vec::new();
        for _ in 0..threads {
            let ports = addresses.iter_mut().map(|address| {
                let port = Port::bind(*address).map_err(|error| (*address, error))?;
                // The others share the port that the system chose.
                *address = port.bound;
                Ok(port)
            });
            all.push(Ports(ports.collect::<Result<_, _>>()?));
        }
        Ok(Sockets { ports: all, listeners })
    }

    /// Threads that count: one for each of our ports, and one for all TCP.
    pub(super) fn threads(&self) -> usize {
        self.ports.len() + 1
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + Clone {
        self.ports.first().into_iter().flat_map(|ports| &ports.0).map(|port| port.bound)
    }

    /// Starts the threads. They end when `open` closes.
    pub(super) fn start(
        self,
        calls: &Arc<Calls>,
        streams: Streams,
        open: &watch::Receiver<()>,
    ) -> io::Result<()> {
        let streams = Arc::new(streams);
        let threads = self.threads();
        let outlet = |ports| Outlet { ports, streams: Arc::clone(&streams) };
        let outlets: Vec<Outlet> = self.ports.into_iter().map(|ports| outlet(Arc::new(ports))).collect();
        for (number, outlet) in outlets.iter().enumerate() {
            for at in 0..outlet.ports.0.len() {
                let (outlet, calls, open) = (outlet.clone(), Arc::clone(calls), open.clone());
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let work = move || {
                    let reader = Reader { outlet: &outlet, at, calls: &calls, thread: number };
                    if let Err(error) = runtime.block_on(reader.run(open)) {
                        log::error!("the relay has stopped: {error}");
                    }
                };
                thread::Builder::new().name(format!("relay-{number}")).spawn(work)?;
            }
        }
        let Some(outlet) = outlets.into_iter().next().filter(|_| !self.listeners.is_empty()) else {
            return Ok(());
        };
        let (calls, listeners, open) = (Arc::clone(calls), self.listeners, open.clone());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let server = Server { streams, outlet, calls, thread: threads - 1 };
            runtime.block_on(server.run(listeners, open));
        };
        thread::Builder::new().name("relay-tcp".to_owned()).spawn(work)?;
        Ok(())
    }
}

/// What reads one port.
struct Reader<'a> {
    outlet: &'a Outlet,
    at: usize,
    calls: &'a Calls,
    thread: usize,
}

impl Reader<'_> {
    async fn run(&self, mut open: watch::Receiver<()>) -> io::Result<()> {
        let Some(port) = self.outlet.ports.0.get(self.at) else { return Ok(()) };
        let socket = tokio::net::UdpSocket::from_std(port.socket.try_clone()?)?;
        let mut buffers = vec![[0; JOINED]; BATCH];
        // One for many reads: a timer is not free.
        let mut due = pin!(self.calls.until_due());
        loop {
            tokio::select! {
                biased;
                // An error means that the relay is gone.
                _ = open.changed() => return Ok(()),
                () = &mut due, if self.is_first() => {
                    self.calls.on_time(self.thread, |to, bytes| self.send(to, bytes, bytes.len()));
                    due.set(self.calls.until_due());
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
        let (from, size) = (Endpoint::udp(meta.addr), meta.stride.max(1));
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

    fn forward(&self, from: Endpoint, bytes: &[u8], size: usize) {
        let packets = bytes.len().div_ceil(size) as u64;
        if let Some(to) = self.calls.forward(self.thread, from, packets, bytes.len()) {
            self.send(to, bytes, size);
        }
    }

    fn send(&self, to: Endpoint, bytes: &[u8], size: usize) {
        if !self.outlet.send(to, bytes, size) {
            self.calls.count_full(self.thread);
        }
    }
}
