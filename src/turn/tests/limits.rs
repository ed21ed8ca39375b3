//! How much clients may have and send.

use std::net::SocketAddr;
use std::time::Duration;

use super::world::{World, addr};

#[test]
fn allocations_are_limited_in_all_per_key_and_per_address() {
    let world = World::new(|limits| {
        (limits.allocations, limits.allocations_per_key, limits.allocations_per_address) = (5, 3, 2);
    });
    let codes = |key: &str, address: &str, ports: std::ops::Range<u16>| -> Vec<_> {
        let ask = |port| world.client_of(key, &format!("{address}:{port}")).allocate().code();
        ports.map(ask).collect()
    };
    assert_eq!(codes("k", "192.0.2.1", 1..4), [None, None, Some(486)]);
    assert_eq!(codes("k", "192.0.2.2", 1..3), [None, Some(486)]);
    assert_eq!(codes("key-2", "192.0.2.3", 1..3), [None, None]);
    assert_eq!(codes("key-2", "192.0.2.4", 1..2), [Some(508)]);
    assert_eq!(
        (world.refused("address_quota"), world.refused("key_quota"), world.refused("capacity")),
        (1, 1, 1)
    );
    // They come back when their time is over, without a word of their clients.
    world.advance(Duration::from_secs(600));
    assert_eq!((world.allocations(), codes("k", "192.0.2.1", 1..3)), (0, vec![None, None]));
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
        let world = World::new(|limits| {
            let limit = if per_key { &mut limits.key_bytes_per_second } else { &mut limits.bytes_per_second };
            *limit = 1000;
        });
        let (a, b) = (world.client("192.0.2.1:5000"), world.client("198.51.100.1:6000"));
        let (at_a, at_b) = (a.allocate().relayed(), b.allocate().relayed());
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
fn a_datagram_that_is_too_long_is_dropped() {
    let world = World::new(|limits| limits.bytes_per_second = 0);
    let (a, b) = (world.client("192.0.2.1:5000"), world.client("198.51.100.1:6000"));
    let (at_a, at_b) = (a.allocate().relayed(), b.allocate().relayed());
    a.bind(0x4000, at_b);
    b.permit(&[at_a]);
    a.send_channel(0x4000, &[7; 8192]);
    assert_eq!(b.received().unwrap().1.len(), 8192);
    a.send_channel(0x4000, &[7; 8193]);
    assert!(b.received().is_none());
}
