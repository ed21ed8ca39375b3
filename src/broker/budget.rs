//! Bytes that all queues share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::wire::PeerId;

/// How many of the bytes are in use.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// A part of a budget. Dropping it gives the bytes back.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

/// Room for the messages of a realm that wait.
///
/// In a cluster, a peer that is not here is sought first. A quarter of the room is for messages that wait for the answer, because
/// otherwise whoever sends to ids that nobody has would cut the nodes from each other. No sender can use up that part: each
/// has at most an eighth of what is still free for its realm, and leaves an eighth to other realms. With `n` greedy senders,
/// everybody finds one share in `n + 8`.
pub(super) struct Room {
    waiting: Arc<Budget>,
    sought: Arc<Budget>,
    shares: Mutex<Shares>,
    is_cluster: bool,
}

/// Bytes of messages whose recipients are sought.
#[derive(Default)]
struct Shares {
    realm: usize,
    senders: HashMap<PeerId, usize>,
}

impl Room {
    pub(super) fn new(waiting: &Arc<Budget>, sought: &Arc<Budget>, is_cluster: bool) -> Self {
        let (waiting, sought) = (Arc::clone(waiting), Arc::clone(sought));
        Room { waiting, sought, shares: Mutex::default(), is_cluster }
    }

    /// The part of `total` for messages whose recipients are sought.
    fn for_sought(&self, total: usize) -> usize {
        if self.is_cluster { total / 4 } else { 0 }
    }

    /// Takes bytes of `total` for messages to absent peers.
    pub(super) fn take(&self, bytes: usize, total: usize) -> bool {
        self.waiting.take(bytes, total - self.for_sought(total))
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.waiting.give_back(bytes);
    }

    /// Takes bytes of `total` for a message whose recipient is sought.
    pub(super) fn take_for_sought(&self, from: &PeerId, bytes: usize, total: usize) -> bool {
        let max = self.for_sought(total);
        let mut shares = self.shares();
        let others = self.sought.used().saturating_sub(shares.realm);
        let free = (max.saturating_sub(others) / 8 * 7).saturating_sub(shares.realm);
        let own = shares.senders.get(from).copied().unwrap_or(0);
        if own.saturating_add(bytes) > free / 8 || !self.sought.take(bytes, max) {
            return false;
        }
        shares.realm += bytes;
        *shares.senders.entry(from.clone()).or_default() += bytes;
        true
    }

    pub(super) fn give_back_sought(&self, from: &PeerId, bytes: usize) {
        self.sought.give_back(bytes);
        let mut shares = self.shares();
        shares.realm = shares.realm.saturating_sub(bytes);
        if let Some(own) = shares.senders.get_mut(from) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                shares.senders.remove(from);
            }
        }
    }

    /// Has bytes that were taken given back by a guard.
    pub(super) fn reserved(&self, bytes: usize) -> Reservation {
        Reservation { budget: Arc::clone(&self.waiting), bytes }
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    pub(super) fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes bytes, unless more than `max` would be in use.
    pub(super) fn take(&self, bytes: usize, max: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= max);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Gives bytes back.
    pub(super) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes bytes as [`take`](Self::take) does, for as long as the guard lives.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize, max: usize) -> Option<Reservation> {
        self.take(bytes, max).then(|| Reservation { budget: Arc::clone(self), bytes })
    }
}

impl Reservation {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
