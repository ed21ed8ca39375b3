//! A rate, kept as one number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Microseconds that a pace may be ahead of its time. So ten times what comes in a second may come at once.
const BURST: u64 = 10_000_000;

/// Microseconds that are lent beyond that: in one read there may be thousands of messages, and who has to
/// wait for longer is not noticed when it leaves.
const MAX_CREDIT: u64 = 60_000_000;

/// How fast something happens, for bounds of so many a second, for long, and ten times as many at once.
///
/// It is the time at which all that has come would have come, had it come as fast as it may and no faster
/// (the generic cell rate algorithm). The rate is given with each call, so that it can change, and that very
/// many of these stay small. A rate of 0 is no bound.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    /// Microseconds.
    turn: AtomicU64,
}

impl RateLimit {
    /// Counts what came at `now` milliseconds, on credit if need be, and says how long nothing more may come.
    pub(crate) fn charge(&self, count: u32, per_second: u32, now: u64) -> Duration {
        if per_second == 0 {
            return Duration::ZERO;
        }
        let now = micros(now);
        let cost = u64::from(count) * 1_000_000 / u64::from(per_second);
        let spent = |turn: u64| (turn.max(now) + cost).min(now + BURST + MAX_CREDIT);
        let turn = self.turn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |turn| Some(spent(turn)));
        let turn = turn.map_or_else(spent, spent);
        Duration::from_micros(turn.saturating_sub(now + BURST))
    }

    /// Counts one that came at `now` milliseconds, unless it came too early: then says how much.
    pub(crate) fn try_charge_one(&self, per_second: u32, now: u64) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let now = micros(now);
        let cost = 1_000_000 / u64::from(per_second);
        let spent = |turn: u64| turn.max(now) + cost;
        let fits = |turn: u64| Some(spent(turn)).filter(|turn| *turn <= now + BURST);
        let turn = self.turn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        turn.map(drop).map_err(|turn| Duration::from_micros(spent(turn).saturating_sub(now + BURST)))
    }

    /// Forgives what was taken on credit. Nothing is left to come at once, but the next may come in its turn.
    pub(crate) fn forgive(&self, now: u64) {
        self.turn.fetch_min(micros(now) + BURST, Ordering::Relaxed);
    }

    /// Whether nothing has ever come. Needs no clock.
    pub(crate) fn is_new(&self) -> bool {
        self.turn.load(Ordering::Relaxed) == 0
    }

    /// Whether at `now` milliseconds it is as if nothing had ever come.
    pub(crate) fn is_rested(&self, now: u64) -> bool {
        self.turn.load(Ordering::Relaxed) <= micros(now)
    }
}

fn micros(millis: u64) -> u64 {
    millis.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_the_rate_may_come_at_once_and_then_one_by_one() {
        let pace = RateLimit::default();
        let came = (0..100).filter(|_| pace.try_charge_one(5, 0).is_ok()).count();
        assert_eq!(came, 50);
        assert_eq!(pace.try_charge_one(5, 0), Err(Duration::from_millis(200)));
        assert_eq!(pace.try_charge_one(5, 199), Err(Duration::from_millis(1)));
        assert_eq!(pace.try_charge_one(5, 200), Ok(()));
        assert!(pace.try_charge_one(5, 200).is_err());
        assert!(!pace.is_rested(10_199));
        assert!(pace.is_rested(10_200));
    }

    #[test]
    fn what_is_taken_on_credit_is_paid_back_in_time() {
        let pace = RateLimit::default();
        assert_eq!(pace.charge(100, 10, 0), Duration::ZERO);
        assert_eq!(pace.charge(20, 10, 0), Duration::from_secs(2));
        assert_eq!(pace.charge(0, 10, 1500), Duration::from_millis(500));
        assert_eq!(pace.charge(0, 10, 2000), Duration::ZERO);
    }

    #[test]
    fn credit_has_an_end() {
        let pace = RateLimit::default();
        assert_eq!(pace.charge(u32::MAX, 1, 5000), Duration::from_secs(60));
        assert_eq!(pace.charge(u32::MAX, 1, 5000), Duration::from_secs(60));
    }

    #[test]
    fn zero_is_no_bound() {
        let pace = RateLimit::default();
        assert_eq!(pace.charge(u32::MAX, 0, 0), Duration::ZERO);
        assert_eq!(pace.try_charge_one(0, 0), Ok(()));
        assert!(pace.is_rested(0));
    }
}
