//! The ports of a server, and the threads that serve them.
//!
//! A server that stops can leave its ports to the next one, and still serve the clients that it has: each of
//! them gets a socket of its own at the same port.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use peerbroker_system::ports;
use peerbroker_system::threads::Threads;
use quinn_udp::RecvMeta;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::addresses::{Addresses, Bound, is_local};
use super::burst::Gathered;
use super::port::Port;
use peerbroker_core::vocabulary::expected;

/// Ports that are tried, if the system chooses one for UDP that TCP has taken.
const TRIES: usize = 16;

/// Size of the kernel's buffer for a client that reads slowly. More would only be late.
const SEND_BUFFER: usize = 1 << 16;

/// Bytes in that buffer that are not on their way yet, on Linux. Others wait in our outbox, where the oldest
/// can be dropped.
pub(crate) const UNSENT: usize = 1 << 12;

/// Delay before a socket is tried again after an error.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The service behind the ports of one thread.
pub(crate) trait Service: Clone + Send + Sync + 'static {
    /// Handles datagrams of one sender.
    fn receive(&self, port: &Arc<Port>, datagrams: Joined<'_>);

    /// Counts datagrams for which a socket had no room when they were sent, after they were handled.
    fn record_full(&self, datagrams: u64);

    /// Serves a connection until it ends, if there is a place for it.
    fn serve(&self, stream: TcpStream, from: SocketAddr) -> impl Future<Output = ()> + Send;

    /// Does what is due by the clock. One thread calls it.
    fn keep_time(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// The bound ports of a server. The threads that serve them end when this is dropped.
pub(crate) struct Sockets {
    /// The UDP ports of each thread.
    udp: Vec<Ports>,
    tcp: Vec<TcpListener>,
    pub(crate) addresses: Addresses,
    /// The sockets of single clients.
    of_clients: watch::Sender<Vec<Arc<Port>>>,
}

/// Most clients that get a socket of their own. Linux before 6.13 compares each datagram for the port with
/// all of them.
const MAX_OF_CLIENTS: usize = 4096;

/// The reason why a relay or a TURN server cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} at {address}: {error}{}", advice(error, address))]
pub struct BadMediaAddress {
    what: &'static str,
    address: SocketAddr,
    error: io::Error,
}

/// The way out of an error of the system.
fn advice(error: &io::Error, address: &SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => format!(
            ". This machine has no such address. Behind a NAT, leave it out here, and write --relay_public {}",
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => {
            ". Choose a port of 1024 or more, or allow it with 'setcap cap_net_bind_service=+ep'".to_owned()
        }
        io::ErrorKind::AddrInUse => ". Another program has the port: is coturn running?".to_owned(),
        _ => String::new(),
    }
}

impl BadMediaAddress {
    /// True if another program has the port.
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl Sockets {
    /// Binds each address for UDP once for each thread, and for TCP too if wanted, with the same port.
    /// Clients are told the `public` ones of its family in its place. An unspecified one without any is bound
    /// if it can be: clients may be told one later.
    pub(crate) fn bind(
        what: &'static str,
        addresses: &[SocketAddr],
        public: &[IpAddr],
        with_tcp: bool,
    ) -> Result<Self, BadMediaAddress> {
        let bad = |(address, error)| BadMediaAddress { what, address, error };
        let is_ours = addresses.iter().any(|given| given.port() == 0);
        let of_family = |address: &SocketAddr| {
            let is_ipv4 = address.is_ipv4();
            public.iter().filter(move |ip| ip.is_ipv4() == is_ipv4)
        };
        let is_untold = |at: &SocketAddr| at.ip().is_unspecified() && of_family(at).next().is_none();
        if let Some(unnamed) = addresses.first().filter(|_| addresses.iter().all(is_untold)) {
            let why =
                io::Error::new(io::ErrorKind::InvalidInput, "no address is named that clients are told");
            return Err(bad((*unnamed, why)));
        }
        // A client expects datagrams from the address that it was told. From a socket at all addresses they
        // leave with the one of the interface that leads to the client: with several, this is the one that
        // the client was told.
        let exact = |at: &SocketAddr| {
            let [told] = of_family(at).collect::<Vec<_>>()[..] else { return None };
            let is_wanted = ports::CAN_BE_SHARED && at.ip().is_unspecified() && is_local(*told);
            is_wanted.then(|| SocketAddr::new(*told, at.port()))
        };
        let mut wanted: Vec<_> = addresses.iter().flat_map(|at| exact(at).into_iter().chain([*at])).collect();
        // Over TCP, the kernel answers with the address to which a client came.
        let is_of_tcp = |bound: &SocketAddr| with_tcp && addresses.iter().any(|at| at.ip() == bound.ip());
        let mut tries = TRIES;
        loop {
            match bind_all(&wanted, is_of_tcp) {
                Ok((udp, tcp)) => {
                    let all: Vec<_> = udp.first().into_iter().flat_map(|ports| ports.iter()).collect();
                    let bound = addresses.iter().filter_map(|at| {
                        let port = all.iter().find(|port| port.bound.is_ipv4() == at.is_ipv4())?;
                        Some(Bound { at: port.bound, is_everywhere: at.ip().is_unspecified() })
                    });
                    let addresses = Addresses::new(bound.collect(), public);
                    return Ok(Sockets { udp, tcp, addresses, of_clients: watch::Sender::default() });
                }
                Err((at, error)) if is_untold(&at) => {
                    log::debug!("clients will be told no address like {at}, which cannot be bound: {error}");
                    wanted.retain(|other| other.ip() != at.ip());
                }
                Err((_, error)) if is_ours && tries > 1 && error.kind() == io::ErrorKind::AddrInUse => {
                    tries -= 1
                }
                Err(error) => return Err(bad(error)),
            }
        }
    }

    /// The ports of one thread.
    pub(crate) fn ports(&self) -> Ports {
        self.udp.first().cloned().unwrap_or_default()
    }

    /// Starts the threads, each with a service for its ports.
    pub(crate) fn start<S: Service>(
        &self,
        name: &str,
        threads: &Threads,
        service: impl Fn(&Ports) -> S,
    ) -> io::Result<()> {
        let count = self.udp.len();
        for (number, ports) in self.udp.iter().enumerate() {
            let service = service(ports);
            let ports = Arc::clone(ports);
            let listeners = self.tcp.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
            let mut of_clients = self.of_clients.subscribe();
            threads.keep_async(&format!("{name}-{number}"), async move || {
                let mut tasks = JoinSet::new();
                for port in ports.iter() {
                    tasks.spawn(read(service.clone(), Arc::clone(port)));
                }
                for listener in listeners.iter().filter_map(|listener| listener.try_clone().ok()) {
                    tasks.spawn(accept(service.clone(), listener));
                }
                if number == 0 {
                    let service = service.clone();
                    tasks.spawn(async move { service.keep_time().await });
                }
                // Also after a panic.
                of_clients.mark_changed();
                loop {
                    tokio::select! {
                        // An error means that the server is gone. The runtime ends all tasks.
                        changed = of_clients.changed() => {
                            if changed.is_err() {
                                return;
                            }
                            for port in of_clients.borrow_and_update().iter().skip(number).step_by(count) {
                                tasks.spawn(read(service.clone(), Arc::clone(port)));
                            }
                        }
                        Some(ended) = tasks.join_next() => {
                            if let Err(ended) = ended
                                && let Ok(panic) = ended.try_into_panic()
                            {
                                resume_unwind(panic);
                            }
                        }
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Gives each of these clients a socket of its own, before the ports are [left](Self::leave). Returns the
    /// clients for which there was none. Call it once.
    pub(crate) fn keep(&self, clients: impl IntoIterator<Item = SocketAddr>) -> HashSet<SocketAddr> {
        let mut kept = Vec::new();
        let mut without = HashSet::new();
        for client in clients {
            let port = self.all_ports().find(|port| port.sends(client.is_ipv4()));
            let socket = port.filter(|_| kept.len() < MAX_OF_CLIENTS).and_then(|port| {
                let failed = |error: &_| log::debug!("there is no socket for the client {client}: {error}");
                port.of_client(client).inspect_err(failed).ok()
            });
            match socket {
                Some(socket) => kept.push(Arc::new(socket)),
                None => drop(without.insert(client)),
            }
        }
        self.of_clients.send_replace(kept);
        without
    }

    /// Leaves the ports to the next server. Clients that were [kept](Self::keep), and connections, are still
    /// served.
    pub(crate) fn leave(&self) {
        for port in self.all_ports() {
            if let Err(error) = port.leave() {
                log::warn!("cannot leave UDP port {} to the next server: {error}", port.bound);
            }
        }
        for listener in &self.tcp {
            // Ends all clones: a close would not.
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        }
    }

    /// Tells clients other addresses from now on, in place of those of their families.
    pub(crate) fn set_public(&self, public: &[IpAddr]) {
        self.addresses.set_public(public);
        let told = self.addresses.told();
        let is_beside = |at: &SocketAddr| {
            self.ports().iter().any(|other| {
                other.bound.ip().is_unspecified()
                    && other.bound.is_ipv4() == at.is_ipv4()
                    && other.bound != *at
            })
        };
        let is_told_alone = |at: &SocketAddr| {
            let mut of_family = told.iter().filter(|told| told.is_ipv4() == at.is_ipv4());
            of_family.all(|told| told.ip() == at.ip())
        };
        self.all_ports()
            .filter(|port| is_beside(&port.bound) && !is_told_alone(&port.bound))
            .for_each(|port| port.set_former());
    }

    /// The addresses of its UDP sockets.
    pub(crate) fn bound(&self) -> Vec<SocketAddr> {
        self.ports().iter().map(|port| port.bound).collect()
    }

    fn all_ports(&self) -> impl Iterator<Item = &Arc<Port>> {
        self.udp.iter().flat_map(|ports| ports.iter())
    }
}

/// Binds an address for TCP.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A server that restarts finds connections of the last one.
    ports::reuse_address(&socket)?;
    // Connections have it from here.
    shorten_queue(&socket);
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Keeps the kernel's queue for a client short. With the usual one, datagrams would only come later.
pub(crate) fn shorten_queue<'a>(socket: impl Into<SockRef<'a>>) {
    let socket = socket.into();
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(UNSENT as u32);
}

async fn accept(service: impl Service, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("a TCP port is not served: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Datagrams do not wait for each other.
                let _ = stream.set_nodelay(true);
                let service = service.clone();
                tokio::spawn(async move { service.serve(stream, from).await });
            }
            // The port was left.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(error) => {
                log::debug!("cannot accept a connection: {error}");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Most threads for each address.
const MAX_THREADS: usize = 8;

/// Datagrams that one system call may bring, and the most bytes of each: the kernel joins datagrams of one
/// sender.
const BATCH: usize = 16;
const JOINED: usize = 1 << 16;

/// The ports of one thread.
pub(crate) type Ports = Arc<[Arc<Port>]>;

/// Binds addresses for UDP, and those that are also `of_tcp` for TCP.
fn bind_all(
    addresses: &[SocketAddr],
    of_tcp: impl Fn(&SocketAddr) -> bool,
) -> Result<(Vec<Ports>, Vec<TcpListener>), (SocketAddr, io::Error)> {
    let udp = bind_threads(addresses)?;
    let bound = udp.first().into_iter().flat_map(|ports| ports.iter()).map(|port| port.bound);
    let listen = |address| listen(address).map_err(|error| (address, error));
    let tcp = bound.filter(of_tcp).map(listen).collect::<Result<_, _>>()?;
    Ok((udp, tcp))
}

/// Binds each address once for each thread. Returns the ports of each thread.
fn bind_threads(addresses: &[SocketAddr]) -> Result<Vec<Ports>, (SocketAddr, io::Error)> {
    let most = if ports::CAN_BE_SHARED { MAX_THREADS } else { 1 };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(most);
    let mut addresses = addresses.to_vec();
    // Our threads share the port. Another server must not: the kernel would split the datagrams between the
    // two.
    for address in &addresses {
        Port::check_free(*address).map_err(|error| (*address, error))?;
    }
    let mut of_threads = Vec::new();
    for _ in 0..threads {
        // All of a family, and all threads, share the port that the system chose.
        let mut chosen: Vec<SocketAddr> = Vec::new();
        let ports = addresses.iter_mut().map(|address| {
            let of_family = chosen.iter().find(|chosen| chosen.is_ipv4() == address.is_ipv4());
            if let Some(at) = of_family.filter(|_| address.port() == 0) {
                address.set_port(at.port());
            }
            let port = Port::bind(*address).map_err(|error| (*address, error))?;
            *address = port.bound;
            chosen.push(port.bound);
            Ok(Arc::new(port))
        });
        of_threads.push(ports.collect::<Result<_, _>>()?);
    }
    Ok(of_threads)
}

thread_local! {
    /// The buffers for reading, which all ports of a thread share.
    static BUFFERS: RefCell<Vec<[u8; JOINED]>> = RefCell::new(vec![[0; JOINED]; BATCH]);
}

/// Datagrams of one sender.
pub(crate) struct Joined<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: &'a [u8],
    /// The size of each, except the last.
    pub(crate) size: usize,
}

/// Handles the datagrams of a UDP port, on the runtime of this thread.
async fn read(service: impl Service, port: Arc<Port>) {
    let reader = match port.reader() {
        Ok(reader) => reader,
        Err(error) => return log::error!("UDP port {} is not served any more: {error}", port.bound),
    };
    let most = port.read_at_once(BATCH);
    loop {
        let read = || BUFFERS.with_borrow_mut(|buffers| read_batch(&service, &port, buffers));
        match reader.read(most, read).await {
            // Others of this thread have their turn in a flood.
            Ok(BATCH) => yield_now().await,
            Ok(_) => {}
            // So Windows tells that a client has closed the port to which a datagram went. Others must not
            // wait for that.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                log::debug!("cannot read UDP port {}: {error}", port.bound);
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Handles received datagrams, up to a batch, and sends what the service sends meanwhile. Returns their
/// number, in which joined ones are one.
fn read_batch(service: &impl Service, port: &Arc<Port>, buffers: &mut [[u8; JOINED]]) -> io::Result<usize> {
    let mut metas = [RecvMeta::default(); BATCH];
    let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
    let mut slices: [IoSliceMut<'_>; BATCH] =
        std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
    let count = port.receive(&mut slices, &mut metas)?;
    // A datagram alone goes as it is.
    let is_alone = count == 1 && metas[0].len <= metas[0].stride;
    let gathered = (!is_alone).then(Gathered::begin);
    for (meta, buffer) in metas.iter().zip(buffers.iter()).take(count) {
        let bytes = expected(buffer.get(..meta.len).ok_or(meta), "a datagram in its buffer");
        if !bytes.is_empty() {
            service.receive(port, Joined { from: meta.addr, bytes, size: meta.stride.max(1) });
        }
    }
    service.record_full(gathered.map_or(0, Gathered::end));
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts datagrams of 100 bytes.
    #[derive(Clone, Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Service for Counting {
        fn receive(&self, _: &Arc<Port>, datagrams: Joined<'_>) {
            self.0.fetch_add(datagrams.bytes.len() / 100, Ordering::SeqCst);
        }

        fn record_full(&self, _: u64) {}

        async fn serve(&self, _: TcpStream, _: SocketAddr) {}
    }

    #[tokio::test]
    async fn others_of_a_thread_have_their_turn_in_a_flood_of_datagrams() {
        let port = Arc::new(Port::bind(([127, 0, 0, 1], 0).into()).unwrap());
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..5 * BATCH {
            sender.send_to(&[7; 100], port.bound).unwrap();
        }
        let service = Counting::default();
        tokio::spawn(read(service.clone(), Arc::clone(&port)));
        let mut before = 0;
        while before < 5 * BATCH {
            let handled = service.0.load(Ordering::SeqCst);
            assert!(handled - before <= BATCH, "{before}, {handled}");
            before = handled;
            yield_now().await;
        }
    }

    #[test]
    fn a_port_below_1024_without_the_right_has_a_way_out() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let address = SocketAddr::from(([192, 0, 2, 2], 443));
        let text = BadMediaAddress { what: "relay", address, error }.to_string();
        assert!(text.contains("cannot relay at 192.0.2.2:443: permission denied"), "{text}");
        assert!(text.ends_with("allow it with 'setcap cap_net_bind_service=+ep'"), "{text}");
    }
}
