//! A lost message is counted once, and gives back the bytes that it took.

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{CloseReason, DropReason, Frame, MessageKind, Opcode};
use peerbroker_events::{Count, Outcome};
use peerbroker_router::{IdLease, Outbox, Routed};

use crate::{House, peer, register, text};

const SMALL: usize = 1_000;

/// A client whose socket takes nothing.
fn open(house: &House, id: &str) -> IdLease {
    register(&house.realm, id, id, &mut Outbox::new(SMALL, None)).unwrap()
}

fn offer(house: &House, from: &str, to: &str, bytes: usize) -> Routed {
    house.realm.route(&peer(from), to, MessageKind::Offer, text(&"x".repeat(bytes))).flushed()
}

fn count(house: &House, outcome: Outcome) -> u64 {
    house.counters().total(Count::Messages(MessageKind::Offer, outcome))
}

/// The client takes all that its outbox has. Returns the opcodes.
fn read(client: &IdLease) -> Vec<Opcode> {
    let mut opcodes = Vec::new();
    client.with_outbox(|outbox| {
        while let Some(frame) = outbox.front() {
            opcodes.extend(frame.opcode());
            let len = frame.len();
            outbox.advance(len);
        }
    });
    opcodes
}

#[test]
fn texts_and_binary_messages_go_to_the_next_connection_of_their_client() {
    let house = House::new(Limits::default());
    let _before = open(&house, "alice");
    for opcode in [Opcode::Text, Opcode::Binary] {
        let frame = Frame::message(opcode, 1, |frame| frame.push(b'x'));
        let routed = house.realm.route(&peer("bob"), "alice", MessageKind::Offer, frame).flushed();
        assert!(matches!(routed, Routed::Delivered(_)));
    }
    assert_eq!(read(&open(&house, "alice")), [Opcode::Text, Opcode::Text, Opcode::Binary], "OPEN, too");
}

#[test]
fn messages_that_leave_a_queue_give_back_their_bytes() {
    // Two fit.
    let house = House::new(Limits { queue_bytes: 250, ..Limits::default() });
    for _ in 0..3 {
        assert!(matches!(offer(&house, "bob", "alice", 100), Routed::Queued));
        assert!(matches!(offer(&house, "bob", "alice", 100), Routed::Queued));
        assert!(house.router.queued_bytes() > 200);
        let alice = open(&house, "alice");
        let waits = alice.with_outbox(|outbox| outbox.len()).unwrap();
        assert_eq!(waits, 3, "OPEN, too");
        read(&alice);
        alice.part(CloseReason::Left, true);
        assert_eq!(house.router.queued_bytes(), 0);
    }
}

#[test]
fn messages_that_wait_too_long_give_back_their_bytes() {
    let house = House::new(Limits::default());
    for _ in 0..2 {
        assert!(matches!(offer(&house, "bob", "alice", 100), Routed::Queued));
    }
    house.clock.advance(Limits::default().expire_timeout);
    house.sweep();
    assert_eq!((house.router.queued_bytes(), count(&house, Outcome::Expired)), (0, 2));
}

#[test]
fn a_message_to_all_counts_those_who_get_it() {
    let house = House::new(Limits::default());
    let [reads, _never_reads] = ["a", "b"].map(|id| open(&house, id));
    let broadcast = || {
        let got = house.realm.broadcast(Frame::of_text(&"x".repeat(200)));
        read(&reads);
        got
    };
    let counts: Vec<usize> = (0..20).map(|_| broadcast()).collect();
    assert_eq!(counts[..2], [2, 2]);
    // Then the outbox of the other is full, now and again.
    assert!(counts.contains(&1), "{counts:?}");
}

#[test]
fn a_message_that_finds_an_outbox_full_is_counted_with_those_that_go_with_it() {
    let house = House::new(Limits::default());
    let _alice = open(&house, "alice");
    let mut lost = None;
    let mut sent = 0;
    while lost.is_none() {
        sent += 1;
        assert!(sent < 20, "no limit");
        if let Routed::Dropped(reason) = offer(&house, "bob", "alice", 200) {
            lost = Some(reason);
        }
    }
    assert_eq!(lost, Some(DropReason::OutboxFull));
    // Each offer has one fate: the batch of the sender goes with the one that was refused.
    assert_eq!(count(&house, Outcome::Dropped(DropReason::OutboxFull)), sent);
}
