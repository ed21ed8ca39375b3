//! Topics as a second dialect of rooms: publish and subscribe, with a count and without data. No frames of
//! clients are needed.

use std::sync::Arc;

use peerbroker_config::{Config, LiveConfig};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{ApiKey, CloseReason, RealmKind, RoomName, RoomRefusal};
use peerbroker_events::Events;
use peerbroker_protocols::topics::{MAX_TOPICS, Topics, publication};
use peerbroker_rooms::{MAX_ROOMS_OF_KEY, Parting, Requester, RoomFrames as _, Rooms};
use peerbroker_router::{ClientLimits, Flushes, IdLease, Realm, Router};

use crate::clients::{expired, register};
use crate::socket::Socket;

/// The topics of so many clients.
fn topics(clients: usize) -> (Arc<Realm>, Rooms) {
    let config = LiveConfig::from(Config::default());
    let router = Arc::new(Router::new(config, Clock::manual(), Events::default(), None, expired));
    let key = ApiKey::parse("topics").unwrap();
    let limits = Arc::new(ClientLimits::new(clients));
    let router_of = Arc::clone(&router);
    let realm = Arc::new(Realm::new(key, RealmKind::Guests, router_of, limits));
    (Arc::clone(&realm), Rooms::new(&Topics, realm, router, None))
}

#[test]
fn subscribers_of_a_topic_hear_each_publication_their_own_too_and_nothing_else() {
    let (realm, rooms) = topics(10);
    let open = |id| {
        let socket = Socket::open();
        (register(&realm, id, "token", &mut socket.outbox(1 << 20)).expect("a lease"), socket)
    };
    let act = |lease: &IdLease, act: &dyn Fn(&mut Requester<'_>)| {
        Flushes::with(|flushes| act(&mut Requester { peer: lease, request: None, flushes }));
    };
    let news = || RoomName::parse("news").unwrap();
    let [(a, heard_by_a), (b, heard_by_b)] = ["a", "b"].map(open);
    let publish = |lease: &IdLease, data: &str| {
        let text = format!(r#"{{"data":{data}}}"#);
        act(lease, &|requester| {
            rooms.publish(requester, "news", |count| publication("news", &text, count), &mut None).unwrap()
        });
    };
    act(&a, &|requester| rooms.join(requester, news(), None, 10).unwrap());
    publish(&a, "1");
    act(&b, &|requester| rooms.join(requester, news(), None, 10).unwrap());
    publish(&b, "2");
    act(&b, &|requester| rooms.leave(requester, "news").unwrap());
    publish(&a, "3");

    let said = |data, clients| format!(r#"{{"data":{data},"clients":{clients}}}"#);
    assert_eq!(heard_by_a.texts(), ["OPEN".to_owned(), said(1, 1), said(2, 2), said(3, 1)]);
    assert_eq!(heard_by_b.texts(), ["OPEN".to_owned(), said(2, 2)]);
}

#[test]
fn the_clients_of_a_key_are_in_a_limited_number_of_rooms_beyond_some_of_each() {
    const FREE: usize = 4;
    let clients = MAX_ROOMS_OF_KEY / (MAX_TOPICS - FREE) + 2;
    let (realm, rooms) = topics(clients);
    let open = |id: &str| {
        let lease = register(&realm, id, "token", &mut Socket::open().outbox(1 << 20)).expect("a lease");
        let join = |topic: usize| {
            let name = RoomName::parse(&format!("{id} {topic}")).unwrap();
            Flushes::with(|flushes| {
                rooms.join(&mut Requester { peer: &lease, request: None, flushes }, name, None, 10)
            })
        };
        let refused = (0..MAX_TOPICS).find_map(|topic| join(topic).err().map(|refusal| (topic, refusal)));
        (lease, refused)
    };
    // The last of them finds the limit reached.
    let leases: Vec<IdLease> = (0..clients - 1).map(|n| open(&n.to_string()).0).collect();
    let (late, refused) = open("late");
    assert_eq!(refused, Some((FREE, RoomRefusal::KeyTooManyRooms)));
    assert_eq!(rooms.contradiction(), None);
    // A client that leaves makes room.
    let departure = late.part(CloseReason::Left, false).expect("the end of its lease");
    rooms.departed(&departure.peer, Parting::ForGood);
    let departure = leases.into_iter().next().and_then(|lease| lease.part(CloseReason::Left, false)).unwrap();
    rooms.departed(&departure.peer, Parting::ForGood);
    let (_next, refused) = open("next");
    assert_eq!(refused, None);
    assert_eq!(rooms.contradiction(), None);
}

#[test]
fn both_forms_of_a_publication_say_their_topic() {
    for text in [r#"{"topic":"a\"b","data":1}"#, r#"{"type":"publish","topic":"a\"b","payload":1}"#] {
        assert_eq!(Topics.room_of(&publication("a\"b", text, 2)).as_deref(), Some("a\"b"), "{text}");
    }
}
