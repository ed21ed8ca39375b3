//! Limits of the queues of absent peers.

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{CloseReason, DropReason, MessageKind, PeerId};
use peerbroker_events::{Count, Outcome};
use peerbroker_router::{Realm, Routed};

use super::{blocked, house, house_with, messages};
use crate::socket::Socket;
use crate::{offer, peer, send, text};

/// The reason for a lost message.
fn dropped(routed: Routed) -> Option<DropReason> {
    match routed {
        Routed::Dropped(reason) => Some(reason),
        Routed::Delivered(_) | Routed::Queued => None,
    }
}

/// The total of which one key alone may use so many bytes: seven eighths.
fn of_one_key(bytes: usize) -> usize {
    bytes * 8 / 7
}

#[test]
fn a_key_that_fills_the_queues_leaves_room_for_others_and_they_share_equally_in_the_end() {
    const TOTAL: usize = 8 << 20;
    let house = house_with(|limits| (limits.queue_total_bytes, limits.queue_messages) = (TOTAL, usize::MAX));
    let other = house.another_realm();
    let payload = "x".repeat(1000);
    let bytes = text(&payload).len() + 512;
    // The messages of a key that wait when nothing more has room.
    let fill = |realm: &Realm, at: usize| {
        let sent = (0..).take_while(|number| {
            let frame = text(&payload);
            let to = format!("absent-{at}-{}", number % 100);
            let routed = realm.route(&PeerId::server(), &to, MessageKind::Server, frame);
            matches!(routed, Routed::Queued)
        });
        sent.count() * bytes
    };
    let near = |is: usize, share: usize| assert!(is.abs_diff(share) < 8 * bytes, "{is} is not near {share}");
    let pass = |millis| {
        house.pass(millis);
        other.sweep();
    };
    near(fill(&house.realm, 0), TOTAL / 8 * 7);
    pass(2500);
    near(fill(&other, 1), TOTAL / 8 / 8 * 7);
    // The messages of the first key have expired.
    pass(2500);
    near(fill(&other, 2), TOTAL / 8 * 7 - TOTAL / 8 / 8 * 7);
    pass(2500);
    // Its first ones have expired since, so 15 of 64 parts are free.
    near(fill(&house.realm, 3), TOTAL / 64 * 15 / 8 * 7);
    pass(2500);
    assert!(house.router.queued_bytes() <= TOTAL);
    pass(5000);
    assert_eq!(house.router.queued_bytes(), 0);
}

#[test]
fn a_message_for_many_absent_peers_takes_its_bytes_once() {
    let house = house();
    let mut frame = text(&"x".repeat(60_000));
    for number in 0..75 {
        let to = format!("absent-{number}");
        let routed = house.realm.route(&peer("a"), &to, MessageKind::Room, frame.share());
        assert!(matches!(routed, Routed::Queued));
    }
    assert_eq!(house.router.queued_bytes(), frame.len() + 75 * 512);
    let lease = house.connect("absent-0", "s", &blocked(0));
    assert_eq!(house.router.queued_bytes(), frame.len() + 75 * 512);
    drop(lease);
    for number in 1..75 {
        drop(house.connect(&format!("absent-{number}"), "s", &Socket::open()));
    }
    assert_eq!(house.router.queued_bytes(), frame.len() + 512);
    house.pass(5000);
    assert_eq!(house.router.queued_bytes(), 0);
}

