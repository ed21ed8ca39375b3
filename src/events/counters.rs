use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::histogram::Histogram;
use super::peak::Peak;
use super::worker_lag::WorkerLag;
use crate::wire::{CloseReason, DropReason, HandshakeRefusal, Limit, MessageKind, Refusal};

/// Cells for threads, a power of two. More threads than this share them, which costs time and no counts.
const MAX_CELLS: usize = 64;

/// One of so many reads is timed: to read the clock twice for each would cost about a percent of it.
const SAMPLED: u32 = 64;

/// How long a peak stays the peak of its minute, in milliseconds.
const MINUTE: u64 = 60_000;

const OUTCOMES: usize = 3 + DropReason::ALL.len();

/// Classes of the status of an HTTP answer, from 100 on.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The outcome of a message. A queued message is counted once more at its end: as delivered, expired or dropped.
/// It is queued again if its recipient's connection ends before it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the outbox of its recipient's connection.
    Delivered,
    /// It waits for its recipient.
    Queued,
    /// It has waited too long, or something that belongs to it was dropped. Its sender gets EXPIRE.
    Expired,
    /// It is lost.
    Dropped(DropReason),
}

/// Counts since the start.
///
/// Each thread adds to cells of its own, on cache lines of their own: workers that share a counter would spend
/// more time on passing its cache line around than on counting. Sums are made when somebody reads.
#[derive(Debug)]
pub struct Counters {
    cells: Box<[Cells]>,
    /// How long messages take through this server: a sample.
    latency: Histogram,
    /// Bytes of the outbox that has the most.
    largest_outbox: Peak,
    worker_lag: WorkerLag,
    /// When the minute of the peaks began.
    minute: AtomicU64,
}

// Two cache lines of x86-64, which fetches them in pairs.
#[repr(align(128))]
#[derive(Debug)]
struct Cells {
    messages: [[AtomicU64; OUTCOMES]; MessageKind::ALL.len()],
    opened: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    expired: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    limits: [AtomicU64; Limit::ALL.len()],
    handshakes_refused: [AtomicU64; HandshakeRefusal::ALL.len()],
    /// Answers to HTTP requests, by the first digit of their status.
    answers: [AtomicU64; STATUS_CLASSES.len()],
}

/// The sums of [`Counters`] at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Totals<'a>(&'a Counters);

impl Default for Cells {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Cells {
            messages: std::array::from_fn(|_| std::array::from_fn(|_| zero())),
            opened: zero(),
            closed: std::array::from_fn(|_| zero()),
            refused: std::array::from_fn(|_| zero()),
            expired: zero(),
            received: zero(),
            sent: zero(),
            limits: std::array::from_fn(|_| zero()),
            handshakes_refused: std::array::from_fn(|_| zero()),
            answers: std::array::from_fn(|_| zero()),
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        // Workers, and the threads that sweep and watch. A power of two, so that a mask finds a thread's cells.
        let threads = thread::available_parallelism().map_or(1, usize::from) + 2;
        let cells = threads.next_power_of_two().min(MAX_CELLS);
        Counters {
            cells: (0..cells).map(|_| Cells::default()).collect(),
            latency: Histogram::default(),
            largest_outbox: Peak::default(),
            worker_lag: WorkerLag::default(),
            minute: AtomicU64::default(),
        }
    }
}

impl Outcome {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Outcome> {
        let reasons = DropReason::ALL.into_iter().map(Outcome::Dropped);
        [Outcome::Delivered, Outcome::Queued, Outcome::Expired].into_iter().chain(reasons)
    }

    /// The name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Queued => "queued",
            Outcome::Expired => "expired",
            Outcome::Dropped(DropReason::Absent) => "dropped_absent",
            Outcome::Dropped(DropReason::InvalidId) => "dropped_invalid_id",
            Outcome::Dropped(DropReason::KeyRevoked) => "dropped_key_revoked",
            Outcome::Dropped(DropReason::OutboxFull) => "dropped_outbox_full",
            Outcome::Dropped(DropReason::QueueMessages) => "dropped_queue_messages",
            Outcome::Dropped(DropReason::QueueBytes) => "dropped_queue_bytes",
            Outcome::Dropped(DropReason::QueueTotalBytes) => "dropped_queue_total_bytes",
            Outcome::Dropped(DropReason::Disconnected) => "dropped_disconnected",
            Outcome::Dropped(DropReason::InDoubt) => "dropped_in_doubt",
        }
    }

    fn index(self) -> usize {
        match self {
            Outcome::Delivered => 0,
            Outcome::Queued => 1,
            Outcome::Expired => 2,
            Outcome::Dropped(reason) => 3 + reason as usize,
        }
    }
}

