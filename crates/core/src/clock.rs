//! The broker's source of time: the system's clock without the gaps in which this process did not run, or a
//! manual one for tests.

mod instant;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

pub use instant::{Instant, LeaseInstant, UnixMillis};

/// The broker's source of time.
///
/// [`now`](Self::now) is the time in which this process ran. All timeouts of clients use it: while the
/// process is stopped (SIGSTOP, `docker pause`, a suspended machine), clients are not read, so their silence
/// proves nothing. [`elapsed`](Self::elapsed) is the time of everybody else. A lease uses it, because others
/// lend it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<System>),
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct System {
    started: Uptime,
    running: Running,
}

#[derive(Debug, Default)]
struct Manual {
    now: watch::Sender<Instant>,
    gaps: Mutex<Gaps>,
}

impl Clock {
    /// The system's clock. It takes a second without a [`now`](Self::now) for a gap, so the sweeper reads it
    /// more often.
    pub fn system() -> Self {
        Clock(Source::System(Arc::new(System { started: Uptime::now(), running: Running::default() })))
    }

    /// A clock that stands still until it is [advanced](Self::advance). Clones share their time.
    pub fn manual() -> Self {
        Clock(Source::Manual(Arc::default()))
    }

    /// Advances a manual clock. Does nothing to the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            manual.now.send_modify(|now| *now = *now + by);
        }
    }

    /// Adds a gap to a manual clock: the time of everybody else passes. Does nothing to the system's clock.
    pub fn add_gap(&self, length: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let now = *manual.now.borrow();
            let mut gaps = manual.gaps.lock();
            let lost = gaps.lost + millis(length);
            gaps.add(now, lost);
        }
    }

    /// The time since the clock was created, without gaps. Never goes back.
    #[inline]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System(system) => Instant::from_millis(system.running.now(|| system.elapsed())),
            Source::Manual(manual) => *manual.now.borrow(),
        }
    }

    /// The time since the clock was created, gaps included.
    pub fn elapsed(&self) -> LeaseInstant {
        LeaseInstant::from_millis(match &self.0 {
            Source::System(system) => system.elapsed(),
            Source::Manual(manual) => manual.now.borrow().as_millis() + manual.gaps.lock().lost,
        })
    }

    /// The number of gaps so far. One that has just ended is found, so a thread that asks before it works
    /// knows of it.
    pub fn gaps_so_far(&self) -> u64 {
        match &self.0 {
            Source::System(system) => {
                self.now();
                system.running.found.load(Ordering::Acquire)
            }
            Source::Manual(manual) => manual.gaps.lock().found,
        }
    }

    /// The length of the gaps that were found since the last call. `None` if there were none.
    pub fn take_gap(&self) -> Option<Duration> {
        let length = std::mem::take(&mut self.gaps().untold);
        (length > 0).then(|| Duration::from_millis(length))
    }

    /// Wall time. A manual clock was created in 1970.
    pub fn unix_millis(&self) -> UnixMillis {
        UnixMillis::from_millis(match &self.0 {
            Source::System(_) => SystemTime::now().duration_since(UNIX_EPOCH).map(millis).unwrap_or_default(),
            Source::Manual(_) => self.elapsed().as_millis(),
        })
    }

    /// Wall time of a time of [`now`](Self::now), to about a millisecond whenever it is asked.
    pub fn unix_millis_at(&self, at: Instant) -> UnixMillis {
        let created = self.unix_millis().as_millis().saturating_sub(self.elapsed().as_millis());
        UnixMillis::from_millis(created + at.as_millis() + self.gaps().lost_before(at))
    }

    /// Waits, from the first poll on.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        let clock = self.clone();
        async move { clock.sleep_until(clock.now() + duration).await }
    }

    /// Waits until [`now`](Self::now) has reached this time.
    pub async fn sleep_until(&self, at: Instant) {
        match &self.0 {
            // Timers count gaps, so one may end too early.
            Source::System(_) => loop {
                let left = at.saturating_since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left).await;
            },
            Source::Manual(manual) => {
                let mut moved = manual.now.subscribe();
                // An error means that all clones of the clock are gone, and the broker with them.
                drop(moved.wait_for(|now| *now >= at).await);
            }
        }
    }

    /// True if it stands still until it is advanced.
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    fn gaps(&self) -> MutexGuard<'_, Gaps> {
        match &self.0 {
            Source::System(system) => system.running.gaps.lock(),
            Source::Manual(manual) => manual.gaps.lock(),
        }
    }
}

