//! A broker, and the models that explain it, step by step.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_core::vocabulary::Frame;
use peerbroker_events::Count;
use peerbroker_router::{Departure, Flushes, IdLease, Outgoing, RegisterRefusal, Routed};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::expected::expect;
use super::wish::{Step, Wish};
use super::{CLIENTS, IDS, TOKENS, limits};
use crate::model::{Chooser, ConnNo, Counts, Entry, Message, Model, Routing, Stage};
use crate::socket::{Heard, Socket};
use crate::{House, peer, reply, route, text};

/// The broker's state of a connection.
pub(super) enum Held {
    In(IdLease),
    Departure(Departure),
    Over,
}

/// Results of one step that cannot be observed later.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Entry(Entry),
    Routings(Vec<Routing>),
    Nothing,
}

pub(super) struct World {
    house: House,
    /// Each model explains all observations so far.
    possible: Vec<Model>,
    pub(super) conns: Vec<(Socket, Held)>,
    probes: Vec<RefCell<oneshot::Receiver<()>>>,
    /// All frames that arrived anywhere, in order.
    pub(super) log: Arc<Mutex<Vec<(ConnNo, Heard)>>>,
    /// Connections whose socket was blocked or broken at some time.
    pub(super) troubled: BTreeSet<ConnNo>,
}

impl World {
    pub(super) fn new() -> Self {
        World {
            house: House::for_clients(CLIENTS, limits()),
            possible: vec![Model::new(CLIENTS, limits())],
            conns: Vec::new(),
            probes: Vec::new(),
            log: Arc::default(),
            troubled: BTreeSet::new(),
        }
    }

    pub(super) fn fulfil(&mut self, wish: Wish) {
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
            Wish::End(conn) => Step::End(pick(conn, &|stage| matches!(stage, Stage::Departure(_)))?),
            Wish::Hear(conn) => Step::Hear(pick(conn, &registered)?),
            Wish::Pong(conn) => Step::Pong(pick(conn, &registered)?),
            Wish::Room(conn, room) => Step::Room(pick(conn, &|stage| stage != Stage::Over)?, room),
            Wish::Break(conn) => Step::Break(pick(conn, &|stage| stage != Stage::Over)?),
            Wish::Advance(millis) => Step::Advance(millis),
            Wish::Sweep => Step::Sweep,
            // One more would exceed the limit of the broker.
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

    pub(super) fn model(&self) -> &Model {
        &self.possible[0]
    }

    /// Performs a step on the broker.
    fn act(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Connect { id, token, room } => {
                let no = self.conns.len();
                let log = Arc::clone(&self.log);
                let socket = Socket::with_room(*room)
                    .on_heard(move |heard| log.lock().unwrap().push((no, heard.clone())));
                let entry = match self.house.try_connect(id, token, &socket) {
                    Ok(registration) => {
                        if *room != usize::MAX {
                            self.troubled.insert(no);
                        }
                        self.conns.push((socket, Held::In(registration)));
                        Entry::Registered
                    }
                    Err(RegisterRefusal::Taken) => Entry::Taken,
                    Err(RegisterRefusal::Reserved) => Entry::Reserved,
                    Err(RegisterRefusal::Full) => Entry::Full,
                    Err(RegisterRefusal::Closing)
                    | Err(RegisterRefusal::Revoked)
                    | Err(RegisterRefusal::Elsewhere) => {
                        panic!("nobody closes")
                    }
                };
                return Outcome::Entry(entry);
            }
            Step::Send { from, burst } => {
                let Held::In(registration) = &self.conns[*from].1 else { unreachable!() };
                let mut flushes = Flushes::new();
                let mut routings = Vec::new();
                for message in burst {
                    // A session that lost its id during the batch stops here.
                    if !registration.is_current() {
                        break;
                    }
                    routings.push(
                        match route(registration, &message.to, text(&message.text), message.kept) {
                            Routed::Delivered(flush) => {
                                flushes.extend(flush);
                                Routing::Delivered
                            }
                            Routed::Queued => Routing::Queued,
                            Routed::Dropped(_) if message.kept => Routing::Expired,
                            Routed::Dropped(_) => Routing::Dropped,
                        },
                    );
                }
                flushes.flush();
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
                    registration.mark_alive();
                }
            }
            Step::Pong(conn) => {
                if let Held::In(registration) = &self.conns[*conn].1 {
                    reply(registration, Frame::pong(&[]));
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
            Step::Sweep => self.house.sweep(),
            Step::Probe(id, _) => match self.house.realm.probe(&peer(id)) {
                Some(answer) => self.probes.push(RefCell::new(answer)),
                None => panic!("so many do not ask"),
            },
        }
        Outcome::Nothing
    }

    /// As a woken session does.
    fn notice(&mut self, conn: ConnNo) {
        match &self.conns[conn].1 {
            Held::In(registration) => {
                if registration.with_outbox(|outbox| outbox.flush()).is_none() {
                    self.part(conn, false);
                }
            }
            Held::Departure(parting) => drop(parting.peer.with_last_outbox(|outbox| outbox.flush())),
            Held::Over => {}
        }
    }

    fn part(&mut self, conn: ConnNo, dead: bool) {
        let held = std::mem::replace(&mut self.conns[conn].1, Held::Over);
        let parting = match held {
            Held::In(registration) => registration.part(CloseReason::Left, dead).expect("it parts once"),
            held => return self.conns[conn].1 = held,
        };
        if !dead {
            parting.peer.with_last_outbox(|outbox| {
                if parting.ended.reason == CloseReason::Left {
                    outbox.push_unbounded(Outgoing::notice(Frame::close(CloseReason::Left.ending().close())));
                }
                outbox.flush();
            });
        }
        self.conns[conn].1 = Held::Departure(parting);
    }

    /// The differences between the broker and a model.
    fn difference(&self, model: &Model, outcome: &Outcome, expected: &Outcome) -> Option<String> {
        let House { router, realm, .. } = &self.house;
        let mut differences = Vec::new();
        let mut compare = |what: &str, is: &dyn std::fmt::Debug, should: &dyn std::fmt::Debug| {
            let is = format!("{is:?}");
            let should = format!("{should:?}");
            if is != should {
                differences.push(format!("{what}: {is}\n    instead of {should}"));
            }
        };
        compare("outcome", outcome, expected);
        compare("registered", &realm.len(), &model.registered());
        let ids: Vec<String> = realm.ids().iter().map(|id| id.as_str().to_owned()).collect();
        compare("ids", &ids, &model.ids());
        compare("queued bytes", &router.queued_bytes(), &model.queued_bytes());
        let counters = self.house.counters();
        let counts = Counts {
            slow_readers: counters.total(Count::Closed(CloseReason::SlowReader)),
            timed_out: counters.total(Count::Closed(CloseReason::TimedOut)),
            evicted: counters.total(Count::Closed(CloseReason::Evicted)),
            expired: counters.total(Count::Expired),
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

    /// Lets everything finish.
    pub(super) fn finish(&mut self) {
        // Connected clients that read get everything.
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
        assert_eq!(self.house.router.queued_bytes(), 0, "nothing waits");
    }
}
