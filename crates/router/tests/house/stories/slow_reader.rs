//! Clients that do not read.

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_core::vocabulary::Frame;
use peerbroker_events::Count;
use peerbroker_router::{IdLease, Outbox};

use super::{asked, blocked, flush, house, house_with, is_pending, last, messages, slow_readers};
use crate::socket::{Heard, Socket};
use crate::{offer, peer, reply, send, text};

#[test]
fn a_flood_expires_for_its_sender_and_its_recipient_stays() {
    let house = house_with(|limits| limits.outbox_bytes = 4000);
    let flooder = Socket::open();
    let friend = Socket::open();
    let a = house.connect("a", "s", &flooder);
    let c = house.connect("c", "s", &friend);
    let slow = blocked(5);
    let b = house.connect("b", "t", &slow);
    let flood = |count: usize| (0..count).for_each(|no| offer(&a, "b", &format!("{no}")));
    offer(&a, "b", "begun");
    offer(&c, "b", "from a friend");
    flood(100);
    assert!(b.is_current());
    let expired = messages(&flooder).len();
    assert!(expired > 0 && messages(&flooder).iter().all(|text| text == "EXPIRE b a"));
    assert_eq!(house.counters().total(Count::Expired), expired as u64);
    offer(&c, "b", "another");
    slow.set_room(usize::MAX);
    b.with_outbox(Outbox::flush);
    let got = messages(&slow);
    assert_eq!(got[..2], ["begun", "from a friend"]);
    assert!(got.contains(&"another".to_owned()) && got.len() < 20, "{got:?}");
    assert_eq!(messages(&friend), [""; 0], "nothing of a friend expired");
    assert_eq!(slow_readers(&house), 0);
}

#[test]
fn many_senders_with_little_each_lose_what_is_too_much_and_no_more_than_a_quarter() {
    let house = house_with(|limits| limits.outbox_bytes = 14_000);
    let slow = blocked(0);
    let b = house.connect("b", "t", &slow);
    offer(&b, "b", "first");
    let senders: Vec<(Socket, IdLease)> = (0..60)
        .map(|no| {
            let socket = Socket::open();
            let registration = house.connect(&format!("sender {no}"), "s", &socket);
            (socket, registration)
        })
        .collect();
    senders.iter().for_each(|(_, sender)| offer(sender, "b", "x"));
    let expired = senders.iter().filter(|(socket, _)| !messages(socket).is_empty()).count();
    slow.set_room(usize::MAX);
    b.with_outbox(Outbox::flush);
    assert_eq!(messages(&slow).len() - 1, senders.len() - expired, "delivered or expired");
    assert!((10..=25).contains(&expired), "{expired}");
}

#[test]
fn slow_readers_share_what_all_outboxes_may_have_and_others_get_their_messages() {
    const TOTAL: usize = 1 << 20;
    const SLOW: usize = 7;
    let house = house_with(|limits| (limits.outbox_bytes, limits.outbox_total_bytes) = (TOTAL, TOTAL));
    let a = house.connect("a", "s", &Socket::open());
    let fast = Socket::open();
    let _fast = house.connect("fast", "t", &fast);
    let slow = |no| {
        let socket = blocked(0);
        let lease = house.connect(&format!("slow {no}"), "t", &socket);
        (socket, lease)
    };
    let waiting: Vec<(Socket, IdLease)> = (0..SLOW).map(slow).collect();
    let large = "x".repeat(4000);
    let send_to_all = |rounds: usize| {
        let held = (0..rounds).map(|_| {
            (0..SLOW).for_each(|no| offer(&a, &format!("slow {no}"), &large));
            house.realm.backlog().outboxes
        });
        held.max().unwrap()
    };
    let most = send_to_all(100);
    // 16 KiB of each do not count, nor the frame that is being written.
    assert!((TOTAL / 2..TOTAL + SLOW * (20 << 10)).contains(&most), "{most}");
    offer(&a, "fast", &"y".repeat(10_000));
    assert_eq!(messages(&fast).len(), 1);
    drop(waiting);
    let last = slow(0);
    let held = (0..200).map(|_| {
        offer(&a, "slow 0", &large);
        house.realm.backlog().outboxes
    });
    assert!(held.max().unwrap() > TOTAL / 5 * 2, "what the others held is free again");
    drop(last);
}

