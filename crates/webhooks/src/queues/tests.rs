//! Compares the queues of webhooks with a model over random histories.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use peerbroker_core::vocabulary::RealmKind;
use peerbroker_events::{PeerAddress, ReportedKind};

use super::*;

const START: Instant = Instant::from_millis(0);

const BOUNDS: Bounds = Bounds {
    endpoint: Load { events: 12, bytes: 1 << 20 },
    total: Load { events: 20, bytes: 1 << 20 },
    requests: 3,
    total_requests: 5,
};

#[derive(Clone, Debug)]
enum Op {
    Begin(usize),
    End(usize),
    Single(usize),
    Take,
    Settle(usize, usize),
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Op::Begin),
        3 => any::<usize>().prop_map(Op::End),
        1 => (0..3_usize).prop_map(Op::Single),
        5 => Just(Op::Take),
        4 => (any::<usize>(), 0..4_usize).prop_map(|(which, how)| Op::Settle(which, how)),
        2 => (0..40_000_u64).prop_map(Op::Advance),
    ]
}

fn consumer(number: usize) -> Consumer {
    match number {
        0 => Consumer::Operator,
        number => Consumer::Key(ApiKey::parse(&format!("key-{number}")).unwrap()),
    }
}

fn event() -> Arc<Event> {
    Arc::new(Event::Draining { connections: 1 })
}

/// The events that one connection must see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    accepted_end: bool,
    settled_begin: bool,
    settled_end: bool,
}

#[derive(Default)]
struct Model {
    now: Instant,
    next_connection: u64,
    /// Connected clients, announced or not.
    connected: Vec<(usize, ConnId)>,
    pairs: HashMap<(Consumer, ConnId), Pair>,
    in_flight: Vec<(Consumer, Delivery)>,
    numbers: HashSet<u64>,
    accepted: u64,
    refused: u64,
}

impl Model {
    fn push(&mut self, queues: &mut Queues, number: usize, step: Step) -> bool {
        let accepted = queues.push(consumer(number), event(), step, self.now, Timestamp::UNIX_EPOCH);
        self.accepted += u64::from(accepted);
        accepted
    }

    fn apply(&mut self, queues: &mut Queues, op: &Op) {
        match op {
            Op::Begin(number) => {
                self.next_connection += 1;
                let connection = ConnId::new(self.next_connection);
                self.connected.push((*number, connection));
                if self.push(queues, *number, Step::Begin(connection)) {
                    self.pairs.insert((consumer(*number), connection), Pair::default());
                } else {
                    self.refused += 2;
                }
            }
            Op::End(which) => {
                if self.connected.is_empty() {
                    return;
                }
                let (number, connection) = self.connected.swap_remove(which % self.connected.len());
                let accepted = self.push(queues, number, Step::End(connection));
                match self.pairs.get_mut(&(consumer(number), connection)) {
                    Some(pair) => pair.accepted_end = true,
                    None => assert!(!accepted, "an end without its beginning"),
                }
                assert_eq!(accepted, self.pairs.contains_key(&(consumer(number), connection)));
                assert!(!self.push(queues, number, Step::End(connection)), "a second end");
            }
            Op::Single(number) => {
                if !self.push(queues, *number, Step::Single) {
                    self.refused += 1;
                }
            }
            Op::Take => {
                if let Some((consumer, delivery)) = queues.take(self.now) {
                    self.numbers.insert(delivery.number);
                    if let Step::End(connection) = delivery.step {
                        assert!(self.pairs[&(consumer.clone(), connection)].settled_begin, "sent too early");
                    }
                    self.in_flight.push((consumer, delivery));
                }
                assert!(self.in_flight.len() <= BOUNDS.total_requests);
                for number in 0..3 {
                    let of_one = self.in_flight.iter().filter(|(of, _)| *of == consumer(number)).count();
                    assert!(of_one <= BOUNDS.requests);
                }
            }
            Op::Settle(which, how) => {
                if !self.in_flight.is_empty() {
                    let (consumer, delivery) = self.in_flight.swap_remove(which % self.in_flight.len());
                    self.settle(queues, &consumer, delivery, *how);
                }
            }
            Op::Advance(by) => self.now = self.now.plus_millis(*by),
        }
    }

    fn settle(&mut self, queues: &mut Queues, consumer: &Consumer, delivery: Delivery, how: usize) {
        let step = delivery.step;
        let outcome =
            [Outcome::Delivered, Outcome::Failed(None), Outcome::Hopeless, Outcome::Failed(None)][how];
        if queues.settle(consumer, delivery, outcome, self.now, 0.5) {
            return;
        }
        match step {
            Step::Single => {}
            Step::Begin(connection) => {
                let pair = self.pairs.get_mut(&(consumer.clone(), connection)).unwrap();
                assert!(!std::mem::replace(&mut pair.settled_begin, true));
            }
            Step::End(connection) => {
                let pair = self.pairs.get_mut(&(consumer.clone(), connection)).unwrap();
                assert!(!std::mem::replace(&mut pair.settled_end, true));
            }
        }
    }
}

