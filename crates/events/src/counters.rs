//! Counters of messages and connections, of which each thread has its own. Measures of speed: durations in
//! buckets, the highest values of the last minutes, and the delays of workers.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::report::Reported;
use peerbroker_core::clock;
use peerbroker_core::vocabulary::{
    CloseReason, DropReason, HandshakeRefusal, Limit, MessageKind, Refusal, expected,
};

/// Cells for threads, a power of two. More threads than this share them, which costs time and no counts.
const MAX_CELLS: usize = 64;

/// Reads of which one is timed: to read the clock twice for each would cost about a percent of it.
const SAMPLED: u32 = 64;

/// Time for which a peak stays the peak of its minute, in milliseconds.
const MINUTE: u64 = 60_000;

const OUTCOMES: usize = 3 + DropReason::ALL.len();

/// The reasons for which pipes end.
const OF_PIPES: [CloseReason; 7] = [
    CloseReason::PipeLeft,
    CloseReason::PipeAlone,
    CloseReason::PipeStalled,
    CloseReason::Outranked,
    CloseReason::Banned,
    CloseReason::KeyRevoked,
    CloseReason::Shutdown,
];

/// Classes of the status of an HTTP answer, from 100 on.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The outcome of a message. A queued message is counted once more at its end: as delivered, expired or
/// dropped. It is queued again if its recipient's connection ends before it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The message is in the outbox of its recipient's connection.
    Delivered,
    /// The message waits for its recipient.
    Queued,
    /// The message has waited too long, or another message of its batch was dropped. Its sender gets EXPIRE.
    Expired,
    /// The message is lost.
    Dropped(DropReason),
}

/// Counts since the start.
///
/// Each thread adds to cells of its own, on cache lines of their own: workers that share a counter would
/// spend more time on passing its cache line around than on counting. Sums are made when they are read.
#[derive(Debug)]
pub struct Counters {
    cells: Box<[Cells]>,
    /// The time of messages through this server, of one read in 64: from the read of a message until all
    /// messages of that read are written, or left to their recipients' own tasks. Of reads whose messages are
    /// written together, only of the first.
    pub latency: Histogram,
    /// The most bytes in the outbox of one client whose socket was full.
    pub largest_outbox: Peak,
    /// The delays of the timers of workers.
    pub worker_lag: WorkerLag,
    /// The durations of calls that the relay has carried.
    pub relayed_calls: Histogram,
    /// The time at which the minute of the peaks began.
    minute: AtomicU64,
}

// Two cache lines of x86-64, which fetches them in pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Cells {
    messages: [[AtomicU64; OUTCOMES]; MessageKind::ALL.len()],
    opened: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    expired: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    limits: OfLimits,
    handshakes_refused: [AtomicU64; HandshakeRefusal::ALL.len()],
    answers: [AtomicU64; STATUS_CLASSES.len()],
    pipes_opened: AtomicU64,
    pipes_closed: [AtomicU64; CloseReason::ALL.len()],
    pipe_bytes: AtomicU64,
    reported: [AtomicU64; Reported::COUNT],
}

/// A cell for each limit.
#[derive(Debug)]
struct OfLimits([AtomicU64; Limit::ALL.len()]);

// Only arrays of up to 32 elements have one.
impl Default for OfLimits {
    fn default() -> Self {
        OfLimits(array::from_fn(|_| AtomicU64::default()))
    }
}

/// Something that is counted.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// Messages of one kind and outcome.
    Messages(MessageKind, Outcome),
    /// Connections that got an id.
    Opened,
    /// Connections that lost their id for this reason.
    Closed(CloseReason),
    /// Clients that did not get an id for this reason.
    Refused(Refusal),
    /// Times that a sender lost all its waiting messages for a peer, and was told.
    Expired,
    /// Bytes of messages that clients have sent.
    Received,
    /// Bytes of messages that are, or were, in the outboxes of their recipients.
    Sent,
    /// Times that clients have reached a limit.
    LimitHits(Limit),
    /// Handshakes that opened no WebSocket for this reason.
    HandshakesRefused(HandshakeRefusal),
    /// Answers to HTTP requests of clients, by the first digit of their status.
    Answers(u16),
    /// Pipes whose two ends have met.
    PipesOpened,
    /// Pipes that ended for this reason.
    PipesClosed(CloseReason),
    /// Bytes that came from ends of pipes.
    PipeBytes,
    /// Connections that clients have reported.
    Reported(Reported),
}