impl System {
    #[inline]
    fn elapsed(&self) -> u64 {
        self.started.millis_since()
    }
}

/// A longer time without a reading was a gap. The sweeper reads the clock twice as often or more.
const GAP: u64 = 1000;

/// Readings between two ticks take no lock.
const TICK: u64 = 50;

/// The time for which the clock stands still after a gap. Sessions read what came meanwhile before a client
/// is judged.
const SETTLE: u64 = 500;

/// Gaps whose times are known, for [`Clock::unix_millis_at`].
const MAX_GAPS: usize = 64;

/// Time without gaps, from readings of a clock that counts them.
///
/// Each reading proves that this process runs. Two readings that are more than [`GAP`] apart have a gap
/// between them, which counts as one [`TICK`]. No thread of its own: any reader finds the gap before it gets
/// a time.
#[derive(Debug, Default)]
struct Running {
    /// The time without gaps at the last tick.
    ticked: AtomicU64,
    /// The sum of all gaps, as in `gaps`. Changed before `ticked`: who sees a tick sees its gap.
    lost: AtomicU64,
    /// The number of gaps, as in `gaps`. Changed before `ticked`, too.
    found: AtomicU64,
    gaps: Mutex<Gaps>,
}

impl Running {
    #[inline]
    fn now(&self, elapsed: impl Fn() -> u64) -> u64 {
        let ticked = self.ticked.load(Ordering::Acquire);
        let lost = self.lost.load(Ordering::Relaxed);
        // Read last: a reading from before the tick would be behind it.
        match elapsed().checked_sub(lost + ticked) {
            Some(passed) if passed < TICK => ticked + passed,
            _ => self.tick(elapsed),
        }
    }

    fn tick(&self, elapsed: impl Fn() -> u64) -> u64 {
        let mut gaps = self.gaps.lock();
        let elapsed = elapsed();
        let ticked = self.ticked.load(Ordering::Relaxed);
        let mut passed = elapsed.saturating_sub(gaps.lost + ticked);
        if passed > GAP {
            passed = TICK;
            let lost = elapsed + SETTLE - (ticked + passed);
            gaps.add(Instant::from_millis(ticked + passed), lost);
            self.lost.store(lost, Ordering::Relaxed);
            self.found.store(gaps.found, Ordering::Release);
        }
        self.ticked.store(ticked + passed, Ordering::Release);
        ticked + passed
    }
}

/// The gaps in a clock's time.
#[derive(Debug, Default)]
struct Gaps {
    /// The sum of all.
    lost: u64,
    /// The part of it that nobody has taken.
    untold: u64,
    /// The number of all.
    found: u64,
    /// The time of each of the last ones, and the sum of all until then.
    last: Vec<(Instant, u64)>,
}

impl Gaps {
    /// Adds a gap, after which the sum is `lost`.
    fn add(&mut self, at: Instant, lost: u64) {
        self.untold += lost - self.lost;
        self.found += 1;
        self.lost = lost;
        self.last.pop_if(|(last, _)| *last == at);
        if self.last.len() == MAX_GAPS {
            self.last.remove(0);
        }
        self.last.push((at, lost));
    }

    /// The sum of the gaps before a time; of forgotten ones, as if they were one.
    fn lost_before(&self, at: Instant) -> u64 {
        let before = self.last.partition_point(|(gap, _)| *gap < at);
        before.checked_sub(1).and_then(|last| self.last.get(last)).map_or(0, |(_, lost)| *lost)
    }
}

/// A time since the machine was started. It counts the time in which the machine was suspended.
#[derive(Clone, Copy, Debug)]
struct Uptime(#[cfg(unix)] Duration, #[cfg(not(unix))] std::time::Instant);

#[cfg(unix)]
impl Uptime {
    fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        // The monotonic clock of Linux stands still while the machine is suspended. Other systems have no
        // other clock, or it does not.
        #[cfg(target_os = "linux")]
        let time = clock_gettime(ClockId::Boottime);
        #[cfg(not(target_os = "linux"))]
        let time = clock_gettime(ClockId::Monotonic);
        Uptime(Duration::try_from(time).unwrap_or_default())
    }

    #[inline]
    fn millis_since(self) -> u64 {
        millis(Uptime::now().0.saturating_sub(self.0))
    }
}

