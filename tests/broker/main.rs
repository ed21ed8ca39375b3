//! The broker without a network: fake sockets, a clock that stands still, and no runtime.

mod interleavings;
mod model;
mod pipes;
mod rooms;
mod shares;
mod socket;
mod stories;
mod stress;
mod topics;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use peerbroker::Config;
use peerbroker_cluster::Membership;
use peerbroker_config::{ClusterConfig, Limits};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::Frame;
use peerbroker_core::vocabulary::{ApiKey, ConnectionKind, MessageKind, PeerId, Token};
use peerbroker_events::Events;
use peerbroker_keys::{Key, Settings};
use peerbroker_node::{Node, Tenant};
use peerbroker_router::{
    ConnectionInfo, Flushes, IdLease, Outbox, Realm, RegisterRefusal, RegisterRequest, Routed,
};

use socket::Socket;

/// A broker with one realm.
struct House {
    broker: Node,
    realm: Arc<Realm>,
    clock: Clock,
}

impl House {
    fn new(limits: Limits) -> Self {
        Self::for_clients(Settings::default().concurrent_limit, limits)
    }

    /// With room for so many clients.
    fn for_clients(clients: usize, limits: Limits) -> Self {
        Self::with(clients, limits, None)
    }

    /// In a cluster whose other nodes never answer.
    fn in_cluster(limits: Limits) -> Self {
        let config = ClusterConfig::new("redis://127.0.0.1", "alone");
        let clients = Settings::default().concurrent_limit;
        Self::with(clients, limits, Some(Membership::new(config, Clock::manual())))
    }

    fn with(clients: usize, limits: Limits, membership: Option<Arc<Membership>>) -> Self {
        let clock = Clock::manual();
        let config = Config { limits, ..Config::default() };
        let broker = Node::with_notice(config, clock.clone(), Events::default(), membership, expired);
        let realm = tenant(&broker, "peerjs", clients).peers();
        House { broker, realm, clock }
    }

    /// Advances the clock and runs the sweeper.
    fn pass(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.broker.sweep();
    }

    fn try_connect(&self, id: &str, token: &str, socket: &Socket) -> Result<IdLease, RegisterRefusal> {
        let mut outbox = socket.outbox(self.broker.config().load().limits.outbox_bytes);
        register(&self.realm, id, token, &mut outbox)
    }

    fn try_connect_from(&self, from: &str, id: &str, token: &str) -> Result<IdLease, RegisterRefusal> {
        let socket = Socket::open();
        let mut outbox = socket.outbox(self.broker.config().load().limits.outbox_bytes);
        register_from(from.parse().ok(), &self.realm, id, token, &mut outbox)
    }

    fn connect(&self, id: &str, token: &str, socket: &Socket) -> IdLease {
        match self.try_connect(id, token, socket) {
            Ok(registration) => registration,
            _ => panic!("{id} is not admitted"),
        }
    }
}

/// The tenant of a key with a limit of clients.
fn tenant(node: &Node, key: &str, limit: usize) -> Arc<Tenant> {
    let settings = Settings { concurrent_limit: limit, ..Settings::default() };
    node.put_key(Key::new(ApiKey::parse(key).ok(), "", settings));
    node.tenant(key).expect("the key")
}

fn register(
    realm: &Arc<Realm>,
    id: &str,
    token: &str,
    outbox: &mut Outbox,
) -> Result<IdLease, RegisterRefusal> {
    register_from(Some(address(id, token)), realm, id, token, outbox)
}

fn register_from(
    address: Option<IpAddr>,
    realm: &Arc<Realm>,
    id: &str,
    token: &str,
    outbox: &mut Outbox,
) -> Result<IdLease, RegisterRefusal> {
    let id = peer(id);
    let token = Token::parse(token).unwrap();
    let newcomer = RegisterRequest {
        id: &id,
        token: &token,
        kind: ConnectionKind::Socket,
        greeting: Some(text("OPEN")),
        info: ConnectionInfo { address, ..ConnectionInfo::default() },
        keeps_contacts: false,
        hears_room: &|_, _| true,
        claim: None,
        last_place: None,
    };
    IdLease::register(realm, newcomer, outbox)
}

/// Clients that ask for the id `a` or `c` are in one network; others are each in their own. Loopback, which
/// has no shares.
fn address(id: &str, token: &str) -> IpAddr {
    let host = if ["a", "c"].contains(&id) { 0 } else { token.bytes().fold(1, u8::wrapping_add) };
    IpAddr::from([127, 0, 2, host])
}

fn peer(id: &str) -> PeerId {
    PeerId::parse(id).unwrap()
}

fn text(text: &str) -> Frame {
    Frame::text(text.len(), |out| out.extend_from_slice(text.as_bytes()))
}

/// A stand-in for the dialect's notice.
fn expired(absent: &str, sender: &str) -> Frame {
    text(&format!("EXPIRE {absent} {sender}"))
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
