//! A relay for calls that cannot go directly. Clients need no settings for it.
//!
//! The broker sees the ICE credentials of both sides in their offer and answer, and adds candidates to each that lead to
//! this relay. Clients check it like every other candidate. A check names its call, and proves by its integrity that it comes
//! from one of the two clients; an address is a client's when it has answered a check of our own. Datagrams go on unchanged
//! between the addresses of both sides, so DTLS and SRTP stay between the clients.

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

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use dashmap::DashMap;
use peerbroker_core::media_api::{
    CandidateNudge, EndedCalls, MediaContext, Parties, RelayConfig, RelayTotals,
};
use peerbroker_core::wire::{ApiKey, IceCredentials, RealmKind};
use tokio::net::TcpStream;

use crate::datapath::sockets::{self, Address, BadMediaAddress, Ports, Service as _, Sockets};
use crate::datapath::streams::Connections;
use crate::turn::{Server as TurnServer, Turn};
use calls::Calls;
use candidates::{Candidates, OtherPort};
use endpoint::Listener;
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
    calls: Arc<Calls>,
    /// Serves connections that the broker has accepted.
    service: Service,
    addresses: Vec<Address>,
    tcp: bool,
    tcp_port: Option<u16>,
    candidates: Candidates,
    /// The same with the broker's port, once clients are told that.
    with_broker: OnceLock<Candidates>,
    sockets: Sockets,
    /// Serves clients of TURN at the same ports.
    turn: Option<Arc<TurnServer>>,
}

impl BoundRelay {
    /// Binds the ports.
    pub fn bind(config: RelayConfig) -> Result<Self, BadMediaAddress> {
        let sockets = Sockets::bind("relay", &config.listen, config.tcp)?;
        Ok(BoundRelay { config, sockets })
    }

    /// The addresses that clients are told: at most one of each family.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.advertised(&self.config.public).iter().map(|address| address.told).collect()
    }

    /// Starts the threads. If they cannot start, there is no relay, and the log says so. A TURN server may share the ports. The
    /// receiver gets the clients that have to be told to come, and ends with the relay.
    pub fn start(
        self,
        context: MediaContext,
        turn: Option<&Turn>,
    ) -> Option<(Relay, Receiver<CandidateNudge>)> {
        let BoundRelay { config: RelayConfig { public, private, tcp, tcp_port, .. }, sockets } = self;
        let addresses = sockets.advertised(&public);
        let own = addresses.iter().flat_map(|address| [address.bound, address.told]).collect();
        let (wakes, woken) = sync_channel(MAX_NUDGES);
        let connections = Connections::new(Arc::clone(&context.host));
        let streams = Arc::new(Streams { connections, outboxes: DashMap::new() });
        let (threads, turn) = (context.threads.clone(), turn.and_then(Turn::for_relay));
        let calls = Arc::new(Calls::new(context, own, private, wakes));
        let service = |ports: &Ports| Service {
            ports: Arc::clone(ports),
            streams: Arc::clone(&streams),
            calls: Arc::clone(&calls),
            turn: turn.clone(),
            counters: calls.add_thread(),
        };
        let of_broker = service(&sockets.ports());
        if let Err(error) = sockets.start("relay", &threads, service) {
            log::error!("there is no relay: {error}");
            return None;
        }
        let named = tcp_port.filter(|port| *port != 0).map(OtherPort::Named);
        let relay = Relay {
            calls,
            service: of_broker,
            candidates: Candidates::new(&addresses, tcp, named),
            addresses,
            tcp,
            tcp_port,
            with_broker: OnceLock::new(),
            sockets,
            turn,
        };
        Some((relay, woken))
    }
}

impl Relay {
    /// Remembers an offer of a client at that address until its answer comes. False if there are too many.
    pub fn offer(&self, parties: Parties<'_>, address: Option<IpAddr>, offer: IceCredentials<'_>) -> bool {
        self.calls.note_offer(parties, address, offer)
    }

    /// Begins a call. False if this relay does not know its offer, or a limit is reached.
    pub fn answer(&self, parties: Parties<'_>, answer: IceCredentials<'_>) -> bool {
        self.calls.begin(parties, answer, false)
    }