#[cfg(not(unix))]
impl Uptime {
    fn now() -> Self {
        Uptime(std::time::Instant::now())
    }

    fn millis_since(self) -> u64 {
        millis(self.0.elapsed())
    }
}

/// A duration in milliseconds.
#[inline]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Barrier;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_without_a_reading_does_not_count() {
        let running = Running::default();
        let at = |elapsed| running.now(|| elapsed);
        assert_eq!([0, 30, 60, 60 + GAP].map(at), [0, 30, 60, 60 + GAP]);
        let stopped = 60 + GAP;
        let resumed = stopped + 3_600_000;
        assert_eq!(at(resumed), stopped + TICK);
        assert_eq!(running.found.load(Ordering::SeqCst), 1);
        // It settles, then goes on.
        assert_eq!([resumed + 1, resumed + SETTLE].map(at), [stopped + TICK; 2]);
        assert_eq!(at(resumed + SETTLE + 7), stopped + TICK + 7);
    }

    #[test]
    fn a_gap_that_follows_another_at_once_does_not_count_either() {
        let running = Running::default();
        let at = |elapsed| running.now(|| elapsed);
        at(0);
        for number in 1..=100 {
            assert_eq!(at(number * 1_000_000), number * TICK);
        }
        assert_eq!(at(100_000_000 + SETTLE + 1), 100 * TICK + 1);
        assert_eq!(running.gaps.lock().last.len(), MAX_GAPS);
    }

    #[test]
    fn a_time_before_a_gap_keeps_its_date() {
        let clock = Clock::manual();
        clock.advance(Duration::from_millis(5));
        let before = clock.now();
        clock.add_gap(Duration::from_millis(100));
        clock.advance(Duration::from_millis(5));
        let after = clock.now();
        assert_eq!([before, after].map(Instant::as_millis), [5, 10]);
        assert_eq!((clock.elapsed().as_millis(), clock.unix_millis().as_millis()), (110, 110));
        assert_eq!([before, after].map(|at| clock.unix_millis_at(at).as_millis()), [5, 110]);
        assert_eq!([clock.take_gap(), clock.take_gap()], [Some(Duration::from_millis(100)), None]);
    }

    proptest! {
        #[test]
        fn time_never_goes_back_and_never_counts_more_than_has_passed(
            steps in prop::collection::vec(prop_oneof![0..2 * TICK, 0..3 * GAP], 0..200),
        ) {
            let running = Running::default();
            let elapsed = Cell::new(0);
            let mut last = 0;
            for step in steps {
                elapsed.set(elapsed.get() + step);
                let now = running.now(|| elapsed.get());
                prop_assert!(last <= now && now <= elapsed.get());
                prop_assert!(now - last <= GAP, "a gap was counted");
                last = now;
            }
        }
    }

    #[test]
    fn threads_that_find_a_gap_together_see_no_time_go_back() {
        const THREADS: usize = 4;
        let running = Running::default();
        let elapsed = AtomicU64::new(0);
        let start = Barrier::new(THREADS);
        // The latest time that any thread has seen.
        let seen = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    for step in 0..1_000_000_u64 {
                        let length = if step % 7 == 0 { 2 * GAP } else { step % TICK };
                        elapsed.fetch_add(length, Ordering::SeqCst);
                        let before = seen.load(Ordering::SeqCst);
                        let now = running.now(|| elapsed.load(Ordering::SeqCst));
                        assert!(before <= now, "{now} after {before}");
                        seen.fetch_max(now, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[tokio::test]
    async fn a_sleep_lasts_until_its_time_and_not_until_that_of_a_timer() {
        let clock = Clock::system();
        let Source::System(system) = &clock.0 else { panic!("{clock:?}") };
        let due = clock.now().plus_millis(20);
        // As if all before had been a gap.
        system.running.lost.store(30, Ordering::SeqCst);
        system.running.gaps.lock().lost = 30;
        clock.sleep_until(due).await;
        assert!(clock.now() >= due && clock.elapsed().as_millis() >= due.as_millis() + 30);
    }
}
