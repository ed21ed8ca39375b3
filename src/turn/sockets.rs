//! The ports of a TURN server, and the threads that serve them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::server::Server;
use super::stream::{self, PATIENCE};
use super::way::{Client, ClientId, Entrance, Way};
use crate::limits::{ConnectionLimiter, ConnectionPermit};
use crate::relay::{Joined, PAUSE, Port, bind_threads, listen};
use crate::threads::{Panic, Threads};

/// First byte of a TLS handshake (RFC 8446, section 5.1).
const TLS: u8 = 22;

/// Connections in all, for each allocation that there may be. Some have none yet, or none any more.
const CONNECTIONS_PER_ALLOCATION: usize = 2;

/// Ports that are tried, if the system chooses one for UDP that TCP has taken.
const TRIES: usize = 16;

/// The ports, bound and not yet served.
pub(super) struct Sockets {
    /// Those of each thread.
    udp: Vec<Vec<Port>>,
    tcp: Vec<TcpListener>,
}

/// What the connections of all threads share.
pub(super) struct Connections {
    pub(super) addresses: Arc<ConnectionLimiter>,
    pub(super) tls: OnceLock<TlsAcceptor>,
    open: AtomicUsize,
}

impl Connections {
    pub(super) fn new(addresses: Arc<ConnectionLimiter>) -> Self {
        Connections { addresses, tls: OnceLock::new(), open: AtomicUsize::new(0) }
    }

    /// Counts a connection, unless there are `max`. Who has no permit of its address counts towards no limit of addresses.
    pub(super) fn count(self: &Arc<Self>, max: usize, permit: Option<ConnectionPermit>) -> Option<Counted> {
        let counted = Counted { connections: Arc::clone(self), _permit: permit };
        // Counted first, so that the drop gives it back.
        (self.open.fetch_add(1, Ordering::Relaxed) < max).then_some(counted)
    }
}

/// One connection. Its drop gives back its place.
pub(super) struct Counted {
    connections: Arc<Connections>,
    _permit: Option<ConnectionPermit>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sockets {
    /// Binds each address for UDP once for each thread, and for TCP too if wanted, with the same port.
    pub(super) fn bind(addresses: &[SocketAddr], with_tcp: bool) -> Result<Self, (SocketAddr, io::Error)> {
        let mut tries = TRIES;
        loop {
            let udp = bind_threads(addresses)?;
            let bound = udp.first().into_iter().flatten().map(Port::bound);
            let listen = |address| listen(address).map_err(|error| (address, error));
            let tcp: Result<Vec<_>, _> = bound.filter(|_| with_tcp).map(listen).collect();
            tries -= 1;
            match tcp {
                Err((address, error)) => {
                    let is_ours = addresses.iter().any(|given| given.port() == 0);
                    if !is_ours || tries == 0 || error.kind() != io::ErrorKind::AddrInUse {
                        return Err((address, error));
                    }
                }
                Ok(tcp) => return Ok(Sockets { udp, tcp }),
            }
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + Clone {
        self.udp.first().into_iter().flatten().map(Port::bound)
    }

    /// Starts the threads. They end when `open` closes.
    pub(super) fn start(
        self,
        server: &Arc<Server>,
        connections: &Arc<Connections>,
        open: &watch::Receiver<()>,
        threads: &Threads,
    ) -> io::Result<()> {
        for (number, ports) in self.udp.into_iter().enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            server.read_on(runtime.handle().clone());
            let (server, connections, open) = (Arc::clone(server), Arc::clone(connections), open.clone());
            let ports: Vec<Arc<Port>> = ports.into_iter().map(Arc::new).collect();
            let listeners = self.tcp.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
            let work = async move |open: &mut watch::Receiver<()>| {
                let mut tasks = JoinSet::new();
                for port in &ports {
                    tasks.spawn(read(Arc::clone(&server), Arc::clone(port)));
                }
                for listener in listeners.iter().filter_map(|listener| listener.try_clone().ok()) {
                    tasks.spawn(accept(Arc::clone(&server), Arc::clone(&connections), listener));
                }
                loop {
                    tokio::select! {
                        // An error means that the server is gone. The runtime ends all tasks.
                        _ = open.changed() => return,
                        Some(ended) = tasks.join_next() => {
                            if let Err(ended) = ended
                                && let Ok(panic) = ended.try_into_panic()
                            {
                                Panic::from(panic).resume();
                            }
                        }
                    }
                }
            };
            let work = move || runtime.block_on(work(&mut open.clone()));
            threads.keep(&format!("turn-{number}"), work)?;
        }
        Ok(())
    }
}

/// Handles what comes to a UDP port.
async fn read(server: Arc<Server>, port: Arc<Port>) {
    let entrance = Entrance::Port(port.bound());
    let handle = |joined: Joined<'_>| {
        for datagram in joined.bytes.chunks(joined.size) {
            let id = ClientId { address: joined.from, entrance };
            server.receive(&Client { id, way: Arc::clone(&port) as Arc<dyn Way> }, datagram);
        }
    };
    let ended: io::Result<()> = async {
        let mut reader = port.reader()?;
        loop {
            reader.readable().await?;
            reader.read(handle).await;
        }
    }
    .await;
    if let Err(error) = ended {
        log::error!("TURN at UDP port {} has stopped: {error}", port.bound());
    }
}

async fn accept(server: Arc<Server>, connections: Arc<Connections>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("there is no TURN over TCP: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let Ok(permit) = connections.addresses.connect(Some(address.ip())) else { continue };
                let Some(counted) = connections.count(max_connections(&server), permit) else { continue };
                tokio::spawn(serve(Arc::clone(&server), counted, stream, address));
            }
            Err(error) => {
                log::debug!("cannot accept a TURN connection: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Most connections, over TCP and TLS.
pub(super) fn max_connections(server: &Server) -> usize {
    server.config.load().turn_limits.allocations.saturating_mul(CONNECTIONS_PER_ALLOCATION)
}

async fn serve(server: Arc<Server>, counted: Counted, stream: TcpStream, address: SocketAddr) {
    // Datagrams do not wait for each other.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    match (timeout(PATIENCE, stream.peek(&mut first)).await, counted.connections.tls.get()) {
        (Ok(Ok(1)), Some(tls)) if first == [TLS] => match timeout(PATIENCE, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream::serve(server, stream, BytesMut::new(), address).await,
            Ok(Err(error)) => log::debug!("no TLS with the TURN client {address}: {error}"),
            Err(_) => {}
        },
        (Ok(Ok(1)), _) if first != [TLS] => stream::serve(server, stream, BytesMut::new(), address).await,
        _ => {}
    }
}
