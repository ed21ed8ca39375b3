//! The cases worth a name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use peerbroker::broker::{
    Admittance, ApiKey, Goodbye, Limits, Outbox, Outgoing, Parting, Probe, Registration, Routed,
};
use peerbroker::frame::Frame;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::socket::{HANDSHAKE, Heard, Socket};
use crate::{House, expired, offer, peer, send, text};

/// Handshake and OPEN, as bytes on the wire.
const OPENING: usize = HANDSHAKE.len() + 6;

fn house() -> House {
    House::new(Limits::default())
}

fn house_with(set: impl FnOnce(&mut Limits)) -> House {
    let mut limits = Limits::default();
    set(&mut limits);
    House::new(limits)
}

/// A socket that takes no more than the opening and `behind` bytes.
fn blocked(behind: usize) -> Socket {
    Socket::with_room(OPENING + behind)
}

fn closed(why: Goodbye) -> Heard {
    Heard::Close(why.close().map(|(code, _)| code))
}

fn last(socket: &Socket) -> Option<Heard> {
    socket.heard().pop()
}

/// The messages a client got, without OPEN.
fn messages(socket: &Socket) -> Vec<String> {
    let texts = socket.texts();
    assert_eq!(texts.first().map(String::as_str), Some("OPEN"));
    texts[1..].to_vec()
}

fn flush(parting: &Parting) {
    parting.with_outbox(Outbox::flush).expect("it is still there");
}

fn asked(probe: Probe) -> oneshot::Receiver<()> {
    match probe {
        Probe::Asked(answer) => answer,
        Probe::TooMany => panic!("too many ask"),
    }
}

fn is_pending(probe: &mut oneshot::Receiver<()>) -> bool {
    matches!(probe.try_recv(), Err(TryRecvError::Empty))
}

fn slow_readers(house: &House) -> u64 {
    house.broker.counters().slow_readers.load(Ordering::Relaxed)
}

// ---- What is in the middle of being written ----

#[test]
fn a_message_cut_in_the_middle_reaches_the_successor_whole_and_in_order() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(5);
    let b = house.connect("b", "t", &old);
    for message in ["first", "second", "third"] {
        offer(&a, "b", message);
    }
    assert_eq!((messages(&old), old.partial()), (vec![], 5));
    old.break_off();
    drop(b);
    assert!(house.broker.queued_bytes() > 0);
    let new = Socket::open();
    let _b = house.connect("b", "other", &new);
    assert_eq!(messages(&new), ["first", "second", "third"]);
    assert_eq!(house.broker.queued_bytes(), 0);
}

#[test]
fn a_message_cut_during_the_goodbye_waits_in_front_of_what_came_later() {
    let house = house();
    let (a, c) = (house.connect("a", "s", &Socket::open()), house.connect("c", "s", &Socket::open()));
    let old = blocked(5);
    let b = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    offer(&a, "b", "second");
    let parting = b.part(false).unwrap();
    offer(&c, "b", "from somebody else");
    offer(&a, "b", "third");
    drop(parting);
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["first", "second", "from somebody else", "third"]);
}

#[test]
fn a_message_finished_during_the_goodbye_is_delivered_there_and_only_there() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(5);
    let b = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    offer(&a, "b", "second");
    let parting = b.part(false).unwrap();
    old.set_room(usize::MAX);
    parting.with_outbox(|outbox| {
        outbox.push_unbounded(Outgoing { frame: Frame::close(None), from: None });
        outbox.flush();
    });
    drop(parting);
    assert_eq!((messages(&old), last(&old)), (vec!["first".to_owned()], Some(Heard::Close(None))));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["second"]);
}

#[test]
fn a_takeover_moves_what_was_not_written_to_the_new_socket_behind_open_in_order() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(0);
    let before = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    assert!(matches!(send(&a, "b", text("a notice"), false), Routed::Sent(_)));
    offer(&a, "b", "second");
    let new = Socket::open();
    let b = house.connect("b", "t", &new);
    offer(&a, "b", "third");
    assert_eq!(messages(&new), ["first", "a notice", "second", "third"]);
    assert!(b.is_current());
    old.set_room(usize::MAX);
    assert_eq!(before.part(false).map(|parting| (flush(&parting), parting.why()).1), Some(Goodbye::Replaced));
    assert_eq!((messages(&old), last(&old)), (vec![], Some(closed(Goodbye::Replaced))));
}

