//! Many idle peers: the cost of each, and the cost of one more.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::exchange::Timetable;
use super::opens::{BATCHES, open_cost};
use super::{micros, settled};
use crate::fleet::Fleet;
use crate::measured::{Crowd, Heartbeats, Resident};
use crate::payload;
use crate::process::kernel_bytes;
use crate::servers::Servers;
use crate::ws;

/// The parameters of the scenario.
pub struct Plan {
    /// Memory is read at these numbers of peers, in this order.
    pub steps: Vec<usize>,
    /// The cost of an open is measured around these numbers of peers; each must be at or after a step.
    pub opens_at: Vec<usize>,
    /// Number of peers that send heartbeats.
    pub beating: usize,
    /// The rates of heartbeats, one after the other.
    pub beats: Vec<Beats>,
    pub beat_time: Duration,
}

/// The rate of heartbeats.
#[derive(Clone, Copy, Debug)]
pub struct Beats {
    /// Heartbeats per second of all peers together.
    pub per_second: f64,
    /// This many peers send at the same moment, so that the server wakes up once for all of them.
    pub at_once: usize,
}

impl FromStr for Beats {
    type Err = anyhow::Error;

    /// `RATExCOUNT`.
    fn from_str(text: &str) -> Result<Self> {
        let (rate, count) = text.split_once('x').context("a rate and how many at once: 10000x10")?;
        Ok(Beats { per_second: rate.parse()?, at_once: count.parse()? })
    }
}

pub fn run(fleet: &mut Fleet, server: &Servers, plan: &Plan) -> Result<Crowd> {
    let resident = |fleet: &mut Fleet| {
        let bytes = settled(fleet, server)?;
        Ok::<_, anyhow::Error>(Resident { peers: fleet.len(), bytes, kernel_bytes: kernel_bytes()? })
    };
    let mut crowd = Crowd { memory: vec![resident(fleet)?], opens: Vec::new(), heartbeats: Vec::new() };
    let mut opens_at = plan.opens_at.iter().copied().peekable();
    let mut warm = false;
    for &peers in &plan.steps {
        fleet.open(peers)?;
        crowd.memory.push(resident(fleet)?);
        if !warm {
            // After peers have connected and left, and a JIT has compiled the server's code.
            fleet.leave(0)?;
            warm = true;
        }
        while let Some(at) = opens_at.next_if(|at| *at <= peers) {
            crowd.opens.push(open_cost(fleet, server, at, BATCHES)?);
            fleet.open(peers)?;
        }
        if peers == plan.beating {
            for &beats in &plan.beats {
                crowd.heartbeats.push(beat(fleet, server, beats, plan.beat_time)?);
            }
        }
    }
    Ok(crowd)
}

fn beat(fleet: &mut Fleet, server: &Servers, beats: Beats, time: Duration) -> Result<Heartbeats> {
    let frame = ws::client_frame(ws::TEXT, payload::HEARTBEAT.as_bytes());
    let (cpu, start) = (server.cpu()?, Instant::now());
    let mut timetable = Timetable::new(beats.per_second / beats.at_once as f64);
    let mut sent = 0;
    while start.elapsed() < time {
        while timetable.next_due().is_some() {
            for _ in 0..beats.at_once {
                let peer = sent % fleet.len();
                fleet.queue(peer, &frame);
                fleet.flush(peer);
                sent += 1;
            }
        }
        fleet.turn(Duration::ZERO)?;
    }
    let cpu = server.cpu()? - cpu;
    Ok(Heartbeats { peers: fleet.len(), per_second: beats.per_second, cpu_us: micros(cpu) / sent as f64 })
}
