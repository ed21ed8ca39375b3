//! State that all realms of one broker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::budget::Budget;
use super::cluster::Cluster;
use crate::clock::Clock;
use crate::config::{Config, LiveConfig};
use crate::events::{Counters, Events, Outcome};
use crate::wire::{ConnId, MessageKind};

pub(super) struct Shared {
    pub(super) config: LiveConfig,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) cluster: Arc<dyn Cluster>,
    /// Bytes queued for absent peers.
    pub(super) queued: Arc<Budget>,
    /// Bytes queued for peers that are sought among the nodes.
    pub(super) sought: Arc<Budget>,
    /// Ids that are remembered as absent, although nothing waits for them.
    pub(super) remembered: Arc<Budget>,
    connections: AtomicU64,
    tickets: AtomicU64,
    closing: AtomicBool,
    /// The time of the last sweep.
    swept: AtomicU64,
}

impl Shared {
    pub(super) fn new(config: LiveConfig, clock: Clock, events: Events, cluster: Arc<dyn Cluster>) -> Self {
        Shared {
            config,
            clock,
            events,
            cluster,
            queued: Arc::default(),
            sought: Arc::default(),
            remembered: Arc::default(),
            connections: AtomicU64::new(0),
            tickets: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            swept: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The time of the last sweep: for the path of every message, where it saves reading the clock.
    pub(super) fn about_now(&self) -> u64 {
        self.swept.load(Ordering::Relaxed)
    }

    /// A sweep begins.
    pub(super) fn note_sweep(&self) {
        self.swept.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn config(&self) -> impl std::ops::Deref<Target = Arc<Config>> + use<> {
        self.config.load()
    }

    pub(super) fn counters(&self) -> &Counters {
        self.events.counters()
    }

    /// Counts what became of a frame, if it is a message.
    pub(super) fn count(&self, kind: Option<MessageKind>, outcome: Outcome) {
        if let Some(kind) = kind {
            self.counters().message(kind, outcome);
        }
    }

    /// A connection that was never there before.
    pub(super) fn next_connection(&self) -> ConnId {
        ConnId::new(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A ticket for a message that is handed over. Never used twice: an answer may come when all else is forgotten.
    pub(super) fn next_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}
