//! Signs of life, and silent clients.

use std::time::Duration;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::Count;
use peerbroker_router::RegisterRefusal;

use super::{asked, blocked, closed, house, house_with, is_pending, last, messages};
use crate::socket::{Heard, Socket};
use crate::{House, offer, peer, register_from};

#[test]
fn the_silent_are_pinged_and_then_dropped() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    let pings = || socket.heard().iter().filter(|heard| **heard == Heard::Ping).count();
    for (millis, expected) in [(19_999, 0), (1, 1), (0, 1), (19_999, 1), (1, 2), (19_999, 2)] {
        house.pass(millis);
        assert_eq!(pings(), expected);
    }
    assert!(a.is_current());
    house.pass(1);
    assert!(!a.is_current());
    assert_eq!(last(&socket), Some(closed(CloseReason::TimedOut)));
    assert_eq!(house.counters().total(Count::Closed(CloseReason::TimedOut)), 1);
}

#[test]
fn an_active_client_is_not_pinged_and_a_takeover_restarts_the_clock() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    house.pass(59_999);
    a.mark_alive();
    house.pass(59_999);
    assert!(a.is_current());
    let again = house.connect("a", "s", &Socket::open());
    house.pass(59_999);
    assert!(again.is_current());
    house.pass(1);
    assert!(!again.is_current());
}

#[test]
fn a_holder_that_does_not_answer_a_probe_loses_its_id_but_not_its_messages() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let socket = blocked(0);
    let b = house.connect("b", "t", &socket);
    offer(&a, "b", "x");
    let mut probe = asked(house.realm.probe(&peer("b")));
    house.pass(2999);
    assert!(is_pending(&mut probe) && b.is_current());
    house.pass(1);
    assert!(!is_pending(&mut probe) && !b.is_current());
    assert_eq!(house.counters().total(Count::Closed(CloseReason::Evicted)), 1);
    let new = Socket::open();
    let _new = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["x"]);
    assert_eq!(
        b.part(CloseReason::Left, false).map(|parting| parting.ended.reason),
        Some(CloseReason::Evicted)
    );
}

#[test]
fn an_id_is_kept_for_its_owner_who_was_closed_for_silence_or_slowness() {
    let evict: fn(&House) = |house| {
        let _asked = house.realm.probe(&peer("b"));
        house.pass(3000);
    };
    let stall: fn(&House) = |house| {
        let flooder = house.connect("flooder", "s", &Socket::open());
        (0..20).for_each(|_| offer(&flooder, "b", "x"));
        house.pass(5000);
    };
    for close in [evict, stall] {
        let house = house_with(|limits| limits.outbox_bytes = 1200);
        let b = house.connect("b", "t", &blocked(0));
        close(&house);
        assert!(!b.is_current());
        let thief = || house.try_connect("b", "another", &Socket::open());
        assert!(matches!(thief(), Err(RegisterRefusal::Reserved)));
        let mut wait = asked(house.realm.probe(&peer("b")));
        house.pass(9999);
        assert!(is_pending(&mut wait) && matches!(thief(), Err(RegisterRefusal::Reserved)));
        // It comes back: waiting clients are told, and its new connection can be probed.
        let back = house.connect("b", "t", &Socket::open());
        assert!(!is_pending(&mut wait) && matches!(thief(), Err(RegisterRefusal::Taken)));
        drop(back);
        assert!(thief().is_ok(), "it left by itself");
    }
}

#[test]
fn an_id_whose_owner_does_not_come_back_goes_to_those_who_wait() {
    let house = house();
    let b = house.connect("b", "t", &Socket::open());
    let _asked = house.realm.probe(&peer("b"));
    house.pass(3000);
    assert!(!b.is_current());
    let mut wait = asked(house.realm.probe(&peer("b")));
    house.pass(9999);
    assert!(is_pending(&mut wait));
    house.pass(1);
    assert!(!is_pending(&mut wait));
    let new = house.connect("b", "another", &Socket::open());
    drop(b);
    assert!(new.is_current());
}

/// True if a client gets the id of a holder that did not answer, after what happened to it.
fn is_open_to(from: &str, holder: &str, before: fn(&House), during: fn(&House)) -> bool {
    let house = house();
    let Ok(_b) = house.try_connect_from(holder, "b", "t") else {
        panic!("the id is free");
    };
    house.pass(1000);
    before(&house);
    let _asked = house.realm.probe(&peer("b"));
    during(&house);
    // Long enough for a pong over a slow link, and too short for the end of a reservation.
    house.pass(3000);
    house.pass(9000);
    assert_eq!(house.counters().total(Count::Closed(CloseReason::Evicted)), 1);
    house.try_connect_from(from, "b", "another").is_ok()
}

fn messages_to_b(count: usize) -> impl Fn(&House) {
    move |house| {
        let a = house.connect("a", "s", &Socket::open());
        (0..count).for_each(|_| offer(&a, "b", &"x".repeat(1000)));
    }
}

#[test]
fn a_client_from_the_address_of_a_silent_holder_does_not_wait() {
    let nothing: fn(&House) = |_| ();
    let open = |from, holder| is_open_to(from, holder, nothing, nothing);
    assert!(open("203.0.113.1", "203.0.113.1"));
    assert!(open("2001:db8::1", "2001:db8::ffff:1"), "one household's /64");
    assert!(open("203.0.113.1", "::ffff:203.0.113.1"));
    for (from, holder) in [("203.0.113.2", "203.0.113.1"), ("2001:db8:0:1::1", "2001:db8::1")] {
        assert!(!open(from, holder), "{from} takes the id of {holder}");
    }
}

