//! A lost message is counted once, and gives back the bytes that it took.

use std::sync::Arc;

use peerbroker_config::{Config, Limits};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{
    ApiKey, CloseReason, ConnectionKind, DropReason, Frame, MessageKind, PeerId, RealmKind, Token,
};
use peerbroker_events::{Count, Events, Outcome};
use peerbroker_router::{
    ClientQuota, ConnectionInfo, IdLease, Outbox, Realm, RegisterRequest, Routed, Router,
};

const SMALL: usize = 1_000;

struct House {
    router: Arc<Router>,
    realm: Arc<Realm>,
    events: Events,
}

impl House {
    fn new(limits: Limits) -> Self {
        let events = Events::default();
        let config = Config { limits, ..Config::default() };
        let expired = |_: &str, _: &str| Frame::of_text("EXPIRE");
        let router = Arc::new(Router::new(config.into(), Clock::manual(), events.clone(), None, expired));
        let key = ApiKey::parse("peerjs").unwrap();
        let quota = Arc::new(ClientQuota::new(100));
        let realm = Realm::new(key, RealmKind::PeerJs, router.clone(), quota, Arc::default());
        House { router, realm: Arc::new(realm), events }
    }

    /// A client whose socket takes nothing.
    fn open(&self, id: &str) -> IdLease {
        let request = RegisterRequest {
            id: &peer(id),
            token: &Token::parse(id).unwrap(),
            kind: ConnectionKind::Socket,
            greeting: None,
            info: ConnectionInfo::default(),
            keeps_contacts: false,
            hears_room: &|_, _| true,
            claim: None,
            last_place: None,
        };
        IdLease::register(&self.realm, request, &mut Outbox::new(SMALL, None)).unwrap()
    }

    fn offer(&self, from: &str, to: &str, bytes: usize) -> Routed {
        self.realm.route(&peer(from), to, MessageKind::Offer, Frame::of_text(&"x".repeat(bytes))).flushed()
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.events.counters().total(Count::Messages(MessageKind::Offer, outcome))
    }
}

fn peer(id: &str) -> PeerId {
    PeerId::parse(id).unwrap()
}

/// The client takes all that its outbox has.
fn read(client: &IdLease) {
    client.with_outbox(|outbox| {
        while let Some(len) = outbox.front().map(Frame::len) {
            outbox.advance(len);
        }
    });
}

#[test]
fn messages_that_leave_a_queue_give_back_their_bytes() {
    // Two fit.
    let house = House::new(Limits { queue_bytes: 250, ..Limits::default() });
    for _ in 0..3 {
        assert!(matches!(house.offer("bob", "alice", 100), Routed::Queued));
        assert!(matches!(house.offer("bob", "alice", 100), Routed::Queued));
        assert!(house.router.queued_bytes() > 200);
        let alice = house.open("alice");
        let waits = alice.with_outbox(|outbox| outbox.len()).unwrap();
        assert_eq!(waits, 2);
        read(&alice);
        alice.part(CloseReason::Left, true);
        assert_eq!(house.router.queued_bytes(), 0);
    }
}

#[test]
fn messages_that_wait_too_long_give_back_their_bytes() {
    let house = House::new(Limits::default());
    for _ in 0..2 {
        assert!(matches!(house.offer("bob", "alice", 100), Routed::Queued));
    }
    house.router.clock().advance(Limits::default().expire_timeout);
    house.realm.sweep();
    assert_eq!((house.router.queued_bytes(), house.count(Outcome::Expired)), (0, 2));
}

#[test]
fn a_message_to_all_counts_those_who_get_it() {
    let house = House::new(Limits::default());
    let [reads, _never_reads] = ["a", "b"].map(|id| house.open(id));
    let broadcast = || {
        let got = house.realm.broadcast(Frame::of_text(&"x".repeat(200)));
        read(&reads);
        got
    };
    let counts: Vec<usize> = (0..20).map(|_| broadcast()).collect();
    assert_eq!(counts[..2], [2, 2]);
    // Then the outbox of the other is full, now and again.
    assert!(counts.contains(&1), "{counts:?}");
}

#[test]
fn a_message_that_finds_an_outbox_full_is_counted_with_those_that_go_with_it() {
    let house = House::new(Limits::default());
    let _alice = house.open("alice");
    let mut lost = None;
    let mut sent = 0;
    while lost.is_none() {
        sent += 1;
        assert!(sent < 20, "no limit");
        if let Routed::Dropped(reason) = house.offer("bob", "alice", 200) {
            lost = Some(reason);
        }
    }
    assert_eq!(lost, Some(DropReason::OutboxFull));
    // Each offer has one fate: the batch of the sender goes with the one that was refused.
    assert_eq!(house.count(Outcome::Dropped(DropReason::OutboxFull)), sent);
}
