//! A relay for calls that cannot go directly. Clients need no settings for it.
//!
//! The broker sees the ICE credentials of both sides in their offer and answer, and adds candidates to each
//! that lead to this relay. Clients check it like every other candidate. A check names its call, and proves
//! by its integrity that it comes from one of the two clients; an address is a client's when it has answered
//! a check of our own. Datagrams go on unchanged between the addresses of both sides, so DTLS and SRTP stay
//! between the clients.

mod call;
mod calls;
mod candidates;
mod endpoint;
mod load;
mod offers;
mod service;
mod session;
mod stun;
#[cfg(test)]
mod tests;
mod timer;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use dashmap::DashMap;
use peerbroker_media_api::{CandidateNudge, EndedCalls, MediaContext, RelayConfig};
use tokio::net::TcpStream;

use crate::datapath::sockets::{self, BadMediaAddress, Ports, Sockets};
use crate::datapath::streams::Connections;
use crate::turn::Turn;
pub use calls::Calls;
use endpoint::Transport;
use service::{Service, Streams, may_be_frame};

/// Maximum of clients that have to be told to come and wait for it.
const MAX_NUDGES: usize = 1024;

/// A relay whose ports are bound, and which does nothing yet: see [`start`](Self::start).
pub struct BoundRelay {
    config: RelayConfig,
    sockets: Sockets,
}

/// A relay that is running. It ends when this is dropped.
pub struct Relay {
    /// Serves connections that the broker has accepted.
    service: Service,
    tcp: bool,
    /// The other server whose TCP connections come here, once clients are told one. Its port is 0 if they
    /// must not be.
    other_tcp: OnceLock<SocketAddr>,
    sockets: Sockets,
}

impl BoundRelay {
    /// Binds the ports.
    pub fn bind(config: RelayConfig) -> Result<Self, BadMediaAddress> {
        let sockets = Sockets::bind("relay", &config.listen, &config.public, config.tcp)?;
        Ok(BoundRelay { config, sockets })
    }

    /// The addresses that clients are told.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses.told()
    }

    /// Starts the threads. If they cannot start, there is no relay, and the log says so. A TURN server may
    /// share the ports. The receiver gets the clients that have to be told to come, and ends with the relay.
    pub fn start(
        self,
        context: MediaContext,
        turn: Option<&Turn>,
    ) -> Option<(Relay, Receiver<CandidateNudge>)> {
        let BoundRelay { config: RelayConfig { private, tcp, tcp_port, .. }, sockets } = self;
        let own = sockets.addresses.clone();
        let (nudges, nudged) = sync_channel(MAX_NUDGES);
        let connections = Connections::new(Arc::clone(&context.host));
        let streams = Arc::new(Streams { connections, outboxes: DashMap::new() });
        let threads = context.threads.clone();
        let turn = turn.and_then(Turn::for_relay);
        let calls = Arc::new(Calls::new(context, own, private, nudges));
        let service = |ports: &Ports| Service {
            ports: Arc::clone(ports),
            streams: Arc::clone(&streams),
            calls: Arc::clone(&calls),
            turn: turn.clone(),
            counters: calls.add_thread(),
        };
        let of_broker = service(&sockets.ports());
        let started = sockets.start("relay", &threads, service);
        started.inspect_err(|error| log::error!("there is no relay: {error}")).ok()?;
        // Clients reach a port that the operator has named at each address.
        let named = tcp_port.map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
        let other_tcp = named.map_or_else(OnceLock::new, OnceLock::from);
        Some((Relay { service: of_broker, tcp, other_tcp, sockets }, nudged))
    }
}

impl Relay {
    /// The calls that it knows.
    pub fn calls(&self) -> &Calls {
        &self.service.calls
    }

    /// The candidates that lead here: lines of a description without their `a=` and their end. Those for each
    /// number of `times` differ, because browsers ignore known candidates.
    pub fn candidates(&self, times: u8) -> Vec<String> {
        candidates::lines(&self.sockets.addresses.all(), self.tcp, self.other_tcp.get().copied(), times)
    }

    /// The addresses that clients are told.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses.told()
    }

    /// Tells clients other addresses from now on, in place of those of their families. Clients may have
    /// private addresses if `private`.
    pub fn set_addresses(&self, public: &[IpAddr], private: bool) {
        self.sockets.set_public(public);
        self.calls().set_private(private);
    }

    /// Tells clients from now on the address of a broker that gives connections to [`serve`](Self::serve),
    /// unless the operator has named another port, or none.
    pub fn name_broker(&self, broker: SocketAddr) {
        // A broker is bound once.
        let _ = self.other_tcp.set(broker);
    }

    /// True if a connection that begins with this byte is for the relay, and not for TLS or HTTP.
    pub fn takes(&self, first: u8) -> bool {
        self.tcp && may_be_frame(first)
    }

    /// Serves a client whose connection the broker has accepted. `read` has its first bytes. Ends at once if
    /// there are too many connections.
    pub fn serve(&self, stream: TcpStream, read: &[u8]) -> impl Future<Output = ()> + use<> {
        let service = self.service.clone();
        let read = BytesMut::from(read);
        async move {
            let Ok(from) = stream.peer_addr() else { return };
            sockets::shorten_queue(&stream);
            service.serve_at(Transport::BrokerTcp, stream, from, read).await;
        }
    }

    /// Takes no more calls, and prepares to [leave the ports](Self::leave_ports). Calls for which there are
    /// too few sockets end. `tell` is that of [`Calls::end`]. Call it once.
    pub fn retire(&self, tell: impl FnMut(EndedCalls) -> bool) {
        let mut clients = self.calls().retire();
        if let Some(turn) = &self.service.turn {
            clients.extend(self.sockets.bound().into_iter().flat_map(|address| turn.clients_at(address)));
        }
        self.calls().end(Some(&self.sockets.keep(clients)), tell);
    }

    /// Leaves the ports to the next server. Calls that are open go on.
    pub fn leave_ports(&self) {
        self.sockets.leave();
    }
}
