//! The one session of a worker that writes for all of them.
//!
//! Sessions of a worker are polled one after another. First all that can read do; the first of them that has
//! something to write is polled again behind the others, and then writes for all. So messages of several
//! senders to one recipient are one write, and the code for reading stays in the processor's cache, and then
//! that for writing: writing after each read costs 5 % more of the processor per message.

use std::cell::Cell;
use std::time::Instant;

use crate::Node;
use peerbroker_router::Flush;

/// The flushes that sessions of a worker have left to do.
#[derive(Default)]
pub(super) struct Unflushed {
    pub(super) flushes: Vec<Flush>,
    /// The time of the first read that left one, if it is sampled.
    pub(super) begun: Option<Instant>,
}

thread_local! {
    // If the session that has to flush ends before, its `Drop` does.
    static UNFLUSHED: Cell<Unflushed> = const { Cell::new(Unflushed { flushes: Vec::new(), begun: None }) };
}

impl Unflushed {
    /// Takes those of this worker, to add some.
    #[inline]
    pub(super) fn take() -> Self {
        UNFLUSHED.take()
    }

    /// Leaves them to the session that flushes.
    #[inline]
    pub(super) fn leave(self) {
        UNFLUSHED.set(self);
    }

    /// Flushes for all sessions of this worker.
    pub(super) fn flush_all(node: &Node) {
        let mut unflushed = Self::take();
        unflushed.flushes.drain(..).for_each(Flush::flush);
        unflushed.record_latency(node);
        // It keeps its memory.
        unflushed.leave();
    }

    /// Notes the time since the first read.
    pub(super) fn record_latency(&mut self, node: &Node) {
        if let Some(begun) = self.begun.take() {
            node.counters().latency.record(begun.elapsed());
        }
    }
}
