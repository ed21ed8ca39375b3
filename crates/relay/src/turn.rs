//! A TURN server for clients that ask for one (RFC 8656), and the STUN server of pages.
//!
//! A client allocates a relayed address over UDP, TCP or TLS. By default this address is virtual: no socket
//! has it, and datagrams between two clients' relayed addresses stay inside this process. So there is no
//! range of ports to open, and nothing behind a firewall to reach. With a range of ports, addresses have
//! sockets, and `peers` limits their destinations.

mod allocation;
mod answers;
mod client;
mod connections;
mod eviction;
mod nonce;
mod peers;
mod quotas;
mod relayed;
mod requests;
mod server;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use peerbroker_media_api::{AllocationReport, MediaContext, TurnConfig, TurnTotals, TurnUrls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::datapath::sockets::{BadMediaAddress, Sockets};
use crate::datapath::stun::may_be_stun;
use allocation::Allocation;
pub(crate) use client::Ingress;
pub(crate) use server::Server;

/// A TURN server whose ports are bound, and which does nothing yet: see [`start`](Self::start).
pub struct BoundTurn {
    config: TurnConfig,
    sockets: Sockets,
}

/// A TURN server that is running. It ends when this is dropped.
pub struct Turn {
    server: Arc<Server>,
    sockets: Sockets,
}

impl BoundTurn {
    /// Binds the ports.
    pub fn bind(config: TurnConfig) -> Result<Self, BadMediaAddress> {
        let what = if config.only_stun { "answer STUN" } else { "answer TURN" };
        let sockets = Sockets::bind(what, &config.listen, &config.public, !config.only_stun)?;
        Ok(BoundTurn { config, sockets })
    }

    /// The addresses that clients are told.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses.told()
    }

    /// Starts the threads. If they cannot start, there is no server, and the log says so.
    pub fn start(self, context: MediaContext) -> Option<Turn> {
        let BoundTurn { config, sockets } = self;
        let threads = context.threads.clone();
        let server = Arc::new(Server::new(context, config, sockets.addresses.clone()));
        let started = sockets.start("turn", &threads, |_| Arc::clone(&server));
        started.inspect_err(|error| log::error!("there is no TURN server: {error}")).ok()?;
        Some(Turn { server, sockets })
    }
}

impl Turn {
    /// The URLs that clients are told now.
    pub fn urls(&self) -> TurnUrls {
        let told = self.sockets.addresses.told();
        let stun = told.iter().map(|address| format!("stun:{address}")).collect();
        if self.server.only_stun {
            return TurnUrls { stun, ..TurnUrls::default() };
        }
        let over = |transport: &'static str| {
            told.iter().map(move |address| format!("turn:{address}?transport={transport}"))
        };
        let tls_port = self.server.tls.get().and(told.first()).map(SocketAddr::port);
        TurnUrls { stun, turn: over("udp").chain(over("tcp")).collect(), tls_port }
    }

    /// The addresses that clients are told.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses.told()
    }

    /// Tells clients other addresses from now on, in place of those of their families.
    pub fn set_addresses(&self, public: &[IpAddr]) {
        self.sockets.set_public(public);
    }

    /// Serves TLS on its TCP port too.
    pub fn serve_tls(&self, config: Arc<rustls::ServerConfig>) {
        // A server is bound once.
        let _ = self.server.tls.set(TlsAcceptor::from(config));
    }

    /// Serves a client of TLS whose connection another server has accepted, and has counted for its address.
    /// Ends at once if there are too many connections.
    pub fn serve<T: AsyncRead + AsyncWrite>(
        &self,
        stream: T,
        address: SocketAddr,
    ) -> impl Future<Output = ()> + use<T> {
        let server = Arc::clone(&self.server);
        async move { server.serve_counted(stream, BytesMut::new(), address, Ingress::Tls).await }
    }

    /// True if the first byte of a connection is that of a STUN message, and no letter of HTTP (RFC 8489,
    /// section 5).
    pub fn is_turn(&self, first: u8) -> bool {
        may_be_stun(first)
    }

    /// The server, if it has TURN for the ports of a relay.
    pub(crate) fn for_relay(&self) -> Option<Arc<Server>> {
        (!self.server.only_stun).then(|| Arc::clone(&self.server))
    }

    /// Ends allocations that are over. Its host calls it each second.
    pub fn sweep(&self) {
        self.server.sweep();
    }

    /// All allocations.
    pub fn allocations(&self) -> Vec<AllocationReport> {
        let report = |of: &Arc<Allocation>| AllocationReport {
            relayed: of.relayed,
            client: of.client.id.address,
            transport: match of.client.id.ingress {
                Ingress::Port(_) => "udp",
                Ingress::Tcp(_) => "tcp",
                Ingress::Tls(_) => "tls",
            },
            username: of.proved.username.clone(),
            key: of.proved.key.clone(),
            since: self.server.context.clock.unix_millis_at(of.created).as_millis() / 1000,
            bytes: of.bytes.load(Ordering::Relaxed),
        };
        self.server.all().iter().map(report).collect()
    }

    /// Ends the allocation at a relayed address, and returns its username. Its client may make another one.
    pub fn end(&self, relayed: SocketAddr) -> Option<String> {
        let ended = self.server.by_relayed.get(&relayed).map(|found| Arc::clone(&found))?;
        self.server.remove(&ended);
        Some(ended.proved.username.clone())
    }

    /// The totals since the start.
    pub fn totals(&self) -> TurnTotals {
        self.server.totals()
    }

    /// Makes no more allocations, and prepares to [leave the ports](Self::leave_ports). Call it once.
    pub fn retire(&self) {
        self.server.has_retired.store(true, Ordering::Relaxed);
        let clients = self.sockets.bound().into_iter().flat_map(|address| self.server.clients_at(address));
        // A client without a socket notices it by its own timeout: TURN has no message for that.
        self.sockets.keep(clients);
    }

    /// Leaves the ports to the next server. Allocations in use go on.
    pub fn leave_ports(&self) {
        self.sockets.leave();
    }

    /// The number of allocations that have relayed something within the last minute.
    pub fn used_allocations(&self) -> usize {
        let now = self.server.now();
        self.server.all().iter().filter(|allocation| !allocation.is_unused(now)).count()
    }
}
