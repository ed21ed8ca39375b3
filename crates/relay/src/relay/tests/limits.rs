//! Limits of a relay.

use std::time::Duration;

use super::world::{World, addr, binding};
use peerbroker_media_api::{Dropped, KeyLimits};

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
    world.sweep();
    assert!(!world.answer("a", "b", "1", "bufrag"));
}

#[test]
fn strangers_of_one_address_have_a_rate_limit_except_over_a_proxy_of_this_machine() {
    let world = World::new(|_| {});
    let answered = |from: &str| {
        let at = addr(from);
        (0..1200).for_each(|_| world.send(at, &binding()));
        world.received(at).len()
    };
    assert_eq!(answered("1.1.1.1:1000"), 1000);
    assert_eq!(answered("2.2.2.2:1000 over the broker's TCP"), 1000);
    assert_eq!(answered("127.0.0.1:1000 over the broker's TCP"), 1200);
}

#[test]
fn a_client_has_a_limit_of_offers_that_wait() {
    let world = World::new(|_| {});
    let offered = (0..300).filter(|number| world.offer("a", "b", &number.to_string(), "aufrag")).count();
    assert_eq!(offered, 256);
    assert!(world.offer("a", "b", "5", "aufrag"), "in place of the earlier one");
    assert!(world.offer("c", "b", "1", "cufrag"));
    world.advance(Duration::from_secs(121));
    world.sweep();
    assert!(world.offer("a", "b", "300", "aufrag"));
}

#[test]
fn offers_of_a_client_that_has_left_end_soon_and_of_one_that_came_back_do_not() {
    let world = World::new(|_| {});
    let sweep_without = |id: &str, seconds| {
        *world.absent.borrow_mut() = id.to_owned();
        world.sweep();
        world.advance(Duration::from_secs(seconds));
        world.sweep();
    };
    assert!(world.offer("a", "b", "1", "aufrag") && world.offer("c", "b", "1", "cufrag"));
    sweep_without("a", 4);
    // An answer would wait for it, too.
    sweep_without("", 4);
    assert!(world.answer("a", "b", "1", "bufrag"));
    sweep_without("c", 5);
    assert!(!world.answer("c", "b", "1", "bufrag"));
}

#[test]
fn a_client_with_few_offers_takes_the_place_of_one_with_many() {
    let world = World::new(|_| {});
    let offered = |client: usize| {
        let offer = |number: usize| world.offer(&format!("m{client}"), "b", &number.to_string(), "mufrag");
        (0..256).filter(|number| offer(*number)).count()
    };
    // The limit of all calls.
    assert!((0..390).all(|client| offered(client) == 256));
    assert!((390..400).map(offered).sum::<usize>() > 160);
    for number in 0..20 {
        assert!(world.offer("a", "b", &number.to_string(), "aufrag"));
    }
    assert!((0..20).all(|number| world.answer("a", "b", &number.to_string(), &format!("b{number}ufrag"))));
}

#[test]
fn an_address_has_a_limit_of_offers_and_of_calls() {
    let world = World::new(|limits| limits.calls = 100);
    let offered = (0..12_000).filter(|number| {
        let client = format!("m{}", number / 200);
        world.offer_from(Some("1.1.1.1"), &client, "b", &number.to_string(), "mufrag")
    });
    assert_eq!(offered.count(), 10_000);
    let begun = |address: &str, name: &str| {
        (0..100).filter(|number| world.begins(Some(address), &format!("{name}{number}"), 1)).count()
    };
    // A network of IPv6 is one address.
    assert_eq!((begun("2001:db8::1", "a"), begun("2001:db8::2", "b")), (50, 0));
    assert_eq!(begun("2.2.2.2", "c"), 50);
}

#[test]
fn a_client_has_a_limit_of_calls() {
    let world = World::new(|_| {});
    assert_eq!((0..600).filter(|number| world.begins(None, "m", *number)).count(), 512);
    assert!(world.begins(None, "a", 1));
}

#[test]
fn when_there_are_too_many_calls_unused_ones_of_the_heaviest_client_go_first() {
    let world = World::new(|limits| limits.calls = 60);
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    world.send(caller.at, b"\x80x");
    world.forget_received();
    // The offers of strangers come from two networks and with twenty names.
    for number in 0..200 {
        let address = [Some("1.1.1.1"), Some("2.2.2.2")][number % 2];
        let name = format!("m{}", number % 20);
        world.begins(address, &name, number);
    }
    assert_eq!(world.calls.totals().calls, 60);
    let before = world.calls.totals();
    for number in 0..25 {
        let address = format!("3.3.3.{number}");
        let name = format!("c{number}");
        assert!(world.begins(Some(&address), &name, 1), "{number}");
    }
    let totals = world.calls.totals();
    assert_eq!((totals.calls, totals.displaced - before.displaced), (60, 25));
    assert!(!world.begins(Some("1.1.1.1"), "m0", 1000), "they have more than all others");
    // All calls that others have begun, and the one in use, are still there.
    for number in 0..25 {
        let name = format!("c{number}1ufrag");
        let [one, _] = World::clients([&name, &format!("z{name}")]);
        let one = one.from(&format!("3.3.3.{number}:1"));
        world.advance(Duration::from_secs(1));
        world.send(one.at, &one.check(false));
        assert_eq!(world.received(one.at).len(), 1, "{number}");
    }
    world.send(caller.at, b"\x80y");
    assert!(world.received(callee.at).contains(&b"\x80y".to_vec()));
}

