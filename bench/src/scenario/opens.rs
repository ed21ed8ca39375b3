//! Clients that open and leave: the cost of each, and its waiting time.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::micros;
use crate::fleet::Fleet;
use crate::measured::{OpenCost, Opens};
use crate::servers::Servers;
use crate::statistics::percentiles;

/// Peers that connect and leave while the cost of an open is measured, and how often by default.
const BATCH: usize = 100;
pub(super) const BATCHES: usize = 30;
/// Clients that open while none of the others does.
const ONE_BY_ONE: usize = 300;
/// Time for which a server works on after the last answer.
const AFTERWARDS: Duration = Duration::from_millis(50);

/// Opens and leaves with few clients, and then opens `peers` of them.
pub fn run(fleet: &mut Fleet, server: &Servers, peers: usize) -> Result<Opens> {
    let cost = open_cost(fleet, server, BATCH, BATCHES)?;
    let few = fleet.len();
    let mut times = Vec::with_capacity(ONE_BY_ONE);
    for count in few..few + ONE_BY_ONE {
        let start = Instant::now();
        fleet.open(count + 1)?;
        times.push(start.elapsed());
    }
    let memory = || server.redis.as_ref().map(|redis| redis.used_bytes()).transpose();
    let (before, start, first) = (memory()?, Instant::now(), fleet.len());
    fleet.open(peers)?;
    let opened = (peers - first) as f64;
    let per_second = opened / start.elapsed().as_secs_f64();
    fleet.idle(AFTERWARDS)?;
    let redis_bytes = memory()?.zip(before).map(|(now, before)| (now as f64 - before as f64) / opened);
    Ok(Opens { cost, per_second, latency_us: percentiles(times), redis_bytes })
}

/// The cost of an open with `peers` peers, plus or minus half a batch.
pub(super) fn open_cost(
    fleet: &mut Fleet,
    server: &Servers,
    peers: usize,
    batches: usize,
) -> Result<OpenCost> {
    let few = peers - BATCH / 2;
    if fleet.len() > few {
        fleet.leave(few)?;
    }
    fleet.open(few)?;
    let mut cpu = Duration::ZERO;
    let work = server.redis.as_ref().map(|redis| redis.work()).transpose()?;
    for _ in 0..batches {
        fleet.idle(Duration::from_millis(20))?;
        let before = server.cpu()?;
        fleet.open(few + BATCH)?;
        // The work of the server after the last OPEN counts too.
        fleet.idle(Duration::from_millis(5))?;
        cpu += server.cpu()? - before;
        fleet.leave(few)?;
    }
    let redis = match (&server.redis, &work) {
        (Some(redis), Some(before)) => {
            fleet.idle(AFTERWARDS)?;
            Some(redis.work()?.since(before, BATCH * batches))
        }
        _ => None,
    };
    Ok(OpenCost { peers, cpu_us: micros(cpu) / (BATCH * batches) as f64, redis })
}
