//! Everybody comes at once, while others exchange messages.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::exchange::{Pairs, Timetable};
use super::opens::open_cost;
use crate::fleet::{Fleet, Target};
use crate::measured::{Pace, Storm};
use crate::servers::Servers;
use crate::statistics::{index_of, p99};

/// The pairs that were there before, and the messages per second of all of them.
const PAIRS: usize = 50;
const PER_SECOND: f64 = 2000.0;
/// Time for which the pairs are measured alone.
const CALM: Duration = Duration::from_secs(2);
/// Timeout of the scenario.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(fleet: &mut Fleet, server: &Servers, target: Target, peers: usize) -> Result<Storm> {
    let cost = open_cost(fleet, server, 2 * PAIRS)?;
    fleet.leave(0)?;
    fleet.open(2 * PAIRS)?;
    let mut pairs = Pairs::new(0, PAIRS);
    let calm = pairs.exchange(fleet, server, Pace::PerSecond(PER_SECOND), CALM)?;
    let mut storm = Fleet::storm(target)?;
    let (start, before) = (Instant::now(), server.cpu()?);
    let (mut latencies, mut timetable) = (Vec::new(), Timetable::new(PER_SECOND));
    while storm.opened() + storm.lost() < peers {
        pairs.send_due(fleet, &mut timetable);
        pairs.arrived(fleet, Duration::ZERO, &mut latencies, |_, _, _| {})?;
        storm.turn(Duration::ZERO)?;
        // Clients that the load generator left waiting would be too slow for the server.
        if storm.len() < peers && storm.is_calm() {
            storm.connect()?;
        }
        let open = storm.opened();
        ensure!(start.elapsed() < PATIENCE, "only {open} of {peers} peers opened within {PATIENCE:?}");
    }
    let seconds = start.elapsed().as_secs_f64();
    let busy = (server.cpu()? - before).as_secs_f64() / seconds;
    pairs.drain(fleet, &mut latencies)?;
    ensure!(fleet.lost() == 0, "the server ended {} older connections", fleet.lost());
    let calm_p99_us = index_of(99.0).and_then(|index| calm.latency_us.get(index).copied());
    Ok(Storm {
        peers,
        failed: storm.lost(),
        seconds,
        busy,
        open_us: cost.cpu_us,
        calm_p99_us: calm_p99_us.unwrap_or_default(),
        storm_p99_us: p99(latencies),
    })
}
