//! TURN without sockets, in virtual time.

mod attacks;
mod connections;
mod limits;
mod peers;
mod world;

use std::time::Duration;

use turn_types::message::ALLOCATE;

use world::{World, addr};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_client_without_credentials_is_asked_for_them_and_then_gets_an_address() {
    let world = World::new(|_| {});
    let client = world.client("192.0.2.1:5000");
    let challenged = client.allocate_without_credentials();
    assert_eq!(challenged.code(), Some(401));
    assert_eq!((challenged.realm(), challenged.nonce().len()), ("turn".to_owned(), 16));
    let allocated = client.allocate();
    let relayed = allocated.relayed();
    assert_eq!(allocated.code(), None);
    assert_eq!((relayed.ip(), relayed.port() >= 49152), (addr("203.0.113.1:0").ip(), true));
    assert_eq!(allocated.mapped(), client.address);
    assert_eq!(allocated.lifetime(), 600);
    assert!(allocated.is_signed_by(&client), "so that the client believes it");
}

#[test]
fn usernames_of_other_servers_are_those_of_a_user() {
    let world = World::new(|_| {});
    let later = "4102444800";
    let named = |username: &str| world.client_named(username, "192.0.2.1:5000");
    // The host takes users that begin with "key-", and nobody else's.
    for user in ["key-1", "key-@user:matrix.example.org", "key-a:b:c"] {
        for username in [format!("{later}:{user}"), format!("{user}:{later}")] {
            let client = named(&username);
            assert_eq!(client.allocate().code(), None, "{username}");
            client.refresh(Some(0));
        }
    }
    // Without a user, the host is asked about an empty one.
    assert_eq!(named(later).allocate().code(), Some(401));
    assert_eq!((world.refused("key"), world.refused("credentials")), (1, 0));
    for username in ["key-1", "key-1:soon", "", ":", "99999999999999999999:key-1"] {
        assert_eq!(named(username).allocate().code(), Some(401), "{username}");
    }
    assert_eq!(world.refused("credentials"), 5);
    for username in ["1:key-1", "key-1:1", "1"] {
        assert_eq!(named(username).allocate().code(), Some(401), "{username}");
    }
    assert_eq!(world.refused("expired"), 3);
}

#[test]
fn a_user_with_a_fixed_password_has_a_key_and_nobody_else_has_its_name() {
    let world = World::new(|_| {});
    let mut bob = world.client_named("bob", "192.0.2.1:5000");
    assert_eq!(bob.allocate().code(), None);
    world.advance(9 * MINUTE);
    assert_eq!(bob.refresh(None).code(), None);
    bob.refresh(Some(0));
    world.disable_key();
    assert_eq!((bob.allocate().code(), world.refused("key")), (Some(401), 1));
    bob.password = "another".to_owned();
    assert_eq!((bob.allocate().code(), world.refused("credentials")), (Some(401), 1));
    assert_eq!(world.client_named("bobby", "192.0.2.1:5000").allocate().code(), Some(401));
}

#[test]
fn the_realm_is_that_of_the_operator_and_part_of_the_password() {
    let realm = "turn.a-long-name.of.example.com";
    let world = World::of_realm(realm);
    let client = world.client("192.0.2.1:5000");
    assert_eq!(client.allocate_without_credentials().realm(), realm);
    assert_eq!(client.allocate().code(), None);
    let request =
        World::new(|_| {}).client("192.0.2.1:5000").request_with_nonce(ALLOCATE, &[], &client.nonce());
    assert_eq!(client.ask(&request).code(), Some(401));
}

#[test]
fn two_clients_reach_each_other_at_their_virtual_addresses() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    let b = world.client("198.51.100.1:6000");
    let at_a = a.allocate().relayed();
    let at_b = b.allocate().relayed();
    assert_ne!(at_a, at_b);
    // Only permitted peers are heard.
    a.send(at_b, b"nothing");
    assert_eq!(a.permit(&[at_b]).code(), None);
    a.send(at_b, b"not yet");
    assert_eq!(b.received(), None);
    assert_eq!(b.permit(&[at_a]).code(), None);
    a.send(at_b, b"hello");
    assert_eq!(b.received(), Some((at_a, b"hello".to_vec())));
    // A channel on one side only, and then on both.
    assert_eq!(b.bind(0x4000, at_a).code(), None);
    b.send_channel(0x4000, b"hi");
    assert_eq!(a.received(), Some((at_b, b"hi".to_vec())));
    a.send(at_b, b"to the channel");
    assert_eq!(b.received_on(0x4000), Some(b"to the channel".to_vec()));
    assert_eq!(a.bind(0x4FFF, at_b).code(), None);
    b.send_channel(0x4000, b"both");
    assert_eq!(a.received_on(0x4FFF), Some(b"both".to_vec()));
}

#[test]
fn what_nobody_has_at_a_virtual_address_goes_nowhere() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    a.allocate();
    for peer in ["203.0.113.1:50000", "203.0.113.1:22", "1.1.1.1:53", "127.0.0.1:53", "10.0.0.1:80"] {
        let peer = addr(peer);
        assert_eq!(a.permit(&[peer]).code(), None);
        a.send(peer, b"x");
    }
    assert_eq!(world.sent_by_sockets(), 0);
    assert_eq!(world.dropped("no_route"), 5);
}