#[test]
fn a_takeover_takes_back_the_message_that_the_old_socket_is_in_the_middle_of() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(5);
    let before = house.connect("b", "t", &old);
    for message in ["first", "second", "third"] {
        offer(&a, "b", message);
    }
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["first", "second", "third"]);
    // Nothing can follow half a message, so the old one is cut off without a word.
    let parting = before.part(false).unwrap();
    assert!(parting.with_outbox(|outbox| outbox.is_broken()).unwrap());
    old.set_room(usize::MAX);
    flush(&parting);
    drop(parting);
    assert_eq!((messages(&old), old.partial()), (vec![], 5));
    assert_eq!(messages(&new), ["first", "second", "third"]);
}

#[test]
fn a_successor_gets_first_what_a_dismissed_predecessor_is_still_in_the_middle_of() {
    for noticed in [false, true] {
        let house = house_with(|limits| limits.outbox_bytes = 200);
        let a = house.connect("a", "s", &Socket::open());
        let old = blocked(3);
        let mut before = Some(house.connect("b", "t", &old));
        for message in ["1st", "2nd", "3rd", "4th", "5th"] {
            offer(&a, "b", message);
        }
        assert_eq!(slow_readers(&house), 1);
        // Its goodbye may have begun.
        let parting = if noticed { before.take().and_then(|before| before.part(false)) } else { None };
        let new = Socket::open();
        let _b = house.connect("b", "another token", &new);
        assert_eq!(messages(&new), ["1st", "2nd", "3rd", "4th", "5th"], "noticed: {noticed}");
        old.set_room(usize::MAX);
        parting.iter().for_each(flush);
        drop((parting, before));
        assert_eq!(messages(&old), Vec::<String>::new(), "noticed: {noticed}");
        assert_eq!(messages(&new).len(), 5);
    }
}

#[test]
fn the_opening_of_a_connection_goes_to_no_other() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = Socket::with_room(0);
    let before = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    before.reply(Frame::pong(&[]));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(new.heard().len(), 3, "{:?}", new.heard());
    assert_eq!(messages(&new), ["first"]);
    // The old one hears all that it needs to understand why it ends.
    old.set_room(usize::MAX);
    flush(&before.part(false).unwrap());
    let open = Heard::Text("OPEN".to_owned());
    assert_eq!(old.heard(), [Heard::Handshake, open, closed(Goodbye::Replaced)]);
}

#[test]
fn a_connection_that_ends_before_its_opening_was_written_still_gets_it() {
    let house = house();
    let sockets: [Socket; 3] = [Socket::with_room(0), Socket::with_room(4), blocked(0)];
    let registrations: Vec<Registration> =
        sockets.iter().zip(["a", "b", "c"]).map(|(socket, id)| house.connect(id, "s", socket)).collect();
    house.broker.close();
    for (registration, socket) in registrations.into_iter().zip(&sockets) {
        socket.set_room(usize::MAX);
        flush(&registration.part(false).unwrap());
        let open = Heard::Text("OPEN".to_owned());
        assert_eq!(socket.heard(), [Heard::Handshake, open, closed(Goodbye::Shutdown)]);
    }
}

// ---- Who holds an id ----

#[test]
fn a_late_goodbye_does_not_remove_the_successor() {
    let goodbyes: [fn(Registration); 3] =
        [|old| drop(old.part(false)), |old| drop(old.part(true)), |old| drop(old)];
    for goodbye in goodbyes {
        let house = house();
        let old = house.connect("a", "s", &Socket::open());
        let new = house.connect("a", "s", &Socket::open());
        assert!(!old.is_current());
        goodbye(old);
        assert!(new.is_current() && house.realm.contains("a"));
        assert_eq!(house.realm.len(), 1);
        drop(new);
        assert_eq!((house.realm.len(), house.realm.contains("a")), (0, false));
    }
}

