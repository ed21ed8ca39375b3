use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds. A last bucket takes all that is longer.
const BOUNDS: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// How many durations were how long.
///
/// All threads share its counters, so it is for what happens seldom, or for samples.
// On cache lines of its own: every message reads what stands beside it in `Counters`.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// The upper bound of each bucket, and how many durations were that long or shorter.
    pub up_to: Vec<(Duration, u64)>,
    /// All durations.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn record(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| Duration::from_micros(*bound) < duration);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn buckets(&self) -> Buckets {
        let mut count = 0;
        let mut all = self.counts.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let up_to = BOUNDS.map(Duration::from_micros).into_iter().zip(&mut all).collect();
        all.for_each(drop);
        Buckets { up_to, count, sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_its_bucket_and_in_all_longer_ones() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 1_000_000, 1_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let Buckets { up_to, count, sum } = histogram.buckets();
        assert_eq!((count, sum), (5, Duration::from_micros(2_000_102)));
        assert_eq!(up_to.len(), BOUNDS.len());
        assert_eq!(up_to[0], (Duration::from_micros(50), 2));
        assert_eq!(up_to[1], (Duration::from_micros(100), 3));
        assert_eq!(up_to[BOUNDS.len() - 1], (Duration::from_secs(1), 4));
    }
}
