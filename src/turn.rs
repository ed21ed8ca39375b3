//! A TURN server for clients that ask for one (RFC 8656), and the STUN server of pages.
//!
//! A client allocates a relayed address over UDP, TCP or TLS. By default this address is virtual: no socket has it, and what a
//! client sends to the address of another one goes there inside this process. So there is no range of ports to open, and
//! nothing behind a firewall to reach. With a range of ports, addresses have sockets, and `peers` says where they may send to.

mod allocation;
mod answers;
mod counters;
mod nonce;
mod peers;
mod quotas;
mod reclaim;
mod relayed;
mod requests;
mod server;
mod sockets;
mod stream;
#[cfg(test)]
mod tests;
mod way;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
use crate::config::{LiveConfig, TurnConfig};
use crate::limits::ConnectionLimiter;
use crate::relay::{Port, Serving, TurnPort};
use crate::threads::Threads;
pub(crate) use counters::{TurnDrop, TurnRefusal, TurnTotals};
use peers::Peers;
use relayed::RelayedAddresses;
use server::{Admits, Server};
use sockets::{Connections, Sockets, max_connections};
use way::{Client, ClientId, Entrance};

/// A TURN server whose ports are bound, and which does nothing yet: see [`Builder::turn`](crate::Builder::turn).
pub struct BoundTurn {
    config: TurnConfig,
    sockets: Sockets,
}

/// A TURN server that is running. It ends when this is dropped.
pub(crate) struct Turn {
    server: Arc<Server>,
    connections: Arc<Connections>,
    advertised: Vec<SocketAddr>,
    _open: watch::Sender<()>,
}

/// What clients are told about a TURN server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnUrls {
    /// `stun:` URLs.
    pub stun: Vec<String>,
    /// `turn:` URLs, over UDP and over TCP. Empty if it answers STUN alone.
    pub turn: Vec<String>,
    /// The port for `turns:` URLs over TCP. They need the host name of a certificate. The port of the broker itself does as
    /// well, if it has TLS.
    pub tls_port: Option<u16>,
}

/// Why a TURN server cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer {what} at {address}: {error}")]
pub struct BadTurnAddress {
    what: &'static str,
    address: SocketAddr,
    error: io::Error,
}

impl BadTurnAddress {
    /// Whether another program has the port.
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl BoundTurn {
    /// Binds the ports.
    pub fn bind(config: TurnConfig) -> Result<Self, BadTurnAddress> {
        let what = if config.only_stun { "STUN" } else { "TURN" };
        let sockets = Sockets::bind(&config.listen, !config.only_stun)
            .map_err(|(address, error)| BadTurnAddress { what, address, error })?;
        Ok(BoundTurn { config, sockets })
    }

    /// The addresses that clients are told: at most one of each family.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses().map(|bound| SocketAddr::new(self.public(bound), bound.port())).collect()
    }

    /// What clients are told, before it is known whether there is TLS.
    pub fn urls(&self) -> TurnUrls {
        urls(&self.addresses(), self.config.only_stun, false)
    }

    fn public(&self, bound: SocketAddr) -> IpAddr {
        let of_family = self.config.public.iter().find(|public| public.is_ipv4() == bound.is_ipv4());
        of_family.copied().unwrap_or(bound.ip())
    }

    /// Starts the threads. Without them there is no server, and the log says so.
    pub(crate) fn start(
        self,
        config: LiveConfig,
        clock: Clock,
        admits: Admits,
        addresses: Arc<ConnectionLimiter>,
        threads: &Threads,
    ) -> Option<Turn> {
        let advertised = self.addresses();
        let relayed = self.sockets.addresses().map(|bound| (self.public(bound), bound.ip())).collect();
        let own: Vec<_> = self.sockets.addresses().chain(advertised.iter().copied()).collect();
        let BoundTurn { config: TurnConfig { only_stun, ports, private, loopback, .. }, sockets } = self;
        let relayed = RelayedAddresses::new(relayed, ports, own.clone());
        let peers = Peers::new(own, private, loopback);
        let server = Arc::new(Server::new(config, clock, admits, only_stun, peers, relayed));
        let connections = Arc::new(Connections::new(addresses));
        let (open, closed) = watch::channel(());
        match sockets.start(&server, &connections, &closed, threads) {
            Ok(()) => Some(Turn { server, connections, advertised, _open: open }),
            Err(error) => {
                log::error!("there is no TURN server: {error}");
                None
            }
        }
    }
}

