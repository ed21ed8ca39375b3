//! The outcomes of calls, as far as a relay can tell.

use std::time::Duration;

use peerbroker_media_api::CallFailure::{Address, BothAbsent, CalleeAbsent, CallerAbsent, Limit};
use peerbroker_media_api::CallOutcome::{Direct, Failed, Relayed, Unanswered, Unknown};
use peerbroker_media_api::{CallOutcome, RelayedOver};

use super::world::{Client, World};

/// Longer than the relay remembers a call that nobody brings here.
const FORGOTTEN: Duration = Duration::from_secs(150);

const LONG: Duration = Duration::from_secs(35);

/// The outcomes of the calls of a world, after it has forgotten them.
fn outcomes(world: &World) -> Vec<(CallOutcome, u64)> {
    world.advance(FORGOTTEN);
    world.sweep();
    assert_eq!(world.calls.totals().calls, 0);
    world.ended()
}

/// A client comes to the relay, and checks its path for a while.
fn stay(world: &World, client: &Client, time: Duration) {
    world.prove(client);
    let step = Duration::from_millis(2500);
    for _ in 0..time.as_millis() / step.as_millis() {
        world.advance(step);
        world.send(client.at, &client.check(false));
        world.forget_received();
    }
}

fn told(world: &World) -> Vec<String> {
    std::mem::take(&mut *world.told.lock().unwrap())
}

#[test]
fn a_relayed_call_tells_its_transports_its_duration_and_its_bytes() {
    for (addresses, over) in [
        (["1.1.1.1:1", "2.2.2.2:1"], RelayedOver::Udp),
        (["1.1.1.1:1 over TCP", "2.2.2.2:1 over TCP"], RelayedOver::Tcp),
        (["1.1.1.1:1", "2.2.2.2:1 over TCP"], RelayedOver::Mixed),
    ] {
        let world = World::new(|_| {});
        let [caller, callee] = world.call("a", "b");
        world.advance(Duration::from_secs(1));
        let [caller, callee] = [caller.from(addresses[0]), callee.from(addresses[1])];
        world.join(&caller, &callee);
        world.send(caller.at, &[0x80; 1000]);
        world.advance(Duration::from_secs(7));
        world.send(callee.at, &[0x80; 200]);
        assert_eq!(outcomes(&world), [(Relayed(over), 1)]);
        let end = format!("k: a to b over after 7s and 1200 bytes over {over}");
        assert_eq!(told(&world), ["k: a to b relayed".to_owned(), end]);
    }
}

#[test]
fn the_duration_of_a_call_over_tcp_ends_with_its_connections() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.advance(Duration::from_secs(1));
    let [caller, callee] = [caller.from("1.1.1.1:1 over TCP"), callee.from("2.2.2.2:1 over TCP")];
    world.join(&caller, &callee);
    world.send(caller.at, &[0x80; 10]);
    world.advance(Duration::from_secs(3));
    world.send(callee.at, &[0x80; 10]);
    world.calls.leave(caller.at);
    world.calls.leave(callee.at);
    outcomes(&world);
    assert_eq!(told(&world)[1..], ["k: a to b over after 3s and 20 bytes over tcp"]);
}

#[test]
fn a_call_that_the_relay_carried_nothing_for_went_directly_if_both_came_to_it() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    // Checks of the clients through the relay are not the call.
    world.send(caller.at, &caller.check(false));
    assert_eq!(outcomes(&world), [(Direct, 1)]);
    assert!(told(&world).is_empty());
}

#[test]
fn a_call_has_failed_if_one_client_waited_and_the_other_never_came() {
    for (waits, why) in [(0, CalleeAbsent), (1, CallerAbsent)] {
        let world = World::new(|_| {});
        // Chromium stays for as long as the relay checks it.
        stay(&world, &world.call("a", "b")[waits], if waits == 0 { LONG } else { Duration::from_secs(8) });
        assert_eq!(outcomes(&world), [(Failed(why), 1)]);
        assert_eq!(told(&world), [format!("k: a to b failed: {why}")]);
    }
}

#[test]
fn a_call_whose_client_has_only_forbidden_addresses_says_so() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    let hidden = callee.from("10.0.0.7:1");
    // Somebody else's check is no reason.
    world.send(hidden.at, &hidden.check_with("not the password of this call", false));
    world.send(hidden.at, &hidden.check(false));
    stay(&world, &caller, Duration::from_secs(15));
    assert_eq!(outcomes(&world), [(Failed(Address), 1)]);
}

#[test]
fn a_forged_check_from_a_forbidden_address_is_no_reason() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    let hidden = callee.from("10.0.0.7:1");
    world.send(hidden.at, &hidden.check_with("not the password of this call", false));
    stay(&world, &caller, Duration::from_secs(15));
    assert_eq!(outcomes(&world), [(Failed(CalleeAbsent), 1)]);
}

#[test]
fn the_relay_does_not_guess_about_a_call_that_it_has_hardly_seen() {
    let world = World::new(|_| {});
    // Nobody comes, as if both were Firefox.
    world.call("a", "b");
    // One comes, and is gone in a moment.
    let [caller, _] = world.call_with("a", "b", "2", ["cufrag", "dufrag"]);
    stay(&world, &caller, Duration::from_secs(3));
    assert_eq!(outcomes(&world), [(Unknown, 2)]);
    assert!(told(&world).is_empty());
}

#[test]
fn a_call_without_another_path_has_failed_if_a_client_or_both_are_missing() {
    let world = World::new(|_| {});
    world.only_relayed.set(true);
    world.call("a", "b");
    let [caller, _] = world.call_with("a", "b", "2", ["cufrag", "dufrag"]);
    stay(&world, &caller, LONG);
    assert_eq!(outcomes(&world), [(Failed(CalleeAbsent), 1), (Failed(BothAbsent), 1)]);
}

#[test]
fn an_offer_without_an_answer_is_unanswered() {
    let world = World::new(|_| {});
    assert!(world.offer("a", "b", "1", "aufrag") && world.offer("a", "c", "2", "cufrag"));
    // The same call again.
    assert!(world.offer("a", "b", "1", "eufrag"));
    assert_eq!(world.calls.totals().asked, 2);
    assert_eq!(outcomes(&world), [(Unanswered, 2)]);
}

#[test]
fn a_call_above_a_limit_has_failed_only_if_it_has_no_other_path() {
    for (only_relayed, outcome) in [(false, Unknown), (true, Failed(Limit))] {
        let world = World::new(|limits| limits.calls = 0);
        world.only_relayed.set(only_relayed);
        assert!(!world.begins(None, "a", 1));
        assert_eq!(world.calls.totals().refused, 1);
        assert_eq!(outcomes(&world), [(outcome, 1)]);
    }
}

#[test]
fn a_call_that_makes_room_for_another_is_counted_once() {
    for (only_relayed, outcome) in [(false, Unknown), (true, Failed(Limit))] {
        let world = World::new(|limits| limits.calls = 1);
        world.only_relayed.set(only_relayed);
        assert!(world.begins(None, "a", 1) && world.begins(None, "b", 2));
        assert_eq!((world.calls.totals().displaced, world.ended()), (1, vec![(outcome, 1)]));
    }
}
