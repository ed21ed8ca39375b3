//! The relay without sockets: clients that check, answer and send, and the datagrams that arrive.

mod attacks;
mod connections;
mod ending;
mod limits;
mod outcomes;
mod world;

use std::time::Duration;

use world::{Client, World, addr};

#[test]
fn two_clients_that_cannot_reach_each_other_talk_through_the_relay() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80media");
    assert_eq!(world.received(callee.at), [b"\x80media"]);
    world.send(callee.at, b"\x16dtls");
    assert_eq!(world.received(caller.at), [b"\x16dtls"]);
    let totals = world.calls.totals();
    assert_eq!((totals.calls, totals.offered, totals.joined, totals.carried), (1, 1, 1, 1));
}

#[test]
fn a_call_that_needs_the_relay_is_told_of_once_and_one_that_does_not_never() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    assert!(world.told.lock().unwrap().is_empty());
    world.send(caller.at, b"\x80media");
    world.send(callee.at, b"\x80media");
    assert_eq!(world.told.lock().unwrap()[..], ["k: a to b relayed"]);
}

#[test]
fn checks_and_answers_go_through_unchanged_and_only_to_proved_addresses() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    // The callee is not there yet, so the caller's check waits.
    let check = caller.check(false);
    world.send(caller.at, &check);
    let [challenge] = &world.received(caller.at)[..] else { panic!("no challenge") };
    world.send(caller.at, &caller.answer(challenge));
    assert!(world.received(caller.at).is_empty() && world.received(callee.at).is_empty());

    world.send(callee.at, &callee.check(false));
    let [challenge] = &world.received(callee.at)[..] else { panic!("no challenge") };
    assert!(world.received(caller.at).is_empty(), "the callee has proved nothing yet");
    world.send(callee.at, &callee.answer(challenge));
    assert_eq!(world.received(callee.at), [&check[..]]);
    assert_eq!(world.received(caller.at).len(), 1);

    let answer = callee.answer(&check);
    world.send(callee.at, &answer);
    assert_eq!(world.received(caller.at), [&answer[..]]);
    // An answer is relayed once.
    world.send(callee.at, &answer);
    assert!(world.received(caller.at).is_empty());
}

#[test]
fn a_direct_way_has_a_head_start() {
    let world = World::new(|_| {});
    let [caller, callee] = world.begin("a", "b", "1", ["aufrag", "bufrag"]);
    world.advance(Duration::from_millis(500));
    for client in [&caller, &callee] {
        world.send(client.at, &client.check(false));
        assert!(world.received(client.at).is_empty());
    }
    world.advance(Duration::from_millis(499));
    assert!(world.received(caller.at).is_empty());
    // The challenges come without another check of the clients.
    world.advance(Duration::from_millis(1));
    for client in [&caller, &callee] {
        let [challenge] = &world.received(client.at)[..] else { panic!("no challenge") };
        world.send(client.at, &client.answer(challenge));
    }
    assert_eq!((world.received(caller.at).len(), world.received(callee.at).len()), (1, 1));
}

#[test]
fn an_answer_finds_the_address_that_asked() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let second = caller.from("1.1.1.1:2000");
    world.prove(&second);
    let one = caller.check(false);
    let other = second.check(false);
    world.send(caller.at, &one);
    world.send(second.at, &other);
    world.send(callee.at, &callee.answer(&other));
    assert_eq!((world.received(caller.at).len(), world.received(second.at).len()), (0, 1));
    world.send(callee.at, &callee.answer(&one));
    assert_eq!((world.received(caller.at).len(), world.received(second.at).len()), (1, 0));
}

#[test]
fn the_nominated_address_gets_what_comes_and_another_one_takes_over_when_it_is_silent() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let second = caller.from("1.1.1.1:2000");
    world.prove(&second);
    let gets = |who: &Client| {
        world.send(callee.at, b"\x80x");
        world.received(who.at) == [b"\x80x"]
    };
    world.send(caller.at, &caller.check(true));
    assert!(gets(&caller));
    world.send(second.at, &second.check(true));
    assert!(gets(&second));
    // The network of the second address is gone.
    for _ in 0..4 {
        world.advance(Duration::from_millis(2500));
        world.send(callee.at, &callee.check(false));
        world.send(caller.at, &caller.check(false));
        world.forget_received();
    }
    assert!(gets(&caller));
}

#[test]
fn only_the_side_that_decides_nominates() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let second = callee.from("1.1.1.1:2000");
    world.prove(&second);
    world.send(callee.at, &callee.check(false));
    world.send(second.at, &second.check(true));
    world.advance(Duration::from_millis(1));
    world.send(callee.at, &callee.check(false));
    world.forget_received();
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
}

#[test]
fn a_client_that_stops_to_check_gets_nothing_more_and_its_call_ends() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    for _ in 0..11 {
        world.advance(Duration::from_secs(3));
        // It continues to send, but that is no consent.
        world.send(callee.at, b"\x80x");
        world.send(caller.at, &caller.check(false));
        world.forget_received();
    }
    world.send(caller.at, b"\x80x");
    assert!(world.received(callee.at).is_empty());
    assert_eq!(world.calls.totals().calls, 1);
    world.advance(Duration::from_secs(31));
    world.sweep();
    assert_eq!(world.calls.totals().calls, 0);
    world.send(caller.at, &caller.check(false));
    assert!(world.received(caller.at).is_empty());
}

