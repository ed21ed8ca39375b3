//! The broker's source of time: the system's clock, or a manual one for tests.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// The broker's source of time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    Manual(Arc<watch::Sender<u64>>),
}

impl Clock {
    /// The system's monotonic clock.
    pub fn system() -> Self {
        Clock(Source::System(Instant::now()))
    }

    /// A clock that stands still until it is [advanced](Self::advance). Clones share their time.
    pub fn manual() -> Self {
        Clock(Source::Manual(Arc::default()))
    }

    /// Advances a manual clock. Does nothing to the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.send_modify(|now| *now += millis(by));
        }
    }

    /// Milliseconds since the clock was created.
    pub fn now(&self) -> u64 {
        match &self.0 {
            Source::System(start) => millis(start.elapsed()),
            Source::Manual(now) => *now.borrow(),
        }
    }

    /// Milliseconds since 1970; of a manual clock, since it was created.
    pub fn unix_millis(&self) -> u64 {
        match &self.0 {
            Source::System(_) => SystemTime::now().duration_since(UNIX_EPOCH).map(millis).unwrap_or_default(),
            Source::Manual(now) => *now.borrow(),
        }
    }

    /// The same of a time of this clock, to about a millisecond whenever it is asked.
    pub fn unix_millis_at(&self, at: u64) -> u64 {
        match &self.0 {
            Source::System(start) => {
                let created = SystemTime::now().checked_sub(start.elapsed()).unwrap_or(UNIX_EPOCH);
                let time = created + Duration::from_millis(at);
                time.duration_since(UNIX_EPOCH).map(millis).unwrap_or_default()
            }
            Source::Manual(_) => at,
        }
    }

    /// Waits, from the first poll on.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        let clock = self.clone();
        async move { clock.sleep_until(clock.now().saturating_add(millis(duration))).await }
    }

    /// Waits until this many milliseconds after the clock was created.
    pub async fn sleep_until(&self, at: u64) {
        match &self.0 {
            Source::System(_) => {
                tokio::time::sleep(Duration::from_millis(at.saturating_sub(self.now()))).await;
            }
            Source::Manual(now) => {
                let mut moved = now.subscribe();
                // An error means that all clones of the clock are gone, and the broker with them.
                drop(moved.wait_for(|now| *now >= at).await);
            }
        }
    }

    /// True if it stands still until it is advanced.
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