#[test]
fn a_client_that_takes_nothing_of_a_full_outbox_is_closed_and_the_rest_waits() {
    let house = house_with(|limits| limits.outbox_bytes = 1200);
    let a = house.connect("a", "s", &Socket::open());
    let c = house.connect("c", "s", &Socket::open());
    let slow = blocked(5);
    let b = house.connect("b", "t", &slow);
    offer(&c, "b", "begun");
    offer(&c, "b", "waits");
    for no in 0..6 {
        offer(&a, "b", &format!("message {no}"));
    }
    house.pass(4999);
    assert!(b.is_current());
    house.pass(1);
    assert!(!b.is_current());
    assert_eq!((slow_readers(&house), house.realm.len()), (1, 2));
    slow.set_room(usize::MAX);
    let parting = b.part(CloseReason::Left, false).unwrap();
    flush(&parting);
    assert_eq!(parting.ended.reason, CloseReason::SlowReader);
    drop(parting);
    assert_eq!((messages(&slow), last(&slow)), (vec!["begun".to_owned()], Some(Heard::Close(Some(4003)))));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new)[0], "waits");
}

// Its session has been woken and ends it as broken, so its id is free at once and not kept for a slow client.
#[test]
fn a_socket_that_breaks_is_no_slow_reader_although_a_flood_expired_there() {
    let house = house_with(|limits| limits.outbox_bytes = 1300);
    let a = house.connect("a", "s", &Socket::open());
    let broken = blocked(0);
    let c = house.connect("c", "t", &broken);
    broken.break_off();
    for _ in 0..4 {
        let _ = send(&a, "c", text(&"x".repeat(300)), false);
    }
    house.pass(5000);
    assert!(c.is_current());
    assert_eq!(slow_readers(&house), 0);
    drop(c.part(CloseReason::Left, true));
    let new = Socket::open();
    let _c = house.connect("c", "another", &new);
}

#[test]
fn a_client_that_reads_slowly_but_reads_stays_and_keeps_its_id() {
    let house = house_with(|limits| limits.outbox_bytes = 4000);
    let a = house.connect("a", "s", &Socket::open());
    let slow = blocked(1);
    let b = house.connect("b", "t", &slow);
    for round in 0..100 {
        for _ in 0..30 {
            offer(&a, "b", "flood");
        }
        let mut probe = asked(house.realm.probe(&peer("b")));
        house.pass(2000);
        assert!(is_pending(&mut probe), "what it took before is no answer");
        slow.set_room(10);
        b.with_outbox(Outbox::flush);
        // A second probe does not invalidate the answer to the first.
        let _another = house.realm.probe(&peer("b"));
        house.pass(999);
        assert!(!is_pending(&mut probe) && b.is_current(), "round {round}");
    }
    assert_eq!(slow_readers(&house), 0);
}

#[test]
fn queued_messages_expire_for_a_client_that_reads_none_of_them() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    offer(&a, "b", "begun");
    offer(&a, "b", "waited");
    let waiting = house.router.queued_bytes();
    let slow = blocked(1);
    let b = house.connect("b", "t", &slow);
    assert_eq!(house.router.queued_bytes(), waiting, "it still counts for all that waits");
    house.pass(5000);
    assert!(!b.is_current());
    house.pass(5000);
    drop(b);
    house.pass(5000);
    assert_eq!(house.router.queued_bytes(), 0);
}