proptest! {
    #[test]
    fn each_accepted_event_is_settled_once_and_each_beginning_has_one_end(
        ops in prop::collection::vec(op(), 0..300),
    ) {
        let mut queues = Queues::bounded(BOUNDS);
        let mut model = Model::default();
        for op in &ops {
            model.apply(&mut queues, op);
            let ends = model.pairs.values().filter(|pair| pair.accepted_end && !pair.settled_end).count();
            prop_assert!(queues.load.events <= BOUNDS.total.events + ends);
        }
        // All clients leave, and no attempt fails any more.
        while !model.connected.is_empty() {
            model.apply(&mut queues, &Op::End(0));
        }
        queues.close();
        while queues.load.events > 0 {
            model.apply(&mut queues, &Op::Take);
            while let Some((consumer, delivery)) = model.in_flight.pop() {
                model.settle(&mut queues, &consumer, delivery, 0);
            }
        }
        let all = Pair { accepted_end: true, settled_begin: true, settled_end: true };
        prop_assert!(model.pairs.values().all(|pair| *pair == all));
        let totals = queues.totals();
        prop_assert_eq!(totals.queued, model.accepted);
        prop_assert_eq!(totals.delivered + totals.failed, totals.queued);
        prop_assert_eq!(totals.dropped, model.refused);
        prop_assert_eq!(model.numbers.len() as u64, totals.queued);
        prop_assert_eq!((queues.load, queues.endpoints.len(), queues.in_flight), (Load::default(), 0, 0));
        prop_assert!(queues.due.is_empty());
    }
}

#[test]
fn an_event_that_always_fails_is_tried_eight_times_with_growing_pauses() {
    let mut queues = Queues::default();
    queues.push(Consumer::Operator, event(), Step::Single, START, Timestamp::UNIX_EPOCH);
    let mut now = Instant::default();
    for (at, pause) in RETRY_DELAYS.iter().enumerate() {
        let (consumer, delivery) = queues.take(now).unwrap();
        assert_eq!(delivery.number, 1, "the id stays");
        let random = at as f64 / RETRY_DELAYS.len() as f64;
        assert!(queues.settle(&consumer, delivery, Outcome::Failed(None), now, random));
        let due = queues.next_due().unwrap();
        let waited = due.millis_since(now);
        let bounds = pause * 1000 * 3 / 4..=pause * 1000 * 5 / 4;
        assert!(bounds.contains(&waited), "{waited} of {pause:?}");
        assert!(queues.take(due.minus_millis(1).unwrap()).is_none(), "not before its time");
        now = due;
    }
    let (consumer, delivery) = queues.take(now).unwrap();
    assert!(!queues.settle(&consumer, delivery, Outcome::Failed(None), now, 0.0));
    let totals = queues.totals();
    assert_eq!((totals.failed, totals.retried, totals.waiting), (1, 7, 0));
}

#[test]
fn a_receiver_may_ask_for_a_longer_pause_but_not_for_days() {
    for (asked, pause) in [(60, 60), (1, 5), (1_000_000, 60 * 60)] {
        let mut queues = Queues::default();
        queues.push(Consumer::Operator, event(), Step::Single, START, Timestamp::UNIX_EPOCH);
        let (consumer, delivery) = queues.take(START).unwrap();
        let outcome = Outcome::Failed(Some(Duration::from_secs(asked)));
        queues.settle(&consumer, delivery, outcome, START, 0.5);
        assert_eq!(queues.next_due(), Some(START + Duration::from_secs(pause)), "asked for {asked}");
    }
}

#[test]
fn events_of_the_end_are_tried_once_more_and_not_again() {
    let mut queues = Queues::default();
    queues.push(Consumer::Operator, event(), Step::Single, START, Timestamp::UNIX_EPOCH);
    let (consumer, delivery) = queues.take(START).unwrap();
    queues.settle(&consumer, delivery, Outcome::Failed(None), START, 0.5);
    let later = Instant::from_millis(1);
    assert!(queues.take(later).is_none());
    queues.close();
    let (consumer, delivery) = queues.take(later).unwrap();
    assert!(!queues.settle(&consumer, delivery, Outcome::Failed(None), later, 0.5));
}

#[test]
fn an_endpoint_that_hangs_leaves_requests_to_others() {
    let mut queues = Queues::bounded(BOUNDS);
    for number in [1, 1, 1, 1, 1, 2] {
        queues.push(consumer(number), event(), Step::Single, START, Timestamp::UNIX_EPOCH);
    }
    let taken: Vec<Consumer> =
        std::iter::from_fn(|| queues.take(START)).map(|(consumer, _)| consumer).collect();
    assert_eq!(taken.iter().filter(|of| **of == consumer(1)).count(), BOUNDS.requests);
    assert!(taken.contains(&consumer(2)));
}

/// A call of an absent peer.
fn call(from: &str, to: &str) -> Arc<Event> {
    let peer = PeerAddress {
        key: ApiKey::parse("k").unwrap(),
        realm: RealmKind::PeerJs,
        id: PeerId::parse(to).unwrap(),
    };
    Arc::new(Event::PeerWanted { peer, from: PeerId::parse(from).unwrap(), kind: ReportedKind::Media })
}

#[test]
fn events_of_each_client_take_turns_and_one_client_leaves_room_for_others() {
    let mut queues =
        Queues::bounded(Bounds { endpoint: Load { events: 100, bytes: 1 << 20 }, ..Bounds::default() });
    let mut push = |from: &str, to: &str, millis| {
        let at = Instant::from_millis(millis);
        queues.push(Consumer::Operator, call(from, to), Step::Single, at, Timestamp::UNIX_EPOCH)
    };
    let accepted = (0..200).filter(|n| push("loud", &n.to_string(), *n)).count();
    assert_eq!(accepted, 50);
    assert!(push("quiet", "friend", 300));
    let now = Instant::from_millis(400);
    let mut next = || {
        let (consumer, delivery) = queues.take(now).unwrap();
        let Event::PeerWanted { from, .. } = &*delivery.event else { panic!("another event") };
        let from = from.as_str().to_owned();
        queues.settle(&consumer, delivery, Outcome::Delivered, now, 0.5);
        from
    };
    assert_eq!([next(), next(), next()], ["loud", "quiet", "loud"]);
    assert_eq!(queues.totals().dropped, 150);
    assert_eq!(queues.last_dropped().unwrap().to_string(), r#"the client "loud" of the key "k""#);
}
