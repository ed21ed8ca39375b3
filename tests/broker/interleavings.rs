//! Random interleavings of all that can happen to a broker, against the [model](crate::model).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerbroker::broker::{Admittance, Goodbye, Limits, Outgoing, Parting, Probe, Registration, Routed};
use peerbroker::frame::Frame;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::model::{Chooser, ConnNo, Counts, Entry, Message, Model, Routing, Stage};
use crate::socket::{Heard, Socket};
use crate::{House, peer, send, text};

/// Pairs of them spell the same with an underscore between.
const IDS: [&str; 4] = ["a", "b_c", "a_b", "c"];
const TOKENS: [&str; 2] = ["s", "t"];

/// Small, so that every bound is met often.
fn limits() -> Limits {
    Limits {
        concurrent_limit: 3,
        expire_timeout: Duration::from_millis(5000),
        alive_timeout: Duration::from_millis(60_000),
        ping_interval: Duration::from_millis(20_000),
        probe_timeout: Duration::from_millis(3000),
        queue_messages: 4,
        queue_bytes: 500,
        queue_total_bytes: 3500,
        outbox_bytes: 500,
    }
}

/// What is asked of the random numbers. Connections are counted from the newest, among those that
/// are not over.
#[derive(Clone, Debug)]
enum Wish {
    Connect { id: usize, token: usize, room: usize },
    Send { from: usize, burst: Vec<(usize, usize, bool)> },
    Leave(usize),
    Die(usize),
    Vanish(usize),
    Notice(usize),
    End(usize),
    Hear(usize),
    Pong(usize),
    Room(usize, usize),
    Break(usize),
    Advance(u64),
    Sweep,
    Probe(usize),
}

/// A wish that can be fulfilled.
#[derive(Clone, Debug)]
enum Step {
    Connect {
        id: &'static str,
        token: &'static str,
        room: usize,
    },
    /// Several messages out of one read: written once per recipient, behind the last.
    Send {
        from: ConnNo,
        burst: Vec<Message>,
    },
    /// Its client says goodbye.
    Leave(ConnNo),
    /// Its socket is found dead.
    Die(ConnNo),
    /// Its session is dropped, as by a panic.
    Vanish(ConnNo),
    /// Its session gets its turn: it writes, and hears that it was dismissed.
    Notice(ConnNo),
    /// Its goodbye is over.
    End(ConnNo),
    Hear(ConnNo),
    /// A reply that any frame may bring.
    Pong(ConnNo),
    Room(ConnNo, usize),
    Break(ConnNo),
    Advance(u64),
    Sweep,
    Probe(&'static str, usize),
}

fn room() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(usize::MAX), 1 => Just(0), 3 => 1_usize..400]
}

fn wish() -> impl Strategy<Value = Wish> {
    let conn = || 0..6_usize;
    let token = prop_oneof![3 => Just(0_usize), 1 => Just(1)];
    let message = (0..IDS.len(), select(vec![0_usize, 1, 40, 120, 130, 300]), prop::bool::weighted(0.8));
    prop_oneof![
        6 => (0..IDS.len(), token, room()).prop_map(|(id, token, room)| Wish::Connect { id, token, room }),
        10 => (conn(), vec(message, 1..5)).prop_map(|(from, burst)| Wish::Send { from, burst }),
        1 => conn().prop_map(Wish::Leave),
        1 => conn().prop_map(Wish::Die),
        1 => conn().prop_map(Wish::Vanish),
        2 => conn().prop_map(Wish::Notice),
        2 => conn().prop_map(Wish::End),
        1 => conn().prop_map(Wish::Hear),
        1 => conn().prop_map(Wish::Pong),
        4 => (conn(), room()).prop_map(|(conn, room)| Wish::Room(conn, room)),
        1 => conn().prop_map(Wish::Break),
        3 => select(vec![1_u64, 1000, 2999, 3000, 4999, 5000, 19_999, 20_000, 60_000]).prop_map(Wish::Advance),
        3 => Just(Wish::Sweep),
        2 => (0..IDS.len()).prop_map(Wish::Probe),
    ]
}

