//! The scenarios: load on a server, and its measurements.

pub mod cluster;
pub mod crowd;
pub mod exchange;
pub mod handshakes;
pub mod restart;
pub mod room;
pub mod stalled;
pub mod storm;
pub mod topic;
pub mod tracker;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::figures::micros;
use crate::fleet::Fleet;
use crate::servers::Server;

/// Peers that connect and leave while the cost of an open is measured.
const BATCH: usize = 100;

/// CPU time of an open in microseconds, with `peers` peers, plus or minus half a batch.
fn open_us(fleet: &mut Fleet, server: &Server, peers: usize, batches: usize) -> Result<f64> {
    let few = peers - BATCH / 2;
    if fleet.count() > few {
        fleet.leave(few)?;
    }
    fleet.open(few)?;
    let mut cpu = Duration::ZERO;
    for _ in 0..batches {
        fleet.idle(Duration::from_millis(20))?;
        let before = server.cpu()?;
        fleet.open(few + BATCH)?;
        // The work of the server after the last OPEN counts too.
        fleet.idle(Duration::from_millis(5))?;
        cpu += server.cpu()? - before;
        fleet.leave(few)?;
    }
    Ok(micros(cpu) / (BATCH * batches) as f64)
}

/// Resident memory once it has stopped changing, or after two seconds.
fn settled(fleet: &mut Fleet, server: &Server) -> Result<f64> {
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut before = server.resident()?;
    let mut calm = 0;
    while calm < 3 && Instant::now() < deadline {
        fleet.idle(Duration::from_millis(100))?;
        let now = server.resident()?;
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
    }
    Ok(before as f64)
}

/// Time before a measurement of [`one_by_one`] starts.
const WARM_UP: Duration = Duration::from_secs(1);
/// Time of such a measurement.
const TIME: Duration = Duration::from_secs(2);
/// Timeout of the messages that are awaited together.
const PATIENCE: Duration = Duration::from_secs(60);

/// CPU time of a message in microseconds, if each is sent when the one before has been delivered. `send` gets
/// the number of each.
fn one_by_one(server: &Server, mut send: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let mut sent = 0;
    let mut send_for = |time: Duration| -> Result<f64> {
        let cpu = server.cpu()?;
        let start = Instant::now();
        let first = sent;
        while start.elapsed() < time {
            send(sent)?;
            sent += 1;
        }
        Ok(micros(server.cpu()? - cpu) / (sent - first) as f64)
    };
    send_for(WARM_UP)?;
    send_for(TIME)
}

fn await_messages(fleet: &mut Fleet, count: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut arrived = 0;
    while arrived < count {
        let arrivals = fleet.turn(Duration::from_millis(100))?;
        arrived += arrivals.iter().map(|arrival| arrival.messages).sum::<usize>();
        ensure_none_lost(fleet)?;
        ensure!(Instant::now() < deadline, "only {arrived} of {count} messages arrived within {PATIENCE:?}");
    }
    Ok(())
}

fn ensure_none_lost(fleet: &Fleet) -> Result<()> {
    ensure!(fleet.lost == 0, "the server ended {} connections", fleet.lost);
    Ok(())
}
