//! Waiting for a condition.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::http_client::TIMEOUT;

/// Waits for a condition, and fails after a timeout.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !happened() {
        assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}");
        sleep(Duration::from_millis(1));
    }
}
