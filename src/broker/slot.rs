use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::outbox::Outgoing;
use super::queue::{Overflow, QueueEnd, WaitingMessages};
use super::state::{Conn, State};
use super::{Limits, Shared};
use crate::rate_limit::RateLimit;
use crate::wire::Frame;
use crate::wire::{CloseReason, ConnId, PeerId};

/// What the broker knows about one id: the connection that holds it, or what waits for it.
///
/// One lock guards both, so that a message is either in front of a lease or behind it and
/// never between the two. No other lock is taken while it is held. The atomics are hints that are
/// read without it.
pub(super) struct Slot {
    pub(super) id: PeerId,
    /// The [`ConnId`] of the connection that holds the id; 0 for none.
    holder: AtomicU64,
    /// When the holder was last heard.
    heard: AtomicU64,
    /// What the holder has sent.
    messages: AtomicU64,
    /// How fast its holders send. It outlives them, so reconnecting gives no new burst.
    pace: RateLimit,
    /// When the oldest waiting conversation began; `u64::MAX` if nothing waits.
    waiting_since: AtomicU64,
    /// Somebody waits to hear whether the holder is alive.
    probed: AtomicBool,
    /// The sweeper has to look here for another reason: see [`Slot::note_due`].
    due: AtomicBool,
    state: Mutex<State>,
}