impl Counters {
    /// Counts a message.
    pub(crate) fn message(&self, kind: MessageKind, outcome: Outcome) {
        self.add(|cells| cells.messages.get(kind as usize)?.get(outcome.index()), 1);
    }

    /// Counts a connection that got an id.
    pub(crate) fn opened(&self) {
        self.add(|cells| Some(&cells.opened), 1);
    }

    /// Counts a connection that lost its id.
    pub(crate) fn closed(&self, reason: CloseReason) {
        self.add(|cells| cells.closed.get(reason as usize), 1);
        reason.limit().into_iter().for_each(|limit| self.limit_hit(limit));
    }

    /// Counts a client that did not get an id.
    pub(crate) fn refused(&self, reason: Refusal) {
        self.add(|cells| cells.refused.get(refusal_index(reason)), 1);
        reason.limit().into_iter().for_each(|limit| self.limit_hit(limit));
    }

    /// Counts senders that lost all that they had waiting for a peer.
    pub(crate) fn expired(&self, senders: usize) {
        self.add(|cells| Some(&cells.expired), senders as u64);
    }

    /// Counts bytes of messages that clients have sent.
    pub(crate) fn received(&self, bytes: u64) {
        self.add(|cells| Some(&cells.received), bytes);
    }

    /// Counts bytes of messages that are in the outboxes of their recipients.
    pub(crate) fn sent(&self, bytes: usize) {
        self.add(|cells| Some(&cells.sent), bytes as u64);
    }

    /// Counts that a client has reached a limit.
    pub(crate) fn limit_hit(&self, limit: Limit) {
        self.add(|cells| cells.limits.get(limit as usize), 1);
    }

    /// Counts a handshake that opened no WebSocket.
    pub(crate) fn handshake_refused(&self, reason: HandshakeRefusal) {
        self.add(|cells| cells.handshakes_refused.get(reason as usize), 1);
    }

    /// Counts the answer to a client's HTTP request.
    pub(crate) fn answered(&self, status: u16) {
        self.add(|cells| cells.answers.get(usize::from(status / 100).checked_sub(1)?), 1);
    }

    /// The time, if this read is one of the sample of [`latency`](Self::latency).
    pub(crate) fn sample(&self) -> Option<Instant> {
        thread_local!(static READS: Cell<u32> = const { Cell::new(0) });
        let reads = READS.get().wrapping_add(1);
        READS.set(reads);
        reads.is_multiple_of(SAMPLED).then(Instant::now)
    }

    /// How long messages take through this server, of one read in 64: from the read of a message until all
    /// messages of that read are written, or left to their recipients' own tasks.
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// The most bytes in the outbox of one client whose socket was full.
    pub fn largest_outbox(&self) -> &Peak {
        &self.largest_outbox
    }

    /// How late the timers of workers fire.
    pub fn worker_lag(&self) -> &WorkerLag {
        &self.worker_lag
    }

    /// Begins a new minute of the peaks if the last one is over at `now`.
    pub(crate) fn sweep(&self, now: u64) {
        if now.saturating_sub(self.minute.load(Ordering::Relaxed)) >= MINUTE {
            self.minute.store(now, Ordering::Relaxed);
            self.largest_outbox.turn();
            self.worker_lag.turn();
        }
    }

