//! A relay for calls that cannot go directly, which clients need to know nothing of.
//!
//! The broker sees the ICE credentials of both sides in their offer and answer, and adds one candidate to each that leads to
//! this relay. Clients check it like every other candidate. A check names its call, and proves by its integrity that it comes
//! from one of the two clients; an address is a client's when it has answered a check of our own. Datagrams go on unchanged
//! between the addresses of both sides, so DTLS and SRTP stay between the clients.

mod call;
mod calls;
mod counters;
mod endpoint;
mod framing;
mod load;
mod offers;
mod outlet;
mod pace;
mod parties;
mod port;
mod session;
mod shares;
mod sockets;
mod streams;
mod stun;
mod tcp;
#[cfg(test)]
mod tests;
mod timer;
mod turn_port;
mod wakes;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{LiveConfig, RelayConfig};
use crate::events::{Events, PeerAddress};
use crate::limits::ConnectionLimiter;
use crate::wire::{ApiKey, IceCredentials, RealmKind};
use calls::Calls;
pub(crate) use counters::{Dropped, RelayTotals};
pub(crate) use pace::{MESSAGE_OVERHEAD, Pace, Sender};
pub(crate) use parties::Parties;
pub(crate) use port::{Joined, PAUSE, Port, bind_threads};
use sockets::Sockets;
use streams::Streams;
pub(crate) use tcp::listen;
pub(crate) use turn_port::{Serving, TurnPort};
pub(crate) use wakes::Wake;

/// The priority of the candidates: below every one that a client has itself (RFC 8445, section 5.1.2.1).
const PRIORITY: u32 = 255;

/// The priority of those over TCP.
const PRIORITY_OF_TCP: u32 = 127;

/// A relay whose ports are bound, and which does nothing yet: see [`Builder::relay`](crate::Builder::relay).
pub struct BoundRelay {
    config: RelayConfig,
    sockets: Sockets,
}

/// A relay that is running. It ends when this is dropped.
pub(crate) struct Relay {
    calls: Arc<Calls>,
    advertised: Vec<SocketAddr>,
    tcp: bool,
    candidates: Vec<String>,
    _open: watch::Sender<()>,
}

/// Why a relay cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot relay at {address}: {error}")]
pub struct BadRelayAddress {
    address: SocketAddr,
    error: io::Error,
}

impl BadRelayAddress {
    /// Whether another program has the port.
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl BoundRelay {
    /// Binds the ports.
    pub fn bind(config: RelayConfig) -> Result<Self, BadRelayAddress> {
        let sockets = Sockets::bind(&config.listen, config.tcp)
            .map_err(|(address, error)| BadRelayAddress { address, error })?;
        Ok(BoundRelay { config, sockets })
    }

    /// The addresses that clients are told: at most one of each family.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let public = |bound: SocketAddr| {
            let of_family = self.config.public.iter().find(|public| public.is_ipv4() == bound.is_ipv4());
            SocketAddr::new(of_family.copied().unwrap_or(bound.ip()), bound.port())
        };
        self.sockets.addresses().map(public).collect()
    }

    /// Starts the threads. Without them there is no relay, and the log says so. A TURN server may share the ports. The receiver
    /// gets the clients that have to be told to come, and ends with the relay.
    pub(crate) fn start(
        self,
        config: LiveConfig,
        clock: Clock,
        events: Events,
        addresses: Arc<ConnectionLimiter>,
        turn: Option<Arc<dyn TurnPort>>,
    ) -> Option<(Relay, Receiver<Wake>)> {
        let advertised = self.addresses();
        let BoundRelay { config: RelayConfig { private, tcp, .. }, sockets } = self;
        let own = sockets.addresses().chain(advertised.iter().copied()).collect();
        let (wakes, woken) = sync_channel(wakes::MAX_WAITING);
        let streams = Streams::new(addresses);
        let threads = events.threads().clone();
        let calls = Arc::new(Calls::new(config, clock, events, own, private, sockets.threads(), wakes));
        let (open, closed) = watch::channel(());
        match sockets.start(&calls, turn.as_ref(), streams, &closed, &threads) {
            Ok(()) => {
                let candidates = candidates(&advertised, tcp, 0).collect();
                Some((Relay { calls, advertised, tcp, candidates, _open: open }, woken))
            }
            Err(error) => {
                log::error!("there is no relay: {error}");
                None
            }
        }
    }
}

impl Relay {
    /// Remembers an offer of a client at that address until its answer comes. False if there are too many.
    pub(crate) fn offer(
        &self,
        parties: Parties<'_>,
        address: Option<IpAddr>,
        offer: IceCredentials<'_>,
    ) -> bool {
        self.calls.note_offer(parties, address, offer)
    }

    /// Begins a call. False if its offer did not come by here, or a limit is reached.
    pub(crate) fn answer(&self, parties: Parties<'_>, answer: IceCredentials<'_>) -> bool {
        self.calls.begin(parties, answer, false)
    }

    /// The same for an answer that comes from another node, where this one knows a guest by an alias.
    pub(crate) fn answer_from_elsewhere(&self, parties: Parties<'_>, answer: IceCredentials<'_>) -> bool {
        self.calls.begin(parties, answer, true)
    }

    /// The candidates that lead here: lines of a description without their `a=` and their end.
    pub(crate) fn candidates(&self) -> &[String] {
        &self.candidates
    }

    /// Candidates that differ from all that a client was told before. Browsers ignore one that they know.
    pub(crate) fn new_candidates(&self, times: u8) -> impl Iterator<Item = String> {
        candidates(&self.advertised, self.tcp, times)
    }

    /// Whether an offer of `offerer` waits for an answer.
    pub(crate) fn awaits_answer(&self, offerer: &PeerAddress) -> bool {
        self.calls.awaits_answer(offerer)
    }

    /// Forgets calls that are over, offers without an answer, and those of clients that are not here.
    pub(crate) fn sweep(&self, is_here: impl Fn(&ApiKey, RealmKind, &str) -> bool) {
        self.calls.sweep(is_here);
    }

    /// What has happened since the start.
    pub(crate) fn totals(&self) -> RelayTotals {
        self.calls.totals()
    }
}

/// A candidate for each address and transport. No two have the same foundation, nor those of different `times` the same
/// priority.
fn candidates(advertised: &[SocketAddr], tcp: bool, times: u8) -> impl Iterator<Item = String> {
    let transports =
        [Some((PRIORITY, "udp", "")), tcp.then_some((PRIORITY_OF_TCP, "tcp", " tcptype passive"))];
    let of_transport = move |(priority, transport, more)| {
        let candidate = move |address: &SocketAddr| {
            let (ip, port, priority) = (address.ip(), address.port(), priority - u32::from(times));
            format!("1 {transport} {priority} {ip} {port} typ host{more}")
        };
        advertised.iter().map(candidate)
    };
    let first = usize::from(times) * advertised.len() * transports.iter().flatten().count() + 1;
    let all = transports.into_iter().flatten().flat_map(of_transport);
    all.enumerate().map(move |(number, candidate)| format!("candidate:{} {candidate}", first + number))
}