#[test]
fn a_client_without_an_address_waits() {
    let house = house();
    let client = |token| {
        let outbox = &mut Socket::open().outbox(1000);
        register_from(None, &house.realm, "b", token, outbox)
    };
    let Ok(_b) = client("t") else { panic!("the id is free") };
    let _asked = house.realm.probe(&peer("b"));
    house.pass(3000);
    assert!(matches!(client("another"), Err(RegisterRefusal::Reserved)));
}

#[test]
fn the_id_of_a_holder_whose_link_may_be_slow_is_kept_also_from_its_own_address() {
    let open = |before, during| is_open_to("203.0.113.1", "203.0.113.1", before, during);
    // Over a link of 64 kbit/s, the ping arrives a second late, or much later.
    assert!(open(|house| messages_to_b(7)(house), |_| ()));
    assert!(!open(|house| messages_to_b(9)(house), |_| ()));
    assert!(open(|house| (messages_to_b(60)(house), house.pass(10_000)).1, |_| ()), "all has arrived");
    assert!(open(|_| (), |house| messages_to_b(60)(house)), "these are behind the ping");
}

#[test]
fn a_holder_behind_a_slow_link_has_more_time_to_answer_and_others_wait_no_longer_in_all() {
    let house = house();
    let b = house.connect("b", "t", &Socket::open());
    messages_to_b(32)(&house);
    // Four seconds at 64 kbit/s.
    let mut probe = asked(house.realm.probe(&peer("b")));
    house.pass(6999);
    assert!(b.is_current() && is_pending(&mut probe));
    house.pass(1000);
    assert!(!b.is_current() && !is_pending(&mut probe));
    let thief = || house.try_connect("b", "another", &Socket::open());
    house.pass(13_000 - 7999 - 1);
    assert!(matches!(thief(), Err(RegisterRefusal::Reserved)));
    house.pass(1);
    assert!(thief().is_ok());
}

#[test]
fn the_id_of_a_holder_with_unsent_data_is_kept_also_from_its_own_address() {
    let house = house();
    let socket = Socket::with_room(usize::MAX);
    let a = house.connect("a", "s", &socket);
    house.pass(10_000);
    socket.set_room(0);
    let _asked = house.realm.probe(&peer("a"));
    house.pass(3000);
    assert!(!a.is_current());
    assert!(matches!(house.try_connect("a", "another", &Socket::open()), Err(RegisterRefusal::Reserved)));
}

#[test]
fn with_a_reclaim_timeout_of_zero_an_id_is_free_at_once() {
    let house = house_with(|limits| limits.reclaim_timeout = Duration::ZERO);
    let _b = house.connect("b", "t", &Socket::open());
    let _asked = house.realm.probe(&peer("b"));
    house.pass(3000);
    let _new = house.connect("b", "another", &Socket::open());
}

#[test]
fn a_holder_that_answers_a_probe_keeps_its_id() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    let mut probes: Vec<_> = (0..3).map(|_| asked(house.realm.probe(&peer("a")))).collect();
    // All clients wait for the same answer.
    assert_eq!(socket.heard().iter().filter(|heard| **heard == Heard::Ping).count(), 1);
    house.pass(1000);
    a.mark_alive();
    assert!(probes.iter_mut().all(|probe| !is_pending(probe)));
    house.pass(3000);
    assert!(a.is_current());
    // The next client starts a new probe.
    let mut probe = asked(house.realm.probe(&peer("a")));
    assert_eq!(socket.heard().iter().filter(|heard| **heard == Heard::Ping).count(), 2);
    assert!(is_pending(&mut probe));
}

#[test]
fn a_probe_ends_when_there_is_no_holder_or_the_holder_leaves() {
    let house = house();
    assert!(!is_pending(&mut asked(house.realm.probe(&peer("a")))));
    let a = house.connect("a", "s", &Socket::open());
    let mut probe = asked(house.realm.probe(&peer("a")));
    drop(a);
    assert!(!is_pending(&mut probe));
    let _old = house.connect("a", "s", &Socket::open());
    let mut probe = asked(house.realm.probe(&peer("a")));
    let new = house.connect("a", "s", &Socket::open());
    assert!(!is_pending(&mut probe));
    house.pass(3000);
    assert!(new.is_current());
}

#[test]
fn only_so_many_may_wait_for_one_holder() {
    let house = house();
    let _a = house.connect("a", "s", &Socket::open());
    let mut probes: Vec<_> = (0..16).map(|_| asked(house.realm.probe(&peer("a")))).collect();
    assert!(house.realm.probe(&peer("a")).is_none());
    // Clients that gave up make room.
    drop(probes.pop());
    probes.push(asked(house.realm.probe(&peer("a"))));
    assert!(house.realm.probe(&peer("a")).is_none());
}

#[test]
fn the_sweep_is_asked_for_often_enough_for_the_shortest_time() {
    let limits = Limits::default();
    assert_eq!(limits.sweep_interval(), Duration::from_millis(375));
    let quick = Limits { expire_timeout: Duration::from_millis(80), ..Limits::default() };
    assert_eq!(quick.sweep_interval(), Duration::from_millis(10));
    let short = Limits { alive_timeout: Duration::from_millis(300), ..Limits::default() };
    assert_eq!(short.ping_interval(), Duration::from_millis(100));
}