#[test]
fn a_goodbye_after_a_timeout_does_not_remove_whoever_came_then() {
    let house = house();
    let old = house.connect("a", "s", &Socket::open());
    house.pass(60_000);
    let new = house.connect("a", "another token", &Socket::open());
    assert_eq!(old.part(true).map(|parting| parting.why()), Some(Goodbye::TimedOut));
    assert!(new.is_current());
    assert_eq!(house.realm.len(), 1);
}

#[test]
fn a_replaced_connection_gets_nothing_more_and_its_signs_of_life_count_for_nobody() {
    let house = house();
    let socket = Socket::open();
    let old = house.connect("a", "s", &socket);
    let new = house.connect("a", "s", &Socket::open());
    offer(&new, "a", "to oneself");
    old.reply(text("a reply"));
    assert_eq!(last(&socket), Some(closed(Goodbye::Replaced)));
    assert!(old.with_outbox(|_| ()).is_none());

    let mut probe = asked(house.realm.probe(&peer("a")));
    old.heard();
    assert!(is_pending(&mut probe));
    new.heard();
    assert!(!is_pending(&mut probe));
}

#[test]
fn another_token_is_refused_and_gets_nothing() {
    let house = house();
    let _a = house.connect("a", "s", &Socket::open());
    let socket = Socket::open();
    let mut outbox = socket.outbox(1000);
    let token = peerbroker::broker::Token::parse("other").unwrap();
    let refused = house.realm.register(&peer("a"), &token, &mut outbox, text("OPEN"));
    assert!(matches!(refused, Admittance::Taken));
    assert_eq!(socket.heard(), []);
    // The outbox is as it was: for the refusal.
    outbox.push_unbounded(Outgoing { frame: text("ID-TAKEN"), from: None });
    outbox.flush();
    assert_eq!(socket.texts(), ["ID-TAKEN"]);
}

#[test]
fn the_limit_is_of_registered_peers_and_not_of_takeovers() {
    let house = house_with(|limits| limits.concurrent_limit = 2);
    let a = house.connect("a", "s", &Socket::open());
    let _b = house.connect("b", "s", &Socket::open());
    offer(&a, "c", "waiting");
    let refused = Socket::open();
    assert!(matches!(house.try_connect("c", "s", &refused), Admittance::Full));
    assert_eq!(refused.heard(), []);
    let again = house.connect("a", "s", &Socket::open());
    assert_eq!(house.realm.len(), 2);
    drop(a);
    assert!(matches!(house.try_connect("c", "s", &Socket::open()), Admittance::Full));
    drop(again);
    let socket = Socket::open();
    let _c = house.connect("c", "s", &socket);
    assert_eq!(messages(&socket), ["waiting"]);
    assert_eq!(house.realm.len(), 2);
}

#[test]
fn a_limit_of_nobody_refuses_everybody() {
    let house = house_with(|limits| limits.concurrent_limit = 0);
    assert!(matches!(house.try_connect("a", "s", &Socket::open()), Admittance::Full));
    assert!(house.realm.is_empty());
}

#[test]
fn ids_are_in_order_of_first_registration_and_a_takeover_keeps_its_place() {
    let house = house();
    let ids = || house.realm.ids().iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut held: Vec<Registration> =
        ["d", "a", "c", "b"].iter().map(|id| house.connect(id, "s", &Socket::open())).collect();
    let _again = house.connect("a", "s", &Socket::open());
    assert_eq!(ids(), ["d", "a", "c", "b"]);
    drop(held.remove(0));
    assert_eq!(ids(), ["a", "c", "b"]);
    let _d = house.connect("d", "s", &Socket::open());
    assert_eq!(ids(), ["a", "c", "b", "d"]);
}

