//! The backplane on a Redis in memory, in tokio's time, with faults: for tests of what uses one.
//!
//! ```ignore
//! let store = SimStore::new(seed);          // the store of all nodes; clones are the same store
//! let a = store.connect();                  // the way of one node to it
//! let backplane = a.backplane();
//! store.set_latency(Duration::ZERO..Duration::from_millis(5));
//! store.set_chaos(Chaos { lose_reply: 0.01, ..Chaos::default() });
//! a.set_fault(Fault::Stalled);              // this node only; store.set_fault(…) is for all
//! store.failover(Duration::from_millis(300));
//! ```
//!
//! Everything random comes from the seed, so in paused time a test repeats itself exactly. Include it in
//! another test binary with `#[path = "../cluster/sim/mod.rs"] mod sim;`.

// No binary uses all of it.
#![allow(dead_code)]

mod store;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use peerbroker_cluster::Unavailable;
use peerbroker_redis::{Call, RedisBackplane, RedisClient, RedisSettings};
use redis::Value;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use store::{Micros, Store};

/// The store's clock when a simulation begins.
const EPOCH: Micros = 1_700_000_000_000_000;

/// The faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Calls fail at once, and are not carried out.
    Refused,
    /// Calls fail at their bound, and are not carried out: a network that drops packets.
    Unreachable,
    /// Calls fail at their bound, and are carried out when this fault ends: a process that is stopped.
    Stalled,
    /// Calls are carried out, and fail at their bound.
    RepliesLost,
}

/// Faults of single calls, each with its probability.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chaos {
    /// As [`Fault::Refused`].
    pub refuse: f64,
    /// As [`Fault::Unreachable`].
    pub lose_request: f64,
    /// As [`Fault::RepliesLost`].
    pub lose_reply: f64,
    /// A batch is appended twice.
    pub duplicate: f64,
}

type Change = Box<dyn FnOnce(&mut Store, Micros)>;

struct Shared {
    store: RefCell<Store>,
    random: Cell<u64>,
    latency: RefCell<Range<Duration>>,
    chaos: Cell<Chaos>,
    fault: Cell<Fault>,
    timeout: Cell<Duration>,
    /// Another one after each restart, and whenever data was lost.
    process: Cell<u64>,
    began: Instant,
    /// Something was appended, or a fault has changed.
    changed: Notify,
    links: RefCell<Vec<Rc<Link>>>,
}

struct Link {
    fault: Cell<Fault>,
    /// The process that it is connected to, if it is.
    connected: Cell<Option<u64>>,
    /// The last process that it was connected to.
    met: Cell<u64>,
    generation: Cell<u64>,
    /// Calls that a stalled process has received.
    stalled: RefCell<Vec<Change>>,
}

/// The store of all nodes.
#[derive(Clone)]
pub struct SimStore(Rc<Shared>);

/// The way of one node to the store.
#[derive(Clone)]
pub struct SimClient {
    shared: Rc<Shared>,
    link: Rc<Link>,
}

impl SimStore {
    pub fn new(seed: u64) -> Self {
        SimStore(Rc::new(Shared {
            store: RefCell::default(),
            random: Cell::new(seed),
            latency: RefCell::new(Duration::from_micros(50)..Duration::from_millis(2)),
            chaos: Cell::default(),
            fault: Cell::default(),
            timeout: Cell::new(Duration::from_secs(2)),
            process: Cell::new(1),
            began: Instant::now(),
            changed: Notify::new(),
            links: RefCell::default(),
        }))
    }

    pub fn connect(&self) -> SimClient {
        let link = Rc::new(Link {
            fault: Cell::default(),
            connected: Cell::default(),
            met: Cell::default(),
            generation: Cell::default(),
            stalled: RefCell::default(),
        });
        self.0.links.borrow_mut().push(Rc::clone(&link));
        SimClient { shared: Rc::clone(&self.0), link }
    }

    /// A fault of all nodes. A node with one of its own keeps that.
    pub fn set_fault(&self, fault: Fault) {
        self.0.fault.set(fault);
        self.0.resume();
    }