#[test]
fn of_clients_with_as_many_calls_the_oldest_unused_one_goes_first() {
    let world = World::new(|limits| limits.calls = 3);
    for name in ["a", "b", "c", "d"] {
        world.advance(Duration::from_secs(1));
        assert!(world.begins(None, name, 1));
    }
    let has = |name: &str| {
        let [client, _] = World::clients([&format!("{name}1ufrag"), &format!("z{name}1ufrag")]);
        world.send(client.at, &client.check(false));
        let checked = world.received(client.at).len() == 1;
        world.advance(Duration::from_secs(1));
        checked
    };
    world.advance(Duration::from_secs(1));
    assert_eq!(["a", "b", "c", "d"].map(has), [false, true, true, true]);
}

#[test]
fn a_stranger_who_answers_a_guest_first_takes_nothing_from_it() {
    let world = World::new(|_| {});
    assert!(world.offer("a", "b", "1", "aufrag"));
    assert!(!world.answer("a", "m", "1", "mufrag"));
    assert!(world.answer("a", "b", "1", "bufrag"));
    // Of another node, it may be known by an alias.
    assert!(world.offer("a", "alias", "1", "aufrag"));
    assert!(world.answer_from_elsewhere("a", "c", "cufrag"));
}

#[test]
fn calls_have_a_limit_in_all_and_for_each_key() {
    let world = World::new(|limits| limits.calls = 3);
    *world.own.lock().unwrap() = KeyLimits { calls: Some(2), ..KeyLimits::default() };
    let begin = |world: &World, name: &str, connection| world.begins(None, name, connection);
    assert!(begin(&world, "c", 1) && begin(&world, "c", 2));
    // No client of the key has more than the newcomer.
    assert!(!begin(&world, "c", 3));
    assert!(begin(&world, "d", 1), "in place of one of the other client");
    let world = world.of_key("other");
    assert!(begin(&world, "e", 1));
    assert!(!begin(&world, "e", 2));
    let totals = world.calls.totals();
    assert_eq!((totals.calls, totals.refused, totals.displaced), (3, 2, 1));
    // Calls that are over make room.
    world.advance(Duration::from_secs(121));
    world.sweep();
    assert!(begin(&world, "e", 2));
}

#[test]
fn a_call_carries_no_more_bytes_than_its_limit_and_others_do_not_notice() {
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let [other_caller, other_callee] = world.call_with("c", "d", "1", ["cufrag", "dufrag"]);
    let other_caller = other_caller.from("4.4.4.4:1");
    let other_callee = other_callee.from("5.5.5.5:1");
    world.join(&other_caller, &other_callee);
    let packet = [0x80; 100];
    for _ in 0..200 {
        world.send(caller.at, &packet);
    }
    // The burst: ten seconds' worth, with 60 bytes for the headers of each.
    assert_eq!(world.received(callee.at).len(), 62);
    world.send(other_caller.at, &packet);
    assert_eq!(world.received(other_callee.at).len(), 1);
    world.advance(Duration::from_millis(100));
    world.send(callee.at, &packet);
    world.send(callee.at, &packet);
    assert_eq!(world.received(caller.at).len(), 1);
    assert_eq!(world.calls.totals().traffic.dropped[Dropped::TooMuch as usize], 139);
    // A check goes through all the same.
    world.send(caller.at, &caller.check(false));
    assert_eq!(world.received(callee.at).len(), 1);
}

#[test]
fn a_key_has_limits_of_its_own_and_a_change_is_active_for_its_calls_at_the_next_sweep() {
    let own = |calls, bytes_per_second, key_bytes_per_second| KeyLimits {
        calls,
        bytes_per_second,
        key_bytes_per_second,
    };
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    *world.own.lock().unwrap() = own(Some(1), Some(2000), None);
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let passed = || {
        (0..400).for_each(|_| world.send(caller.at, &[0x80; 100]));
        world.received(callee.at).len()
    };
    assert_eq!(passed(), 125);
    assert!(!world.begins(None, "c", 2), "a carried call stays");

    *world.own.lock().unwrap() = own(None, Some(0), Some(1000));
    assert_eq!(passed(), 0);
    world.sweep();
    assert_eq!(passed(), 62);
    assert!(world.begins(None, "c", 2));

    *world.own.lock().unwrap() = own(None, Some(0), Some(0));
    world.sweep();
    assert_eq!(passed(), 400);
    *world.own.lock().unwrap() = KeyLimits::default();
    world.sweep();
    // The server's limit, from which the burst is used up.
    assert_eq!(passed(), 0);
}

