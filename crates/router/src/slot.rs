//! An id: the lock over its state, and the numbers beside it that are read without the lock.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{self, Relaxed};

use super::atomic_instant::AtomicInstant;
use super::state::SlotState;
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use peerbroker_config::Limits;
use peerbroker_core::clock::{Instant, millis};
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{AddressPrefix, ConnId, PeerId};

/// An id: the connection that holds it, or the queue of messages for it.
///
/// One lock guards both, so a message is either in front of a registration or behind it and never between the
/// two. No other slot's lock is taken while it is held. The atomics are hints that are read without it.
pub(super) struct Slot {
    pub(super) id: PeerId,
    /// The number of the connection that holds the id; 0 for none.
    holder: AtomicU64,
    /// The source of what the holder sends, or the last one sent.
    source: AtomicU64,
    /// The time at which the holder was last heard.
    pub(super) heard: AtomicInstant,
    /// Messages that the holder has sent, and the bytes of their text.
    pub(super) messages: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// The rate limit of its holders. It outlives them, so that reconnecting gives no new burst.
    pub(super) rate: RateLimit,
    /// The time at which the oldest waiting batch began; the maximum if nothing waits.
    waiting_since: AtomicInstant,
    /// A client waits to learn whether the holder is alive.
    probed: AtomicBool,
    /// The sweeper has to visit for another reason: an outbox was full, the id is reserved for its owner, or
    /// the rate limit is not rested.
    due: AtomicBool,
    /// The holder's socket was full, so its outbox may hold something.
    backlog: AtomicBool,
    /// The peers with which the holder exchanges messages are remembered.
    pub(super) keeps_contacts: AtomicBool,
    state: Mutex<SlotState>,
}

impl Slot {
    pub(super) fn new(id: PeerId) -> Self {
        Slot {
            id,
            holder: AtomicU64::new(0),
            source: AtomicU64::new(0),
            heard: AtomicInstant::new(Instant::default()),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rate: RateLimit::default(),
            waiting_since: AtomicInstant::new(Instant::MAX),
            probed: AtomicBool::new(false),
            due: AtomicBool::new(false),
            backlog: AtomicBool::new(false),
            keeps_contacts: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// For reading, and for changes that neither add nor remove a holder or a message, such as a flush. All
    /// others go through a guard, see `guard.rs`.
    pub(super) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_held(&self) -> bool {
        self.holder.load(Ordering::Acquire) != 0
    }

    pub(super) fn is_held_by(&self, conn: ConnId) -> bool {
        self.holder.load(Ordering::Acquire) == conn.get()
    }

    /// The source to which messages of this client are charged while they wait.
    pub(super) fn source(&self) -> u64 {
        self.source.load(Relaxed)
    }

    /// Sets the holder of the id, from `now` on.
    pub(super) fn set_holder(
        &self,
        conn: ConnId,
        address: Option<IpAddr>,
        keeps_contacts: bool,
        now: Instant,
    ) {
        self.source.store(AddressPrefix::of_remote(address).map_or(0, AddressPrefix::number), Relaxed);
        self.keeps_contacts.store(keeps_contacts, Relaxed);
        self.heard.store(now);
        self.messages.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        self.holder.store(conn.get(), Ordering::Release);
    }

    /// Records that the id has no holder.
    pub(super) fn clear_holder(&self) {
        self.holder.store(0, Ordering::Release);
    }

    /// The holder gave a sign of life.
    pub(super) fn mark_alive(&self, now: Instant) {
        self.heard.store(now);
    }

    /// True if a client waits to learn whether the holder is alive.
    pub(super) fn is_probed(&self) -> bool {
        self.probed.load(Ordering::SeqCst)
    }

    /// Wakes the clients that wait to learn whether the holder is alive, if there are any.
    pub(super) fn answer_probes(&self) {
        if self.is_probed() {
            self.end_probes(&mut self.lock());
        }
    }

    /// Wakes the clients that wait to learn whether the holder is alive.
    pub(super) fn end_probes(&self, state: &mut SlotState) {
        if let Some(rare) = &mut state.rare {
            rare.probes.clear();
        }
        self.set_probed(false);
    }

    /// Sets whether a client waits to learn whether the holder is alive.
    pub(super) fn set_probed(&self, probed: bool) {
        self.probed.store(probed, Ordering::SeqCst);
    }

    /// True if the rate limit is back to its full burst.
    pub(super) fn is_rested(&self, now: impl FnOnce() -> Instant) -> bool {
        self.rate.is_new() || self.rate.is_rested(now())
    }

    /// True if the sweeper has to visit soon, as it has if anything is known of the peer elsewhere.
    pub(super) fn is_due(&self) -> bool {
        self.due.load(Relaxed)
    }

    /// Sets whether the sweeper has to visit.
    pub(super) fn set_due(&self, due: bool) {
        self.due.store(due, Relaxed);
    }

    pub(super) fn set_waiting_since(&self, since: Option<Instant>) {
        self.waiting_since.store(since.unwrap_or(Instant::MAX));
    }

    /// The time at which the oldest waiting batch began.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        Some(self.waiting_since.load()).filter(|since| *since != Instant::MAX)
    }

    /// Sets whether the outbox of the holder may hold something. For callers that have the lock.
    pub(super) fn set_backlog(&self, backlog: bool) {
        self.backlog.store(backlog, Relaxed);
    }

    /// True if something waits here: for an absent peer, or for one that reads slowly.
    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Relaxed) || self.waiting_since().is_some()
    }

    /// True if a sweep would have something to do here, if a holder that was last heard before the first of
    /// these times is silent, and a batch that waits since before the second has expired.
    pub(super) fn needs_sweep(&self, silent: Instant, expired: Instant) -> bool {
        let silent = self.is_held() && self.heard.load() < silent;
        let waited = self.waiting_since.load() < expired;
        silent || waited || self.probed.load(Relaxed) || self.due.load(Relaxed)
    }
}

/// Time for which a holder may be silent before it is pinged, in milliseconds.
pub(super) fn ping_interval(limits: &Limits) -> u64 {
    millis(limits.ping_interval()).max(1)
}
