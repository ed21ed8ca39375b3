//! One reader stops reading during a flood of messages to it. Other peers must not notice, and the
//! server must not store everything.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::exchange::{Pairs, Timetable};
use crate::fleet::Fleet;
use crate::measured::Stalled;
use crate::payload;
use crate::servers::Servers;
use crate::statistics::{median, p99};
use crate::ws;

/// Bytes of each message to the reader.
const MESSAGE: usize = 16 << 10;
/// Bytes per second to the reader.
const BYTES_PER_SECOND: f64 = 200e6;
/// The other pairs, and the messages per second of all of them.
const PAIRS: usize = 50;
const PER_SECOND: f64 = 5000.0;
/// A pause of the machine of 25 ms would decide the 99th percentile of all that time, so it is that of the median slice.
const SLICE: Duration = Duration::from_millis(500);
/// Timeout of the scenario.
const PATIENCE: Duration = Duration::from_secs(60);
/// The sender of the flood pauses while this many bytes of it are unsent.
const MAX_BACKLOG: usize = 64 << 10;

/// The first two peers exchange the flood.
const SENDER: usize = 0;
const READER: usize = 1;

pub fn run(fleet: &mut Fleet, server: &Servers, bytes: u64) -> Result<Stalled> {
    fleet.open(2 + 2 * PAIRS)?;
    let mut pairs = Pairs::new(2, PAIRS);
    flood(fleet, &mut pairs, bytes / 8)?;
    let reading_p99_us = flood(fleet, &mut pairs, bytes / 2)?;
    fleet.stop_reading(READER);
    let before = server.resident()?;
    server.forget_peak()?;
    let stalled_p99_us = flood(fleet, &mut pairs, bytes)?;
    let growth_bytes = server.peak_resident()?.saturating_sub(before);
    Ok(Stalled { sent_bytes: bytes, growth_bytes, reading_p99_us, stalled_p99_us })
}

/// Floods the reader, and returns the 99th percentile of the latency of the others, in microseconds.
fn flood(fleet: &mut Fleet, pairs: &mut Pairs, bytes: u64) -> Result<f64> {
    let text = payload::signal(SENDER, &Fleet::id(READER), MESSAGE);
    let frame = ws::client_frame(ws::TEXT, text.as_bytes());
    let (deadline, mut begun) = (Instant::now() + PATIENCE, Instant::now());
    let (mut latencies, mut percentiles, mut sent) = (Vec::new(), Vec::new(), 0);
    let mut flood = Timetable::new(BYTES_PER_SECOND / frame.len() as f64);
    let mut others = Timetable::new(PER_SECOND);
    while sent < bytes {
        if fleet.backlog(SENDER) < MAX_BACKLOG && flood.next_due().is_some() {
            fleet.queue(SENDER, &frame);
            fleet.flush(SENDER);
            sent += frame.len() as u64;
        }
        pairs.send_due(fleet, &mut others);
        pairs.arrived(fleet, Duration::ZERO, &mut latencies, |_, _, _| {})?;
        if begun.elapsed() >= SLICE {
            percentiles.push(p99(std::mem::take(&mut latencies)));
            begun = Instant::now();
        }
        ensure!(Instant::now() < deadline, "the server took {sent} of {bytes} bytes in {PATIENCE:?}");
    }
    pairs.drain(fleet, &mut latencies)?;
    percentiles.push(p99(latencies));
    Ok(median(percentiles).unwrap_or_default())
}
