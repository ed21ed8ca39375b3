//! The router without a network: fake sockets, a clock that stands still, and no runtime.

mod clients;
mod interleavings;
mod model;
#[allow(dead_code, reason = "other crates use the rest")]
mod socket;
mod stories;
mod stress;

use std::sync::Arc;
use std::time::Duration;

use peerbroker_config::{Config, Limits};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{
    ApiKey, CloseReason, ConnId, Frame, MessageKind, NodeId, Owner, PeerId, RealmKind,
};
use peerbroker_events::{Counters, Events, PeerAddress};
use peerbroker_router::{
    ClientLimits, Flushes, IdLease, Outgoing, Realm, RegisterRefusal, RemotePeers, Routed, Router,
};

use clients::{expired, peer, register, register_from, text};
use socket::Socket;

/// A router with one realm.
struct House {
    router: Arc<Router>,
    realm: Arc<Realm>,
    client_limits: Arc<ClientLimits>,
    clock: Clock,
}

impl House {
    fn new(limits: Limits) -> Self {
        Self::for_clients(10_000, limits)
    }

    /// With room for so many clients.
    fn for_clients(clients: usize, limits: Limits) -> Self {
        Self::with(clients, limits, None)
    }

    /// In a cluster whose other nodes never answer.
    fn in_cluster(limits: Limits) -> Self {
        Self::with(10_000, limits, Some(Arc::new(Silent)))
    }

    fn with(clients: usize, limits: Limits, others: Option<Arc<dyn RemotePeers>>) -> Self {
        let clock = Clock::manual();
        let config = Config { limits, ..Config::default() };
        let router = Router::new(config.into(), clock.clone(), Events::default(), others, expired);
        let router = Arc::new(router);
        let client_limits = Arc::new(ClientLimits::new(clients));
        let realm = realm(&router, "peerjs", &client_limits);
        House { router, realm, client_limits, clock }
    }

    /// The realm of another key.
    fn another_realm(&self) -> Arc<Realm> {
        realm(&self.router, "another key", &Arc::new(ClientLimits::new(100)))
    }

    fn counters(&self) -> &Counters {
        self.router.events().counters()
    }

    /// Advances the clock and runs the sweeper.
    fn pass(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.sweep();
    }

    fn sweep(&self) {
        self.router.record_sweep();
        self.realm.sweep();
    }

    /// As a server that stops.
    fn close(&self) {
        self.router.close();
        self.realm.close(CloseReason::Shutdown);
    }

    /// As a key that is removed.
    fn revoke(&self) {
        self.client_limits.revoke();
        self.realm.revoke();
    }

    fn try_connect(&self, id: &str, token: &str, socket: &Socket) -> Result<IdLease, RegisterRefusal> {
        let mut outbox = socket.outbox(self.router.live_config().load().limits.outbox_bytes);
        register(&self.realm, id, token, &mut outbox)
    }

    fn try_connect_from(&self, from: &str, id: &str, token: &str) -> Result<IdLease, RegisterRefusal> {
        let mut outbox = Socket::open().outbox(self.router.live_config().load().limits.outbox_bytes);
        register_from(from.parse().ok(), &self.realm, id, token, &mut outbox)
    }

    fn connect(&self, id: &str, token: &str, socket: &Socket) -> IdLease {
        match self.try_connect(id, token, socket) {
            Ok(registration) => registration,
            _ => panic!("{id} is not admitted"),
        }
    }
}

fn realm(router: &Arc<Router>, key: &str, client_limits: &Arc<ClientLimits>) -> Arc<Realm> {
    let key = ApiKey::parse(key).unwrap();
    let realm = Realm::new(key, RealmKind::PeerJs, Arc::clone(router), Arc::clone(client_limits));
    Arc::new(realm)
}

/// Other nodes that never answer, and have room for every message.
struct Silent;

impl RemotePeers for Silent {
    fn locate(&self, _: PeerAddress, _: &PeerId, _: Option<Owner>) {}

    fn forward(&self, _: Owner, _: &PeerAddress, _: u64, _: &Outgoing) -> bool {
        true
    }

    fn give_up(&self, _: Owner, _: &PeerAddress, _: u64) {}

    fn doubt(&self, _: NodeId) {}

    fn is_silent(&self, _: NodeId) -> bool {
        false
    }

    fn notify(&self, _: PeerAddress, _: Frame) {}

    fn release(&self, _: PeerAddress, _: ConnId) {}
}

/// Sends as a session does: dropped messages are answered at once. The flush is left to do.
fn route(from: &IdLease, to: &str, frame: Frame, keep: bool) -> Routed {
    let kind = if keep { MessageKind::Offer } else { MessageKind::Leave };
    let routed = from.route(to, kind, frame);
    if keep && matches!(routed, Routed::Dropped(_)) {
        reply(from, expired(to, from.id().as_str()));
    }
    routed
}

/// As [`route`], and flushes.
fn send(from: &IdLease, to: &str, frame: Frame, keep: bool) -> Routed {
    route(from, to, frame, keep).flushed()
}

/// Sends a client a frame, and flushes.
fn reply(to: &IdLease, frame: Frame) {
    Flushes::with(|flushes| flushes.extend(to.reply(frame)));
}

/// Sends a message that must not be lost.
fn offer(from: &IdLease, to: &str, message: &str) {
    let _ = send(from, to, text(message), true);
}
