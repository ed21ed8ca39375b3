//! Those who do not read.

use peerbroker::broker::{Goodbye, Outbox};
use peerbroker::frame::Frame;

use super::{blocked, flush, house_with, last, messages, slow_readers};
use crate::offer;
use crate::socket::{Heard, Socket};

#[test]
fn a_slow_reader_hears_why_and_is_counted_and_its_messages_wait() {
    let house = house_with(|limits| limits.outbox_bytes = 300);
    let sender = Socket::open();
    let a = house.connect("a", "s", &sender);
    let slow = blocked(5);
    let b = house.connect("b", "t", &slow);
    let sent: Vec<String> = (0..6).map(|no| format!("message {no}")).collect();
    for message in &sent {
        offer(&a, "b", message);
    }
    assert!(!b.is_current());
    assert_eq!((slow_readers(&house), house.realm.len()), (1, 1));
    slow.set_room(usize::MAX);
    let parting = b.part(false).unwrap();
    flush(&parting);
    assert_eq!(parting.why(), Goodbye::SlowReader);
    drop(parting);
    assert_eq!((messages(&slow), last(&slow)), (vec![sent[0].clone()], Some(Heard::Close(Some(4003)))));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), sent[1..]);
    assert_eq!(messages(&sender), Vec::<String>::new());
}

#[test]
fn one_that_does_not_read_the_answers_to_its_own_pings_is_a_slow_reader() {
    let house = house_with(|limits| limits.outbox_bytes = 300);
    let socket = blocked(0);
    let a = house.connect("a", "s", &socket);
    for _ in 0..10 {
        a.reply(Frame::pong(b"x"));
    }
    assert!(!a.is_current());
    assert_eq!(slow_readers(&house), 1);
    assert_eq!(a.part(false).map(|parting| parting.why()), Some(Goodbye::SlowReader));
}

#[test]
fn one_that_does_not_read_that_its_messages_expired_is_a_slow_reader() {
    let house = house_with(|limits| limits.outbox_bytes = 300);
    let a = house.connect("a", "s", &blocked(0));
    let filler = house.connect("filler", "s", &Socket::open());
    for _ in 0..5 {
        offer(&filler, "a", "x");
    }
    offer(&a, "absent", "x");
    assert!(a.is_current());
    house.pass(5000);
    assert_eq!(slow_readers(&house), 1);
    assert_eq!(a.part(false).map(|parting| parting.why()), Some(Goodbye::SlowReader));
}

#[test]
fn what_a_slow_reader_loses_when_it_is_told_of_a_loss_is_told_as_well() {
    let house = house_with(|limits| (limits.outbox_bytes, limits.queue_bytes) = (300, 20));
    let a = house.connect("a", "s", &blocked(0));
    let socket = Socket::open();
    let filler = house.connect("filler", "s", &socket);
    for _ in 0..4 {
        offer(&filler, "a", "more than may wait for one");
    }
    offer(&a, "absent", "x");
    assert!(a.is_current());
    house.pass(5000);
    assert!(!a.is_current());
    assert_eq!(messages(&socket), ["EXPIRE a filler"]);
}

#[test]
fn a_blocked_peer_does_not_hold_up_others_and_one_big_message_always_fits() {
    let house = house_with(|limits| limits.outbox_bytes = 300);
    let a = house.connect("a", "s", &Socket::open());
    let (blocked, open) = (blocked(0), Socket::open());
    let (b, _c) = (house.connect("b", "s", &blocked), house.connect("c", "s", &open));
    let big = "x".repeat(10_000);
    offer(&a, "b", &big);
    offer(&a, "c", &big);
    assert!(b.is_current());
    assert!(messages(&open) == [&*big]);
    blocked.set_room(usize::MAX);
    b.with_outbox(Outbox::flush);
    assert!(messages(&blocked) == [&*big]);
}

#[test]
fn what_waited_does_not_make_a_slow_reader() {
    let house = house_with(|limits| limits.outbox_bytes = 300);
    let a = house.connect("a", "s", &Socket::open());
    let sent: Vec<String> = (0..50).map(|no| format!("message {no}")).collect();
    for message in &sent {
        offer(&a, "b", message);
    }
    let socket = blocked(0);
    let b = house.connect("b", "t", &socket);
    offer(&a, "b", "another");
    assert!(b.is_current());
    socket.set_room(usize::MAX);
    b.with_outbox(Outbox::flush);
    assert_eq!(messages(&socket)[..50], sent);
    assert_eq!(messages(&socket)[50..], ["another"]);
}