    /// Of the way to the store, and of the way back.
    pub fn set_latency(&self, latency: Range<Duration>) {
        self.0.latency.replace(latency);
    }

    pub fn set_chaos(&self, chaos: Chaos) {
        self.0.chaos.set(chaos);
    }

    /// The bound of each call.
    pub fn set_timeout(&self, timeout: Duration) {
        self.0.timeout.set(timeout);
    }

    /// Another process, with the same data. Calls on their way fail.
    pub fn restart(&self) {
        self.0.process.set(self.0.process.get() + 1);
        for link in self.0.links.borrow().iter() {
            link.stalled.take();
        }
        self.0.changed.notify_waiters();
    }

    /// Another process, without data.
    pub fn wipe(&self) {
        self.0.store.borrow_mut().wipe();
        self.restart();
    }

    /// Another process, that lacks what was written last. At most a minute.
    pub fn failover(&self, lost: Duration) {
        let to = self.0.now().saturating_sub(lost.as_micros() as Micros);
        self.0.store.borrow_mut().roll_back(to);
        self.restart();
    }

    /// Another process, that lacks what was appended to inboxes last, and has all else.
    pub fn lose_appends(&self, last: Duration) {
        let since = self.0.now().saturating_sub(last.as_micros() as Micros);
        self.0.store.borrow_mut().lose_appends(since);
        self.restart();
    }

    /// The owners of all names, dead ones too.
    pub fn owners(&self) -> Vec<String> {
        self.0.store.borrow_mut().fields(self.0.now(), "owner")
    }
}

