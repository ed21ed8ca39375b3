//! One reader stops reading during a flood of messages to it. Other peers must not notice, and the
//! server must not store everything.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::exchange::{Pairs, Timetable};
use crate::figures::{Record, median};
use crate::fleet::Fleet;
use crate::payload;
use crate::servers::Server;
use crate::ws;

/// Bytes to the stalled reader.
const BYTES: u64 = 1_000_000_000;
/// Bytes of each message to the reader.
const MESSAGE: usize = 16 << 10;
/// Bytes per second to the reader.
const BYTES_PER_SECOND: f64 = 200e6;
/// The other pairs, and the messages per second of all of them.
const PAIRS: usize = 50;
const PER_SECOND: f64 = 5000.0;
/// A pause of the machine of 25 ms would decide the 99th percentile of all that time, so it is that of the
/// median slice.
const SLICE: Duration = Duration::from_millis(500);
/// Timeout of the scenario.
const PATIENCE: Duration = Duration::from_secs(60);
/// The sender of the flood pauses while this many bytes of it are unsent.
const MAX_BACKLOG: usize = 64 << 10;

/// The first two peers exchange the flood.
const SENDER: usize = 0;
const READER: usize = 1;

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    fleet.open(2 + 2 * PAIRS)?;
    let mut pairs = Pairs::new(2, PAIRS);
    flood(&mut fleet, &mut pairs, BYTES / 8)?;
    record.add("p99 of other pairs while the reader reads", flood(&mut fleet, &mut pairs, BYTES / 2)?);
    fleet.peer(READER).reads = false;
    let before = server.resident()?;
    server.forget_peak()?;
    record.add("p99 of other pairs while it is stalled", flood(&mut fleet, &mut pairs, BYTES)?);
    let growth = server.peak_resident()?.saturating_sub(before);
    record.add("growth by 1 GB to a stalled reader", growth as f64);
    Ok(())
}

/// Floods the reader, and returns the 99th percentile of the latency of the others, in microseconds.
fn flood(fleet: &mut Fleet, pairs: &mut Pairs, bytes: u64) -> Result<f64> {
    let text = payload::signal(SENDER, &Fleet::id(READER), MESSAGE);
    let frame = ws::client_frame(ws::TEXT, text.as_bytes());
    let deadline = Instant::now() + PATIENCE;
    let mut begun = Instant::now();
    let mut percentiles = Vec::new();
    let mut sent = 0;
    let mut flood = Timetable::new(BYTES_PER_SECOND / frame.len() as f64);
    let mut others = Timetable::new(PER_SECOND);
    while sent < bytes {
        if fleet.peer(SENDER).backlog() < MAX_BACKLOG && flood.next_due().is_some() {
            fleet.peer(SENDER).send(&frame);
            sent += frame.len() as u64;
        }
        pairs.send_due(fleet, &mut others, Duration::ZERO)?;
        if begun.elapsed() >= SLICE {
            percentiles.push(pairs.take_p99());
            begun = Instant::now();
        }
        ensure!(Instant::now() < deadline, "the server took {sent} of {bytes} bytes in {PATIENCE:?}");
    }
    pairs.drain(fleet)?;
    percentiles.push(pairs.take_p99());
    Ok(median(percentiles).unwrap_or_default())
}
