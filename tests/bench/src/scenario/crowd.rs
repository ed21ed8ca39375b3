//! Many idle peers: the cost of each, and the cost of one more.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{open_us, settled};
use crate::figures::{Record, micros};
use crate::fleet::Fleet;
use crate::payload;
use crate::scenario::exchange::Timetable;
use crate::servers::Server;
use crate::ws;
use testkit::process::kernel_bytes;

const SOME: usize = 10_000;
const MANY: usize = 15_000;
const BEAT_TIME: Duration = Duration::from_secs(2);

/// All that idle peers cost.
pub fn all(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    let base = (warm_up(&mut fleet, server)?, kernel_bytes()? as f64);
    record.add("CPU per open at 100 peers", open_us(&mut fleet, server, 100, BATCHES)?);
    memory_of_some(&mut fleet, server, base.0, record)?;
    for _ in 0..3 {
        record.add(FAST_BEATS, beat(&mut fleet, server, 10_000.0, 10)?);
    }
    fleet.open(MANY)?;
    settled(&mut fleet, server)?;
    // Both ends of each connection are on this machine.
    record.add("kernel's memory per idle peer", (kernel_bytes()? as f64 - base.1) / 2.0 / MANY as f64);
    record.add("CPU per open at 15,000 peers", open_us(&mut fleet, server, MANY, BATCHES)?);
    Ok(())
}

pub const MEMORY: &str = "memory per idle peer, 10,000 peers";
pub const FAST_BEATS: &str = "CPU per heartbeat, 10,000 peers, 10,000/s, 10 at once";
const BATCHES: usize = 30;

/// Only their memory.
pub fn memory(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    let base = warm_up(&mut fleet, server)?;
    memory_of_some(&mut fleet, server, base, record)
}

/// All peers connect and leave, repeatedly. Memory must not grow.
pub fn churn(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    for round in 1..=10 {
        fleet.open(SOME)?;
        fleet.leave(0)?;
        record.add(format!("memory after {round} rounds of 10,000 connects"), settled(&mut fleet, server)?);
    }
    Ok(())
}

/// Lets peers connect and leave, after which a JIT has compiled the server's code. Returns the memory before.
pub(super) fn warm_up(fleet: &mut Fleet, server: &Server) -> Result<f64> {
    let base = settled(fleet, server)?;
    fleet.open(1000)?;
    settled(fleet, server)?;
    fleet.leave(0)?;
    Ok(base)
}

fn memory_of_some(fleet: &mut Fleet, server: &Server, base: f64, record: &mut Record) -> Result<()> {
    fleet.open(SOME)?;
    record.add(MEMORY, (settled(fleet, server)? - base) / SOME as f64);
    Ok(())
}

/// CPU time of a heartbeat in microseconds. `at_once` peers send theirs at the same moment, so the server
/// wakes up once for all of them.
fn beat(fleet: &mut Fleet, server: &Server, per_second: f64, at_once: usize) -> Result<f64> {
    let frame = ws::client_frame(ws::TEXT, payload::HEARTBEAT.as_bytes());
    let cpu = server.cpu()?;
    let start = Instant::now();
    let mut timetable = Timetable::new(per_second / at_once as f64);
    let mut sent = 0;
    while start.elapsed() < BEAT_TIME {
        while timetable.next_due().is_some() {
            for _ in 0..at_once {
                let peer = sent % fleet.count();
                fleet.peer(peer).send(&frame);
                sent += 1;
            }
        }
        fleet.turn(Duration::ZERO)?;
    }
    Ok(micros(server.cpu()? - cpu) / sent as f64)
}