#[test]
fn the_calls_of_a_key_share_a_limit() {
    let world = World::new(|_| {});
    *world.own.lock().unwrap() = KeyLimits { key_bytes_per_second: Some(1000), ..KeyLimits::default() };
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let [second, other] = world.call_with("c", "d", "1", ["cufrag", "dufrag"]);
    let second = second.from("4.4.4.4:1");
    let other = other.from("5.5.5.5:1");
    world.join(&second, &other);
    for _ in 0..100 {
        world.send(caller.at, &[0x80; 100]);
        world.send(second.at, &[0x80; 100]);
    }
    assert_eq!(world.received(callee.at).len() + world.received(other.at).len(), 62);
}

#[test]
fn what_the_limit_of_a_key_refuses_is_not_charged_to_the_call() {
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    *world.own.lock().unwrap() = KeyLimits { key_bytes_per_second: Some(500), ..KeyLimits::default() };
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    for _ in 0..1000 {
        world.send(caller.at, &[0x80; 100]);
    }
    assert_eq!(world.received(callee.at).len(), 31);
    // Half of the call's burst is left, and the key has its full burst again.
    world.clock.advance(Duration::from_secs(10));
    for _ in 0..1000 {
        world.send(caller.at, &[0x80; 100]);
    }
    assert_eq!(world.received(callee.at).len(), 31);
}

#[test]
fn tiny_datagrams_cost_what_their_headers_cost() {
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    for _ in 0..1000 {
        world.send(caller.at, &[0x80]);
    }
    assert_eq!(world.received(callee.at).len(), 163);
}

#[test]
fn a_few_checks_are_free_and_more_are_charged_like_all_else() {
    let world = World::new(|limits| limits.bytes_per_second = 1000);
    let [caller, callee] = world.call("a", "b");
    world.join(&caller, &callee);
    let mut passed = 0;
    for _ in 0..60 {
        for _ in 0..100 {
            let check = caller.big_check();
            world.send(caller.at, &check);
            let received = world.received(callee.at);
            passed += received.iter().map(Vec::len).sum::<usize>();
            if !received.is_empty() {
                world.send(callee.at, &callee.answer(&check));
            }
            passed += world.received(caller.at).iter().map(Vec::len).sum::<usize>();
        }
        world.advance(Duration::from_secs(1));
    }
    // A minute and its burst; and the checks and answers of a minute and its burst.
    let most = 70 * 1000 + 70 * 5 * (548 + 100);
    assert!(passed <= most, "{passed} of {most}");
    // Those that keep a call alive go on.
    world.advance(Duration::from_secs(1));
    world.forget_received();
    world.send(callee.at, &callee.check(false));
    assert_eq!(world.received(caller.at).len(), 1);
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

/// Measures a call with both addresses proved, ids as PeerJS makes them, and everything that finds it.
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
    // Without the records of unverified sources, which have a separate limit and are dropped after a second.
    let at = |net: u32, number: u32| {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        addr(&format!("{net}.{high}.{low}.1:1000"))
    };
    for number in 0..CALLS {
        for net in [1, 2] {
            world.send(at(net, number), &binding());
        }
        world.forget_received();
    }
    let before = resident();
    let ufrags = |number: u32| [format!("a{number:05}"), format!("b{number:05}")];
    for number in 0..CALLS {
        let [one, other] = ufrags(number);
        let connection = format!("\"dc_{number:011}\"");
        world.begin(&id(1, number), &id(2, number), &connection, [&one, &other]);
        if number % 1000 == 0 {
            world.sweep();
        }
    }
    world.clock.advance(Duration::from_secs(1));
    for number in 0..CALLS {
        let [one, other] = ufrags(number);
        let mut clients = World::clients([&one, &other]);
        for (client, net) in clients.iter_mut().zip([1, 2]) {
            client.at = at(net, number);
            world.send(client.at, &client.check(true));
        }
        // Our checks, and then the waiting ones of the other client.
        for client in clients.iter().chain(&clients) {
            for check in world.received(client.at).iter().filter(|datagram| datagram[..2] == [0, 1]) {
                world.send(client.at, &client.answer(check));
            }
        }
        world.forget_received();
    }
    assert_eq!(world.calls.totals().joined, u64::from(CALLS));
    println!("{} bytes of it are the call itself", size_of::<crate::relay::call::Call>());
    let each = (resident() - before) / CALLS as usize;
    println!("{each} bytes a call, {} calls", world.calls.totals().calls);
    assert!(each <= 1024, "{each} bytes a call");
}
