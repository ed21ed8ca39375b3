//! Limits of the queues of absent peers.

use peerbroker::config::Limits;
use peerbroker::events::{Count, Outcome};
use peerbroker::router::Routed;
use peerbroker::wire::{CloseReason, DropReason, MessageKind};

use super::{blocked, house, house_with, messages};
use crate::socket::Socket;
use crate::{offer, send, text};

/// The reason for a lost message.
fn dropped(routed: Routed) -> Option<DropReason> {
    match routed {
        Routed::Dropped(reason) => Some(reason),
        Routed::Delivered(_) | Routed::Queued => None,
    }
}

#[test]
fn an_overflow_expires_that_conversation_only() {
    type SetLimit = fn(&mut Limits);
    let bounds: [(SetLimit, DropReason); 3] = [
        (|limits| limits.queue_messages = 3, DropReason::QueueMessages),
        (|limits| limits.queue_bytes = 45, DropReason::QueueBytes),
        (|limits| limits.queue_total_bytes = 3 * 512 + 45, DropReason::QueueTotalBytes),
    ];
    for (bound, reason) in bounds {
        let house = house_with(bound);
        let (a_socket, c_socket) = (Socket::open(), Socket::open());
        let (a, c) = (house.connect("a", "s", &a_socket), house.connect("c", "s", &c_socket));
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
        assert_eq!(house.broker.queued_bytes(), 0);
    }
}

#[test]
fn the_total_is_shared_by_all_recipients_and_given_back() {
    let house = house_with(|limits| limits.queue_total_bytes = 2 * 512 + 100);
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    offer(&a, "b", "x");
    offer(&a, "c", "x");
    assert!(matches!(send(&a, "d", text("x"), true), Routed::Dropped(_)));
    assert_eq!(messages(&socket), ["EXPIRE d a"]);
    assert!(house.broker.queued_bytes() <= 2 * 512 + 100);
    drop(house.connect("b", "t", &Socket::open()));
    offer(&a, "d", "x");
    house.pass(5000);
    assert_eq!(house.broker.queued_bytes(), 0);
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
    assert_eq!(house.broker.counters().total(Count::Expired), 1);
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
    let counters = house.broker.counters();
    let leaves = |outcome| counters.total(Count::Messages(MessageKind::Leave, outcome));
    assert_eq!(leaves(Outcome::Delivered), 1);
    assert_eq!(leaves(Outcome::Dropped(DropReason::Absent)), 1);
}

#[test]
fn nothing_waits_under_a_key_that_was_revoked() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    house.broker.remove_key("peerjs");
    for (keep, reason) in [(true, DropReason::KeyRevoked), (false, DropReason::Absent)] {
        assert_eq!(dropped(send(&a, "b", text("x"), keep)), Some(reason));
    }
    assert_eq!(house.broker.queued_bytes(), 0);
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
    let counters = house.broker.counters();
    let offers = |outcome| counters.total(Count::Messages(MessageKind::Offer, outcome));
    assert_eq!(offers(Outcome::Queued), 5);
    assert_eq!(offers(Outcome::Delivered), 3);
    assert_eq!(offers(Outcome::Expired), 1);
    // All that its sender had waiting there is lost with it.
    assert_eq!(offers(Outcome::Dropped(DropReason::QueueMessages)), 3);
    assert_eq!((counters.total(Count::Expired), counters.total(Count::Opened)), (2, 2));
}
