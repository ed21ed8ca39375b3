//! Waiting for a condition.

use std::ops::RangeInclusive;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::http_client::TIMEOUT;

/// Longest time that a test waits for a condition. Longer than for one answer, because a condition may need
/// several on a busy machine.
const PATIENCE: Duration = TIMEOUT.saturating_mul(3);

/// The pause between two looks, between these. It grows with what a look takes, such as a TLS handshake: who
/// waits for half a minute must not keep a processor busy with that.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(50);

/// The pause, as a multiple of what a look has taken.
const PAUSE_PER_LOOK: u32 = 5;

/// Waits for a condition, and fails after a timeout.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    wait_for(what, || happened().then_some(()));
}

/// Waits for a value, and fails after a timeout.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    look_for(look).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}"))
}

/// Waits for a value. `None` after a timeout.
pub fn look_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let began = Instant::now();
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        sleep((began.elapsed() * PAUSE_PER_LOOK).clamp(*PAUSE.start(), *PAUSE.end()));
    }
}