#[test]
fn realms_do_not_know_each_other() {
    let house = house();
    let other = house.broker.add_realm(ApiKey::parse("other").unwrap(), expired);
    let a = house.connect("a", "s", &Socket::open());
    let (socket, token) = (Socket::open(), peerbroker::broker::Token::parse("s").unwrap());
    let registered = other.register(&peer("b"), &token, &mut socket.outbox(1000), text("OPEN"));
    assert!(matches!(registered, Admittance::Registered(_)));
    assert!(matches!(send(&a, "b", text("x"), true), Routed::Kept));
    assert!(matches!(send(&a, "b", text("x"), false), Routed::Dropped));
    assert_eq!(messages(&socket), Vec::<String>::new());
    assert_eq!(house.realm.ids(), [peer("a")]);
    assert!(house.broker.realm("third").is_none());
}

#[test]
fn when_the_server_stops_everybody_hears_it_and_nobody_comes_in() {
    let house = house();
    let sockets: Vec<Socket> = (0..3).map(|_| Socket::open()).collect();
    let held: Vec<Registration> =
        sockets.iter().zip(["a", "b", "c"]).map(|(socket, id)| house.connect(id, "s", socket)).collect();
    house.broker.close();
    assert_eq!(house.broker.peers(), 0);
    assert!(sockets.iter().all(|socket| last(socket) == Some(closed(Goodbye::Shutdown))));
    assert!(held.iter().all(|held| !held.is_current()));
    for id in ["a", "d"] {
        assert!(matches!(house.try_connect(id, "s", &Socket::open()), Admittance::Closing));
    }
}

// ---- Those who do not read ----

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

// ---- Bounds of what waits ----

#[test]
fn an_overflow_expires_that_conversation_only() {
    let bounds: [fn(&mut Limits); 3] = [
        |limits| limits.queue_messages = 3,
        |limits| limits.queue_bytes = 45,
        |limits| limits.queue_total_bytes = 3 * 512 + 45,
    ];
    for bound in bounds {
        let house = house_with(bound);
        let (a_socket, c_socket) = (Socket::open(), Socket::open());
        let (a, c) = (house.connect("a", "s", &a_socket), house.connect("c", "s", &c_socket));
        // 13 bytes each.
        offer(&a, "b", "of a, first");
        offer(&c, "b", "of c, first");
        offer(&a, "b", "of a, other");
        assert!(matches!(send(&a, "b", text("of a, third"), true), Routed::Expired));
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
    assert!(matches!(send(&a, "d", text("x"), true), Routed::Expired));
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
fn what_follows_a_loss_is_lost_with_it() {
    // What a dead socket still held is more than may wait.
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
    assert_eq!(house.broker.counters().expired.load(Ordering::Relaxed), 1);
}

#[test]
fn what_nobody_can_be_called_expires_at_once() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    let impossible = "x".repeat(513);
    assert!(matches!(send(&a, &impossible, text("x"), true), Routed::Expired));
    assert!(matches!(send(&a, "line\nbreak", text("x"), true), Routed::Expired));
    assert!(matches!(send(&a, &impossible, text("x"), false), Routed::Dropped));
    assert_eq!(messages(&socket), [format!("EXPIRE {impossible} a"), "EXPIRE line\nbreak a".to_owned()]);
}

// ---- Expiry ----

#[test]
fn each_conversation_has_a_clock_of_its_own_and_each_sender_hears_once() {
    let house = house();
    let (a_socket, c_socket) = (Socket::open(), Socket::open());
    let (a, c) = (house.connect("a", "s", &a_socket), house.connect("c", "s", &c_socket));
    offer(&a, "b", "first");
    house.pass(3000);
    offer(&a, "b", "second");
    offer(&c, "b", "of c");
    house.pass(1999);
    assert_eq!(messages(&a_socket), Vec::<String>::new());
    house.pass(1);
    assert_eq!(messages(&a_socket), ["EXPIRE b a"]);
    assert_eq!(messages(&c_socket), Vec::<String>::new());
    let socket = Socket::open();
    let _b = house.connect("b", "t", &socket);
    assert_eq!(messages(&socket), ["of c"]);
    house.pass(10_000);
    assert_eq!((messages(&a_socket).len(), messages(&c_socket).len()), (1, 0));
}

#[test]
fn a_message_after_the_expiry_begins_anew() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    for _ in 0..2 {
        offer(&a, "b", "x");
        house.pass(4999);
        assert_eq!(house.broker.queued_bytes(), 3 + 512);
        house.pass(1);
        assert_eq!(house.broker.queued_bytes(), 0);
    }
    assert_eq!(messages(&socket), ["EXPIRE b a", "EXPIRE b a"]);
}