#[test]
fn messages_of_rooms_and_of_the_app_are_refused_one_by_one() {
    for kind in [MessageKind::Room, MessageKind::Server] {
        let house = house_with(|limits| limits.queue_messages = 10);
        let _a = house.connect("a", "s", &Socket::open());
        let from = if kind == MessageKind::Room { peer("a").in_rooms() } else { PeerId::server() };
        let fates: Vec<bool> = (0..12)
            .map(|number| house.realm.route(&from, "b", kind, text(&number.to_string())))
            .map(|routed| matches!(routed, Routed::Queued))
            .collect();
        assert_eq!(fates, [[true; 10].as_slice(), &[false; 2]].concat());
        let socket = Socket::open();
        let _b = house.connect("b", "s", &socket);
        assert_eq!(messages(&socket), (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn an_overflow_expires_that_conversation_only() {
    type SetLimit = fn(&mut Limits);
    let bounds: [(SetLimit, DropReason); 3] = [
        (|limits| limits.queue_messages = 3, DropReason::QueueMessages),
        (|limits| limits.queue_bytes = 45, DropReason::QueueBytes),
        (|limits| limits.queue_total_bytes = of_one_key(3 * 512 + 45), DropReason::QueueTotalBytes),
    ];
    for (bound, reason) in bounds {
        let house = house_with(bound);
        let a_socket = Socket::open();
        let c_socket = Socket::open();
        let a = house.connect("a", "s", &a_socket);
        let c = house.connect("c", "s", &c_socket);
        // 13 bytes each.
        offer(&a, "b", "of a, first");
        offer(&c, "b", "of c, first");
        offer(&a, "b", "of a, other");
        assert_eq!(dropped(send(&a, "b", text("of a, third"), true)), Some(reason));
        assert_eq!(messages(&a_socket), ["EXPIRE b a"]);
        assert_eq!(messages(&c_socket), Vec::<String>::new());
        // There is room again, and the clock starts anew.
        offer(&a, "b", "of a, again");
        let socket = Socket::open();
        let _b = house.connect("b", "t", &socket);
        assert_eq!(messages(&socket), ["of c, first", "of a, again"]);
        assert_eq!(house.router.queued_bytes(), 0);
    }
}

#[test]
fn the_total_is_shared_by_all_recipients_and_given_back() {
    let house = house_with(|limits| limits.queue_total_bytes = of_one_key(2 * 512 + 100));
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    offer(&a, "b", "x");
    offer(&a, "c", "x");
    assert!(matches!(send(&a, "d", text("x"), true), Routed::Dropped(_)));
    assert_eq!(messages(&socket), ["EXPIRE d a"]);
    assert!(house.router.queued_bytes() <= 2 * 512 + 100);
    drop(house.connect("b", "t", &Socket::open()));
    offer(&a, "d", "x");
    house.pass(5000);
    assert_eq!(house.router.queued_bytes(), 0);
    let mut told = messages(&socket);
    told.sort();
    assert_eq!(told, ["EXPIRE c a", "EXPIRE d a", "EXPIRE d a"]);
}

#[test]
fn later_messages_of_a_dropped_conversation_are_dropped_too() {
    // The outbox of the dead socket exceeds the queue limit.
    let house = house_with(|limits| limits.queue_bytes = 60);
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    let c = house.connect("c", "s", &Socket::open());
    let b = house.connect("b", "t", &blocked(0));
    offer(&c, "b", "of c");
    offer(&a, "b", "first");
    offer(&a, "b", &"x".repeat(100));
    offer(&a, "b", "third");
    drop(b);
    assert_eq!(messages(&socket), ["EXPIRE b a"]);
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["of c"]);
    assert_eq!(house.counters().total(Count::Expired), 1);
}

#[test]
fn a_message_to_an_impossible_id_expires_at_once() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    let impossible = "x".repeat(513);
    for (id, keep) in [(impossible.as_str(), true), ("line\nbreak", true), (&impossible, false)] {
        assert_eq!(dropped(send(&a, id, text("x"), keep)), Some(DropReason::InvalidId));
    }
    assert_eq!(messages(&socket), [format!("EXPIRE {impossible} a"), "EXPIRE line\nbreak a".to_owned()]);
}

#[test]
fn a_message_that_does_not_wait_is_lost_to_a_peer_that_was_just_dismissed() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let b = house.connect("b", "s", &Socket::open());
    assert_eq!(dropped(send(&a, "b", text("x"), false)), None);
    b.dismiss(CloseReason::Kicked);
    assert_eq!(dropped(send(&a, "b", text("x"), false)), Some(DropReason::Absent));
    let counters = house.counters();
    let leaves = |outcome| counters.total(Count::Messages(MessageKind::Leave, outcome));
    assert_eq!(leaves(Outcome::Delivered), 1);
    assert_eq!(leaves(Outcome::Dropped(DropReason::Absent)), 1);
}

#[test]
fn nothing_waits_under_a_key_that_was_revoked() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    house.revoke();
    for (keep, reason) in [(true, DropReason::KeyRevoked), (false, DropReason::Absent)] {
        assert_eq!(dropped(send(&a, "b", text("x"), keep)), Some(reason));
    }
    assert_eq!(house.router.queued_bytes(), 0);
}

#[test]
fn each_message_is_counted_where_it_ends() {
    let house = house_with(|limits| limits.queue_messages = 2);
    let a = house.connect("a", "s", &Socket::open());
    offer(&a, "b", "first");
    offer(&a, "b", "second");
    let _b = house.connect("b", "t", &Socket::open());
    offer(&a, "b", "third");
    offer(&a, "c", "expires");
    house.pass(5000);
    for message in ["fits", "fits too", "one too many"] {
        offer(&a, "d", message);
    }
    let counters = house.counters();
    let offers = |outcome| counters.total(Count::Messages(MessageKind::Offer, outcome));
    assert_eq!(offers(Outcome::Queued), 5);
    assert_eq!(offers(Outcome::Delivered), 3);
    assert_eq!(offers(Outcome::Expired), 1);
    // All that its sender had waiting there is lost with it.
    assert_eq!(offers(Outcome::Dropped(DropReason::QueueMessages)), 3);
    assert_eq!((counters.total(Count::Expired), counters.total(Count::Opened)), (2, 2));
}