    /// Begins a call by an answer from another node, where this one knows a guest by an alias.
    pub fn answer_from_elsewhere(&self, parties: Parties<'_>, answer: IceCredentials<'_>) -> bool {
        self.calls.begin(parties, answer, true)
    }

    /// The candidates that lead here: lines of a description without their `a=` and their end.
    pub fn candidates(&self) -> &[String] {
        &self.told().lines
    }

    /// Candidates that differ from all earlier ones of a client. Browsers ignore known candidates.
    pub fn new_candidates(&self, times: u8) -> impl Iterator<Item = String> {
        self.told().renewed(times)
    }

    fn told(&self) -> &Candidates {
        self.with_broker.get().unwrap_or(&self.candidates)
    }

    /// Tells clients from now on the address of a broker that gives connections to [`serve`](Self::serve), unless the operator has
    /// named another port, or none.
    pub fn name_broker(&self, broker: SocketAddr) {
        if self.tcp_port.is_none() {
            let with_broker = Candidates::new(&self.addresses, self.tcp, Some(OtherPort::Of(broker)));
            // A broker is bound once.
            let _ = self.with_broker.set(with_broker);
        }
    }

    /// True if a connection that begins with this byte is for the relay, and not for TLS or HTTP.
    pub fn takes(&self, first: u8) -> bool {
        self.tcp && may_be_frame(first)
    }

    /// Serves a client whose connection the broker has accepted. `read` has its first bytes. Ends at once if there are too many
    /// connections.
    pub fn serve(&self, stream: TcpStream, read: &[u8]) -> impl Future<Output = ()> + use<> {
        let (service, read) = (self.service.clone(), BytesMut::from(read));
        async move {
            let Ok(from) = stream.peer_addr() else { return };
            let Some(_place) = service.admit(from) else { return };
            sockets::shorten_queue(&stream);
            service.serve_at(Listener::Broker, stream, from, read).await;
        }
    }

    /// True if an offer of `offerer` waits for an answer.
    pub fn awaits_answer(&self, key: &ApiKey, realm: RealmKind, offerer: &str) -> bool {
        self.calls.awaits_answer(key, realm, offerer)
    }

    /// Forgets calls that are over, offers without an answer, and those of clients that are not here.
    pub fn sweep(&self, is_here: impl Fn(&ApiKey, RealmKind, &str) -> bool) {
        self.calls.sweep(is_here);
    }

    /// The totals since the start.
    pub fn totals(&self) -> RelayTotals {
        self.calls.totals()
    }

    /// Takes no more calls, and prepares to [leave the ports](Self::leave_ports). Calls for which there are too few sockets end.
    /// `tell` is that of [`end_calls`](Self::end_calls). Call it once.
    pub fn retire(&self, tell: impl FnMut(EndedCalls) -> bool) {
        let mut clients = self.calls.retire();
        if let Some(turn) = &self.turn {
            clients.extend(self.addresses.iter().flat_map(|address| turn.clients_at(address.bound)));
        }
        self.calls.end_of(&self.sockets.keep(clients), tell);
    }

    /// Leaves the ports to the next server. Calls that are open go on.
    pub fn leave_ports(&self) {
        self.sockets.leave();
    }

    /// The number of calls that carry something, or may do so soon.
    pub fn open_calls(&self) -> usize {
        self.calls.open()
    }

    /// Ends all calls. `tell` tells clients that have no call any more, and returns true if both know it then. Each client also
    /// hears it when it checks its path.
    pub fn end_calls(&self, tell: impl FnMut(EndedCalls) -> bool) {
        self.calls.end(tell);
    }

    /// Removes clients that have a call with each other here: their calls at another relay have ended.
    pub fn forget_connected(&self, ended: &mut Vec<EndedCalls>) {
        self.calls.forget_connected(ended);
    }

    /// The number of calls that end, and whose clients do not know it yet.
    pub fn awaited_calls(&self) -> usize {
        self.calls.awaited()
    }
}
