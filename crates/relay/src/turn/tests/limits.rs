//! Tests of the limits of clients and of their traffic.

use std::net::SocketAddr;
use std::time::Duration;

use super::world::{Client, World, addr};
use peerbroker_media_api::KeyLimits;

#[test]
fn allocations_are_limited_in_all_per_key_and_per_address() {
    let world = World::new(|limits| limits.allocations = 21);
    *world.own.lock().unwrap() = KeyLimits { calls: Some(3), ..KeyLimits::default() };
    let codes = |key: &str, address: &str, ports: std::ops::Range<u16>| -> Vec<_> {
        let ask = |port| {
            let client = world.client_of(key, &format!("{address}:{port}"));
            let allocated = client.allocate();
            allocated.code().or_else(|| {
                client.say_to_itself(allocated.relayed());
                None
            })
        };
        ports.map(ask).collect()
    };
    assert_eq!(codes("k", "192.0.2.1", 1..4), [None, None, Some(486)]);
    assert_eq!(codes("k", "192.0.2.2", 1..3), [None, Some(486)]);
    for key in 3..9 {
        let codes = |of, ports| codes(&format!("key-{key}"), &format!("192.0.{key}.{of}"), ports);
        assert_eq!([codes(1, 1..3), codes(2, 1..2)].concat(), [None, None, None]);
    }
    assert_eq!(codes("key-9", "192.0.2.4", 1..2), [Some(508)]);
    assert_eq!(
        (world.refused("address_quota"), world.refused("key_quota"), world.refused("capacity")),
        (1, 1, 1)
    );
    // They are returned when their time is over, even if their clients send nothing.
    world.advance(Duration::from_secs(600));
    assert_eq!((world.allocations(), codes("k", "192.0.2.1", 1..3)), (0, vec![None, None]));
}

/// Allocates once at each of these ports.
fn allocate(world: &World, address: &str, ports: std::ops::Range<u16>) -> Vec<(Client, SocketAddr)> {
    let clients = ports.map(|port| world.client(&format!("{address}:{port}")));
    clients.map(|client| (client.allocate().relayed(), client)).map(|(at, client)| (client, at)).collect()
}

#[test]
fn when_all_are_taken_the_heaviest_sites_oldest_unused_allocation_goes() {
    let world = World::new(|limits| limits.allocations = 100);
    let _others: Vec<_> =
        (0..88).map(|number| allocate(&world, &format!("203.{number}.0.1"), 1..2)).collect();
    let school = allocate(&world, "192.0.2.1", 1..6);
    let used = Duration::from_millis(1);
    world.advance(used);
    school.iter().for_each(|(client, at)| client.say_to_itself(*at));
    let household = allocate(&world, "192.0.2.2", 1..3);
    let mut attacker = allocate(&world, "2001:db8:1:1", 0..0);
    for subnet in 1..6 {
        attacker.extend(allocate(&world, &format!("[2001:db8:1:{subnet}::1]"), 1..2));
        world.advance(used);
    }
    assert_eq!(world.allocations(), 100);
    // A newcomer is served, and a household with many unused ones is treated like the attacker.
    assert_eq!(world.client("192.0.2.3:1").allocate().code(), None);
    assert_eq!(world.client("[2001:db8:1:9::1]:1").allocate().code(), Some(508));
    let is_there = |(client, _): &(Client, SocketAddr)| client.refresh(None).code().is_none();
    assert_eq!(attacker.iter().map(is_there).collect::<Vec<_>>(), [false, true, true, true, true]);
    assert!(school.iter().chain(&household).all(is_there));
    // Allocations that relayed nothing for a minute may be ended as well.
    world.advance(Duration::from_secs(60));
    assert_eq!(world.client("192.0.2.4:1").allocate().code(), None);
    assert_eq!(school.iter().filter(|client| !is_there(client)).count(), 1);
    assert_eq!((world.allocations(), world.totals().displaced), (100, 2));
}

#[test]
fn a_full_key_gives_up_its_own_unused_allocations_only() {
    let world = World::new(|_| {});
    *world.own.lock().unwrap() = KeyLimits { calls: Some(3), ..KeyLimits::default() };
    let others: Vec<_> =
        (1..9).map(|port| world.client_of("key-2", &format!("192.0.2.9:{port}"))).take(3).collect();
    assert!(others.iter().all(|client| client.allocate().code().is_none()));
    let own = allocate(&world, "192.0.2.1", 1..4);
    assert_eq!(world.client("192.0.2.2:1").allocate().code(), None);
    assert!(others.iter().all(|client| client.refresh(None).code().is_none()));
    assert_eq!(own.iter().filter(|(client, _)| client.refresh(None).code() == Some(437)).count(), 1);
}

#[test]
fn a_full_address_gives_up_its_own_unused_allocations_only() {
    let world = World::new(|limits| limits.allocations = 80);
    let others = allocate(&world, "192.0.2.2", 1..5);
    let used = allocate(&world, "192.0.2.1", 1..4);
    used.iter().for_each(|(client, at)| client.say_to_itself(*at));
    let [(unused, _)] = &allocate(&world, "192.0.2.1", 4..5)[..] else { panic!("it was refused") };
    // The next page of the same school.
    let (next, at) = &allocate(&world, "192.0.2.1", 5..6)[0];
    assert_eq!(unused.refresh(None).code(), Some(437));
    next.say_to_itself(*at);
    world.advance(Duration::from_secs(2));
    assert_eq!(world.client("192.0.2.1:6").allocate().code(), Some(486), "all are used");
    assert!(others.iter().chain(&used).all(|(client, _)| client.refresh(None).code().is_none()));
}

