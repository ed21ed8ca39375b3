//! Topics as a second dialect of rooms: publish and subscribe, with a count and without data. No frames of clients are needed.

use std::sync::Arc;

use peerbroker::clock::Clock;
use peerbroker::config::{Config, LiveConfig};
use peerbroker::dialect::topics::Topics;
use peerbroker::events::Events;
use peerbroker::rooms::{Requester, Rooms};
use peerbroker::router::{ClientQuota, IdLease, Realm, Router};
use peerbroker::wire::{ApiKey, RealmKind, RoomName};

use crate::socket::Socket;
use crate::{expired, register};

#[test]
fn subscribers_of_a_topic_hear_each_publication_their_own_too_and_nothing_else() {
    let config = LiveConfig::from(Config::default());
    let router = Arc::new(Router::new(config, Clock::manual(), Events::default(), None, expired));
    let (key, quota) = (ApiKey::parse("topics").unwrap(), Arc::new(ClientQuota::new(10)));
    let realm = Arc::new(Realm::new(key, RealmKind::Guests, Arc::clone(&router), quota));
    let rooms = Rooms::new(&Topics, Arc::clone(&realm), router, None);

    let open = |id| {
        let socket = Socket::open();
        (register(&realm, id, "token", &mut socket.outbox(1 << 20)).expect("a lease"), socket)
    };
    let act = |lease: &IdLease, act: &dyn Fn(&mut Requester<'_>)| {
        act(&mut Requester { peer: lease, request: None, flushes: &mut Vec::new() });
    };
    let news = || RoomName::parse("news").unwrap();
    let [(a, heard_by_a), (b, heard_by_b)] = ["a", "b"].map(open);
    let publish = |lease: &IdLease, data: &str| {
        act(lease, &|requester| rooms.publish(requester, "news", &format!(r#"{{"data":{data}}}"#)).unwrap());
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