impl Cells {
    #[inline(always)]
    fn cell(&self, count: Count) -> Option<&AtomicU64> {
        match count {
            Count::Messages(kind, outcome) => self.messages.get(kind as usize)?.get(outcome.index()),
            Count::Opened => Some(&self.opened),
            Count::Closed(reason) => self.closed.get(reason as usize),
            Count::Refused(reason) => self.refused.get(refusal_index(reason)),
            Count::Expired => Some(&self.expired),
            Count::Received => Some(&self.received),
            Count::Sent => Some(&self.sent),
            Count::LimitHits(limit) => self.limits.0.get(limit as usize),
            Count::HandshakesRefused(reason) => self.handshakes_refused.get(reason as usize),
            Count::Answers(digit) => self.answers.get(usize::from(digit).checked_sub(1)?),
            Count::PipesOpened => Some(&self.pipes_opened),
            Count::PipesClosed(reason) => self.pipes_closed.get(reason as usize),
            Count::PipeBytes => Some(&self.pipe_bytes),
            Count::Reported(reported) => self.reported.get(reported.index()),
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        // Workers, and the threads that sweep and watch. A power of two, so that a mask finds a thread's
        // cells.
        let threads = thread::available_parallelism().map_or(1, usize::from) + 2;
        let cells = threads.next_power_of_two().min(MAX_CELLS);
        Counters {
            cells: (0..cells).map(|_| Cells::default()).collect(),
            latency: Histogram::default(),
            largest_outbox: Peak::default(),
            worker_lag: WorkerLag::default(),
            relayed_calls: Histogram::with(CALLS.map(Duration::from_secs)),
            minute: AtomicU64::default(),
        }
    }
}

impl Outcome {
    /// All outcomes.
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
            Outcome::Dropped(reason) => reason.label(),
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
    /// Counts that many of something. The end of a connection or a refusal by a limit counts for that limit
    /// too.
    // Callers know what they count: inlined, it is one addition.
    #[inline(always)]
    pub fn add(&self, count: Count, times: u64) {
        self.add_to_own(count, times);
        let limit = match count {
            Count::Closed(reason) => reason.limit(),
            Count::Refused(reason) => reason.limit(),
            _ => None,
        };
        if let Some(limit) = limit {
            self.add_to_own(Count::LimitHits(limit), times);
        }
    }

    /// Adds to the numbers of this thread.
    #[inline(always)]
    fn add_to_own(&self, count: Count, times: u64) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed));
        let own = NUMBER.with(|number| number & (self.cells.len().saturating_sub(1)));
        if let Some(cell) = self.cells.get(own).and_then(|cells| cells.cell(count)) {
            cell.fetch_add(times, Ordering::Relaxed);
        }
    }

    /// The time, if this read is one of the sample of [`latency`](Self#structfield.latency).
    #[inline]
    pub fn sample(&self) -> Option<Instant> {
        thread_local!(static READS: Cell<u32> = const { Cell::new(0) });
        let reads = READS.get().wrapping_add(1);
        READS.set(reads);
        reads.is_multiple_of(SAMPLED).then(Instant::now)
    }

    /// Begins a new minute of the peaks if the last one is over at `now`.
    pub fn sweep(&self, now: clock::Instant) {
        let began = clock::Instant::from_millis(self.minute.load(Ordering::Relaxed));
        if now.millis_since(began) >= MINUTE {
            self.minute.store(now.as_millis(), Ordering::Relaxed);
            self.largest_outbox.turn();
            self.worker_lag.turn();
        }
    }

    /// The sum of all threads.
    pub fn total(&self, count: Count) -> u64 {
        self.cells.iter().filter_map(|cells| cells.cell(count)).map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// Connections that lost their id, by reason.
    pub fn closed_by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let total = |reason: CloseReason| (reason.ending().label, self.total(Count::Closed(reason)));
        CloseReason::ALL.into_iter().map(total)
    }

    /// Pipes that ended, by reason.
    pub fn pipes_closed_by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let total = |reason: CloseReason| (reason.ending().label, self.total(Count::PipesClosed(reason)));
        OF_PIPES.into_iter().map(total)
    }

    /// Clients that did not get an id, by reason.
    pub fn refused_by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let total = |reason: Refusal| (reason.ending().label, self.total(Count::Refused(reason)));
        Refusal::ALL.into_iter().map(total)
    }

    /// Handshakes that opened no WebSocket, by reason.
    pub fn handshakes_refused_by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let total = |why: HandshakeRefusal| (why.ending().label, self.total(Count::HandshakesRefused(why)));
        HandshakeRefusal::ALL.into_iter().map(total)
    }

    /// Messages of all kinds with this outcome.
    pub fn messages_with(&self, outcome: Outcome) -> u64 {
        MessageKind::ALL.into_iter().map(|kind| self.total(Count::Messages(kind, outcome))).sum()
    }

    /// Messages of one kind, by outcome.
    pub fn messages_by_outcome(&self, kind: MessageKind) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::all().map(move |outcome| (outcome.label(), self.total(Count::Messages(kind, outcome))))
    }

    /// Times that clients have reached a limit, without webhook requests: `auth` counts nothing, and a client
    /// above that limit counts as `token_refused`.
    pub fn hits_by_limit(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = Limit::ALL.iter().filter(|limit| **limit != Limit::WebhookRequests);
        counted.map(|limit| (limit.row().label, self.total(Count::LimitHits(*limit))))
    }

    /// Answers to HTTP requests of clients, by the class of their status.
    pub fn answers_by_class(&self) -> impl Iterator<Item = (&'static str, u64)> {
        (1..).zip(STATUS_CLASSES).map(|(digit, class)| (class, self.total(Count::Answers(digit))))
    }
}

