//! A node without a network: fake sockets, a clock that stands still, and no runtime. Slots and messages are
//! in `crates/router/tests`.

#[allow(dead_code, reason = "the router's tests use the rest")]
#[path = "../../crates/router/tests/house/clients.rs"]
mod clients;
mod keys;
mod pipes;
mod room_codes;
mod rooms;
mod shares;
#[allow(dead_code, reason = "the router's tests use the rest")]
#[path = "../../crates/router/tests/house/socket.rs"]
mod socket;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use peerbroker::Config;
use peerbroker_cluster::Membership;
use peerbroker_config::{ClusterConfig, Limits};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_events::Events;
use peerbroker_keys::{Key, Settings};
use peerbroker_node::{Node, Tenant};
use peerbroker_router::{IdLease, Realm, RegisterRefusal};

use clients::{expired, register};
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
