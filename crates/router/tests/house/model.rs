//! A simple model of the broker: no locks, no wake-ups, and everything is written as soon as the
//! socket takes it.
//!
//! Where the broker may choose an order (which id a sweep comes to first, which sender is told
//! first), the model asks a [`Chooser`]. The test continues with
//! all choices that explain the observations.

mod chooser;
mod conn;
mod events;
mod queue;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use peerbroker_config::Limits;
use peerbroker_core::clock::Instant;

pub use chooser::Chooser;
pub use conn::Stage;
use conn::{Conn, Item, notice};
use queue::Queue;

pub type ConnNo = usize;
pub type MessageNo = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    Delivered,
    Queued,
    Expired,
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Registered,
    Taken,
    Reserved,
    Full,
}

/// The properties of a message that the broker must respect.
#[derive(Clone, Debug)]
pub struct Message {
    pub from: String,
    pub to: String,
    pub text: String,
    pub kept: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub slow_readers: u64,
    pub timed_out: u64,
    pub evicted: u64,
    pub expired: u64,
}

/// A conversation that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    pub messages: Vec<MessageNo>,
    /// The connection that held the sender's id.
    pub told: Option<ConnNo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Probe {
    no: usize,
    asked: Instant,
    due: Instant,
    /// Little else was on its way to the holder.
    undelayed: bool,
}

#[derive(Clone)]
pub struct Model {
    /// Maximum clients.
    clients: usize,
    limits: Limits,
    pub now: Instant,
    pub conns: Vec<Conn>,
    pub messages: Vec<Message>,
    holders: BTreeMap<String, ConnNo>,
    queues: BTreeMap<String, Queue>,
    probes: BTreeMap<String, Vec<Probe>>,
    /// Ids that are reserved for a token until a time; the flag says whether clients of its address need not
    /// wait.
    reserved: BTreeMap<String, (String, Instant, bool)>,
    /// The time of the last sweep.
    swept: Instant,
    next_rank: u64,
    pub counts: Counts,
    pub expiries: BTreeSet<Expiry>,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        // Everything else follows from earlier steps.
        self.conns == other.conns
            && self.holders == other.holders
            && self.queues == other.queues
            && self.probes == other.probes
            && self.reserved == other.reserved
            && self.counts == other.counts
            && self.expiries == other.expiries
    }
}

impl Model {
    pub fn new(clients: usize, limits: Limits) -> Self {
        Model {
            clients,
            limits,
            now: Instant::default(),
            conns: Vec::new(),
            messages: Vec::new(),
            holders: BTreeMap::new(),
            queues: BTreeMap::new(),
            probes: BTreeMap::new(),
            reserved: BTreeMap::new(),
            swept: Instant::default(),
            next_rank: 0,
            counts: Counts::default(),
            expiries: BTreeSet::new(),
        }
    }

    pub fn registered(&self) -> usize {
        self.holders.len()
    }

    /// In order of first registration.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<&ConnNo> = self.holders.values().collect();
        ids.sort_by_key(|conn| self.conns[**conn].rank);
        ids.into_iter().map(|conn| self.conns[*conn].id.clone()).collect()
    }

    pub fn holds(&self, conn: ConnNo) -> bool {
        self.conns[conn].stage == Stage::Holder
    }

    pub fn queued_bytes(&self) -> usize {
        let waiting = self.queues.values().map(Queue::charge).sum::<usize>();
        waiting + self.conns.iter().map(|conn| conn.charge).sum::<usize>()
    }

    pub fn is_pending(&self, probe: usize) -> bool {
        self.probes.values().flatten().any(|pending| pending.no == probe)
    }

    pub fn waiting(&self) -> impl Iterator<Item = MessageNo> + '_ {
        let queued = self.queues.values().flat_map(|queue| &queue.items);
        let items = queued.chain(self.conns.iter().flat_map(|conn| &conn.outbox));
        items.filter_map(|item| item.message)
    }

    fn item(&self, no: MessageNo) -> Item {
        let Message { from, text, kept, .. } = &self.messages[no];
        Item { from: Some(from.clone()), message: kept.then_some(no), ..notice(text.clone()) }
    }
}