#[test]
fn an_allocation_lasts_as_long_as_it_was_asked_for_and_is_refreshed_or_deleted() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    assert_eq!(a.allocate().lifetime(), 600);
    world.advance(9 * MINUTE);
    assert_eq!(a.refresh(Some(1800)).lifetime(), 1800);
    world.advance(29 * MINUTE);
    assert_eq!(a.refresh(Some(u32::MAX)).lifetime(), 3600);
    assert_eq!(a.refresh(None).lifetime(), 600);
    world.advance(10 * MINUTE);
    assert_eq!(a.refresh(None).code(), Some(437));
    assert_eq!(world.allocations(), 0);
    a.allocate();
    assert_eq!(a.refresh(Some(0)).lifetime(), 0);
    assert_eq!((a.refresh(None).code(), world.allocations()), (Some(437), 0));
}

#[test]
fn permissions_end_after_five_minutes_and_channels_after_ten() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    let b = world.client("198.51.100.1:6000");
    let at_a = a.allocate().relayed();
    let at_b = b.allocate().relayed();
    a.refresh(Some(3600));
    b.refresh(Some(3600));
    b.permit(&[at_a]);
    a.bind(0x4001, at_b);
    world.advance(5 * MINUTE - Duration::from_millis(1));
    a.send_channel(0x4001, b"1");
    assert!(b.received().is_some());
    world.advance(Duration::from_millis(1));
    a.permit(&[at_b]);
    a.send_channel(0x4001, b"2");
    assert!(b.received().is_none(), "the permission of b is over");
    b.permit(&[at_a]);
    a.send_channel(0x4001, b"3");
    assert!(b.received().is_some());
    world.advance(5 * MINUTE);
    a.permit(&[at_b]);
    b.permit(&[at_a]);
    a.send_channel(0x4001, b"4");
    assert!(b.received().is_none(), "the channel is over");
    a.bind(0x4001, at_b);
    a.send_channel(0x4001, b"5");
    assert!(b.received().is_some());
}

#[test]
fn relayed_datagrams_are_counted_and_the_messages_of_turn_itself_are_not() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    let b = world.client("198.51.100.1:6000");
    let at_a = a.allocate().relayed();
    let at_b = b.allocate().relayed();
    b.permit(&[at_a]);
    a.bind(0x4001, at_b);
    assert_eq!(world.sent_by_sockets(), 0);
    a.send_channel(0x4001, b"123");
    let traffic = world.totals().traffic;
    assert_eq!((traffic.packets, traffic.bytes), (1, 3));
}

#[test]
fn an_allocate_that_udp_brings_twice_is_answered_twice_and_another_one_is_a_mismatch() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    let request = a.allocate_request();
    let first = a.ask(&request);
    let again = a.ask(&request);
    assert_eq!(first.relayed(), again.relayed());
    assert_eq!((a.allocate().code(), world.allocations()), (Some(437), 1));
}

#[test]
fn other_transports_families_and_unknown_attributes_are_refused() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    assert_eq!(a.allocate_over(6).code(), Some(442));
    assert_eq!(a.allocate_with(&[(0x0017, &[2, 0, 0, 0])]).code(), Some(440), "no IPv6 here");
    for unknown in [0x001A, 0x0022, 0x7FFF] {
        assert_eq!(a.allocate_with(&[(unknown, &[0; 8])]).code(), Some(420), "{unknown:#x}");
    }
    assert_eq!(a.allocate_with(&[(0x0018, &[0x80])]).code(), Some(420), "no port is reserved");
    assert_eq!(
        a.allocate_with(&[(0x8000, &[2, 0, 0, 0]), (0xFFFF, b"?")]).code(),
        None,
        "these are optional"
    );
    assert_eq!(a.permit(&[]).code(), Some(400));
    assert_eq!(a.permit(&[addr("[2001:db8::1]:1")]).code(), Some(443));
    for number in [0, 0x3FFF, 0x8000, 0xFFFF] {
        assert_eq!(a.bind(number, addr("192.0.2.9:1")).code(), Some(400), "{number:#x}");
    }
    assert_eq!(a.bind(0x4000, addr("192.0.2.9:1")).code(), None);
    assert_eq!(a.bind(0x4000, addr("192.0.2.9:2")).code(), Some(400), "the number is taken");
    assert_eq!(a.bind(0x4001, addr("192.0.2.9:1")).code(), Some(400), "the peer is taken");
    assert_eq!(a.bind(0x4000, addr("192.0.2.9:1")).code(), None, "that is a refresh");
}

#[test]
fn an_even_port_is_given_to_those_who_ask_for_one() {
    let world = World::new(|_| {});
    for number in 0..32 {
        let client = world.client(&format!("192.0.2.{number}:5000"));
        let relayed = client.allocate_with(&[(0x0018, &[0])]).relayed();
        assert_eq!(relayed.port() % 2, 0);
    }
}

#[test]
fn a_stun_server_answers_bindings_and_nothing_else() {
    let world = World::stun();
    let a = world.client("192.0.2.1:5000");
    assert_eq!(a.bind_request().mapped(), a.address);
    a.receive(&a.allocate_request());
    assert_eq!(a.answer(), None);
    assert_eq!((world.dropped("unknown"), world.totals().traffic.bindings), (1, 1));
}
