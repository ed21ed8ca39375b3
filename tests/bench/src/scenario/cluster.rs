//! Nodes with a Redis: clients that open, and a Redis that goes away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{BATCH, ensure_none_lost, open_us};
use crate::figures::{Record, micros};
use crate::fleet::Fleet;
use crate::servers::Server;

const PEERS: usize = 10_000;
const BATCHES: usize = 30;
/// Prefix of the keys of peers in Redis.
const RECORDS: &str = "peerbroker:peer";
/// The bound of everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Clients open and leave, and then many stay.
pub fn opens(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    let before = server.redis_cpu()?;
    record.add("CPU per open", open_us(&mut fleet, server, BATCH, BATCHES)?);
    if let (Some(now), Some(before)) = (server.redis_cpu()?, before) {
        record.add("CPU of Redis per open and leave", micros(now - before) / (BATCH * BATCHES) as f64);
    }
    if server.redis.is_some() {
        let before = server.redis_bytes()?;
        let first = fleet.count();
        fleet.open(PEERS)?;
        // The work of Redis after the last OPEN counts too.
        fleet.idle(Duration::from_millis(50))?;
        let each = (server.redis_bytes()? - before) / (PEERS - first) as f64;
        record.add("memory of Redis per client, 10,000 clients", each);
    }
    Ok(())
}

/// Redis stops, and starts again empty after so many seconds: measures the time until the nodes have
/// registered all clients again, and are ready.
pub fn outage<const AWAY: u64>(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    fleet.open(PEERS)?;
    let redis = server.redis.as_mut().context("there is no Redis")?;
    redis.kill();
    fleet.idle(Duration::from_secs(AWAY))?;
    redis.start_again();
    let back = Instant::now();
    let mut client = redis.client();
    until("all records are there", &mut fleet, || {
        // Counting records keeps Redis busy, so the number of keys decides when to count.
        let keys: usize = redis::cmd("DBSIZE").query(&mut client)?;
        let mut count = redis::cmd("EVAL");
        count.arg("return #redis.call('KEYS', ARGV[1] .. '*')").arg(0).arg(RECORDS);
        Ok(keys >= PEERS && count.query::<usize>(&mut client)? == PEERS)
    })?;
    record.add(REGISTERED, back.elapsed().as_secs_f64());
    // A node that has registered its clients has noticed the outage: it is not ready until that is over.
    until("all nodes are ready", &mut fleet, || Ok(server.is_ready()))?;
    record.add(READY, back.elapsed().as_secs_f64());
    ensure_none_lost(&fleet)
}

pub const REGISTERED: &str = "10,000 clients, Redis comes back empty: all registered";
pub const READY: &str = "10,000 clients, Redis comes back empty: all nodes ready";

fn until(what: &str, fleet: &mut Fleet, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        fleet.idle(INTERVAL)?;
    }
    Ok(())
}