fn refusal_index(reason: Refusal) -> usize {
    let same = |other: &Refusal| std::mem::discriminant(other) == std::mem::discriminant(&reason);
    expected(Refusal::ALL.iter().position(same).ok_or(reason), "a refusal of the table")
}

/// Buckets of a histogram with an upper bound. A last bucket has the longer durations.
const BOUNDED: usize = 14;

/// The bounds of the server's own work, in microseconds.
const WORK: [u64; BOUNDED] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// The bounds of calls, in seconds: up to eight hours.
const CALLS: [u64; BOUNDED] = [1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800];

/// Counts durations in buckets.
///
/// All threads share its counters, so use it for rare events, or for samples.
// On separate cache lines: every message reads its neighbours in `Counters`.
#[repr(align(128))]
#[derive(Debug)]
pub struct Histogram {
    bounds: [Duration; BOUNDED],
    counts: [AtomicU64; BOUNDED + 1],
    nanos: AtomicU64,
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// The upper bound of each bucket, and the number of durations up to it.
    pub up_to: Vec<(Duration, u64)>,
    /// The number of all durations.
    pub count: u64,
    /// The sum of all durations.
    pub sum: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::with(WORK.map(Duration::from_micros))
    }
}

impl Histogram {
    fn with(bounds: [Duration; BOUNDED]) -> Self {
        Histogram { bounds, counts: Default::default(), nanos: AtomicU64::default() }
    }

    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < duration);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn buckets(&self) -> Buckets {
        let mut count = 0;
        let mut all = self.counts.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let up_to = self.bounds.into_iter().zip(&mut all).collect();
        all.for_each(drop);
        Buckets { up_to, count, sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) }
    }
}

/// The highest value of the last one to two minutes. A reader resets nothing, so there may be several.
// On separate cache lines, as a histogram is.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Peak {
    this_minute: AtomicU64,
    last_minute: AtomicU64,
}