impl Turn {
    /// What clients are told now.
    pub(crate) fn urls(&self) -> TurnUrls {
        urls(&self.advertised, self.server.only_stun, self.connections.tls.get().is_some())
    }

    /// Whether it has relayed addresses, and not STUN alone.
    pub(crate) fn is_relaying(&self) -> bool {
        !self.server.only_stun
    }

    /// Serves TLS on its TCP port too.
    pub(crate) fn serve_tls(&self, config: Arc<rustls::ServerConfig>) {
        // A server is bound once.
        let _ = self.connections.tls.set(TlsAcceptor::from(config));
    }

    /// Serves a client whose connection somebody else has accepted, and has counted for its address. Ends at once if there
    /// are too many connections.
    pub(crate) fn serve<T>(&self, stream: T, address: SocketAddr) -> impl Future<Output = ()> + use<T>
    where
        T: AsyncRead + AsyncWrite,
    {
        let server = Arc::clone(&self.server);
        let counted = self.connections.count(max_connections(&server), None);
        async move {
            if counted.is_some() {
                stream::serve(server, stream, BytesMut::new(), address).await;
            }
        }
    }

    /// What takes TURN from the ports of a relay.
    pub(crate) fn port(&self) -> Option<Arc<dyn TurnPort>> {
        let port =
            || OnRelay { server: Arc::clone(&self.server), connections: Arc::clone(&self.connections) };
        self.is_relaying().then(|| Arc::new(port()) as Arc<dyn TurnPort>)
    }

    /// Ends allocations that are over.
    pub(crate) fn sweep(&self) {
        self.server.sweep();
    }

    /// What has happened since the start.
    pub(crate) fn totals(&self) -> TurnTotals {
        self.server.totals()
    }
}

/// TURN at the ports of a relay.
struct OnRelay {
    server: Arc<Server>,
    connections: Arc<Connections>,
}

impl TurnPort for OnRelay {
    fn receive(&self, port: &Arc<Port>, from: SocketAddr, datagram: &[u8]) -> bool {
        if !Server::is_turn(datagram) {
            return false;
        }
        let id = ClientId { address: from, entrance: Entrance::Port(port.bound()) };
        self.server.receive(&Client { id, way: Arc::clone(port) as Arc<dyn way::Way> }, datagram);
        true
    }

    fn serve(&self, stream: TcpStream, read: BytesMut, from: SocketAddr) -> Serving {
        let server = Arc::clone(&self.server);
        // The relay has counted it for its address.
        let counted = self.connections.count(max_connections(&server), None);
        Box::pin(async move {
            if counted.is_some() {
                stream::serve(server, stream, read, from).await;
            }
        })
    }
}

/// Whether the first byte of a connection is that of a STUN message, and no letter of HTTP (RFC 8489, section 5).
pub(crate) fn is_turn(first: u8) -> bool {
    first < 4
}

fn urls(addresses: &[SocketAddr], only_stun: bool, has_tls: bool) -> TurnUrls {
    let stun = addresses.iter().map(|address| format!("stun:{address}")).collect();
    if only_stun {
        return TurnUrls { stun, ..TurnUrls::default() };
    }
    let over = |transport: &'static str| {
        addresses.iter().map(move |address| format!("turn:{address}?transport={transport}"))
    };
    let tls_port = addresses.first().map(SocketAddr::port).filter(|_| has_tls);
    TurnUrls { stun, turn: over("udp").chain(over("tcp")).collect(), tls_port }
}