#[test]
fn messages_outlive_their_sender_and_the_notice_goes_to_whoever_has_its_id_then() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    for to in ["b", "c"] {
        offer(&a, to, "x");
    }
    drop(a);
    let (b_socket, a_socket) = (Socket::open(), Socket::open());
    let _b = house.connect("b", "t", &b_socket);
    assert_eq!(messages(&b_socket), ["x"]);
    let _a = house.connect("a", "another", &a_socket);
    house.pass(5000);
    assert_eq!(messages(&a_socket), ["EXPIRE c a"]);
}

#[test]
fn what_is_not_kept_is_dropped_in_silence() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    assert!(matches!(send(&a, "b", text("LEAVE"), false), Routed::Dropped));
    house.pass(60_000 - 1);
    let b_socket = Socket::open();
    let _b = house.connect("b", "t", &b_socket);
    assert_eq!((messages(&socket), messages(&b_socket)), (vec![], vec![]));
}

#[test]
fn pairs_of_ids_that_spell_the_same_do_not_hide_each_other() {
    let house = house();
    let sockets = [Socket::open(), Socket::open(), Socket::open()];
    let pairs = [("a", "b_c"), ("a_b", "c"), ("__proto__", "constructor")];
    let senders: Vec<Registration> =
        pairs.iter().zip(&sockets).map(|((from, _), socket)| house.connect(from, "s", socket)).collect();
    for (sender, (_, to)) in senders.iter().zip(pairs) {
        offer(sender, to, "x");
    }
    house.pass(5000);
    for (socket, (from, to)) in sockets.iter().zip(pairs) {
        assert_eq!(messages(socket), [format!("EXPIRE {to} {from}")]);
    }
}

#[test]
fn any_text_can_be_an_id() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    for id in ["__proto__", "constructor", "toString", "\"", "\\", " ", "é\u{301}", "\u{10FFFF}"] {
        offer(&a, id, "waited");
        let socket = Socket::open();
        let registered = house.connect(id, "t", &socket);
        offer(&a, id, "at once");
        assert_eq!(messages(&socket), ["waited", "at once"], "{id}");
        assert!(house.realm.contains(id));
        drop(registered);
        assert!(!house.realm.contains(id));
    }
}

#[test]
fn a_message_to_oneself_comes_back() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    offer(&a, "a", "x");
    assert_eq!(messages(&socket), ["x"]);
}

// ---- Signs of life ----

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
    assert_eq!(last(&socket), Some(closed(Goodbye::TimedOut)));
    assert_eq!(house.broker.counters().timed_out.load(Ordering::Relaxed), 1);
}

#[test]
fn whoever_was_heard_is_left_alone_and_a_takeover_restarts_the_clock() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    house.pass(59_999);
    a.heard();
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
    let (a, socket) = (house.connect("a", "s", &Socket::open()), blocked(0));
    let b = house.connect("b", "t", &socket);
    offer(&a, "b", "x");
    let mut probe = asked(house.realm.probe(&peer("b")));
    house.pass(2999);
    assert!(is_pending(&mut probe) && b.is_current());
    house.pass(1);
    assert!(!is_pending(&mut probe) && !b.is_current());
    assert_eq!(house.broker.counters().evicted.load(Ordering::Relaxed), 1);
    let new = Socket::open();
    let _new = house.connect("b", "another", &new);
    assert_eq!(messages(&new), ["x"]);
    assert_eq!(b.part(false).map(|parting| parting.why()), Some(Goodbye::Evicted));
}

#[test]
fn a_holder_that_answers_a_probe_keeps_its_id() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    let mut probes: Vec<_> = (0..3).map(|_| asked(house.realm.probe(&peer("a")))).collect();
    // All wait for the same answer.
    assert_eq!(socket.heard().iter().filter(|heard| **heard == Heard::Ping).count(), 1);
    house.pass(1000);
    a.heard();
    assert!(probes.iter_mut().all(|probe| !is_pending(probe)));
    house.pass(3000);
    assert!(a.is_current());
    // The next one asks anew.
    let mut probe = asked(house.realm.probe(&peer("a")));
    assert_eq!(socket.heard().iter().filter(|heard| **heard == Heard::Ping).count(), 2);
    assert!(is_pending(&mut probe));
}

