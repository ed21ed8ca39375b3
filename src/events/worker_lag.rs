use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::histogram::{Buckets, Histogram};
use super::peak::Peak;

/// How late the timers of workers fire. A worker that is busy, or blocked, is late with everything.
#[derive(Debug, Default)]
pub struct WorkerLag {
    all: Histogram,
    /// Those that have ended leave their place to the next one.
    workers: Mutex<Vec<Weak<Peak>>>,
}

/// A worker, as long as it runs.
#[derive(Debug)]
pub(crate) struct Worker(Arc<Peak>);

impl Worker {
    /// Notes how late a timer of this worker was.
    pub(crate) fn note(&self, lag: &WorkerLag, late: Duration) {
        lag.all.record(late);
        self.0.note(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
}

impl WorkerLag {
    /// Adds a worker.
    pub(crate) fn add(&self) -> Worker {
        let worker = Arc::new(Peak::default());
        let mut workers = self.workers();
        match workers.iter_mut().find(|place| place.strong_count() == 0) {
            Some(free) => *free = Arc::downgrade(&worker),
            None => workers.push(Arc::downgrade(&worker)),
        }
        Worker(worker)
    }

    /// How late all timers were.
    pub fn buckets(&self) -> Buckets {
        self.all.buckets()
    }

    /// The longest delay of each worker within the last one to two minutes.
    pub fn peaks(&self) -> Vec<Duration> {
        let peak = |worker: &Weak<Peak>| worker.upgrade().map_or(0, |peak| peak.get());
        self.workers().iter().map(|worker| Duration::from_micros(peak(worker))).collect()
    }

    /// Begins a new minute.
    pub(super) fn turn(&self) {
        self.workers().iter().filter_map(Weak::upgrade).for_each(|peak| peak.turn());
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Weak<Peak>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_started_again_takes_the_place_of_the_one_that_has_ended() {
        let lag = WorkerLag::default();
        let (one, other) = (lag.add(), lag.add());
        let late = Duration::from_millis(3);
        other.note(&lag, late);
        assert_eq!(lag.peaks(), [Duration::ZERO, late]);
        drop(one);
        lag.add().note(&lag, late);
        assert_eq!((lag.peaks().len(), lag.buckets().count), (2, 2));
    }
}