#[test]
fn a_ping_goes_in_front_of_what_is_not_begun() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let slow = blocked(3);
    let b = house.connect("b", "t", &slow);
    ["begun", "second"].iter().for_each(|message| offer(&a, "b", message));
    let _asked = house.realm.probe(&peer("b"));
    house.pass(1);
    slow.set_room(usize::MAX);
    b.with_outbox(Outbox::flush);
    let text = |text: &str| Heard::Text(text.to_owned());
    assert_eq!(slow.heard()[2..], [text("begun"), Heard::Ping, text("second")]);
}

#[test]
fn takeovers_that_read_nothing_gather_no_more_than_may_wait() {
    let house = house_with(|limits| (limits.outbox_bytes, limits.queue_bytes) = (10_000, 20_000));
    let a = house.connect("a", "s", &Socket::open());
    let mut b = house.connect("b", "t", &blocked(0));
    for _ in 0..50 {
        for no in 0..30 {
            offer(&a, "b", &format!("{no}{}", "x".repeat(1000)));
        }
        b = house.connect("b", "t", &blocked(0));
        assert!(house.router.queued_bytes() <= 20_000 + 20 * 512, "{}", house.router.queued_bytes());
    }
    let socket = Socket::open();
    drop(house.connect("b", "t", &socket));
    let got: usize = messages(&socket).iter().map(String::len).sum();
    assert!((1..=20_000).contains(&got), "{got}");
    drop(b);
}

#[test]
fn one_that_does_not_read_the_answers_to_its_own_pings_is_a_slow_reader() {
    let house = house_with(|limits| limits.outbox_bytes = 1200);
    let socket = blocked(0);
    let a = house.connect("a", "s", &socket);
    for _ in 0..10 {
        reply(&a, Frame::pong(b"x"));
    }
    assert!(!a.is_current());
    assert_eq!(slow_readers(&house), 1);
    assert_eq!(
        a.part(CloseReason::Left, false).map(|parting| parting.ended.reason),
        Some(CloseReason::SlowReader)
    );
}

#[test]
fn one_that_does_not_read_that_its_messages_expired_is_a_slow_reader() {
    let house = house_with(|limits| limits.outbox_bytes = 1200);
    let a = house.connect("a", "s", &blocked(0));
    for no in 0..6 {
        offer(&a, &format!("absent {no}"), "x");
    }
    assert!(a.is_current());
    house.pass(5000);
    assert_eq!(slow_readers(&house), 1);
    assert_eq!(
        a.part(CloseReason::Left, false).map(|parting| parting.ended.reason),
        Some(CloseReason::SlowReader)
    );
}

#[test]
fn a_notice_goes_before_what_others_have_waiting_and_they_are_told() {
    let house = house_with(|limits| limits.outbox_bytes = 1200);
    let slow = blocked(0);
    let a = house.connect("a", "s", &slow);
    let socket = Socket::open();
    let filler = house.connect("filler", "s", &socket);
    for _ in 0..5 {
        offer(&filler, "a", "more than may wait");
    }
    offer(&a, "absent", "x");
    house.pass(4999);
    slow.set_room(usize::MAX);
    a.with_outbox(Outbox::flush);
    slow.set_room(0);
    for _ in 0..5 {
        offer(&filler, "a", "more than may wait");
    }
    house.pass(1);
    assert!(a.is_current());
    assert_eq!(messages(&socket), ["EXPIRE a filler"]);
    slow.set_room(usize::MAX);
    a.with_outbox(Outbox::flush);
    assert_eq!(messages(&slow).last().map(String::as_str), Some("EXPIRE absent a"));
}

#[test]
fn a_blocked_peer_does_not_hold_up_others_and_one_big_message_always_fits() {
    let house = house_with(|limits| limits.outbox_bytes = 1200);
    let a = house.connect("a", "s", &Socket::open());
    let blocked = blocked(0);
    let open = Socket::open();
    let b = house.connect("b", "s", &blocked);
    let _c = house.connect("c", "s", &open);
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
fn queued_messages_do_not_make_a_client_a_slow_reader() {
    let house = house_with(|limits| limits.outbox_bytes = 1200);
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
