//! Calls when the server stops: those that need the relay go on, and a call that ends is told to both
//! clients.

use std::cell::RefCell;
use std::time::Duration;

use peerbroker_core::vocabulary::ApiKey;
use peerbroker_media_api::EndedCalls;

use super::world::{Client, World};

/// No client has a connection to the broker any more.
fn nobody(_: EndedCalls) -> bool {
    false
}

/// A call that has carried something.
fn carried(world: &World, offerer: &str, answerer: &str) -> [Client; 2] {
    let [caller, callee] = world.call(offerer, answerer);
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80media");
    world.forget_received();
    [caller, callee]
}

/// Checks, and returns what comes back.
fn check(world: &World, client: &Client) -> Vec<Vec<u8>> {
    // Those of the relay's own checks.
    world.forget_received();
    let check = client.check(false);
    world.send(client.at, &check);
    let received = world.received(client.at);
    assert!(
        received.iter().all(|answer| answer.len() <= check.len()),
        "an answer is never longer than its check"
    );
    received
}

#[test]
fn both_clients_of_a_call_that_ends_hear_it_when_they_check_their_path() {
    let world = World::new(|_| {});
    let clients = carried(&world, "a", "b");
    assert_eq!(world.calls.awaited(), 0);
    world.calls.end(None, nobody);
    assert_eq!(world.calls.awaited(), 1);
    for (client, left) in clients.iter().zip([1, 0]) {
        for _ in 0..2 {
            // An answer may be lost, and the client checks again.
            let [answer] = &check(&world, client)[..] else { panic!("no answer") };
            assert!(client.is_revoked_by(answer));
        }
        assert_eq!(world.calls.awaited(), left);
    }
    let [caller, callee] = &clients;
    assert!(world.received(callee.at).is_empty(), "the checks of a call that ends go nowhere");
    world.send(caller.at, b"\x80media");
    assert_eq!(world.received(callee.at), [b"\x80media"], "until a client knows, it is served");
}

#[test]
fn nobody_waits_for_clients_that_are_gone_or_that_the_relay_carries_nothing_for() {
    let world = World::new(|_| {});
    let [caller, _] = carried(&world, "a", "b");
    world.calls.end(None, nobody);
    world.advance(Duration::from_secs(20));
    assert!(caller.is_revoked_by(&check(&world, &caller)[0]));
    world.advance(Duration::from_secs(11));
    assert_eq!(world.calls.awaited(), 0, "the other one has not been heard for 31 s");

    let direct = World::new(|_| {});
    let [caller, callee] = direct.call("a", "b");
    direct.join(&caller, &callee);
    direct.calls.end(None, nobody);
    assert_eq!(direct.calls.awaited(), 0);
}

#[test]
fn a_forged_check_of_a_call_that_ends_gets_no_answer() {
    let world = World::new(|_| {});
    let [caller, _] = carried(&world, "a", "b");
    world.calls.end(None, nobody);
    world.send(caller.at, &caller.check_with("wrong", false));
    assert!(world.received(caller.at).is_empty());
    assert!(
        check(&world, &caller.from("9.9.9.9:9")).iter().all(|sent| !is_response(sent)),
        "it has proved nothing"
    );
    assert_eq!(world.calls.awaited(), 1);
}

fn is_response(datagram: &[u8]) -> bool {
    stun_types::message::Message::from_bytes(datagram).unwrap().is_response()
}

#[test]
fn a_relay_that_retires_keeps_calls_that_it_carries_and_new_ones_and_takes_no_more() {
    let world = World::new(|_| {});
    let direct = world.call("direct", "x");
    world.join(&direct[0], &direct[1]);
    world.advance(Duration::from_secs(31));
    world.offer("early", "x", "1", "early");
    let clients = carried(&world, "a", "b");
    let _new = world.begin("new", "y", "1", ["n", "m"]);
    let addresses = clients.each_ref().map(|client| client.at.address());

    assert_eq!(world.calls.retire(), addresses);
    assert_eq!((world.calls.totals().calls, world.calls.open()), (2, 2));
    assert!(!world.offer("late", "z", "1", "late"));
    assert!(!world.answer("early", "x", "1", "answer"));
    let [caller, callee] = &clients;
    world.send(caller.at, b"\x80media");
    assert_eq!(world.received(callee.at), [b"\x80media"]);
}

#[test]
fn a_call_is_open_until_it_carries_nothing_for_a_minute_or_its_clients_are_gone() {
    let world = World::new(|_| {});
    let [caller, callee] = carried(&world, "a", "b");
    for _ in 0..12 {
        world.advance(Duration::from_secs(5));
        assert_eq!(world.calls.open(), 1);
        check(&world, &caller);
        check(&world, &callee);
    }
    world.advance(Duration::from_secs(1));
    assert_eq!(world.calls.open(), 0, "an idle data connection has a heartbeat every 30 s");
    world.send(caller.at, b"\x80media");
    assert_eq!(world.calls.open(), 1);
    world.advance(Duration::from_secs(31));
    assert_eq!(world.calls.open(), 0, "nobody is there");
}

#[test]
fn calls_of_a_client_without_a_socket_end_and_others_go_on() {
    let world = World::new(|_| {});
    let [caller, _] = carried(&world, "a", "b");
    world.calls.end(Some(&["3.3.3.3:3".parse().unwrap()].into()), nobody);
    assert_eq!(world.calls.awaited(), 0);
    world.calls.end(Some(&[caller.at.address()].into()), nobody);
    assert_eq!(world.calls.awaited(), 1);
}

#[test]
fn clients_that_call_each_other_anew_are_not_told_of_the_end_of_their_last_call() {
    let world = World::new(|_| {});
    let _first = world.begin("b", "a", "1", ["n", "m"]);
    let _second = world.begin("a", "c", "2", ["o", "p"]);
    let ended = |key: &str, one: &str, other: &str| EndedCalls {
        key: ApiKey::parse(key).unwrap(),
        clients: [one.into(), other.into()],
    };
    let mut told = vec![ended("k", "a", "b"), ended("other", "a", "b"), ended("k", "b", "c")];
    world.calls.forget_connected(&mut told);
    assert_eq!(told, [ended("other", "a", "b"), ended("k", "b", "c")]);
    world.advance(Duration::from_secs(121));
    told = vec![ended("k", "a", "b")];
    world.calls.forget_connected(&mut told);
    assert_eq!(told.len(), 1, "that call is over");
}

#[test]
fn connected_clients_are_told_unless_they_have_another_call_that_goes_on() {
    let world = World::new(|_| {});
    let _lost = carried(&world, "a", "b");
    let [caller, callee] = world.call_with("c", "b", "2", ["c2", "b2"]);
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80media");
    let [caller, callee] =
        world.call_with("b", "c", "3", ["b3", "c3"]).map(|client| client.from("5.5.5.5:5"));
    world.prove(&caller);
    world.prove(&callee);
    let told = RefCell::new(Vec::new());
    world.calls.end(None, |EndedCalls { key, clients }| {
        told.borrow_mut().push(format!("{} {}", key.as_str(), clients.join(" ")));
        true
    });
    assert_eq!(told.into_inner(), ["k a b"], "b and c have a call that goes directly");
    assert_eq!(world.calls.awaited(), 1, "the other one of b and c");
}
