//! Measures how late the timers of a worker fire. A worker that is busy or blocked is late with everything else too.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use tokio::time::{Instant, sleep_until};

use crate::app::Parts;

/// Time between two measurements. A block that is longer is never missed. Each wakes an idle worker, which costs some 70 µs.
const INTERVAL: Duration = Duration::from_millis(500);

/// Measures on the worker that calls this, until the worker or the broker ends.
pub(super) fn watch(parts: &Arc<Parts>) {
    let worker = parts.events.counters().worker_lag().add();
    let parts = Arc::downgrade(parts);
    rt::spawn(async move {
        loop {
            let due = Instant::now() + INTERVAL;
            sleep_until(due).await;
            let Some(parts) = parts.upgrade() else { return };
            worker.note(parts.events.counters().worker_lag(), due.elapsed());
        }
    });
}