#[test]
fn a_call_that_nobody_brings_here_is_forgotten() {
    let world = World::new(|_| {});
    world.call("a", "b");
    world.advance(Duration::from_secs(119));
    world.sweep();
    assert_eq!(world.calls.totals().calls, 1);
    world.advance(Duration::from_secs(1));
    world.sweep();
    assert_eq!(world.calls.totals().calls, 0);
}

#[test]
fn the_same_two_clients_have_several_calls_and_describe_them_anew() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call_with("a", "b", "one", ["ufragA", "ufragB"]);
    let [second, _] = world.call_with("a", "b", "two", ["ufragC", "ufragD"]);
    assert_eq!(world.calls.totals().calls, 2);
    world.join(&caller, &callee);
    // A description with the same credentials does not change the path.
    world.call_with("a", "b", "one", ["ufragA", "ufragB"]);
    assert_eq!(world.calls.totals().calls, 2);
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
    let second = second.from("1.1.1.1:2000");
    world.prove(&second);
    world.send(second.at, b"\x80y");
    assert!(world.received(callee.at).is_empty());
}

#[test]
fn a_client_learns_its_own_address() {
    let world = World::new(|_| {});
    let asked = world::binding();
    world.send(addr("1.1.1.1:1000"), &asked);
    let [answer] = &world.received(addr("1.1.1.1:1000"))[..] else { panic!("no answer") };
    assert_eq!(world::mapped(answer), addr("1.1.1.1:1000").address());
    assert!(answer.len() <= asked.len() + 12);
    world.send(addr("[2001:db8::1]:1000"), &asked);
    let [answer] = &world.received(addr("[2001:db8::1]:1000"))[..] else { panic!("no answer") };
    assert_eq!(world::mapped(answer), addr("[2001:db8::1]:1000").address());
    assert_eq!(world.calls.totals().traffic.bindings, 2);
}

/// A client has found its direct path, so it sends nothing here, but answers.
fn goes_directly(world: &World, clients: [&Client; 2], seconds: u64) {
    for _ in 0..seconds {
        world.advance(Duration::from_secs(1));
        for client in clients {
            for check in world.received(client.at) {
                world.send(client.at, &client.answer(&check));
            }
        }
    }
}

#[test]
fn the_way_of_a_call_that_goes_directly_stays_open_and_carries_it_when_that_ends() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    goes_directly(&world, [&caller, &callee], 600);
    world.sweep();
    assert_eq!(world.calls.totals().calls, 1);
    world.forget_received();
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
    world.send(callee.at, b"\x80y");
    assert_eq!(world.received(caller.at), [b"\x80y"]);
}

#[test]
fn a_way_is_checked_twice_in_thirty_seconds_and_no_more_when_nobody_answers() {
    let world = World::new(|_| {});
    let [caller, _] = world.call("a", "b");
    world.prove(&caller);
    let mut checks = Vec::new();
    for _ in 0..300 {
        world.advance(Duration::from_secs(1));
        checks.extend(world.received(caller.at));
    }
    assert_eq!(checks.len(), 2);
    world.sweep();
    assert_eq!(world.calls.totals().calls, 0);
}

#[test]
fn an_address_that_has_proved_nothing_is_not_checked_again() {
    let world = World::new(|_| {});
    let [caller, _] = world.call("a", "b");
    world.send(caller.at, &caller.check(false));
    assert_eq!(world.received(caller.at).len(), 1);
    for _ in 0..20 {
        world.advance(Duration::from_secs(1));
        assert!(world.received(caller.at).is_empty());
    }
}

#[test]
fn a_client_that_is_needed_and_has_given_its_way_up_is_told_to_come() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.prove(&caller);
    goes_directly(&world, [&caller, &callee], 60);
    let mut nudged = Vec::new();
    // The direct path has died, and the caller checks eight times a second.
    for _ in 0..400 {
        world.advance(Duration::from_millis(125));
        world.send(caller.at, &caller.check(false));
        nudged.extend(world.nudged.try_iter());
    }
    assert_eq!(nudged.len(), 8);
    for (nudge, times) in nudged.iter().zip(1..) {
        assert_eq!((&*nudge.whom, &*nudge.other, &*nudge.connection, nudge.times), ("b", "a", "1", times));
    }
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
}

#[test]
fn a_check_over_udp_that_comes_before_the_answer_counts_also_after_one_over_tcp() {
    let world = World::new(|_| {});
    world.offer("a", "b", "1", "aufrag");
    let [caller, callee] = World::clients(["aufrag", "bufrag"]);
    let over_tcp = callee.from("2.2.2.2:2000 over TCP");
    world.send(callee.at, &callee.check(false));
    world.calls.keep_early_check(over_tcp.at, &over_tcp.check(false)).unwrap();
    world.answer("a", "b", "1", "bufrag");
    assert!(world.received(callee.at).is_empty());
    // It checks no more: its direct path has worked meanwhile.
    world.advance(Duration::from_secs(1));
    let [challenge] = &world.received(callee.at)[..] else { panic!("no challenge") };
    world.send(callee.at, &callee.answer(challenge));
    world.prove(&caller);
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
}

