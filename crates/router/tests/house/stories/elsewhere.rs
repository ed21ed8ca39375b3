//! Peers of other nodes, and ids that nobody has: what a node of a cluster keeps of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{DropReason, MessageKind, NodeId};
use peerbroker_router::{
    Flushes, ForwardOutcome, Located, Outbox, Outgoing, PeerHandle, Receipt, Reporter, Routed,
};

use super::{blocked, messages};
use crate::socket::Socket;
use crate::{House, offer, peer, send, text};

fn node(set: impl FnOnce(&mut Limits)) -> House {
    let mut limits = Limits::default();
    set(&mut limits);
    House::in_cluster(limits)
}

/// True if a message is kept until its recipient is found.
fn is_sought(routed: &Routed) -> bool {
    matches!(routed, Routed::Queued)
}

/// The node of a sender, which may have told it that its messages are lost.
#[derive(Clone)]
struct Forwarder {
    node: NodeId,
    ticket: u64,
    waits: Arc<AtomicBool>,
    is_sure: Arc<AtomicBool>,
    outcomes: Arc<Mutex<Vec<ForwardOutcome>>>,
}

impl Reporter for Forwarder {
    fn report(&self, outcome: ForwardOutcome) {
        self.outcomes.lock().unwrap().push(outcome);
    }

    fn is_awaited(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    fn is_sure(&self) -> bool {
        self.is_sure.load(Ordering::Relaxed)
    }

    fn is_of(&self, node: NodeId, ticket: u64) -> bool {
        (self.node, self.ticket) == (node, ticket)
    }
}

impl Forwarder {
    fn new() -> Self {
        let [waits, is_sure] = [(); 2].map(|()| Arc::new(true.into()));
        Forwarder { node: NodeId::new(1), ticket: 0, waits, is_sure, outcomes: Arc::default() }
    }

    /// Forwards a message to a client of the house.
    fn forward(&self, house: &House, to: &PeerHandle, ticket: u64, message: &str) {
        let receipt = Receipt::new(Forwarder { ticket, ..self.clone() });
        let message = Outgoing::foreign(peer("far"), MessageKind::Offer, text(message), receipt);
        let accepted = house.realm.accept(to.id(), to.connection(), message);
        Flushes::with(|flushes| flushes.extend(accepted.ok().flatten()));
    }
}

#[test]
fn a_message_that_another_node_has_given_up_is_not_written_any_more() {
    let house = node(|_| {});
    let a = house.connect("a", "s", &Socket::open());
    let socket = blocked(3);
    let b = house.connect("b", "t", &socket);
    let forwarder = Forwarder::new();
    let accept = |message: &str| forwarder.forward(&house, &b, 1, message);
    // Three bytes of it are written.
    accept("begun");
    accept("late");
    offer(&a, "b", "from here");
    forwarder.waits.store(false, Ordering::Relaxed);
    accept("late as well");
    socket.set_room(usize::MAX);
    b.with_outbox(|outbox| {
        outbox.unblock();
        outbox.flush();
    });
    assert_eq!(messages(&socket), ["begun", "from here"]);
    let outcomes = forwarder.outcomes.lock().unwrap().clone();
    assert_eq!(outcomes, [ForwardOutcome::Dropped, ForwardOutcome::Dropped, ForwardOutcome::Delivered]);
}

#[test]
fn after_a_pause_a_message_of_another_node_is_written_once_that_has_not_given_it_up() {
    let house = node(|_| {});
    let a = house.connect("a", "s", &Socket::open());
    let socket = Socket::open();
    let b = house.connect("b", "t", &socket);
    let forwarder = Forwarder::new();
    forwarder.is_sure.store(false, Ordering::Relaxed);
    for (ticket, message) in [(1, "given up"), (2, "awaited")] {
        forwarder.forward(&house, &b, ticket, message);
    }
    offer(&a, "b", "behind");
    assert!(messages(&socket).is_empty(), "nothing overtakes another message");
    house.realm.give_up(&peer("b"), NodeId::new(2), 2);
    house.realm.give_up(&peer("b"), forwarder.node, 1);
    forwarder.is_sure.store(true, Ordering::Relaxed);
    b.with_outbox(Outbox::flush);
    assert_eq!(messages(&socket), ["awaited", "behind"]);
    let outcomes = forwarder.outcomes.lock().unwrap().clone();
    assert_eq!(outcomes, [ForwardOutcome::Dropped, ForwardOutcome::Delivered]);
}

#[test]
fn messages_to_ever_new_ids_leave_nothing_behind() {
    let house = node(|limits| limits.queue_total_bytes = 100 << 10);
    let a = house.connect("a", "s", &Socket::open());
    (0..1000).for_each(|number| offer(&a, &format!("unknown-{number}"), "x"));
    drop(a);
    house.pass(5000);
    house.pass(5000);
    assert_eq!(house.router.queued_bytes(), 0);
    assert!(house.realm.is_vacant(), "no slot is left");
}

#[test]
fn senders_that_flood_unknown_ids_leave_room_for_the_first_messages_of_others() {
    const FLOODERS: usize = 100;
    let house = node(|limits| limits.queue_total_bytes = 16 << 20);
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|number| house.connect(&format!("flooder-{number}"), "s", &Socket::open()))
        .collect();
    let honest_has_room = |round: usize| {
        let honest = house.connect(&format!("honest-{round}"), "s", &Socket::open());
        (0..5).all(|number| {
            is_sought(&send(&honest, &format!("friend-{round}-{number}"), text(&"x".repeat(1000)), true))
        })
    };
    let mut refused = 0;
    for round in 0..500 {
        for (number, flooder) in flooders.iter().enumerate() {
            let id = format!("unknown-{number}-{round}");
            refused += usize::from(!is_sought(&send(flooder, &id, text("x"), true)));
        }
    }
    assert!(refused > 0, "the flood has filled the queues");
    assert!(honest_has_room(0), "while nothing is answered");
    for round in 0..500 {
        for number in 0..FLOODERS {
            let id = peer(&format!("unknown-{number}-{round}"));
            house.realm.located(&id, Located::Nowhere(20_000));
        }
    }
    assert!(honest_has_room(1), "when all these ids are known to be absent");
}

