//! What a key has, and for how long.

use std::sync::Arc;

use peerbroker::Config;
use peerbroker_config::Limits;
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{ApiKey, MessageKind, RoomName};
use peerbroker_events::Events;
use peerbroker_node::Node;
use peerbroker_protocols::matchbox::Groups;
use peerbroker_protocols::root::Guests;
use peerbroker_router::Routed;

use crate::clients::{peer, register, text};
use crate::socket::Socket;
use crate::{House, tenant};

#[test]
fn a_key_has_realms_only_while_it_has_clients() {
    let node = Node::new(Config::default(), Clock::manual(), Events::default(), None);
    let key = |number: usize| ApiKey::parse(&format!("key-{number}")).unwrap();
    let tenants: Vec<_> = (0..100).map(|number| tenant(&node, key(number).as_str(), 10)).collect();
    assert_eq!(node.active_keys(), 0);
    for realm in [tenants[3].peers(), tenants[3].guests().realm.clone(), tenants[7].peers()] {
        let lease = register(&realm, "a", "s", &mut Socket::open().outbox(1000));
        drop(realm);
        node.sweep();
        assert!(node.active_keys() > 0, "one with a client stays");
        drop(lease);
    }
    node.sweep();
    assert_eq!(node.active_keys(), 0);
    // It comes back with the next client.
    let realm = tenants[3].peers();
    let _lease = register(&realm, "b", "s", &mut Socket::open().outbox(1000));
    node.sweep();
    assert_eq!((node.active_keys(), node.peers(), tenants[3].has_peer("b")), (1, 1, true));
}

#[test]
fn a_key_has_a_part_only_while_somebody_has_it_or_something_is_in_it() {
    let house = House::new(Limits::default());
    let tenant = house.broker.tenant("peerjs").unwrap();
    let groups: Arc<Groups> = tenant.part();
    assert!(Arc::ptr_eq(&groups, &tenant.part()), "one of each type");
    house.pass(1);
    assert!(tenant.existing_part::<Groups>().is_some(), "it is ours");
    let kind = (RoomName::measured("room").unwrap(), 2);
    let place = groups.take_or_open(&kind, &peer("a"), None).unwrap();
    drop(groups);
    house.pass(1);
    let again = tenant.existing_part::<Groups>().expect("a client has a place");
    assert!(again.take(&kind, &peer("b")).is_some(), "in the group of the first one");
    drop((again, place));
    house.pass(1);
    assert!(tenant.existing_part::<Groups>().is_none());

    let hosting = tenant.guests().room_codes.create(&peer("host"), None);
    house.pass(1);
    assert!(tenant.existing_part::<Guests>().is_some(), "it has a room");
    drop(hosting);
    house.pass(1);
    assert!(tenant.existing_part::<Guests>().is_none());
}

#[test]
fn what_waits_keeps_its_realm_until_it_expires() {
    let house = House::new(Limits::default());
    let a = house.connect("a", "s", &Socket::open());
    let sent = a.route("b", MessageKind::Offer, text("x")).flushed();
    assert!(matches!(sent, Routed::Queued));
    let clock = house.clock.clone();
    let node = house.broker;
    drop((a, house.realm));
    node.sweep();
    assert_eq!(node.active_keys(), 1);
    clock.advance(node.config().load().limits.expire_timeout);
    node.sweep();
    assert_eq!((node.active_keys(), node.queued_bytes()), (0, 0));
}
