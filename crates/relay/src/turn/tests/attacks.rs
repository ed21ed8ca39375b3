//! Tests of attacks by strangers and by clients.

use std::collections::BTreeMap;
use std::time::Duration;

use peerbroker_media_api::TurnConfig;
use stun_types::message::Method;
use turn_types::message::{ALLOCATE, REFRESH};

use super::world::{World, addr};

const UDP: (u16, &[u8]) = (0x0019, &[17, 0, 0, 0]);

#[test]
fn requests_without_credentials_leave_nothing_behind_and_are_answered_up_to_a_rate() {
    let world = World::new(|_| {});
    let mut answered = 0;
    for port in 1..=3000 {
        let client = world.client(&format!("192.0.2.1:{port}"));
        client.receive(&client.request_with_nonce(ALLOCATE, &[UDP], "stale"));
        answered += usize::from(client.answer().is_some());
    }
    assert_eq!(answered, 1000, "a burst of one address, whatever its ports");
    assert_eq!((world.allocations(), world.dropped("unverified")), (0, 2000));
    assert_eq!(world.server.known(), 0);
    assert!(world.client("192.0.2.2:1").allocate().code().is_none(), "others are served");
}

#[test]
fn an_answer_to_a_stranger_is_short() {
    let world = World::new(|_| {});
    let client = world.client("192.0.2.1:5000");
    // 28 bytes are the shortest request for an allocation, and no shorter message is challenged.
    assert_eq!(client.allocate_without_credentials().0.len(), 56);
    assert_eq!(client.bind_request().0.len(), 32);
    // A request with credentials is longer than any refusal of it.
    for nonce in [&client.nonce(), "stale"] {
        let mut liar = world.client("192.0.2.1:5000");
        liar.password.push('x');
        let request = liar.request_with_nonce(ALLOCATE, &[UDP], nonce);
        assert!(liar.ask(&request).0.len() <= request.len());
    }
}

#[test]
fn an_answer_to_a_stranger_is_at_most_twice_its_request() {
    let mut longest = BTreeMap::new();
    // Each attribute of STUN and TURN that is known here, some that are not, and none.
    let kinds =
        [0x0006, 0x0008, 0x0009, 0x000D, 0x0012, 0x0014, 0x0015, 0x0019, 0x001C, 0x0020, 0x7FFF, 0x8022];
    let mut attributes = vec![Vec::new()];
    for kind in kinds {
        for length in [0, 1, 4, 8, 16, 20, 32] {
            attributes.push(vec![(kind, length)]);
            // A request with an integrity attribute takes a longer path.
            attributes.push(vec![(kind, length), (0x0008, 20)]);
            attributes.push(vec![(0x0006, length), (0x0014, 4), (0x0015, 16), (kind, 4), (0x0008, 20)]);
            attributes.push(vec![(0x0006, 0), (0x0014, 0), (0x0015, length), (0x001C, 16)]);
        }
    }
    // The longest realm that is named. All methods of the registry, and some beyond.
    let realm = "r".repeat(TurnConfig::MAX_REALM);
    for method in (0..=0x0F).chain([0x80, 0xFFF]) {
        for attributes in &attributes {
            for address in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
                // Rate limits are for other tests.
                let world = World::of_realm(&realm);
                let client = world.client(address);
                let request = client.bare_request(method, attributes);
                client.receive(&request);
                let Some(answer) = client.answer() else { continue };
                assert!(client.answer().is_none());
                let asked = request.len();
                let answered = answer.0.len();
                // RFC 8489, section 14.2: the address itself takes 24 bytes with IPv6.
                let is_binding = method == 1 && client.address.is_ipv6();
                // Datagrams have headers of 28 bytes.
                let most = if is_binding { asked + 24 } else { 2 * (asked + 28) - 28 };
                assert!(answered <= most, "{answered} for {asked}: {method} {attributes:?}");
                longest
                    .entry(asked)
                    .and_modify(|longest: &mut usize| *longest = answered.max(*longest))
                    .or_insert(answered);
            }
        }
    }
    assert_eq!((longest[&20], longest[&28]), (44, 84));
}