#[test]
fn a_check_before_the_answer_needs_the_password_of_an_offer() {
    let world = World::new(|_| {});
    world.offer("a", "b", "1", "aufrag");
    let [_, callee] = World::clients(["aufrag", "bufrag"]);
    world.send(callee.at, &callee.check_with("another password", false));
    world.answer("a", "b", "1", "bufrag");
    world.advance(Duration::from_secs(1));
    assert!(world.received(callee.at).is_empty());
}

#[test]
fn a_client_that_is_there_is_not_told_to_come() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    for _ in 0..100 {
        world.advance(Duration::from_millis(900));
        let check = caller.check(false);
        world.send(caller.at, &check);
        for check in world.received(callee.at) {
            world.send(callee.at, &callee.answer(&check));
        }
    }
    assert_eq!(world.nudged.try_iter().count(), 0);
}

#[test]
fn a_check_over_tcp_does_not_delay_the_way_over_udp() {
    let world = World::new(|_| {});
    let [caller, callee] = world.begin("a", "b", "1", ["aufrag", "bufrag"]);
    let check = caller.check(false);
    world.send(caller.at, &check);
    for over_tcp in ["1.1.1.1:2000 over TCP", "1.1.1.1:2001 over the broker's TCP"] {
        let over_tcp = caller.from(over_tcp);
        world.send(over_tcp.at, &over_tcp.check(false));
    }
    world.advance(Duration::from_secs(1));
    let [challenge] = &world.received(caller.at)[..] else { panic!("no challenge") };
    world.prove(&callee);
    world.send(caller.at, &caller.answer(challenge));
    // At once, without another check of the caller.
    assert_eq!(world.received(callee.at), [check]);
}

#[test]
fn one_side_may_come_over_tcp() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    let caller = caller.from("1.1.1.1:1000 over TCP");
    world.advance(Duration::from_secs(1));
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80x");
    assert_eq!(world.received(callee.at), [b"\x80x"]);
    world.send(callee.at, b"\x80y");
    assert_eq!(world.received(caller.at), [b"\x80y"]);
    // The same address over UDP is another one.
    world.send(addr("1.1.1.1:1000"), b"\x80z");
    assert!(world.received(callee.at).is_empty());
}

#[test]
fn tcp_waits_for_the_others_and_is_not_used_while_udp_works() {
    let world = World::new(|_| {});
    let [caller, _] = world.call("a", "b");
    let over_tcp = caller.from("1.1.1.1:2000 over TCP");
    world.send(over_tcp.at, &over_tcp.check(false));
    assert!(world.received(over_tcp.at).is_empty());
    world.advance(Duration::from_secs(1));
    assert_eq!(world.received(over_tcp.at).len(), 1);

    let [caller, _] = world.call_with("a", "b", "2", ["ufragA", "ufragB"]);
    let over_tcp = caller.from("1.1.1.1:3000 over TCP");
    world.send(over_tcp.at, &over_tcp.check(false));
    world.prove(&caller);
    world.advance(Duration::from_secs(1));
    world.send(over_tcp.at, &over_tcp.check(false));
    assert!(world.received(over_tcp.at).is_empty());
    // UDP is silent.
    world.advance(Duration::from_secs(9));
    world.send(over_tcp.at, &over_tcp.check(false));
    assert_eq!(world.received(over_tcp.at).len(), 1);
}

#[test]
fn the_second_family_of_a_client_waits_for_the_first_and_is_not_used_while_that_works() {
    for first_works in [true, false] {
        let world = World::new(|_| {});
        let [_, callee] = world.begin("a", "b", "1", ["aufrag", "bufrag"]);
        let second = callee.from("[2001:db8::2]:1000");
        world.send(callee.at, &callee.check(false));
        world.send(second.at, &second.check(false));
        world.advance(Duration::from_secs(1));
        let [challenge] = &world.received(callee.at)[..] else { panic!("no challenge") };
        if first_works {
            world.send(callee.at, &callee.answer(challenge));
        }
        world.send(second.at, &second.check(false));
        assert!(world.received(second.at).is_empty());
        world.advance(Duration::from_secs(1));
        world.send(second.at, &second.check(false));
        assert_eq!(world.received(second.at).is_empty(), first_works);
    }
}

#[test]
fn an_address_is_none_after_its_connection_has_closed() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    let caller = caller.from("1.1.1.1:1000 over TCP");
    world.advance(Duration::from_secs(1));
    world.join(&caller, &callee);
    world.calls.leave(caller.at);
    world.send(callee.at, b"\x80y");
    world.send(caller.at, b"\x80x");
    assert!(world.received(caller.at).is_empty() && world.received(callee.at).is_empty());
}
