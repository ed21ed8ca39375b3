//! A rate limit that is one number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Instant;

/// The burst in microseconds: as much as ten seconds of the rate.
const BURST: u64 = 10_000_000;

/// Maximum credit beyond the burst, in microseconds. One read can bring thousands of messages. Capped: a
/// disconnect goes unnoticed during the pause.
const MAX_CREDIT: u64 = 60_000_000;

/// A rate limit per second, with bursts of ten times that, by the generic cell rate algorithm (GCRA).
///
/// The caller passes the rate with each call, so that it can change and the limit needs only 8 bytes. A rate
/// of 0 means no limit.
#[derive(Debug, Default)]
pub struct RateLimit {
    /// The theoretical arrival time of GCRA in microseconds: when a client sending at exactly the permitted
    /// rate would have sent this much.
    arrival: AtomicU64,
}

impl RateLimit {
    /// Charges `count` events at `now`, on credit if necessary. Returns how long to wait before the next.
    #[inline]
    pub fn charge(&self, count: u32, per_second: u32, now: Instant) -> Duration {
        if per_second == 0 {
            return Duration::ZERO;
        }
        let now = micros(now);
        let cost = cost(count, per_second);
        let spent = |arrival: u64| (arrival.max(now) + cost).min(now + BURST + MAX_CREDIT);
        let before = self.arrival.update(Ordering::Relaxed, Ordering::Relaxed, spent);
        Duration::from_micros(spent(before).saturating_sub(now + BURST))
    }

    /// Charges `count` events at `now`, or none of them: then it returns how much too early they are.
    #[inline]
    pub fn try_charge(&self, count: u32, per_second: u32, now: Instant) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let now = micros(now);
        let cost = cost(count, per_second);
        let spent = |arrival: u64| arrival.max(now) + cost;
        let fits = |arrival: u64| Some(spent(arrival)).filter(|arrival| *arrival <= now + BURST);
        let arrival = self.arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        arrival.map(drop).map_err(|arrival| Duration::from_micros(spent(arrival).saturating_sub(now + BURST)))
    }

    /// Takes over what another one owes, if that is more.
    pub fn inherit(&self, other: &RateLimit) {
        self.arrival.fetch_max(other.arrival.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Gives back the charge of `count` events that did not happen.
    pub fn refund(&self, count: u32, per_second: u32) {
        if per_second > 0 {
            self.arrival.fetch_sub(cost(count, per_second), Ordering::Relaxed);
        }
    }

    /// Cancels credit. The burst is still used up, so the next event has to wait for the rate alone.
    pub fn forgive(&self, now: Instant) {
        self.arrival.fetch_min(micros(now) + BURST, Ordering::Relaxed);
    }

    /// True if nothing was ever charged. Needs no clock.
    pub fn is_new(&self) -> bool {
        self.arrival.load(Ordering::Relaxed) == 0
    }

    /// True if the full burst is available again at `now`.
    pub fn is_rested(&self, now: Instant) -> bool {
        self.arrival.load(Ordering::Relaxed) <= micros(now)
    }
}

/// The microseconds that events cost, at a rate that is not 0.
#[inline]
fn cost(count: u32, per_second: u32) -> u64 {
    u64::from(count) * 1_000_000 / u64::from(per_second)
}

#[inline]
fn micros(at: Instant) -> u64 {
    at.as_millis().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_burst_is_ten_times_the_rate_and_the_rate_applies_after_it() {
        let limit = RateLimit::default();
        let came = (0..100).filter(|_| limit.try_charge(1, 5, at(0)).is_ok()).count();
        assert_eq!(came, 50);
        assert_eq!(limit.try_charge(1, 5, at(0)), Err(Duration::from_millis(200)));
        assert_eq!(limit.try_charge(1, 5, at(199)), Err(Duration::from_millis(1)));
        assert_eq!(limit.try_charge(1, 5, at(200)), Ok(()));
        assert!(limit.try_charge(1, 5, at(200)).is_err());
        assert!(!limit.is_rested(at(10_199)));
        assert!(limit.is_rested(at(10_200)));
    }

    #[test]
    fn credit_is_paid_back_by_waiting() {
        let limit = RateLimit::default();
        assert_eq!(limit.charge(100, 10, at(0)), Duration::ZERO);
        assert_eq!(limit.charge(20, 10, at(0)), Duration::from_secs(2));
        assert_eq!(limit.charge(0, 10, at(1500)), Duration::from_millis(500));
        assert_eq!(limit.charge(0, 10, at(2000)), Duration::ZERO);
    }

    #[test]
    fn credit_is_capped() {
        let limit = RateLimit::default();
        assert_eq!(limit.charge(u32::MAX, 1, at(5000)), Duration::from_secs(60));
        assert_eq!(limit.charge(u32::MAX, 1, at(5000)), Duration::from_secs(60));
    }

    #[test]
    fn what_is_given_back_can_be_charged_again() {
        let limit = RateLimit::default();
        assert!(limit.try_charge(100, 10, at(5000)).is_ok() && limit.try_charge(1, 10, at(5000)).is_err());
        limit.refund(30, 10);
        assert!(limit.try_charge(30, 10, at(5000)).is_ok() && limit.try_charge(1, 10, at(5000)).is_err());
        limit.refund(1, 0);
        assert!(limit.try_charge(1, 10, at(5000)).is_err());
    }

    #[test]
    fn zero_turns_the_rate_limit_off() {
        let limit = RateLimit::default();
        assert_eq!(limit.charge(u32::MAX, 0, at(0)), Duration::ZERO);
        assert_eq!(limit.try_charge(1, 0, at(0)), Ok(()));
        assert!(limit.is_rested(at(0)));
    }
}
