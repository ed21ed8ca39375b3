//! Attacks by strangers and by clients.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{World, addr, binding};
use peerbroker_media_api::Dropped;

#[test]
fn a_check_with_a_wrong_password_gets_no_answer() {
    let world = World::new(|_| {});
    let [caller, _] = world.call("a", "b");
    world.send(caller.at, &caller.check_with("0123456789abcdefghijklmn", false));
    assert!(world.received(caller.at).is_empty());
    assert_eq!(world.calls.totals().traffic.dropped[Dropped::Forged as usize], 1);
}

#[test]
fn a_check_of_a_call_that_is_not_known_gets_no_answer() {
    let world = World::new(|_| {});
    let [caller, _] = world.call("a", "b");
    let mut guessed = caller.clone();
    guessed.username = "xxxx:yyyy".to_owned();
    world.send(guessed.at, &guessed.check(false));
    assert!(world.received(guessed.at).is_empty());
    assert_eq!(world.calls.totals().traffic.dropped[Dropped::Unknown as usize], 1);
}

#[test]
fn a_spoofed_address_gets_no_more_than_came_from_it_and_never_what_others_send() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    // A client names another client as its address.
    let victim = callee.from("3.3.3.3:53");
    let mut came = 0;
    for _ in 0..50 {
        let check = victim.check(true);
        came += check.len();
        world.send(victim.at, &check);
        world.send(caller.at, &caller.check(true));
        world.send(caller.at, b"\x80media");
    }
    let sent: usize = world.received(victim.at).iter().map(Vec::len).sum();
    assert!(sent <= came, "{sent} of {came}");
    assert!(world.received(callee.at).contains(&b"\x80media".to_vec()));
}

#[test]
fn a_check_that_somebody_repeats_leads_nothing_to_him() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let overheard = caller.check(true);
    world.send(caller.at, &overheard);
    let eavesdropper = addr("3.3.3.3:1000");
    world.send(eavesdropper, &overheard);
    world.forget_received();
    // Without the password it cannot answer our check.
    world.send(eavesdropper, &caller.from("3.3.3.3:1000").check_with("0123456789abcdefghijklmn", false));
    world.send(eavesdropper, b"\x80media");
    world.send(callee.at, b"\x80media");
    assert!(world.received(eavesdropper).is_empty());
    assert_eq!(world.received(caller.at), [b"\x80media"]);
    assert!(world.received(callee.at).is_empty());
}

#[test]
fn addresses_that_are_not_public_and_those_of_the_relay_are_never_learned() {
    let world = World::new(|_| {});
    let [caller, _] = world.call("a", "b");
    for address in [
        "10.0.0.1:1000",
        "127.0.0.1:1000",
        "169.254.169.254:80",
        "[fd00::1]:5",
        "198.51.100.1:3478",
        "1.1.1.1:0",
    ] {
        let there = caller.from(address);
        world.send(there.at, &there.check(false));
        world.send(there.at, &binding());
        assert!(world.received(there.at).is_empty(), "{address}");
    }
    assert_eq!(world.calls.totals().traffic.dropped[Dropped::Address as usize], 12);
}

#[test]
fn over_tcp_an_address_may_be_private_because_a_proxy_may_have_it() {
    let world = World::new(|_| {});
    let [caller, callee] = world.begin("a", "b", "1", ["aufrag", "bufrag"]);
    world.advance(Duration::from_secs(2));
    let [caller, callee] =
        [caller.from("127.0.0.1:1000 over the broker's TCP"), callee.from("10.0.0.1:1000 over TCP")];
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
}

#[test]
fn a_side_has_eight_addresses_and_those_in_use_keep_their_place() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    // Seven more that are proved, and then nothing more fits.
    for port in 1..=7 {
        world.prove(&caller.from(&format!("1.1.1.1:{port}")));
    }
    let ninth = caller.from("1.1.1.1:9");
    world.send(ninth.at, &ninth.check(false));
    assert!(world.received(ninth.at).is_empty());
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
}

#[test]
fn addresses_that_prove_nothing_make_room_for_those_that_do() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    for port in 1..=20 {
        let spoofed = caller.from(&format!("3.3.3.3:{port}"));
        world.send(spoofed.at, &spoofed.check(false));
    }
    world.forget_received();
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
}

#[test]
fn nobody_takes_the_address_of_another_call() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let [third, _] = world.call_with("c", "d", "1", ["cufrag", "dufrag"]);
    assert_eq!(third.at, caller.at);
    world.send(caller.at, &third.check(true));
    assert_eq!(world.received(caller.at).len(), 1, "our check, which only the third client can answer");
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
}

#[test]
fn a_client_that_has_hung_up_calls_again_from_the_same_address() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let [again, other] = world.call_with("a", "c", "2", ["anewufrag", "cufrag"]);
    let other = other.from("5.5.5.5:1");
    world.join(&again, &other);
    world.send(again.at, b"\x80x");
    assert_eq!(world.received(other.at), [b"\x80x"]);
    assert!(world.received(callee.at).is_empty());
}

proptest! {
    /// Noise of strangers breaks nothing, and none of them gets more than it sent, except the answer with its
    /// own address.
    #[test]
    fn noise_is_survived_and_never_amplified(
        datagrams in prop::collection::vec((0u8..4, prop::collection::vec(any::<u8>(), 0..60), 0usize..200, any::<u8>()), 1..60)
    ) {
        let world = World::new(|_| {});
        let [caller, callee] = world.call("a", "b");
        world.join(&caller, &callee);
        let at = [addr("3.3.3.3:1"), addr("3.3.3.3:2")];
        let mut came = [0, 0];
        for (kind, noise, place, byte) in datagrams {
            let whose = usize::from(byte & 1);
            let mut bytes = match kind {
                0 => noise,
                1 => binding(),
                2 => caller.check(byte & 2 == 0),
                _ => callee.answer(&callee_check(&caller)),
            };
            // Mostly broken somewhere.
            if byte & 4 == 0 && let Some(broken) = bytes.get_mut(place) {
                *broken ^= byte;
            }
            came[whose] += bytes.len() + if kind == 1 { 12 } else { 0 };
            world.send(at[whose], &bytes);
        }
        for (at, came) in at.into_iter().zip(came) {
            let sent: usize = world.received(at).iter().map(Vec::len).sum();
            prop_assert!(sent <= came, "{} of {}", sent, came);
        }
        world.forget_received();
        world.send(caller.at, b"\x80x");
        prop_assert_eq!(world.received(callee.at), [b"\x80x"]);
    }
}

/// A check that the callee can answer.
fn callee_check(caller: &super::Client) -> Vec<u8> {
    caller.check(false)
}