/// The broker's side of a connection.
enum Held {
    In(Registration),
    Parting(Parting),
    Over,
}

/// What one step brought besides what can be seen later.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Entry(Entry),
    Routings(Vec<Routing>),
    Nothing,
}

struct World {
    house: House,
    /// Each is a way to explain what was seen so far.
    possible: Vec<Model>,
    conns: Vec<(Socket, Held)>,
    probes: Vec<RefCell<oneshot::Receiver<()>>>,
    /// Every frame that arrived anywhere, in order.
    log: Arc<Mutex<Vec<(ConnNo, Heard)>>>,
    /// Connections whose socket was blocked or broken at some time.
    troubled: BTreeSet<ConnNo>,
}

impl World {
    fn new() -> Self {
        World {
            house: House::new(limits()),
            possible: vec![Model::new(limits())],
            conns: Vec::new(),
            probes: Vec::new(),
            log: Arc::default(),
            troubled: BTreeSet::new(),
        }
    }

    fn fulfil(&mut self, wish: Wish) {
        if let Some(step) = self.resolve(wish) {
            self.step(&step);
        }
    }

    fn resolve(&self, wish: Wish) -> Option<Step> {
        let stage = |conn: ConnNo| self.model().conns[conn].stage;
        let pick = |wanted: usize, fits: &dyn Fn(Stage) -> bool| {
            let fitting: Vec<ConnNo> =
                (0..self.conns.len()).rev().filter(|conn| fits(stage(*conn))).collect();
            fitting.get(wanted % fitting.len().max(1)).copied()
        };
        let registered = |stage: Stage| matches!(stage, Stage::Holder | Stage::Dismissed(_));
        Some(match wish {
            Wish::Connect { id, token, room } => Step::Connect { id: IDS[id], token: TOKENS[token], room },
            Wish::Send { from, burst } => {
                let from = pick(from, &|stage| stage == Stage::Holder)?;
                let first = self.model().messages.len();
                let sender = &self.model().conns[from].id;
                let messages = burst.into_iter().enumerate().map(|(at, (to, len, kept))| Message {
                    from: sender.clone(),
                    to: IDS[to].to_owned(),
                    text: format!("{}{}", first + at, "-".repeat(len)),
                    kept,
                });
                Step::Send { from, burst: messages.collect() }
            }
            Wish::Leave(conn) => Step::Leave(pick(conn, &registered)?),
            Wish::Die(conn) => Step::Die(pick(conn, &|stage| stage != Stage::Over)?),
            Wish::Vanish(conn) => Step::Vanish(pick(conn, &registered)?),
            Wish::Notice(conn) => Step::Notice(pick(conn, &|stage| stage != Stage::Over)?),
            Wish::End(conn) => Step::End(pick(conn, &|stage| matches!(stage, Stage::Parting(_)))?),
            Wish::Hear(conn) => Step::Hear(pick(conn, &registered)?),
            Wish::Pong(conn) => Step::Pong(pick(conn, &registered)?),
            Wish::Room(conn, room) => Step::Room(pick(conn, &|stage| stage != Stage::Over)?, room),
            Wish::Break(conn) => Step::Break(pick(conn, &|stage| stage != Stage::Over)?),
            Wish::Advance(millis) => Step::Advance(millis),
            Wish::Sweep => Step::Sweep,
            // One more than this, and it would be one too many for the broker.
            Wish::Probe(_) if self.probes.len() >= 16 => return None,
            Wish::Probe(id) => Step::Probe(IDS[id], self.probes.len()),
        })
    }

    fn step(&mut self, step: &Step) {
        let outcome = self.act(step);
        let mut possible: Vec<Model> = Vec::new();
        let mut first_difference = None;
        for before in &self.possible {
            let mut chooser = Chooser::default();
            loop {
                let mut model = before.clone();
                let expected = expect(&mut model, step, &mut chooser);
                match self.difference(&model, &outcome, &expected) {
                    None if possible.contains(&model) => {}
                    None => possible.push(model),
                    Some(difference) => drop(first_difference.get_or_insert(difference)),
                }
                if !chooser.next_round() {
                    break;
                }
            }
        }
        assert!(!possible.is_empty(), "after {step:?}:\n{}", first_difference.unwrap_or_default());
        self.possible = possible;
    }