#[test]
fn a_client_that_comes_and_goes_leaves_nothing_behind() {
    let world = World::new(|limits| limits.allocations = 1);
    let client = world.client("192.0.2.1:5000");
    for _ in 0..500 {
        assert_eq!(client.allocate().code(), None);
        assert_eq!(client.refresh(Some(0)).lifetime(), 0);
    }
    world.advance(Duration::from_secs(100));
    assert_eq!((world.allocations(), world.server.known()), (0, 0));
}

#[test]
fn permissions_and_channels_of_an_allocation_are_limited() {
    let world = World::new(|_| {});
    let client = world.client("192.0.2.1:5000");
    client.allocate();
    let peers: Vec<SocketAddr> = (0..65).map(|number| addr(&format!("198.51.100.{number}:1"))).collect();
    assert_eq!(client.permit(&peers).code(), Some(508), "all or nothing");
    assert_eq!(client.permit(&peers[..64]).code(), None);
    assert_eq!(client.permit(&peers[..64]).code(), None, "the same again");
    assert_eq!(client.permit(&peers[64..]).code(), Some(508));
    for (number, port) in (0x4000..0x4040).zip(1..) {
        assert_eq!(client.bind(number, (peers[0].ip(), port).into()).code(), None);
    }
    assert_eq!(client.bind(0x4FFF, (peers[0].ip(), 5000).into()).code(), Some(508));
    world.advance(Duration::from_secs(301));
    assert_eq!(client.permit(&peers[64..]).code(), None, "the others are over");
}

#[test]
fn an_allocation_has_a_rate_of_bytes_and_so_has_a_key() {
    for per_key in [false, true] {
        let world = World::new(|limits| limits.bytes_per_second = if per_key { 0 } else { 1000 });
        let key_bytes_per_second = per_key.then_some(1000);
        *world.own.lock().unwrap() = KeyLimits { key_bytes_per_second, ..KeyLimits::default() };
        let a = world.client("192.0.2.1:5000");
        let b = world.client("198.51.100.1:6000");
        let at_a = a.allocate().relayed();
        let at_b = b.allocate().relayed();
        a.bind(0x4000, at_b);
        b.bind(0x4000, at_a);
        let burst = |count: usize| {
            (0..count).filter(|_| {
                a.send_channel(0x4000, &[7; 500]);
                b.answer().is_some()
            })
        };
        let passed = burst(100).count();
        assert!((15..=20).contains(&passed), "{passed}");
        assert!(world.dropped("too_much") >= 80);
        world.advance(Duration::from_secs(1));
        assert!((1..=2).contains(&burst(10).count()));
    }
}

#[test]
fn the_limits_of_a_keys_own_are_those_of_its_allocations_too() {
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    let own = |calls, bytes_per_second, key_bytes_per_second| {
        *world.own.lock().unwrap() = KeyLimits { calls, bytes_per_second, key_bytes_per_second };
    };
    own(Some(2), Some(2000), None);
    let a = world.client("192.0.2.1:5000");
    let b = world.client("198.51.100.1:6000");
    let at_a = a.allocate().relayed();
    let at_b = b.allocate().relayed();
    a.bind(0x4000, at_b);
    b.bind(0x4000, at_a);
    let passed = || {
        let sent = (0..100).filter(|_| {
            a.send_channel(0x4000, &[7; 500]);
            b.answer().is_some()
        });
        sent.count()
    };
    let first = passed();
    assert!((30..=36).contains(&first), "{first}");
    assert_eq!(world.client("192.0.2.3:1").allocate().code(), Some(486));

    own(None, Some(0), Some(0));
    world.advance(Duration::from_secs(1));
    assert_eq!((passed(), world.client("192.0.2.3:2").allocate().code()), (100, None));
    own(None, Some(0), Some(1000));
    world.advance(Duration::from_secs(1));
    let of_key = passed();
    assert!((15..=18).contains(&of_key), "{of_key}");
}

#[test]
fn a_datagram_is_charged_with_its_headers_in_both_directions() {
    for limit_of in ["the sender", "the receiver", "the key"] {
        let is_of_key = limit_of == "the key";
        let world = World::new(|limits| limits.bytes_per_second = if is_of_key { 0 } else { 1000 });
        let key_bytes_per_second = is_of_key.then_some(1000);
        *world.own.lock().unwrap() = KeyLimits { key_bytes_per_second, ..KeyLimits::default() };
        let a = world.client("192.0.2.1:1");
        let b = world.client("192.0.2.2:1");
        let c = world.client("192.0.2.3:1");
        let at_a = a.allocate().relayed();
        let at_b = b.allocate().relayed();
        let at_c = c.allocate().relayed();
        b.permit(&[at_a, at_c]);
        a.bind(0x4000, at_b);
        c.bind(0x4000, at_b);
        let senders = if limit_of == "the receiver" { vec![&a, &c] } else { vec![&a] };
        for _ in 0..300 {
            senders.iter().for_each(|sender| sender.send_channel(0x4000, b"1"));
        }
        let passed = std::iter::from_fn(|| b.answer()).count();
        // Ten seconds of 1000 bytes have room for 10,000 datagrams of one byte, or for 160 with their
        // headers.
        assert!((140..=164).contains(&passed), "{limit_of}: {passed}");
    }
}

#[test]
fn a_datagram_that_is_too_long_is_dropped() {
    let world = World::new(|limits| limits.bytes_per_second = 0);
    let a = world.client("192.0.2.1:5000");
    let b = world.client("198.51.100.1:6000");
    let at_a = a.allocate().relayed();
    let at_b = b.allocate().relayed();
    a.bind(0x4000, at_b);
    b.permit(&[at_a]);
    a.send_channel(0x4000, &[7; 8192]);
    assert_eq!(b.received().unwrap().1.len(), 8192);
    a.send_channel(0x4000, &[7; 8193]);
    assert!(b.received().is_none());
}
