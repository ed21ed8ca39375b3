//! Messages for a peer that another node has, or may have.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use crate::house::{House, Plan, Socket, assert_fate, in_every_order, peer};
use crate::router::{Flush, ForwardOutcome, Located, Outgoing, Receipt, RemotePeers, Reporter};
use peerbroker_core::vocabulary::{CloseReason, ConnId, Frame, MessageKind, NodeId, Owner, PeerId};
use peerbroker_events::PeerAddress;

/// The other nodes: they take every message, and the scenario says what becomes of it.
#[derive(Default)]
struct Nodes(Mutex<Vec<u64>>);

impl RemotePeers for Nodes {
    fn give_up(&self, _: Owner, _: &PeerAddress, _: u64) {}

    fn locate(&self, _: PeerAddress, _: &PeerId, _: Option<Owner>) {}

    fn forward(&self, _: Owner, _: &PeerAddress, ticket: u64, _: &Outgoing) -> bool {
        self.0.lock().unwrap().push(ticket);
        true
    }

    fn doubt(&self, _: NodeId) {}

    fn is_silent(&self, _: NodeId) -> bool {
        false
    }

    fn notify(&self, _: PeerAddress, _: Frame) {}

    fn release(&self, _: PeerAddress, _: ConnId) {}
}

impl Nodes {
    fn tickets(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

fn owner(node: u64) -> Owner {
    Owner { node: NodeId::new(node), connection: ConnId::new(1) }
}

/// In a cluster, "a" has sent a message to "b", which another node has.
fn forwarded(plan: &Plan, of_a: &Socket) -> (House, Arc<Nodes>, crate::router::IdLease) {
    let nodes = Arc::new(Nodes::default());
    let house = plan.in_cluster(Some(Arc::clone(&nodes) as Arc<dyn RemotePeers>));
    let a = house.connect("a", of_a);
    assert!(house.send("a", "b", "1"));
    house.realm.located(&peer("b"), Located::At(owner(1)));
    assert_eq!(nodes.tickets().len(), 1);
    (house, nodes, a)
}

fn send(house: &House, text: &'static str) -> thread::JoinHandle<(&'static str, bool)> {
    let house = house.clone();
    thread::spawn(move || (text, house.send("a", "b", text)))
}

#[test]
fn a_peer_that_is_found_while_it_opens_here_loses_no_message() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let nodes = Arc::new(Nodes::default());
        let of_a = Socket::open();
        let of_b = Socket::open();
        let house = plan.in_cluster(Some(Arc::clone(&nodes) as Arc<dyn RemotePeers>));
        let _a = house.connect("a", &of_a);
        let one = send(&house, "1");
        let other = house.clone();
        let found = thread::spawn(move || other.realm.located(&peer("b"), Located::At(owner(1))));
        let _b = house.connect("b", &of_b);
        let sent = [one.join().unwrap()];
        found.join().unwrap();
        assert_fate(&sent, &of_b.texts(), &of_a.texts(), "b");
        // Either another node has it, and nobody knows, or it is here.
        assert_eq!(nodes.tickets().len() + of_b.texts().len(), 1);
        house.check();
    });
}

#[test]
fn what_comes_back_from_a_node_that_is_lost_comes_once_and_in_order() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let of_a = Socket::open();
        let (house, nodes, _a) = forwarded(&plan, &of_a);
        let two = send(&house, "2");
        let other = house.clone();
        let ticket = nodes.tickets()[0];
        let settled = thread::spawn(move || other.realm.settle("b", ticket, ForwardOutcome::NotHere));
        house.realm.lose_node(Some(owner(1).node));
        let sent = [("1", true), two.join().unwrap()];
        settled.join().unwrap();
        let came = house.collect("b");
        assert_fate(&sent, &came, &of_a.texts(), "b");
        assert!(came.is_sorted(), "{came:?}");
        house.check();
    });
}

#[test]
fn a_recall_ends_when_no_other_node_has_a_message() {
    for outcome in [ForwardOutcome::Delivered, ForwardOutcome::NotHere] {
        let plan = Plan::new(|_| {});
        in_every_order(move || {
            let of_a = Socket::open();
            let (house, nodes, _a) = forwarded(&plan, &of_a);
            let two = send(&house, "2");
            let other = house.clone();
            let known = Arc::clone(&nodes);
            let settled = thread::spawn(move || {
                let tickets = known.tickets();
                tickets.iter().for_each(|ticket| other.realm.settle("b", *ticket, outcome));
                tickets.len()
            });
            let recalled = house.realm.recall(&peer("b"));
            let two = two.join().unwrap();
            let done = settled.join().unwrap();
            let tickets = nodes.tickets();
            tickets[done..].iter().for_each(|ticket| house.realm.settle("b", *ticket, outcome));
            if let Some(mut recalled) = recalled {
                assert_ne!(recalled.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty));
            }
            let mut came = house.collect("b");
            if outcome == ForwardOutcome::Delivered {
                let delivered = ["1", "2"].map(str::to_owned);
                came.splice(..0, delivered.into_iter().take(tickets.len()));
            }
            assert_fate(&[("1", true), two], &came, &of_a.texts(), "b");
            assert_eq!(came, ["1", "2"]);
            house.check();
        });
    }
}

/// The outcome of a message, as another node hears it.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<ForwardOutcome>>>);

impl Reporter for Reports {
    fn report(&self, outcome: ForwardOutcome) {
        self.0.lock().unwrap().push(outcome);
    }

    fn is_awaited(&self) -> bool {
        true
    }

    fn is_sure(&self) -> bool {
        true
    }

    fn is_of(&self, _: NodeId, _: u64) -> bool {
        false
    }
}

#[test]
fn a_message_of_another_node_has_one_outcome_and_it_is_true() {
    // The socket takes everything, nothing, or half a message.
    for room in [usize::MAX, 0, 2] {
        let plan = Plan::new(|_| {});
        in_every_order(move || {
            let house = plan.in_cluster(Some(Arc::new(Nodes::default())));
            let first = Socket::with_room(room);
            let second = Socket::open();
            let reports = Reports::default();
            let old = house.connect("b", &first);
            let other = house.clone();
            let connection = old.connection();
            let reporter = reports.clone();
            let accepts = thread::spawn(move || {
                let frame = Frame::of_text("1");
                let receipt = Receipt::new(reporter);
                let message = Outgoing::foreign(peer("a"), MessageKind::Offer, frame, receipt);
                let accepted = other.realm.accept(&peer("b"), connection, message);
                let flushed = accepted.map(|flush| flush.map(Flush::flush));
                flushed.map_err(|mut message| message.settle(ForwardOutcome::NotHere))
            });
            let other = house.clone();
            let new = second.clone();
            let takeover = thread::spawn(move || other.connect("b", &new));
            drop(old.part(CloseReason::Left, false));
            accepts.join().unwrap().ok();
            drop(takeover.join().unwrap());
            let came = [first.texts(), second.texts()].concat();
            let is_delivered = came.len() == 1;
            let outcome = if is_delivered { ForwardOutcome::Delivered } else { ForwardOutcome::NotHere };
            assert_eq!(*reports.0.lock().unwrap(), [outcome], "{came:?}");
            house.check();
        });
    }
}