    fn model(&self) -> &Model {
        &self.possible[0]
    }

    /// What the broker does.
    fn act(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Connect { id, token, room } => {
                let (no, log) = (self.conns.len(), Arc::clone(&self.log));
                let socket = Socket::with_room(*room)
                    .on_heard(move |heard| log.lock().unwrap().push((no, heard.clone())));
                let entry = match self.house.try_connect(id, token, &socket) {
                    Admittance::Registered(registration) => {
                        if *room != usize::MAX {
                            self.troubled.insert(no);
                        }
                        self.conns.push((socket, Held::In(registration)));
                        Entry::Registered
                    }
                    Admittance::Taken => Entry::Taken,
                    Admittance::Full => Entry::Full,
                    Admittance::Closing => panic!("nobody closes"),
                };
                return Outcome::Entry(entry);
            }
            Step::Send { from, burst } => {
                let Held::In(registration) = &self.conns[*from].1 else { unreachable!() };
                let (mut flushes, mut routings) = (Vec::new(), Vec::new());
                for message in burst {
                    // A session that lost its id in the middle stops here.
                    if !registration.is_current() {
                        break;
                    }
                    routings.push(match send(registration, &message.to, text(&message.text), message.kept) {
                        Routed::Sent(flush) => {
                            flushes.extend(flush);
                            Routing::Sent
                        }
                        Routed::Kept => Routing::Kept,
                        Routed::Expired => Routing::Expired,
                        Routed::Dropped => Routing::Dropped,
                    });
                }
                drop(flushes);
                return Outcome::Routings(routings);
            }
            Step::Leave(conn) => self.part(*conn, false),
            Step::Die(conn) => {
                self.part(*conn, true);
                self.conns[*conn].1 = Held::Over;
            }
            Step::Vanish(conn) | Step::End(conn) => self.conns[*conn].1 = Held::Over,
            Step::Notice(conn) => self.notice(*conn),
            Step::Hear(conn) => {
                if let Held::In(registration) = &self.conns[*conn].1 {
                    registration.heard();
                }
            }
            Step::Pong(conn) => {
                if let Held::In(registration) = &self.conns[*conn].1 {
                    registration.reply(Frame::pong(&[]));
                }
            }
            Step::Room(conn, room) => {
                self.troubled.insert(*conn);
                self.conns[*conn].0.set_room(*room);
                self.notice(*conn);
            }
            Step::Break(conn) => {
                self.troubled.insert(*conn);
                self.conns[*conn].0.break_off();
            }
            Step::Advance(millis) => self.house.clock.advance(Duration::from_millis(*millis)),
            Step::Sweep => self.house.broker.sweep(),
            Step::Probe(id, _) => match self.house.realm.probe(&peer(id)) {
                Probe::Asked(answer) => self.probes.push(RefCell::new(answer)),
                Probe::TooMany => panic!("so many do not ask"),
            },
        }
        Outcome::Nothing
    }

    /// As a session that was woken.
    fn notice(&mut self, conn: ConnNo) {
        match &self.conns[conn].1 {
            Held::In(registration) => {
                if registration.with_outbox(|outbox| outbox.flush()).is_none() {
                    self.part(conn, false);
                }
            }
            Held::Parting(parting) => drop(parting.with_outbox(|outbox| outbox.flush())),
            Held::Over => {}
        }
    }

    fn part(&mut self, conn: ConnNo, dead: bool) {
        let held = std::mem::replace(&mut self.conns[conn].1, Held::Over);
        let parting = match held {
            Held::In(registration) => registration.part(dead).expect("it parts once"),
            held => return self.conns[conn].1 = held,
        };
        if !dead {
            parting.with_outbox(|outbox| {
                if parting.why() == Goodbye::Left {
                    outbox.push_unbounded(Outgoing { frame: Frame::close(None), from: None });
                }
                outbox.flush();
            });
        }
        self.conns[conn].1 = Held::Parting(parting);
    }

    /// What of the broker is not as the model says.
    fn difference(&self, model: &Model, outcome: &Outcome, expected: &Outcome) -> Option<String> {
        let House { broker, realm, .. } = &self.house;
        let mut differences = Vec::new();
        let mut compare = |what: &str, is: &dyn std::fmt::Debug, should: &dyn std::fmt::Debug| {
            let (is, should) = (format!("{is:?}"), format!("{should:?}"));
            if is != should {
                differences.push(format!("{what}: {is}\n    instead of {should}"));
            }
        };
        compare("outcome", outcome, expected);
        compare("registered", &realm.len(), &model.registered());
        let ids: Vec<String> = realm.ids().iter().map(ToString::to_string).collect();
        compare("ids", &ids, &model.ids());
        compare("queued bytes", &broker.queued_bytes(), &model.queued_bytes());
        let counters = broker.counters();
        let counts = Counts {
            slow_readers: counters.slow_readers.load(Ordering::Relaxed),
            timed_out: counters.timed_out.load(Ordering::Relaxed),
            evicted: counters.evicted.load(Ordering::Relaxed),
            expired: counters.expired.load(Ordering::Relaxed),
        };
        compare("counters", &counts, &model.counts);
        compare("connections", &self.conns.len(), &model.conns.len());
        for (no, ((socket, held), conn)) in self.conns.iter().zip(&model.conns).enumerate() {
            let what = format!("connection {no} of {}", conn.id);
            compare(&format!("{what} heard"), &socket.heard(), &conn.received);
            compare(&format!("{what} heard in part"), &socket.partial(), &conn.written);
            let current = matches!(held, Held::In(registration) if registration.is_current());
            compare(&format!("{what} is current"), &current, &model.holds(no));
        }
        for id in IDS {
            let registered = model.ids().contains(&id.to_owned());
            compare(&format!("{id} is registered"), &realm.contains(id), &registered);
        }
        for (no, probe) in self.probes.iter().enumerate() {
            let pending = matches!(probe.borrow_mut().try_recv(), Err(TryRecvError::Empty));
            compare(&format!("probe {no} is pending"), &pending, &model.is_pending(no));
        }
        (!differences.is_empty()).then(|| differences.join("\n"))
    }

    /// Lets everything come to its end.
    fn finish(&mut self) {
        // Whoever is there and reads gets all there is.
        for conn in 0..self.conns.len() {
            if !self.model().conns[conn].broken && self.model().conns[conn].stage != Stage::Over {
                self.step(&Step::Room(conn, usize::MAX));
            }
        }
        for conn in 0..self.conns.len() {
            match self.model().conns[conn].stage {
                Stage::Over => continue,
                _ if self.model().conns[conn].broken => self.step(&Step::Die(conn)),
                _ => {
                    self.step(&Step::Leave(conn));
                    self.step(&Step::End(conn));
                }
            }
        }
        self.step(&Step::Advance(5000));
        self.step(&Step::Sweep);
        assert_eq!(self.house.realm.len(), 0);
        assert_eq!(self.house.broker.queued_bytes(), 0, "nothing waits");
    }

    /// What must be true of every history, whatever the model says.
    fn check_history(&self) {
        let log = self.log.lock().unwrap();
        let messages = &self.model().messages;
        let mut latest: BTreeMap<(Option<ConnNo>, &str, &str), usize> = BTreeMap::new();
        let mut delivered = BTreeSet::new();
        for (conn, heard) in log.iter() {
            let Heard::Text(text) = heard else { continue };
            let Ok(no) = text.trim_end_matches('-').parse::<usize>() else { continue };
            let message = &messages[no];
            assert_eq!(message.text, *text, "a message arrives as it was sent");
            assert_eq!(message.to, self.model().conns[*conn].id, "message {no} is for its recipient only");
            assert!(delivered.insert(no), "message {no} arrives twice");
            // In order on each connection, and what is kept also from one connection to the next.
            for scope in [Some(Some(*conn)), message.kept.then_some(None)].into_iter().flatten() {
                let before = latest.insert((scope, &message.from, &message.to), no);
                assert!(before < Some(no), "message {no} arrives behind {before:?}");
            }
        }
        for (conn, (socket, _)) in self.conns.iter().enumerate() {
            let heard = socket.heard();
            let open = Heard::Text("OPEN".to_owned());
            assert!(heard.get(1).is_none_or(|first| *first == open), "{conn} hears OPEN first");
            assert!(heard.iter().filter(|heard| **heard == open).count() <= 1, "{conn} hears OPEN once");
            let closed = heard.iter().position(|heard| matches!(heard, Heard::Close(_)));
            assert!(closed.is_none_or(|at| at + 1 == heard.len()), "{conn} hears nothing behind its close");
        }
        // Delivered, or expired: never both, never neither.
        let mut expired = BTreeSet::new();
        for expiry in &self.model().expiries {
            for no in &expiry.messages {
                assert!(expired.insert(*no), "message {no} expires twice");
            }
        }
        assert_eq!(self.model().waiting().count(), 0);
        for (no, message) in messages.iter().enumerate() {
            let (delivered, expired) = (delivered.contains(&no), expired.contains(&no));
            assert!(!(delivered && expired), "message {no} was delivered and expired");
            assert!(delivered || expired || !message.kept, "message {no} was lost");
        }
        // Whoever was there and read all the time heard of each conversation that expired.
        for conn in (0..self.conns.len()).filter(|conn| !self.troubled.contains(conn)) {
            let told = self.model().expiries.iter().filter(|expiry| expiry.told == Some(conn)).count();
            let heard = self.conns[conn].0.texts().iter().filter(|text| text.starts_with("EXPIRE")).count();
            // Those of a predecessor may have come to it as well.
            assert!(heard >= told, "{conn} heard of {heard} conversations that expired, not of {told}");
        }
    }
}

