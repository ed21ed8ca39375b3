//! A number of bytes that all queues share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many of the bytes are in use.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// A part of a budget. Dropping it gives the bytes back.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
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

    /// Has bytes that were taken given back by a guard.
    pub(super) fn reserved(self: &Arc<Self>, bytes: usize) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes }
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
