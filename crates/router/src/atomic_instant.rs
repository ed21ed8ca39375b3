//! A time that is read without a lock.

use std::sync::atomic::Ordering::Relaxed;

use crate::sync::AtomicU64;
use peerbroker_core::clock::Instant;

/// A hint: it orders nothing else.
pub(super) struct AtomicInstant(AtomicU64);

impl AtomicInstant {
    pub(super) fn new(at: Instant) -> Self {
        AtomicInstant(AtomicU64::new(at.as_millis()))
    }

    #[inline]
    pub(super) fn load(&self) -> Instant {
        Instant::from_millis(self.0.load(Relaxed))
    }

    #[inline]
    pub(super) fn store(&self, at: Instant) {
        self.0.store(at.as_millis(), Relaxed);
    }
}