/// What the model does.
fn expect(model: &mut Model, step: &Step, choose: &mut Chooser) -> Outcome {
    match step {
        Step::Connect { id, token, room } => return Outcome::Entry(model.connect(id, token, *room)),
        Step::Send { from, burst } => {
            let mut routings = Vec::new();
            for message in burst {
                if !model.holds(*from) {
                    break;
                }
                routings.push(model.send(*from, message.clone(), choose));
            }
            return Outcome::Routings(routings);
        }
        Step::Leave(conn) => model.part(*conn, false, choose),
        Step::Die(conn) | Step::Vanish(conn) => {
            model.part(*conn, true, choose);
            model.end(*conn, choose);
        }
        Step::Notice(conn) => notice(model, *conn, choose),
        Step::End(conn) => model.end(*conn, choose),
        Step::Hear(conn) => model.hear(*conn),
        Step::Pong(conn) => model.pong(*conn, choose),
        Step::Room(conn, room) => {
            model.conns[*conn].room = *room;
            notice(model, *conn, choose);
        }
        Step::Break(conn) => model.conns[*conn].broken = true,
        Step::Advance(millis) => model.now += millis,
        Step::Sweep => model.sweep(choose),
        Step::Probe(id, no) => model.probe(id, *no),
    }
    Outcome::Nothing
}

fn notice(model: &mut Model, conn: ConnNo, choose: &mut Chooser) {
    if model.conns[conn].stage == Stage::Over {
        return;
    }
    if matches!(model.conns[conn].stage, Stage::Dismissed(_)) {
        model.part(conn, false, choose);
    }
    model.flush(conn);
}

proptest! {
    #![proptest_config(ProptestConfig {
        // `PROPTEST_CASES=20000 cargo test --test broker` looks further.
        cases: std::env::var("PROPTEST_CASES").map_or(700, |cases| cases.parse().expect("a number")),
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/proptest-regressions/interleavings.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_interleaving_is_as_the_model_says(wishes in vec(wish(), 1..80)) {
        let mut world = World::new();
        for wish in wishes {
            world.fulfil(wish);
        }
        world.finish();
        world.check_history();
    }
}
