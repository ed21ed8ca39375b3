//! A server that is killed and started again: everybody comes back, with the waits of the served script.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::open_us;
use crate::figures::{Record, micros, percentile};
use crate::fleet::Fleet;
use crate::servers::Server;

pub const PEERS: usize = 4000;
const BATCHES: usize = 30;
/// Timeout of the scenario.
const PATIENCE: Duration = Duration::from_secs(60);

pub const MOST: &str = "4,000 after a crash: 99 % are back";
pub const CPU: &str = "4,000 after a crash: CPU, with the start";
pub const CPU_OF_OPENS: &str = "4,000 after a crash: CPU of as many opens";

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let mut fleet = server.fleet()?;
    let open_us = open_us(&mut fleet, server, PEERS, BATCHES)?;
    fleet.open(PEERS)?;
    let mut back = crash(server, &mut fleet)?;
    // The CPU time of its new process.
    let cpu = server.cpu()?;
    record.add(MOST, percentile(&mut back, 99.0) / 1e6);
    record.add(CPU, micros(cpu) / 1e3);
    record.add(CPU_OF_OPENS, PEERS as f64 * open_us / 1e3);
    Ok(())
}

/// Returns the times from the crash until each peer is back.
fn crash(server: &mut Server, fleet: &mut Fleet) -> Result<Vec<Duration>> {
    let mut waits = Waits::of_script()?;
    let mut attempts = BinaryHeap::new();
    let mut lost_at = [None; PEERS];
    let mut back = Vec::with_capacity(PEERS);
    let crash = Instant::now();
    server.crash()?;
    while back.len() < PEERS {
        while let Some(&Reverse((due, peer))) = attempts.peek()
            && due <= Instant::now()
        {
            attempts.pop();
            fleet.connect_again(peer)?;
        }
        fleet.turn(Duration::from_millis(1))?;
        let now = Instant::now();
        back.extend(fleet.just_opened.iter().map(|at| *at - crash));
        for &peer in &fleet.just_lost {
            let away = now - *lost_at[peer].get_or_insert(now);
            attempts.push(Reverse((now + waits.next(away), peer)));
        }
        let count = back.len();
        ensure!(crash.elapsed() < PATIENCE, "only {count} of {PEERS} peers are back within {PATIENCE:?}");
    }
    Ok(back)
}

const SCRIPT: &str = include_str!("../../../../client/src/peer/reconnect.js");

/// The waits between the attempts of a client.
struct Waits {
    shortest: Duration,
    longest: Duration,
    random: u64,
}

impl Waits {
    /// Fails if the script has other waits than [`next`](Self::next).
    fn of_script() -> Result<Self> {
        let most = "const most = Math.min(Math.max((Date.now() - this.#lostAt) / 2, 2 * SHORTEST), LONGEST);";
        let wait = "return most * (1 + Math.random()) / 2;";
        ensure!(
            SCRIPT.contains(most) && SCRIPT.contains(wait),
            "reconnect.js has other waits: write them here"
        );
        Ok(Waits { shortest: constant("SHORTEST")?, longest: constant("LONGEST")?, random: 1 })
    }

    fn next(&mut self, away: Duration) -> Duration {
        // As the script's test has them: the same in each run.
        self.random = self.random * 48_271 % 2_147_483_647;
        let most = (away / 2).max(2 * self.shortest).min(self.longest);
        most.mul_f64((1.0 + self.random as f64 / 2_147_483_647.0) / 2.0)
    }
}

/// A constant of the script in milliseconds.
fn constant(name: &str) -> Result<Duration> {
    let start = format!("const {name} = ");
    let value = SCRIPT.lines().find_map(|line| line.trim().strip_prefix(&start)?.strip_suffix(';'));
    let value = value.with_context(|| format!("reconnect.js has no {name}"))?.replace('_', "");
    Ok(Duration::from_millis(value.parse()?))
}