impl Slot {
    pub(super) fn new(id: PeerId) -> Self {
        Slot {
            id,
            holder: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            pace: RateLimit::default(),
            waiting_since: AtomicU64::new(u64::MAX),
            probed: AtomicBool::new(false),
            due: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_held(&self) -> bool {
        self.holder.load(Ordering::Acquire) != 0
    }

    pub(super) fn is_held_by(&self, conn: ConnId) -> bool {
        self.holder.load(Ordering::Acquire) == conn.0
    }

    /// The holder gave a sign of life.
    pub(super) fn heard(&self, now: u64) {
        self.heard.store(now, Ordering::Relaxed);
        if self.probed.load(Ordering::Relaxed) {
            let mut state = self.lock();
            state.forget_probes();
            self.probed.store(false, Ordering::Relaxed);
        }
    }

    /// The holder has sent so many messages.
    pub(super) fn count_messages(&self, count: u32) {
        self.messages.fetch_add(u64::from(count), Ordering::Relaxed);
    }

    /// The holder has sent so many frames; says how long it should send no more, by its rate.
    pub(super) fn charge(&self, frames: u32, per_second: u32, now: impl FnOnce() -> u64) -> Duration {
        // The clock is read only if there is a bound: this stands in the path of every message.
        if per_second == 0 { Duration::ZERO } else { self.pace.charge(frames, per_second, now()) }
    }

    /// Whether it is as if nobody had ever sent anything under this id.
    pub(super) fn is_rested(&self, now: impl FnOnce() -> u64) -> bool {
        self.pace.is_new() || self.pace.is_rested(now())
    }

    /// Has the sweeper look here until there is no reason any more: an outbox was full, the id is kept
    /// for its owner, or its pace is not rested.
    pub(super) fn note_due(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// The sweeper has looked.
    pub(super) fn settle(&self, state: &State, now: u64) {
        let crowded = state.conn.as_ref().is_some_and(|conn| conn.crowded.is_some());
        let unrested = state.conn.is_none() && !self.is_rested(|| now);
        self.due.store(crowded || state.is_reserved() || unrested, Ordering::Relaxed);
    }

    /// The outbox of the holder was full, or holds much from the beginning.
    pub(super) fn crowd(&self, state: &mut State, now: u64) {
        if let Some(conn) = &mut state.conn {
            conn.crowded.get_or_insert(now);
            self.note_due();
        }
    }

    /// Keeps the id for the token of its holder, who is about to lose it.
    pub(super) fn reserve(&self, state: &mut State, until: u64) {
        if let Some(token) = state.conn.as_ref().map(|holder| holder.token.clone()) {
            state.reserve(token, until);
            self.note_due();
        }
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Whether a sweep at `now` would have something to do here.
    pub(super) fn needs_sweep(&self, now: u64, times: &Timeouts) -> bool {
        let silent = self.is_held() && now.saturating_sub(self.heard.load(Ordering::Relaxed)) >= times.ping;
        let waited = self.waiting_since.load(Ordering::Relaxed).saturating_add(times.expire) <= now;
        silent || waited || self.probed.load(Ordering::Relaxed) || self.due.load(Ordering::Relaxed)
    }

    /// Makes `conn` the holder, and then tells it so. A former holder must have been dismissed.
    pub(super) fn install(&self, state: &mut State, conn: Conn, now: u64) {
        self.heard.store(now, Ordering::Relaxed);
        self.messages.store(0, Ordering::Relaxed);
        self.holder.store(conn.id.0, Ordering::Release);
        state.end_reservation(u64::MAX);
        if state.takes_over_from_stranger(&conn.token) {
            self.pace.forgive(now);
        }
        self.due.store(false, Ordering::Relaxed);
        let outbox = &mut state.conn.insert(conn).outbox;
        outbox.flush();
        if outbox.is_preloaded() && !outbox.is_empty() {
            self.crowd(state, now);
        }
    }

    /// Takes the id away from its holder, with a close frame behind what was begun. Returns what
    /// the holder will not get any more.
    pub(super) fn dismiss(&self, state: &mut State, why: CloseReason) -> Vec<Outgoing> {
        let Some(mut conn) = self.uninstall(state) else {
            return Vec::new();
        };
        let unsent = conn.outbox.take_unsent(false);
        conn.outbox.push_unbounded(Outgoing::notice(Frame::close(why.close())));
        conn.outbox.flush();
        conn.outbox.wake_owner();
        state.leave(conn, why);
        unsent
    }

    /// Takes the id away from its holder, whose own session says that it has ended. Returns what
    /// the holder will not get any more.
    pub(super) fn vacate(&self, state: &mut State, dead: bool) -> Vec<Outgoing> {
        let Some(mut conn) = self.uninstall(state) else {
            return Vec::new();
        };
        let unsent = conn.outbox.take_unsent(dead);
        state.leave(conn, CloseReason::Left);
        unsent
    }

    fn uninstall(&self, state: &mut State) -> Option<Conn> {
        let conn = state.conn.take()?;
        self.holder.store(0, Ordering::Release);
        state.forget_probes();
        self.probed.store(false, Ordering::Relaxed);
        self.due.store(state.is_reserved(), Ordering::Relaxed);
        if !self.pace.is_new() {
            state.remember(conn.token.clone());
        }
        Some(conn)
    }

    /// Keeps a message for the next holder.
    pub(super) fn keep(
        &self,
        state: &mut State,
        outgoing: Outgoing,
        end: QueueEnd,
        shared: &Shared,
    ) -> Result<(), Overflow> {
        let queue = state.queue.get_or_insert_default();
        let kept = queue.keep(outgoing, end, shared);
        self.queue_changed(state);
        kept
    }

    /// Takes out the conversations that have waited too long, and says whose they were.
    pub(super) fn expire(
        &self,
        state: &mut State,
        now: u64,
        times: &Timeouts,
        shared: &Shared,
    ) -> Vec<PeerId> {
        let Some(queue) = &mut state.queue else {
            return Vec::new();
        };
        let Some(began) = now.checked_sub(times.expire) else {
            return Vec::new();
        };
        let expired = queue.expire(began, &shared.queued_bytes);
        self.queue_changed(state);
        expired
    }

    fn queue_changed(&self, state: &mut State) {
        let oldest = state.queue.as_ref().and_then(|queue| queue.oldest());
        self.waiting_since.store(oldest.unwrap_or(u64::MAX), Ordering::Relaxed);
        if state.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            state.queue = None;
        }
    }

    /// All that waits, for the new holder.
    pub(super) fn take_queue(&self, state: &mut State, shared: &Arc<Shared>) -> Option<WaitingMessages> {
        self.waiting_since.store(u64::MAX, Ordering::Relaxed);
        state.queue.take().map(|queue| queue.drain(shared))
    }

    /// Asks the holder for a sign of life, or waits for the owner of an id that is kept for it. The
    /// receiver ends when the holder gave one or is gone, or nobody is waited for any more; `None` if too
    /// many wait already.
    pub(super) fn probe(&self, state: &mut State, now: u64) -> Option<oneshot::Receiver<()>> {
        if state.conn.is_none() && !state.is_reserved() {
            return Some(oneshot::channel().1);
        }
        let (receiver, first) = state.ask(now)?;
        if let Some(conn) = &mut state.conn {
            // Before the ping, because its answer may be heard before this function ends.
            self.probed.store(true, Ordering::SeqCst);
            if first {
                // Only what it takes from now on is an answer.
                conn.note_progress(now);
                conn.outbox.push_ping();
                conn.outbox.flush();
            }
        }
        Some(receiver)
    }

    /// What is to be done with the holder at `now`.
    pub(super) fn check_holder(&self, state: &mut State, now: u64, times: &Timeouts) -> HolderCheck {
        if state.conn.as_mut().is_some_and(|conn| conn.note_progress(now) && conn.outbox.is_direct()) {
            self.heard.store(now, Ordering::Relaxed);
            state.forget_probes();
            self.probed.store(false, Ordering::Relaxed);
        }
        let asked = state.first_asked();
        let Some(conn) = &mut state.conn else {
            self.probed.store(false, Ordering::Relaxed);
            return HolderCheck::Keep;
        };
        let heard = self.heard.load(Ordering::Relaxed);
        let silent = now.saturating_sub(heard);
        if silent >= times.alive {
            return HolderCheck::Dismiss(CloseReason::TimedOut);
        }
        if asked.is_some_and(|asked| now.saturating_sub(asked) >= times.probe) {
            return HolderCheck::Dismiss(CloseReason::Evicted);
        }
        if conn.crowded.is_some_and(|since| now.saturating_sub(since) >= times.stall) {
            return HolderCheck::Dismiss(CloseReason::SlowReader);
        }
        if silent >= times.ping && now.saturating_sub(conn.pinged.max(heard)) >= times.ping {
            conn.pinged = now;
            return HolderCheck::Ping;
        }
        HolderCheck::Keep
    }
}

pub(super) enum HolderCheck {
    Keep,
    Ping,
    Dismiss(CloseReason),
}

/// The limits' times in milliseconds.
pub(super) struct Timeouts {
    alive: u64,
    ping: u64,
    probe: u64,
    stall: u64,
    expire: u64,
}

impl From<&Limits> for Timeouts {
    fn from(limits: &Limits) -> Self {
        use crate::clock::millis;
        Timeouts {
            alive: millis(limits.alive_timeout),
            ping: millis(limits.effective_ping_interval()).max(1),
            probe: millis(limits.probe_timeout),
            stall: millis(limits.stall_timeout),
            expire: millis(limits.expire_timeout),
        }
    }
}