impl Peak {
    /// Notes a value.
    pub fn record(&self, value: u64) {
        // Most values are no peak, and a read does not take the cache line from other threads.
        if value > self.this_minute.load(Ordering::Relaxed) {
            self.this_minute.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// Begins a new minute.
    pub fn turn(&self) {
        self.last_minute.store(self.this_minute.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The highest value.
    pub fn get(&self) -> u64 {
        self.this_minute.load(Ordering::Relaxed).max(self.last_minute.load(Ordering::Relaxed))
    }
}

/// The delays of the timers of workers. A worker that is busy, or blocked, is late with everything.
#[derive(Debug, Default)]
pub struct WorkerLag {
    /// The delays of all timers.
    pub all: Histogram,
    /// Peaks of the workers. A worker that has ended leaves its place to the next one.
    workers: Mutex<Vec<Weak<Peak>>>,
}

/// A worker, as long as it runs.
#[derive(Debug)]
pub struct Worker(Arc<Peak>);

impl Worker {
    /// Notes how late a timer of this worker was.
    pub fn record(&self, lag: &WorkerLag, late: Duration) {
        lag.all.record(late);
        self.0.record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
}

impl WorkerLag {
    /// Adds a worker.
    pub fn add(&self) -> Worker {
        let worker = Arc::new(Peak::default());
        let mut workers = self.workers.lock();
        match workers.iter_mut().find(|place| place.strong_count() == 0) {
            Some(free) => *free = Arc::downgrade(&worker),
            None => workers.push(Arc::downgrade(&worker)),
        }
        Worker(worker)
    }

    /// The longest delay of each worker within the last one to two minutes.
    pub fn peaks(&self) -> Vec<Duration> {
        let peak = |worker: &Weak<Peak>| worker.upgrade().map_or(0, |peak| peak.get());
        self.workers.lock().iter().map(|worker| Duration::from_micros(peak(worker))).collect()
    }

    /// Begins a new minute.
    fn turn(&self) {
        self.workers.lock().iter().filter_map(Weak::upgrade).for_each(|peak| peak.turn());
    }
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
                    counters.add(Count::Messages(MessageKind::Offer, Outcome::Delivered), 1);
                    counters
                        .add(Count::Messages(MessageKind::Leave, Outcome::Dropped(DropReason::Absent)), 1);
                    counters.add(Count::Expired, 2);
                });
            }
        });
        assert_eq!(counters.total(Count::Messages(MessageKind::Offer, Outcome::Delivered)), 100);
        assert_eq!(
            counters.total(Count::Messages(MessageKind::Leave, Outcome::Dropped(DropReason::Absent))),
            100
        );
        assert_eq!(counters.total(Count::Messages(MessageKind::Answer, Outcome::Delivered)), 0);
        assert_eq!(counters.total(Count::Expired), 200);
    }

    #[test]
    fn everything_that_can_be_counted_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for kind in MessageKind::ALL {
            for outcome in Outcome::all() {
                counters.add(Count::Messages(kind, outcome), 1);
            }
        }
        for reason in CloseReason::ALL {
            counters.add(Count::Closed(reason), 1);
        }
        for reason in Refusal::ALL {
            counters.add(Count::Refused(reason), 1);
        }
        for reason in HandshakeRefusal::ALL {
            counters.add(Count::HandshakesRefused(reason), 1);
        }
        for status in [100, 204, 302, 404, 599] {
            counters.add(Count::Answers(status / 100), 1);
        }
        for limit in [Limit::ConcurrentLimit, Limit::MaxMessageBytes, Limit::UnfinishedTotalBytes] {
            assert_eq!(counters.total(Count::LimitHits(limit)), 1, "an ending names its limit");
        }
        let limits = Limit::ALL.iter().filter(|limit| counters.total(Count::LimitHits(**limit)) == 0);
        limits.for_each(|limit| counters.add(Count::LimitHits(*limit), 1));
        for kind in MessageKind::ALL {
            assert!(Outcome::all().all(|outcome| counters.total(Count::Messages(kind, outcome)) == 1));
        }
        assert!(CloseReason::ALL.into_iter().all(|reason| counters.total(Count::Closed(reason)) == 1));
        assert!(Refusal::ALL.into_iter().all(|reason| counters.total(Count::Refused(reason)) == 1));
        assert!(
            HandshakeRefusal::ALL
                .into_iter()
                .all(|reason| counters.total(Count::HandshakesRefused(reason)) == 1)
        );
        assert!(counters.answers_by_class().eq(STATUS_CLASSES.map(|class| (class, 1))));
        assert!(Limit::ALL.iter().all(|limit| counters.total(Count::LimitHits(*limit)) == 1));
    }

    #[test]
    fn a_duration_counts_in_its_bucket_and_in_all_longer_ones() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 1_000_000, 1_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let Buckets { up_to, count, sum } = histogram.buckets();
        assert_eq!((count, sum), (5, Duration::from_micros(2_000_102)));
        assert_eq!(up_to.len(), BOUNDED);
        assert_eq!(up_to[0], (Duration::from_micros(50), 2));
        assert_eq!(up_to[1], (Duration::from_micros(100), 3));
        assert_eq!(up_to[BOUNDED - 1], (Duration::from_secs(1), 4));
    }

    #[test]
    fn a_peak_lasts_for_its_own_minute_and_the_next() {
        let peak = Peak::default();
        peak.record(7);
        peak.record(3);
        assert_eq!(peak.get(), 7);
        peak.turn();
        peak.record(5);
        assert_eq!(peak.get(), 7);
        peak.turn();
        assert_eq!(peak.get(), 5);
        peak.turn();
        assert_eq!(peak.get(), 0);
    }

    #[test]
    fn a_worker_that_is_started_again_takes_the_place_of_the_one_that_has_ended() {
        let lag = WorkerLag::default();
        let one = lag.add();
        let other = lag.add();
        let late = Duration::from_millis(3);
        other.record(&lag, late);
        assert_eq!(lag.peaks(), [Duration::ZERO, late]);
        drop(one);
        lag.add().record(&lag, late);
        assert_eq!((lag.peaks().len(), lag.all.buckets().count), (2, 2));
    }
}