    /// The sums.
    pub fn totals(&self) -> Totals<'_> {
        Totals(self)
    }

    fn add<'a>(&'a self, counter: impl FnOnce(&'a Cells) -> Option<&'a AtomicU64>, count: u64) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed));
        let own = NUMBER.with(|number| number & (self.cells.len().saturating_sub(1)));
        if let Some(counter) = self.cells.get(own).and_then(counter) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Totals<'_> {
    /// Messages of one kind and outcome.
    pub fn messages(self, kind: MessageKind, outcome: Outcome) -> u64 {
        self.sum(|cells| cells.messages.get(kind as usize)?.get(outcome.index()))
    }

    /// Connections that got an id.
    pub fn opened(self) -> u64 {
        self.sum(|cells| Some(&cells.opened))
    }

    /// Connections that lost their id, by reason.
    pub fn closed(self, reason: CloseReason) -> u64 {
        self.sum(|cells| cells.closed.get(reason as usize))
    }

    /// Clients that did not get an id, by reason.
    pub fn refused(self, reason: Refusal) -> u64 {
        self.sum(|cells| cells.refused.get(refusal_index(reason)))
    }

    /// Times that a sender lost all that it had waiting for a peer, and was told.
    pub fn expired(self) -> u64 {
        self.sum(|cells| Some(&cells.expired))
    }

    /// Bytes of messages that clients have sent.
    pub fn received(self) -> u64 {
        self.sum(|cells| Some(&cells.received))
    }

    /// Bytes of messages that are, or were, in the outboxes of their recipients.
    pub fn sent(self) -> u64 {
        self.sum(|cells| Some(&cells.sent))
    }

    /// Times that clients have reached a limit.
    pub fn limit_hits(self, limit: Limit) -> u64 {
        self.sum(|cells| cells.limits.get(limit as usize))
    }

    /// Handshakes that opened no WebSocket, by reason.
    pub fn handshakes_refused(self, reason: HandshakeRefusal) -> u64 {
        self.sum(|cells| cells.handshakes_refused.get(reason as usize))
    }

    /// Answers to HTTP requests of clients, by the class of their status.
    pub fn answers(self) -> [(&'static str, u64); STATUS_CLASSES.len()] {
        std::array::from_fn(|class| {
            let label = STATUS_CLASSES.get(class).copied().unwrap_or_default();
            (label, self.sum(|cells| cells.answers.get(class)))
        })
    }

    fn sum<'a>(&'a self, counter: impl Fn(&'a Cells) -> Option<&'a AtomicU64>) -> u64 {
        let counters = self.0.cells.iter().filter_map(counter);
        counters.map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

fn refusal_index(reason: Refusal) -> usize {
    let same = |other: &Refusal| std::mem::discriminant(other) == std::mem::discriminant(&reason);
    Refusal::ALL.iter().position(same).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_are_summed() {
        let counters = Counters::default();
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    counters.message(MessageKind::Offer, Outcome::Delivered);
                    counters.message(MessageKind::Leave, Outcome::Dropped(DropReason::Absent));
                    counters.expired(2);
                });
            }
        });
        let totals = counters.totals();
        assert_eq!(totals.messages(MessageKind::Offer, Outcome::Delivered), 100);
        assert_eq!(totals.messages(MessageKind::Leave, Outcome::Dropped(DropReason::Absent)), 100);
        assert_eq!(totals.messages(MessageKind::Answer, Outcome::Delivered), 0);
        assert_eq!(totals.expired(), 200);
    }

    #[test]
    fn everything_that_can_be_counted_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for kind in MessageKind::ALL {
            for outcome in Outcome::all() {
                counters.message(kind, outcome);
            }
        }
        CloseReason::ALL.into_iter().for_each(|reason| counters.closed(reason));
        Refusal::ALL.into_iter().for_each(|reason| counters.refused(reason));
        HandshakeRefusal::ALL.into_iter().for_each(|reason| counters.handshake_refused(reason));
        [100, 204, 302, 404, 599].into_iter().for_each(|status| counters.answered(status));
        let by_endings = counters.totals();
        for limit in [Limit::ConcurrentLimit, Limit::MaxMessageBytes, Limit::UnfinishedTotalBytes] {
            assert_eq!(by_endings.limit_hits(limit), 1, "an ending names its limit");
        }
        let limits = Limit::ALL.iter().filter(|limit| by_endings.limit_hits(**limit) == 0);
        limits.for_each(|limit| counters.limit_hit(*limit));
        let totals = counters.totals();
        for kind in MessageKind::ALL {
            assert!(Outcome::all().all(|outcome| totals.messages(kind, outcome) == 1));
        }
        assert!(CloseReason::ALL.into_iter().all(|reason| totals.closed(reason) == 1));
        assert!(Refusal::ALL.into_iter().all(|reason| totals.refused(reason) == 1));
        assert!(HandshakeRefusal::ALL.into_iter().all(|reason| totals.handshakes_refused(reason) == 1));
        assert_eq!(totals.answers(), STATUS_CLASSES.map(|class| (class, 1)));
        assert!(Limit::ALL.iter().all(|limit| totals.limit_hits(*limit) == 1));
    }
}
