//! A relay for calls that cannot go directly, which clients need to know nothing of.
//!
//! The broker sees the ICE credentials of both sides in their offer and answer, and adds one candidate to each that leads to
//! this relay. Clients check it like every other candidate. A check names its call, and proves by its integrity that it comes
//! from one of the two clients; an address is a client's when it has answered a check of our own. Datagrams go on unchanged
//! between the addresses of both sides, so DTLS and SRTP stay between the clients.

mod address;
mod calls;
mod counters;
mod offers;
mod sdp;
mod session;
mod sockets;
mod stun;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{LiveConfig, RelayConfig};
use crate::events::PeerAddress;
use crate::wire::{ApiKey, RealmKind};
use calls::Calls;
pub use counters::RelayTotals;
pub use sdp::{Credentials, Description};
use sockets::Sockets;

/// The priority of the candidates: below every one that a client has itself (RFC 8445, section 5.1.2.1).
const PRIORITY: u32 = 255;

/// A relay whose ports are bound, and which does nothing yet: see [`Builder::relay`](crate::Builder::relay).
pub struct BoundRelay {
    config: RelayConfig,
    sockets: Sockets,
}

/// A relay that is running. It ends when this is dropped.
pub(crate) struct Relay {
    calls: Arc<Calls>,
    /// What clients are told.
    advertised: Vec<SocketAddr>,
    _open: watch::Sender<()>,
}

/// The two clients of a call.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// The key of both.
    pub key: &'a ApiKey,
    /// The realm of both.
    pub realm: RealmKind,
    /// The client that calls.
    pub offerer: &'a str,
    /// The client that is called.
    pub answerer: &'a str,
    /// Tells several calls of the same two clients from each other.
    pub connection: Option<&'a str>,
}

/// Why a relay cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot relay at {address}: {error}")]
pub struct BadRelayAddress {
    address: SocketAddr,
    error: io::Error,
}

impl BoundRelay {
    /// Binds the ports.
    pub fn bind(config: RelayConfig) -> Result<Self, BadRelayAddress> {
        let sockets = Sockets::bind(&config.listen)
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

    /// Starts the threads. Without them there is no relay, and the log says so.
    pub(crate) fn start(self, config: LiveConfig, clock: Clock) -> Option<Relay> {
        let advertised = self.addresses();
        let BoundRelay { config: RelayConfig { private, .. }, sockets } = self;
        let own = sockets.addresses().chain(advertised.iter().copied()).collect();
        let calls = Arc::new(Calls::new(config, clock, own, private, sockets.threads()));
        let (open, closed) = watch::channel(());
        match sockets.start(&calls, &closed) {
            Ok(()) => Some(Relay { calls, advertised, _open: open }),
            Err(error) => {
                log::error!("there is no relay: {error}");
                None
            }
        }
    }
}

impl Relay {
    /// The addresses that clients are told.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.advertised
    }

    /// The text of an offer with the candidate of this relay, for the client that is called.
    pub fn offer(&self, parties: Parties<'_>, text: &str) -> Option<String> {
        let offer = Description::find(text)?;
        self.calls.note_offer(parties, offer.credentials).then(|| self.with_candidate(&offer))
    }

    /// The text of an answer with the candidate of this relay. `None` if its offer did not come by here.
    pub fn answer(&self, parties: Parties<'_>, text: &str) -> Option<String> {
        let answer = Description::find(text)?;
        self.calls.begin(parties, answer.credentials).then(|| self.with_candidate(&answer))
    }

    /// Whether an offer of `offerer` waits for an answer.
    pub(crate) fn awaits_answer(&self, offerer: &PeerAddress) -> bool {
        self.calls.awaits_answer(offerer)
    }

    /// Forgets calls that are over, and offers without an answer.
    pub fn sweep(&self) {
        self.calls.sweep();
    }

    /// What has happened since the start.
    pub fn totals(&self) -> RelayTotals {
        self.calls.totals()
    }

    fn with_candidate(&self, description: &Description<'_>) -> String {
        let line = |(number, at): (usize, &SocketAddr)| {
            let (foundation, ip, port) = (number + 1, at.ip(), at.port());
            format!("candidate:{foundation} 1 udp {PRIORITY} {ip} {port} typ host")
        };
        description.with_candidates(self.advertised.iter().enumerate().map(line))
    }
}
