//! Limits of a relay.

use std::time::Duration;

use super::world::{World, addr, binding};
use crate::relay::Dropped;

#[test]
fn an_answer_begins_a_call_only_if_its_offer_came_by_lately() {
    let world = World::new(|_| {});
    assert!(!world.answer("a", "b", "1", "bufrag"));
    assert!(world.offer("a", "b", "1", "aufrag"));
    assert!(!world.answer("a", "c", "1", "cufrag"));
    assert!(!world.answer("a", "b", "2", "bufrag"));
    assert!(world.answer("a", "b", "1", "bufrag"));
    assert!(!world.answer("a", "b", "1", "bufrag"));

    assert!(world.offer("a", "b", "1", "aufrag"));
    world.advance(Duration::from_secs(121));
    world.calls.sweep();
    assert!(!world.answer("a", "b", "1", "bufrag"));
}

#[test]
fn a_client_has_a_limit_of_offers_that_wait() {
    let world = World::new(|_| {});
    let offered = (0..100).filter(|number| world.offer("a", "b", &number.to_string(), "aufrag")).count();
    assert_eq!(offered, 64);
    assert!(world.offer("a", "b", "5", "aufrag"), "in place of the earlier one");
    assert!(world.offer("c", "b", "1", "cufrag"));
    world.advance(Duration::from_secs(121));
    world.calls.sweep();
    assert!(world.offer("a", "b", "100", "aufrag"));
}

#[test]
fn calls_have_a_limit_in_all_and_for_each_key() {
    let world = World::new(|limits| (limits.calls, limits.calls_per_key) = (3, 2));
    let begin = |world: &World, name: &str| {
        world.offer(name, "b", "1", &format!("{name}ufrag")) && world.answer(name, "b", "1", "bufrag")
    };
    assert!(begin(&world, "c") && begin(&world, "d"));
    assert!(!begin(&world, "e"));
    let world = world.of_key("other");
    assert!(begin(&world, "e"));
    assert!(!begin(&world, "f"));
    assert_eq!(world.calls.totals().refused, 2);
    // Calls that are over make room.
    world.advance(Duration::from_secs(121));
    world.calls.sweep();
    assert!(begin(&world, "f"));
}

#[test]
fn a_call_carries_no_more_bytes_than_its_limit_and_others_do_not_notice() {
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let [other_caller, other_callee] = world.call_with("c", "d", "1", ["cufrag", "dufrag"]);
    let (other_caller, other_callee) = (other_caller.from("4.4.4.4:1"), other_callee.from("5.5.5.5:1"));
    world.join(&other_caller, &other_callee);
    let packet = [0x80; 100];
    for _ in 0..200 {
        world.send(caller.at, &packet);
    }
    // The burst: ten seconds' worth.
    assert_eq!(world.received(callee.at).len(), 100);
    world.send(other_caller.at, &packet);
    assert_eq!(world.received(other_callee.at).len(), 1);
    world.advance(Duration::from_millis(100));
    world.send(callee.at, &packet);
    world.send(callee.at, &packet);
    assert_eq!(world.received(caller.at).len(), 1);
    assert_eq!(world.calls.totals().dropped[Dropped::TooMuch as usize], 101);
    // Checks go through all the same.
    world.send(caller.at, &caller.check(false));
    assert_eq!(world.received(callee.at).len(), 1);
}

#[test]
fn the_calls_of_a_key_share_a_limit() {
    let world = World::new(|limits| limits.key_bytes_per_second = 1000);
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let [second, other] = world.call_with("c", "d", "1", ["cufrag", "dufrag"]);
    let (second, other) = (second.from("4.4.4.4:1"), other.from("5.5.5.5:1"));
    world.join(&second, &other);
    for _ in 0..100 {
        world.send(caller.at, &[0x80; 100]);
        world.send(second.at, &[0x80; 100]);
    }
    assert_eq!(world.received(callee.at).len() + world.received(other.at).len(), 100);
}

#[test]
fn strangers_have_a_limit_and_those_who_have_proved_themselves_do_not() {
    let world = World::new(|_| {});
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    // From the address of the caller, as behind a NAT.
    let stranger = addr("1.1.1.1:9999");
    for _ in 0..2000 {
        world.send(stranger, &binding());
    }
    let answered = world.received(stranger).len();
    assert!((900..=1000).contains(&answered), "{answered}");
    world.send(caller.at, &caller.check(false));
    assert_eq!(world.received(callee.at).len(), 1);
}

/// What a call takes with both addresses proved, ids as PeerJS makes them, and everything that finds it.
#[test]
#[ignore = "measures the memory of the whole process: cargo test --lib of_a_call_takes -- --ignored"]
fn the_memory_of_a_call_takes_no_more_than_a_kilobyte() {
    const CALLS: u32 = 20_000;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let id = |kind: u32, number: u32| format!("{kind:08x}-aaaa-4bbb-8ccc-{number:012x}");
    let world = World::new(|_| {});
    // Not what is remembered of strangers: that has a limit of its own, and goes after a second.
    let at = |net: u32, number: u32| {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        addr(&format!("{net}.{high}.{low}.1:1000"))
    };
    for number in 0..CALLS {
        [1, 2].into_iter().for_each(|net| world.send(at(net, number), &binding()));
        world.forget_received();
    }
    let before = resident();
    let ufrags = |number: u32| [format!("a{number:05}"), format!("b{number:05}")];
    for number in 0..CALLS {
        let [one, other] = ufrags(number);
        let connection = format!("\"dc_{number:011}\"");
        world.begin(&id(1, number), &id(2, number), &connection, [&one, &other]);
    }
    world.clock.advance(Duration::from_secs(1));
    for number in 0..CALLS {
        let [one, other] = ufrags(number);
        let mut clients = World::clients([&one, &other]);
        for (client, net) in clients.iter_mut().zip([1, 2]) {
            client.at = at(net, number);
            world.send(client.at, &client.check(true));
        }
        // Our checks, and then those of the other one, which have waited.
        for client in clients.iter().chain(&clients) {
            for check in world.received(client.at).iter().filter(|datagram| datagram[..2] == [0, 1]) {
                world.send(client.at, &client.answer(check));
            }
        }
        world.forget_received();
    }
    assert_eq!(world.calls.totals().joined, u64::from(CALLS));
    println!("{} bytes of it are the call itself", size_of::<crate::relay::calls::Call>());
    let each = (resident() - before) / CALLS as usize;
    println!("{each} bytes a call, {} calls", world.calls.totals().calls);
    assert!(each <= 1024, "{each} bytes a call");
}
