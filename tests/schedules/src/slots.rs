//! Slots that change hands, expire, are probed, and are retired.

use std::time::Duration;

use loom::thread;

use crate::house::{House, Plan, Socket, assert_fate, in_every_order, peer};
use crate::router::{PendingRegistration, PostPermit, RegisterRefusal};
use peerbroker_core::vocabulary::{CloseReason, Token};

fn send(house: &House, text: &'static str) -> thread::JoinHandle<(&'static str, bool)> {
    let house = house.clone();
    thread::spawn(move || (text, house.send("a", "b", text)))
}

#[test]
fn a_message_against_a_takeover_comes_once() {
    // The first socket takes everything, nothing, or half a message.
    for room in [usize::MAX, 0, 2] {
        let plan = Plan::new(|_| {});
        in_every_order(move || {
            let house = plan.build();
            let first = Socket::with_room(room);
            let second = Socket::open();
            let old = house.connect("b", &first);
            let one = send(&house, "1");
            let other = house.clone();
            let new = second.clone();
            let takeover = thread::spawn(move || other.connect("b", &new));
            // Its session ends at any time.
            drop(old.part(CloseReason::Left, false));
            let sent = [one.join().unwrap()];
            let lease = takeover.join().unwrap();
            assert!(lease.is_current() && house.realm.len() == 1);
            House::assert_flushed(&lease);
            assert_fate(&sent, &[first.texts(), second.texts()].concat(), &[], "b");
            drop(lease);
            house.check();
            assert!(house.realm.is_vacant());
        });
    }
}

#[test]
fn a_batch_that_expires_while_its_recipient_comes_is_delivered_or_told() {
    let plan = Plan::new(|limits| limits.expire_timeout = Duration::from_secs(5));
    in_every_order(move || {
        let house = plan.build();
        let of_a = Socket::open();
        let _a = house.connect("a", &of_a);
        assert!(house.send("a", "b", "1"));
        house.pass(Duration::from_secs(5));
        let two = send(&house, "2");
        let other = house.clone();
        let socket = Socket::open();
        let new = socket.clone();
        let comes = thread::spawn(move || drop(other.connect("b", &new)));
        house.realm.sweep();
        let sent = [("1", true), two.join().unwrap()];
        comes.join().unwrap();
        let mut came = socket.texts();
        came.extend(house.collect("b"));
        assert_fate(&sent, &came, &of_a.texts(), "b");
        assert!(of_a.texts().len() <= 1, "{:?}", of_a.texts());
        house.check();
    });
}

#[test]
fn a_slot_that_is_retired_gets_no_message() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::open();
        let last = house.connect("b", &socket);
        let one = send(&house, "1");
        let other = house.clone();
        let again = Socket::open();
        let new = again.clone();
        let returns = thread::spawn(move || drop(other.connect("b", &new)));
        // Nothing is left of the id.
        drop(last);
        let sent = [one.join().unwrap()];
        returns.join().unwrap();
        let mut came = [socket.texts(), again.texts()].concat();
        came.extend(house.collect("b"));
        assert_fate(&sent, &came, &[], "b");
        house.check();
        assert!(house.realm.is_vacant());
    });
}

#[test]
fn requests_that_wait_for_a_client_do_not_revive_its_retired_slot() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::open();
        let waits = house.clone();
        let posts = house.clone();
        let waits = thread::spawn(move || {
            drop(PendingRegistration::wait(&waits.realm, &peer("b"), &Token::parse("token").unwrap()));
        });
        let posts = thread::spawn(move || drop(PostPermit::begin(&posts.realm, &peer("b"))));
        drop(house.connect("b", &socket));
        waits.join().unwrap();
        posts.join().unwrap();
        house.check();
        assert!(house.realm.is_vacant());
    });
}

#[test]
fn an_id_and_the_last_place_of_a_key_have_one_holder() {
    let plan = Plan { clients: 1, ..Plan::new(|_| {}) };
    in_every_order(move || {
        let house = plan.build();
        let open = |id: &'static str, token: &'static str| {
            let house = house.clone();
            move || house.open(id, token, Socket::open().outbox())
        };
        let rivals = [thread::spawn(open("b", "one")), thread::spawn(open("b", "two"))];
        let third = open("c", "three")();
        let mut all = Vec::from(rivals.map(|rival| rival.join().unwrap()));
        all.push(third);
        assert_eq!(all.iter().flatten().filter(|lease| lease.is_current()).count(), 1);
        assert_eq!((house.realm.len(), house.limits.taken()), (1, 1));
        let refused = all.iter().filter_map(|one| one.as_ref().err());
        assert!(refused.into_iter().all(|why| matches!(why, RegisterRefusal::Taken | RegisterRefusal::Full)));
        house.check();
        drop(all);
        assert!(house.realm.is_vacant() && house.limits.taken() == 0);
    });
}

#[test]
fn a_client_that_answers_a_ping_ends_the_probe() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::open();
        let lease = house.connect("b", &socket);
        let other = house.clone();
        let prober = thread::spawn(move || other.realm.probe(&peer("b")).expect("few wait"));
        let answers = socket.was_pinged();
        if answers {
            lease.mark_alive();
        }
        let mut answer = prober.join().unwrap();
        assert!(!answers || answer.try_recv() != Err(tokio::sync::oneshot::error::TryRecvError::Empty));
        // Also later.
        lease.mark_alive();
        assert_ne!(answer.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty));
        assert!(!lease.is_probed());
        house.check();
    });
}

#[test]
fn a_probe_ends_whoever_is_first_of_the_answer_the_sweeper_and_the_end() {
    let plan = Plan::new(|limits| {
        limits.probe_timeout = Duration::from_secs(2);
        limits.reclaim_timeout = Duration::ZERO;
    });
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::open();
        let lease = house.connect("b", &socket);
        let mut answer = house.realm.probe(&peer("b")).expect("few wait");
        house.pass(Duration::from_secs(2));
        let other = house.clone();
        let sweeper = thread::spawn(move || other.realm.sweep());
        let other = house.clone();
        let stranger = thread::spawn(move || other.open("b", "stranger", Socket::open().outbox()));
        lease.mark_alive();
        sweeper.join().unwrap();
        let stranger = stranger.join().unwrap();
        assert_ne!(answer.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty));
        let holders = usize::from(lease.is_current()) + usize::from(stranger.is_ok());
        assert!(holders <= 1 && house.realm.len() == holders);
        house.check();
    });
}

#[test]
fn nobody_keeps_an_id_of_a_revoked_key() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        // So the slot is there already.
        assert!(house.send("a", "b", "1"));
        let other = house.clone();
        let comes = thread::spawn(move || other.open("b", "token", Socket::open().outbox()));
        let two = send(&house, "2");
        house.limits.revoke();
        house.realm.revoke();
        let lease = comes.join().unwrap();
        two.join().unwrap();
        assert!(!lease.is_ok_and(|lease| lease.is_current()));
        house.check();
        assert!(house.realm.is_vacant());
    });
}
