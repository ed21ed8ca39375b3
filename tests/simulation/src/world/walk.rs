//! Every run of two nodes in which a few events follow each other: two clients want one id, a third one sends
//! to it, and the store answers, is slow, hangs, is lost, or comes back empty.
//!
//! A run is a list of choices. It is repeated from its beginning for each other choice at its last event,
//! then at the one before.

use std::ops::Range;
use std::time::Duration;

use peerbroker_config::Degraded;

use super::{HEALING, LEASE, STEP, World, play};
use crate::history::{History, What};
use crate::sim::Fault;

/// The id that is wanted, and that of the sender.
const WANTED: &str = "a";
const SENDER: &str = "b";

const OWNER: u8 = 0;
const STRANGER: u8 = 1;

/// The store answers in 60 ms, so that an event falls into the calls of the one before.
const USUAL: Duration = Duration::from_millis(30);
/// It answers after the callers' bound of 400 ms, so that they do not know what it did.
const SLOW: Duration = Duration::from_millis(250);

/// Most calls have ended after this time.
const SHORT: usize = steps(600);
/// The leases of nodes that could not renew them have ended, and messages have expired.
const LONG: usize = steps(2200);

const fn steps(millis: u64) -> usize {
    (millis / STEP.as_millis() as u64) as usize
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Answers,
    Slow,
    Hangs,
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// So many steps pass.
    Wait(usize),
    /// A client asks a node for the id.
    Open(usize, u8),
    Send,
    /// The client that has the id leaves.
    Close,
    Store(Store),
    /// The store loses everything.
    Wipe,
    /// The first node loses its way to the store, or has it again.
    Cut(bool),
}

/// A run, and what it could have been.
pub struct Run {
    pub history: History,
    /// The number of each event among those that were possible, and how many these were.
    path: Vec<(usize, usize)>,
    events: Vec<Event>,
}

struct Walk<'a> {
    world: &'a mut World,
    store: Store,
    is_cut: bool,
    run: Run,
}

/// Runs everything that can follow from so many events, and gives each run to `check`. Returns the number of
/// runs.
pub fn all(depth: usize, degraded: Degraded, mut check: impl FnMut(&Run) -> bool) -> usize {
    let mut choices = Vec::new();
    let mut runs = 0;
    loop {
        let run = walk(&choices, depth, degraded);
        runs += 1;
        if !check(&run) {
            return runs;
        }
        let Some(last) = run.path.iter().rposition(|(choice, of)| choice + 1 < *of) else { return runs };
        choices = run.path[..=last].iter().map(|(choice, _)| *choice).collect();
        choices[last] += 1;
    }
}

fn walk(choices: &[usize], depth: usize, degraded: Degraded) -> Run {
    let mut path = (Vec::new(), Vec::new());
    let world = || World::start_all(1, 2, LEASE, degraded);
    let history = play(world, async |world| {
        let run = Run { history: History::default(), path: Vec::new(), events: Vec::new() };
        let mut walk = Walk { world, store: Store::Answers, is_cut: false, run };
        walk.begin().await;
        for at in 0..depth {
            walk.choose(choices.get(at).copied().unwrap_or(0)).await;
        }
        walk.end().await;
        path = (walk.run.path, walk.run.events);
    });
    Run { history, path: path.0, events: path.1 }
}

impl Run {
    pub fn describe(&self) -> String {
        format!("{:?}", self.events)
    }
}

impl Walk<'_> {
    /// The id has its owner, on the first node.
    async fn begin(&mut self) {
        self.set_latency(USUAL..USUAL);
        self.world.pass(20).await;
        self.world.open_at(0, SENDER, OWNER);
        self.world.open_at(0, WANTED, OWNER);
        self.world.pass(20).await;
    }

    /// The events that are possible, and not the same as none.
    fn possible(&self) -> Vec<Event> {
        let mut all = vec![Event::Wait(SHORT), Event::Wait(LONG), Event::Send, Event::Wipe];
        all.extend([(0, OWNER), (1, OWNER), (1, STRANGER)].map(|(node, token)| Event::Open(node, token)));
        all.push(Event::Cut(!self.is_cut));
        let is_held = self.world.clients.borrow().iter().any(|client| client.id == WANTED);
        all.extend(is_held.then_some(Event::Close));
        let stores = [Store::Answers, Store::Slow, Store::Hangs, Store::Lost];
        all.extend(stores.into_iter().filter(|store| *store != self.store).map(Event::Store));
        let last = self.run.events.last();
        // Twice at once is once, or shown by a wait.
        let is_same = |event: &Event| match (event, last) {
            (Event::Store(_), Some(Event::Store(_))) | (Event::Cut(_), Some(Event::Cut(_))) => true,
            (event, Some(last)) => event == last,
            (_, None) => false,
        };
        all.retain(|event| !is_same(event));
        all
    }

    async fn choose(&mut self, choice: usize) {
        let possible = self.possible();
        let event = possible[choice];
        self.run.path.push((choice, possible.len()));
        self.run.events.push(event);
        match event {
            Event::Wait(steps) => self.world.pass(steps).await,
            Event::Open(node, token) => self.world.open_at(node, WANTED, token),
            Event::Send => self.send(),
            Event::Close => self.close(),
            Event::Store(store) => self.set_store(store),
            Event::Wipe => {
                self.world.store.wipe();
                self.record_fault(None, "wipe");
            }
            Event::Cut(is_cut) => {
                self.is_cut = is_cut;
                self.world.set_fault(0, if is_cut { Fault::Unreachable } else { Fault::None });
                self.record_fault(Some(0), if is_cut { "cut" } else { "ends" });
            }
        }
        self.world.pass(1).await;
    }

    fn send(&mut self) {
        self.world.numbers += 1;
        let clients = self.world.clients.borrow();
        if let Some(sender) = clients.iter().find(|client| client.id == SENDER) {
            self.world.send_from(sender, WANTED, self.world.numbers, true);
        }
    }

    fn close(&mut self) {
        let mut clients = self.world.clients.borrow_mut();
        let holder = clients.iter().position(|client| client.id == WANTED).map(|at| clients.swap_remove(at));
        drop(clients);
        if let Some(holder) = holder {
            self.world.end(holder, false);
        }
    }

    fn set_store(&mut self, store: Store) {
        if self.store != Store::Answers {
            self.record_fault(None, "ends");
        }
        self.store = store;
        let (latency, fault) = match store {
            Store::Answers => (USUAL, Fault::None),
            Store::Slow => (SLOW, Fault::None),
            Store::Hangs => (USUAL, Fault::Stalled),
            Store::Lost => (USUAL, Fault::Refused),
        };
        self.set_latency(latency..latency);
        self.world.store.set_fault(fault);
        if store != Store::Answers {
            self.record_fault(None, "faulty");
        }
    }

    fn set_latency(&self, latency: Range<Duration>) {
        self.world.store.set_latency(latency);
    }

    fn record_fault(&self, node: Option<usize>, what: &str) {
        self.world.note(What::Fault { node, what: what.to_owned() });
    }

    /// All is well again, so everybody reaches everybody.
    async fn end(&mut self) {
        self.set_latency(USUAL..USUAL);
        self.world.heal();
        self.world.pass(HEALING).await;
        self.world.note(What::Settled);
        self.world.probe().await;
        self.world.sum_up();
    }
}