#[test]
fn messages_that_have_no_room_once_their_recipient_is_known_to_be_absent_expire() {
    let house = node(|limits| limits.queue_total_bytes = 64 << 10);
    let socket = Socket::open();
    let flooder = house.connect("flooder", "s", &Socket::open());
    (0..200).for_each(|number| offer(&flooder, &format!("unknown-{number}"), "x"));
    let a = house.connect("a", "s", &socket);
    assert!(is_sought(&send(&a, "b", text("x"), true)));
    assert_eq!(messages(&socket), Vec::<String>::new());
    house.realm.located(&peer("b"), Located::Nowhere(20_000));
    assert_eq!(messages(&socket), ["EXPIRE b a"]);
}

#[test]
fn an_absent_id_is_remembered_for_a_moment_and_not_sought_again() {
    let house = node(|_| {});
    let a = house.connect("a", "s", &Socket::open());
    let leave = |id: &str| send(&a, id, text("x"), false);
    assert!(is_sought(&leave("b")));
    house.realm.located(&peer("b"), Located::Nowhere(20_000));
    house.pass(500);
    assert!(matches!(leave("b"), Routed::Dropped(DropReason::Absent)), "it is known");
    house.pass(1000);
    assert!(is_sought(&leave("b")), "it is sought again");
}

#[test]
fn only_so_many_absent_ids_are_remembered() {
    const REMEMBERED: usize = 16_384;
    let house = node(|_| {});
    let a = house.connect("a", "s", &Socket::open());
    let leave = |number: usize| send(&a, &format!("unknown-{number}"), text("x"), false);
    for number in 0..=REMEMBERED {
        assert!(is_sought(&leave(number)), "{number}");
        house.realm.located(&peer(&format!("unknown-{number}")), Located::Nowhere(20_000));
    }
    assert!(!is_sought(&leave(REMEMBERED - 1)), "the last one with room is known");
    assert!(is_sought(&leave(REMEMBERED)), "the next one is not");
}
