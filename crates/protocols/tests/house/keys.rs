//! A key has realms and parts only while somebody uses them.

use std::sync::Arc;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{MessageKind, RealmKind, RoomName};
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::matchbox::Groups;
use peerbroker_protocols::root::Guests;
use peerbroker_router::Routed;

use crate::House;
use crate::clients::{peer, register, text};
use crate::socket::Socket;

#[test]
fn a_key_has_realms_only_while_it_has_clients() {
    let house = House::new(Limits::default());
    let keys: Vec<Arc<KeyState>> = (0..100).map(|number| house.another(&format!("key-{number}"))).collect();
    let active = || house.common.active().len();
    assert_eq!(active(), 0);
    for (key, kind) in [(3, RealmKind::PeerJs), (3, RealmKind::Guests), (7, RealmKind::PeerJs)] {
        let realm = keys[key].realm(kind);
        let lease = register(&realm, "a", "s", &mut Socket::open().outbox(1000));
        drop(realm);
        house.sweep();
        assert!(active() > 0, "one with a client stays");
        drop(lease);
    }
    house.sweep();
    assert_eq!(active(), 0);
    // It comes back with the next client.
    let realm = keys[3].realm(RealmKind::PeerJs);
    let _lease = register(&realm, "b", "s", &mut Socket::open().outbox(1000));
    house.sweep();
    assert_eq!((active(), keys[3].len(), keys[7].len()), (1, 1, 0));
}

#[test]
fn a_key_has_a_part_only_while_somebody_has_it_or_something_is_in_it() {
    let house = House::new(Limits::default());
    let key = &house.key;
    let groups: Arc<Groups> = key.part();
    assert!(Arc::ptr_eq(&groups, &key.part()), "one of each type");
    house.pass(1);
    assert!(key.existing_part::<Groups>().is_some(), "it is ours");
    let kind = (RoomName::measured("room").unwrap(), 2);
    let place = groups.take_or_open(&kind, &peer("a"), None).unwrap();
    drop(groups);
    house.pass(1);
    let again = key.existing_part::<Groups>().expect("a client has a place");
    assert!(again.take(&kind, &peer("b")).is_some(), "in the group of the first one");
    drop((again, place));
    house.pass(1);
    assert!(key.existing_part::<Groups>().is_none());

    let hosting = key.part::<Guests>().room_codes.create(&peer("host"), None);
    house.pass(1);
    assert!(key.existing_part::<Guests>().is_some(), "it has a room");
    drop(hosting);
    house.pass(1);
    assert!(key.existing_part::<Guests>().is_none());
}

#[test]
fn what_waits_keeps_its_realm_until_it_expires() {
    let house = House::new(Limits::default());
    let realm = house.key.realm(RealmKind::PeerJs);
    let a = register(&realm, "a", "s", &mut Socket::open().outbox(1000)).expect("an id");
    let sent = a.route("b", MessageKind::Offer, text("x")).flushed();
    assert!(matches!(sent, Routed::Queued));
    drop((a, realm));
    house.sweep();
    assert_eq!(house.common.active().len(), 1);
    house.router.clock().advance(house.router.live_config().load().limits.expire_timeout);
    house.sweep();
    assert_eq!((house.common.active().len(), house.router.queued_bytes()), (0, 0));
}
