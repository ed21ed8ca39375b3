//! The scenarios: load on a server, and its measurements.

pub mod churn;
pub mod crowd;
pub mod exchange;
pub mod opens;
pub mod returning;
pub mod room;
pub mod stalled;
pub mod storm;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fleet::Fleet;
use crate::servers::Servers;

/// Resident memory once it has stopped changing, or after two seconds.
fn settled(fleet: &mut Fleet, server: &Servers) -> Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut before = server.resident()?;
    let mut calm = 0;
    while calm < 3 && Instant::now() < deadline {
        fleet.idle(Duration::from_millis(100))?;
        let now = server.resident()?;
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
    }
    Ok(before)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