impl Shared {
    fn now(&self) -> Micros {
        EPOCH + self.began.elapsed().as_micros() as Micros
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&self, probability: f64) -> bool {
        probability > 0.0 && ((self.random() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    async fn travel(&self) {
        let range = self.latency.borrow().clone();
        let width = range.end.saturating_sub(range.start).as_nanos() as u64;
        let extra = if width == 0 { 0 } else { self.random() % width };
        sleep(range.start + Duration::from_nanos(extra)).await;
    }

    fn carry_out(&self, change: Change) {
        let mut store = self.store.borrow_mut();
        let before = store.appended();
        change(&mut store, self.now());
        if store.appended() != before {
            self.changed.notify_waiters();
        }
    }

    /// Carries out what stalled processes have received, of links whose fault has ended.
    fn resume(&self) {
        for link in self.links.borrow().iter() {
            if link.fault(self) != Fault::Stalled {
                for change in link.stalled.take() {
                    self.carry_out(change);
                }
            }
        }
        self.changed.notify_waiters();
    }
}

impl Link {
    fn fault(&self, shared: &Shared) -> Fault {
        match self.fault.get() {
            Fault::None => shared.fault.get(),
            own => own,
        }
    }
}

fn unavailable(why: &str) -> Unavailable {
    Unavailable::NoAnswer(why.to_owned())
}

impl SimClient {
    /// The backplane of the node.
    pub fn backplane(&self) -> RedisBackplane<SimClient> {
        let timeout = self.shared.timeout.get();
        let settings = RedisSettings { timeout, ..RedisSettings::new("redis://simulated") };
        RedisBackplane::over(&settings, self.clone(), self.clone())
    }

    /// A fault of this node. See [`SimStore::set_fault`].
    pub fn set_fault(&self, fault: Fault) {
        self.link.fault.set(fault);
        self.shared.resume();
    }

    async fn within_bound<T>(
        &self,
        call: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        let bound = Instant::now() + self.shared.timeout.get();
        timeout_at(bound, call).await.unwrap_or_else(|_| Err(unavailable("no answer")))
    }

    /// One batch of calls: there, a change of the store, and back.
    async fn exchange<T: 'static>(
        &self,
        change: impl FnOnce(&mut Store, Micros) -> T + 'static,
    ) -> Result<T, Unavailable> {
        let Chaos { refuse, lose_request, lose_reply, .. } = self.shared.chaos.get();
        if self.link.fault(&self.shared) == Fault::Refused || self.shared.happens(refuse) {
            return Err(unavailable("refused"));
        }
        if self.shared.happens(lose_request) {
            std::future::pending::<()>().await;
        }
        let process = self.shared.process.get();
        self.shared.travel().await;
        let (to_caller, answer) = oneshot::channel();
        let change: Change = Box::new(move |store, now| drop(to_caller.send(change(store, now))));
        if self.shared.process.get() != process {
            return Err(unavailable("the connection has ended"));
        }
        let fault = self.link.fault(&self.shared);
        match fault {
            Fault::None | Fault::RepliesLost => self.shared.carry_out(change),
            Fault::Refused => return Err(unavailable("refused")),
            Fault::Unreachable => std::future::pending().await,
            Fault::Stalled => self.link.stalled.borrow_mut().push(change),
        }
        let answer = answer.await.map_err(|_| unavailable("the connection has ended"))?;
        if fault == Fault::RepliesLost || self.shared.happens(lose_reply) {
            std::future::pending::<()>().await;
        }
        self.shared.travel().await;
        if self.shared.process.get() != process {
            return Err(unavailable("the connection has ended"));
        }
        loop {
            let changed = self.shared.changed.notified();
            match self.link.fault(&self.shared) {
                Fault::None => return Ok(answer),
                Fault::Refused => return Err(unavailable("the connection has ended")),
                Fault::Unreachable | Fault::RepliesLost => std::future::pending().await,
                Fault::Stalled => changed.await,
            }
        }
    }

    /// Before a call of the first connection, or one after a call has failed or the process is another one.
    fn connect(&self) {
        let process = self.shared.process.get();
        let reachable = matches!(self.link.fault(&self.shared), Fault::None | Fault::RepliesLost);
        if reachable && self.link.connected.get() != Some(process) {
            self.link.connected.set(Some(process));
            self.link.met.set(process);
            self.link.generation.set(self.link.generation.get() + 1);
        }
    }
}

impl RedisClient for SimClient {
    async fn run_on(&self, server: Option<u64>, calls: Vec<Call>) -> Result<Vec<Value>, Unavailable> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        self.connect();
        // Later, calls that are on their way to another process fail.
        if server.is_some_and(|server| server != self.shared.process.get()) {
            return Err(unavailable("another store"));
        }
        let duplicate = self.shared.chaos.get().duplicate;
        let is_twice = |call: &Call| call.words()[0] == b"XADD" && self.shared.happens(duplicate);
        let twice: Vec<bool> = calls.iter().map(is_twice).collect();
        let change = move |store: &mut Store, now| {
            let carry_out = |(call, twice): (&Call, bool)| {
                if twice {
                    run(store, now, call);
                }
                run(store, now, call)
            };
            calls.iter().zip(twice).map(carry_out).collect()
        };
        let answers = self.within_bound(self.exchange(change)).await;
        if answers.is_err() {
            self.link.connected.set(None);
        }
        answers
    }

    async fn block(&self, call: Call, wait: Duration) -> Result<Value, Unavailable> {
        // On a connection of its own: whether it lives or not says nothing of the other one.
        let deadline = Instant::now() + wait;
        let call = Rc::new(call);
        let look = || {
            let call = Rc::clone(&call);
            self.exchange(move |store, now| run(store, now, &call))
        };
        let has_nothing = || run(&mut self.shared.store.borrow_mut(), self.shared.now(), &call) == Value::Nil;
        let mut answer = self.within_bound(look()).await?;
        while answer == Value::Nil && Instant::now() < deadline {
            let process = self.shared.process.get();
            while has_nothing() {
                if timeout_at(deadline, self.shared.changed.notified()).await.is_err() {
                    break;
                }
                if self.shared.process.get() != process {
                    return Err(unavailable("the connection has ended"));
                }
            }
            answer = self.within_bound(look()).await?;
        }
        Ok(answer)
    }

    fn made(&self) -> u64 {
        self.link.generation.get()
    }

    fn server(&self) -> u64 {
        self.link.met.get()
    }

    fn new_number(&self) -> u64 {
        self.shared.random()
    }
}

fn run(store: &mut Store, now: Micros, call: &Call) -> Value {
    store.run(now, call.script_text(), &call.words())
}