#[test]
fn a_client_hears_only_those_other_clients_that_it_has_named() {
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    let [victim, friend, stranger] = [1, 2, 3].map(|number| world.client(&format!("192.0.2.{number}:5000")));
    let thief = world.client_of("key-2", "192.0.2.4:5000");
    let [at_victim, at_friend, at_stranger, at_thief] =
        [&victim, &friend, &stranger, &thief].map(|client| client.allocate().relayed());
    assert_eq!(at_victim.ip(), at_thief.ip(), "permissions are for this address");
    victim.permit(&[at_friend]);
    for attacker in [&stranger, &thief] {
        attacker.permit(&[at_victim]);
        attacker.bind(0x4000, at_victim);
        for _ in 0..100 {
            attacker.send(at_victim, &[7; 400]);
            attacker.send_channel(0x4000, &[7; 400]);
        }
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(victim.received(), None);
    // They have used up nothing of its limit.
    friend.permit(&[at_victim]);
    for _ in 0..15 {
        friend.send(at_victim, &[7; 400]);
        assert_eq!(victim.received().map(|(from, _)| from), Some(at_friend));
    }
    // Firefox asks for one permission of an address, and then sends to all of its ports.
    victim.send(at_stranger, b"hello");
    assert_eq!(stranger.received_on(0x4000), Some(b"hello".to_vec()));
    world.advance(Duration::from_secs(20));
    stranger.send(at_victim, b"hello");
    assert_eq!(victim.received().map(|(from, _)| from), Some(at_stranger));
    // A new permission starts afresh.
    world.advance(Duration::from_secs(300));
    victim.permit(&[at_friend]);
    stranger.permit(&[at_victim]);
    stranger.send(at_victim, b"hello");
    assert_eq!(victim.received(), None);
}

#[test]
fn a_nonce_of_another_address_or_another_hour_is_stale() {
    let world = World::new(|_| {});
    let client = world.client("192.0.2.1:5000");
    let other = world.client("192.0.2.1:5001");
    let stolen = client.request_with_nonce(ALLOCATE, &[UDP], &other.nonce());
    let stale = client.ask(&stolen);
    assert_eq!(stale.code(), Some(438));
    let again = client.request_with_nonce(ALLOCATE, &[UDP], &stale.nonce());
    world.advance(Duration::from_secs(3601));
    assert_eq!(client.ask(&again).code(), Some(438));
    assert_eq!(client.allocate().code(), None);
}

#[test]
fn forged_passwords_usernames_and_expired_credentials_are_refused() {
    let world = World::new(|_| {});
    let mut liar = world.client("192.0.2.1:5000");
    liar.password.push('x');
    assert_eq!(liar.allocate().code(), Some(401));
    for username in ["k", "", ":", ":k", "x:k", "-1:k", "99999999999999999999999999:k"] {
        let client = world.client_named(username, "192.0.2.1:5000");
        assert_eq!(client.allocate().code(), Some(401), "{username:?}");
    }
    let expired = world.client_named("10000:k", "192.0.2.1:5000").allocate();
    assert_eq!((expired.code(), &*expired.reason()), (Some(401), "Expired Credentials"));
    assert_eq!(world.client_named("10001:k", "192.0.2.1:5000").allocate().code(), None);
    assert_eq!(world.client_of("unknown", "192.0.2.1:5001").allocate().code(), Some(401));
    assert_eq!((world.refused("expired"), world.refused("key"), world.refused("credentials")), (1, 1, 8));
}

#[test]
fn an_allocation_outlives_its_credentials_but_not_its_key() {
    let world = World::new(|_| {});
    let client = world.client_named("10100:k", "192.0.2.1:5000");
    client.allocate();
    world.advance(Duration::from_secs(500));
    assert_eq!(client.refresh(None).code(), None, "a call goes on");
    world.disable_key();
    assert_eq!(client.refresh(None).code(), Some(401));
    world.advance(Duration::ZERO);
    assert_eq!(world.allocations(), 0);
}

#[test]
fn another_user_cannot_take_over_an_allocation() {
    let world = World::new(|_| {});
    let owner = world.client("192.0.2.1:5000");
    owner.allocate();
    let thief = world.client_of("key-2", "192.0.2.1:5000");
    assert_eq!(thief.refresh(Some(0)).code(), Some(441));
    assert_eq!(world.allocations(), 1);
}

#[test]
fn messages_with_wrong_lengths_are_dropped() {
    let world = World::new(|_| {});
    let client = world.client("192.0.2.1:5000");
    client.allocate();
    let whole = client.request(REFRESH, &[(0x000D, &[0, 0, 2, 88])]);
    for end in 0..whole.len() {
        client.receive(&whole[..end]);
        assert!(client.answer().is_none(), "{end}");
    }
    for (at, length) in [(3, 0xFF), (2, 0xFF), (23, 0xFF), (23, 3), (22, 0xFF)] {
        let mut broken = whole.clone();
        broken[at] = length;
        client.receive(&broken);
        // The changed request has no valid integrity any more.
        assert!(client.answer().is_none_or(|answer| answer.code().is_some()), "{at} {length}");
    }
    for length in [1_u16, 0xFFFF] {
        client.receive(&[&0x4000_u16.to_be_bytes()[..], &length.to_be_bytes()].concat());
    }
    for attribute in [0x0012, 0x000C, 0x000D, 0x0019, 0x0017] {
        for length in [0, 1, 3, 5, 21, 64] {
            for method in [3, 4, 8, 9] {
                let value = vec![0xFF; length];
                let request = client.request(Method::new(method), &[(attribute, &value)]);
                client.receive(&request);
                while client.answer().is_some() {}
            }
        }
    }
    assert_eq!(client.refresh(None).code().filter(|code| *code != 437), None);
}

#[test]
fn what_follows_the_integrity_of_a_request_does_not_count() {
    let world = World::new(|_| {});
    let a = world.client("192.0.2.1:5000");
    let b = world.client("198.51.100.1:6000");
    a.allocate();
    let at_b = b.allocate().relayed();
    let mut request = a.request(Method::new(8), &[]);
    // Without the fingerprint, an attribute behind the integrity, and a length that says so.
    request.truncate(request.len() - 8);
    let (std::net::IpAddr::V4(ip), port) = (at_b.ip(), at_b.port()) else { unreachable!() };
    let [x, y, z, w] = (u32::from(ip) ^ 0x2112_A442).to_be_bytes();
    let [high, low] = (port ^ 0x2112).to_be_bytes();
    request.extend([0, 0x12, 0, 8, 0, 1, high, low, x, y, z, w]);
    let length = u16::try_from(request.len() - 20).unwrap().to_be_bytes();
    request[2..4].copy_from_slice(&length);
    assert_eq!(a.ask(&request).code(), Some(400), "it names no peer");
}

#[test]
fn data_without_an_allocation_a_permission_or_a_channel_is_dropped() {
    let world = World::new(|_| {});
    let client = world.client("192.0.2.1:5000");
    client.send(addr("203.0.113.1:50000"), b"x");
    client.send_channel(0x4000, b"x");
    assert_eq!(world.dropped("unknown"), 2);
    client.allocate();
    client.send(addr("203.0.113.1:50000"), b"x");
    client.send_channel(0x4000, b"x");
    assert_eq!((world.dropped("permission"), client.answer()), (2, None));
}

#[test]
fn random_bytes_do_no_harm() {
    let world = World::new(|_| {});
    let client = world.client("192.0.2.1:5000");
    client.allocate();
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..rand::random_range(0..200)).map(|_| rand::random()).collect();
        // Most begin as a message.
        if rand::random_ratio(9, 10) && bytes.len() >= 20 {
            let length = u16::try_from(bytes.len() - 20).unwrap().to_be_bytes();
            bytes[..2].copy_from_slice(&[0, [1, 3, 4, 8, 9, 0x16][rand::random_range(0..6)]]);
            bytes[2..4].copy_from_slice(&length);
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        }
        client.receive(&bytes);
        while client.answer().is_some() {}
    }
}
