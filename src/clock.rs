//! Where the broker gets the time from: the system, or a test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Where the broker gets the time from.
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

    /// Moves a manual clock on; has no effect on the system's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.send_modify(|now| *now += millis(by));
        }
    }

    /// Milliseconds since the clock was made.
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Source::System(start) => millis(start.elapsed()),
            Source::Manual(now) => *now.borrow(),
        }
    }

    /// Waits until a manual clock has moved on by `by`; `None` for the system's, for which the
    /// runtime has timers.
    pub(crate) fn advanced(&self, by: Duration) -> Option<impl Future<Output = ()> + use<>> {
        let Source::Manual(now) = &self.0 else { return None };
        let (at, mut moved) = (*now.borrow() + millis(by), now.subscribe());
        // An error is the end of the clock, and with it of all that could wait.
        Some(async move { drop(moved.wait_for(|now| *now >= at).await) })
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
