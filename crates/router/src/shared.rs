//! [`Router`]: the state that all realms share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::atomic_instant::AtomicInstant;
use super::contested::Contested;
use super::queue::{Budget, WaitingMessages};
use super::remote_peers::RemotePeers;
use crate::sync::{AtomicBool, AtomicU64};
use peerbroker_config::{Config, LiveConfig};
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::{ConnId, Frame, MessageKind};
use peerbroker_events::{Count, Counters, Events, Outcome};

/// Writes the notice that a sender gets when its messages to an absent peer are lost, from the absent peer's
/// id and the sender's.
pub type ExpireNotice = fn(&str, &str) -> Frame;

/// The state that all realms share: their limits, their clock, the budget of their queues, and the way to
/// other nodes.
pub struct Router {
    pub(super) config: LiveConfig,
    pub(super) clock: Clock,
    pub(super) events: Events,
    /// The other nodes, if this node is in a cluster.
    pub(super) cluster: Option<Arc<dyn RemotePeers>>,
    pub(super) expire_notice: ExpireNotice,
    /// Bytes queued for absent peers.
    pub(super) queued: Arc<WaitingMessages>,
    /// Bytes queued for peers that are sought among the nodes.
    pub(super) sought: Arc<Budget>,
    /// Bytes in outboxes whose sockets are full.
    pub(super) outboxes: Arc<Budget>,
    /// Ids that are remembered as absent, although nothing waits for them.
    pub(super) remembered: Arc<Budget>,
    /// Ids that change hands again and again.
    pub(super) contested: Contested,
    connections: AtomicU64,
    tickets: AtomicU64,
    closing: AtomicBool,
    /// The time of the last sweep.
    swept: AtomicInstant,
}

impl Router {
    /// No realm yet. `cluster` knows the peers of other nodes.
    pub fn new(
        config: LiveConfig,
        clock: Clock,
        events: Events,
        cluster: Option<Arc<dyn RemotePeers>>,
        expire_notice: ExpireNotice,
    ) -> Self {
        Router {
            expire_notice,
            config,
            clock,
            events,
            cluster,
            queued: Arc::default(),
            sought: Arc::default(),
            outboxes: Arc::default(),
            remembered: Arc::default(),
            contested: Contested::default(),
            connections: AtomicU64::default(),
            tickets: AtomicU64::default(),
            closing: AtomicBool::default(),
            swept: AtomicInstant::new(Instant::default()),
        }
    }

    /// The active configuration.
    #[inline]
    pub fn live_config(&self) -> &LiveConfig {
        &self.config
    }

    /// The source of the time.
    #[inline]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The events and counters.
    #[inline]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Bytes of the messages that wait for absent peers, overhead included.
    pub fn queued_bytes(&self) -> usize {
        self.queued.bytes.used() + self.sought.used()
    }

    /// Bytes that outboxes may still take together.
    pub(super) fn free_outbox_bytes(&self) -> usize {
        self.config().limits.outbox_total_bytes.saturating_sub(self.outboxes.used())
    }

    #[inline]
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The time of the last sweep. Saves reading the clock in the path of every message.
    pub(super) fn about_now(&self) -> Instant {
        self.swept.load()
    }

    /// Notes that a sweep of all realms begins.
    pub fn record_sweep(&self) {
        self.swept.store(self.now());
    }

    pub(super) fn config(&self) -> impl std::ops::Deref<Target = Arc<Config>> + use<> {
        self.config.load()
    }

    pub(super) fn counters(&self) -> &Counters {
        self.events.counters()
    }

    /// Counts the outcome of a frame, if it is a message.
    pub(super) fn count(&self, kind: Option<MessageKind>, outcome: Outcome) {
        if let Some(kind) = kind {
            self.counters().add(Count::Messages(kind, outcome), 1);
        }
    }

    /// The number of a connection that was never there before.
    pub fn next_connection(&self) -> ConnId {
        ConnId::new(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A ticket for a forwarded message. Never used twice: an answer may come after the slot is forgotten.
    pub(super) fn next_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Admits no more clients. Present clients stay until [`Realm::close`](super::Realm::close).
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// True after [`close`](Self::close).
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}