#[test]
fn a_probe_ends_when_the_holder_leaves_or_there_is_none() {
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
    assert!(matches!(house.realm.probe(&peer("a")), Probe::TooMany));
    // Those who gave up make room.
    drop(probes.pop());
    probes.push(asked(house.realm.probe(&peer("a"))));
    assert!(matches!(house.realm.probe(&peer("a")), Probe::TooMany));
}

// ---- Who writes ----

#[test]
fn what_is_sent_in_one_go_is_written_in_one_go_also_by_who_forgets_to() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &Socket::open());
    let _b = house.connect("b", "t", &socket);
    let first = send(&a, "b", text("first"), true);
    assert!(matches!(send(&a, "b", text("second"), true), Routed::Sent(None)));
    assert_eq!(messages(&socket), Vec::<String>::new());
    drop(first);
    assert_eq!(messages(&socket), ["first", "second"]);
    offer(&a, "b", "third");
    assert_eq!(messages(&socket), ["first", "second", "third"]);
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_sockets_own_task_is_woken_when_only_it_can_go_on() {
    let bell = Arc::new(Bell::default());
    let rung = || bell.0.swap(0, Ordering::SeqCst) > 0;
    let waker = Waker::from(Arc::clone(&bell));
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let sockets = [Some(Socket::open()), Some(blocked(0)), None];
    for (socket, wakes) in sockets.iter().zip([false, true, true]) {
        let mut outbox = match socket {
            Some(socket) => socket.outbox(1000),
            // As with TLS: nobody but its task can write.
            None => Outbox::new(1000, None),
        };
        let token = peerbroker::broker::Token::parse("t").unwrap();
        let Admittance::Registered(b) = house.realm.register(&peer("b"), &token, &mut outbox, text("OPEN"))
        else {
            panic!("not admitted")
        };
        b.with_outbox(|outbox| outbox.set_owner(&waker));
        offer(&a, "b", "x");
        assert_eq!(rung(), wakes);
        // Also to hear that it was dismissed.
        let again = house.connect("b", "t", &Socket::open());
        assert!(rung());
        drop((b, again));
    }
}

#[test]
fn a_goodbye_that_was_cut_off_by_a_successor_is_woken_to_end() {
    let bell = Arc::new(Bell::default());
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let b = house.connect("b", "t", &blocked(3));
    offer(&a, "b", "first");
    let parting = b.part(false).unwrap();
    parting.with_outbox(|outbox| outbox.set_owner(&Waker::from(Arc::clone(&bell))));
    let _b = house.connect("b", "t", &Socket::open());
    assert!(bell.0.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_broken_socket_wakes_its_task_and_loses_nothing() {
    let bell = Arc::new(Bell::default());
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let socket = Socket::open();
    let b = house.connect("b", "t", &socket);
    b.with_outbox(|outbox| outbox.set_owner(&Waker::from(Arc::clone(&bell))));
    socket.break_off();
    offer(&a, "b", "first");
    offer(&a, "b", "second");
    assert!(bell.0.load(Ordering::SeqCst) > 0);
    assert_eq!(b.with_outbox(|outbox| outbox.is_broken()), Some(true));
    drop(b.part(true));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["first", "second"]);
}

#[test]
fn the_sweep_is_asked_for_often_enough_for_the_shortest_time() {
    let limits = Limits::default();
    assert_eq!(limits.sweep_interval(), Duration::from_millis(375));
    let quick = Limits { expire_timeout: Duration::from_millis(80), ..Limits::default() };
    assert_eq!(quick.sweep_interval(), Duration::from_millis(10));
    let short = Limits { alive_timeout: Duration::from_millis(300), ..Limits::default() };
    assert_eq!(short.effective_ping_interval(), Duration::from_millis(100));
}
