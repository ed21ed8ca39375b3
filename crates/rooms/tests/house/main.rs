//! Rooms without a network: fake sockets, and a clock that stands still.

#[allow(dead_code, reason = "the router's tests use the rest")]
#[path = "../../../router/tests/house/clients.rs"]
mod clients;
mod games;
mod limits;
mod shares;
#[allow(dead_code, reason = "the router's tests use the rest")]
#[path = "../../../router/tests/house/socket.rs"]
mod socket;
mod walk;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerbroker_config::{Config, Limits};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{ApiKey, NodeId, PeerId, RealmKind, Token};
use peerbroker_events::Events;
use peerbroker_protocols::room_frames;
use peerbroker_rooms::{News, OtherNodes, RealmName, Requester, RoomFrames, Rooms, TokenDigest};
use peerbroker_router::{ClientLimits, Flushes, IdLease, Realm, RegisterRefusal, Router};

use clients::{expired, register};
use socket::Socket;

/// The digest of every token.
const DIGEST: TokenDigest = [1; 16];

/// A realm and its rooms.
struct House {
    router: Arc<Router>,
    realm: Arc<Realm>,
    rooms: Arc<Rooms>,
    /// The other nodes.
    others: Arc<Silent>,
}

impl House {
    /// With room for so many clients.
    fn for_clients(clients: usize, limits: Limits) -> Self {
        Self::with(room_frames(RealmKind::PeerJs), clients, limits, false)
    }

    /// In a cluster whose other nodes never answer.
    fn in_cluster(limits: Limits) -> Self {
        Self::with(room_frames(RealmKind::PeerJs), 100, limits, true)
    }

    fn with(frames: &'static dyn RoomFrames, clients: usize, limits: Limits, in_cluster: bool) -> Self {
        let config = Config { limits, ..Config::default() };
        let router = Router::new(config.into(), Clock::manual(), Events::default(), None, expired);
        let router = Arc::new(router);
        let key = ApiKey::parse("peerjs").unwrap();
        let limits = Arc::new(ClientLimits::new(clients));
        let realm = Arc::new(Realm::new(key, RealmKind::PeerJs, Arc::clone(&router), limits));
        let others = Arc::new(Silent::default());
        let nodes = in_cluster.then(|| Arc::clone(&others) as Arc<dyn OtherNodes>);
        let rooms = Rooms::new(frames, Arc::clone(&realm), Arc::clone(&router), nodes);
        House { router, realm, rooms: Arc::new(rooms), others }
    }

    /// Advances the clock and runs the sweeper.
    fn pass(&self, millis: u64) {
        self.router.clock().advance(Duration::from_millis(millis));
        self.router.record_sweep();
        self.realm.sweep();
        self.rooms.sweep();
    }

    /// Does a request of a client.
    fn request<R>(&self, peer: &IdLease, act: impl FnOnce(&Rooms, &mut Requester<'_>) -> R) -> R {
        Flushes::with(|flushes| act(&self.rooms, &mut Requester { peer, request: None, flushes }))
    }

    fn try_connect(&self, id: &str, token: &str, socket: &Socket) -> Result<IdLease, RegisterRefusal> {
        let mut outbox = socket.outbox(self.router.live_config().load().limits.outbox_bytes);
        register(&self.realm, id, token, &mut outbox)
    }
}

/// Other nodes that take everything, and never answer.
#[derive(Default)]
struct Silent {
    /// The news that they were told.
    told: Mutex<Vec<String>>,
}

impl Silent {
    /// The news since the last call that have this word.
    fn take(&self, word: &str) -> Vec<String> {
        let mut told = std::mem::take(&mut *self.told.lock().unwrap());
        told.retain(|news| news.contains(word));
        told
    }
}

impl OtherNodes for Silent {
    fn send(&self, _: RealmName<'_>, news: &News<'_>) -> bool {
        self.told.lock().unwrap().push(format!("{news:?}"));
        true
    }

    fn deliver(&self, _: RealmName<'_>, messages: &[(NodeId, News<'_>)]) -> bool {
        self.told.lock().unwrap().extend(messages.iter().map(|message| format!("{message:?}")));
        true
    }

    fn ask_to_settle(&self, _: RealmName<'_>, _: &str, _: &PeerId, node: Option<NodeId>) -> Option<NodeId> {
        node
    }

    fn give_back(&self, _: RealmName<'_>, _: Option<NodeId>, _: &News<'_>) {}

    fn own_url(&self) -> Option<String> {
        None
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn own(&self) -> Option<NodeId> {
        None
    }

    fn digest(&self, _: &Token) -> TokenDigest {
        DIGEST
    }
}
