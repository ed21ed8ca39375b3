//! Everybody comes at once, while others exchange messages.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::exchange::{Pairs, Timetable};
use super::{ensure_none_lost, open_us};
use crate::figures::{Record, median};
use crate::fleet::{Fleet, Target};
use crate::servers::Server;

const PEERS: usize = 10_000;
const BATCHES: usize = 30;
/// The pairs that were there before, and the messages per second of all of them.
const PAIRS: usize = 50;
const PER_SECOND: f64 = 2000.0;
/// Time for which the pairs are measured alone, before each storm.
const CALM: Duration = Duration::from_secs(1);
/// Storms beside the pairs. Another process that takes the core for ten milliseconds decides the 99th
/// percentile of one storm.
const STORMS: usize = 3;
/// Timeout of the scenario.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(server: &mut Server, record: &mut Record) -> Result<()> {
    let server: &Server = server;
    let mut fleet = server.fleet()?;
    let open_us = open_us(&mut fleet, server, 2 * PAIRS, BATCHES)?;
    fleet.leave(0)?;
    // Alone, because the load generator needs time for the pairs too.
    let (mut crowd, seconds) = come(server.target.clone())?;
    let mut failed = crowd.lost;
    crowd.leave(0)?;
    fleet.open(2 * PAIRS)?;
    let mut pairs = Pairs::new(0, PAIRS);
    let mut calm_p99_us = Vec::new();
    let mut storm_p99_us = Vec::new();
    for _ in 0..STORMS {
        let come = || Ok(come(server.target.clone())?.0);
        let (calm, storm, mut crowd) = exchange_before_and_in_storm(&mut fleet, &mut pairs, come)?;
        calm_p99_us.push(calm);
        storm_p99_us.push(storm);
        failed += crowd.lost;
        crowd.leave(0)?;
    }
    ensure_none_lost(&fleet)?;
    let (calm, storm) = median(calm_p99_us).zip(median(storm_p99_us)).context("no storm")?;
    record.add("10,000 at once: all are in", seconds);
    record.add("10,000 at once: times the CPU of as many opens", seconds / (PEERS as f64 * open_us / 1e6));
    record.add("10,000 at once: not let in", failed as f64);
    record.add("10,000 at once: p99 of pairs before", calm);
    record.add("10,000 at once: p99 of pairs meanwhile", storm);
    Ok(())
}

/// Returns the 99th percentiles of the latency before the crowd comes and meanwhile, and the crowd.
fn exchange_before_and_in_storm(
    fleet: &mut Fleet,
    pairs: &mut Pairs,
    come: impl FnOnce() -> Result<Fleet> + Send,
) -> Result<(f64, f64, Fleet)> {
    let is_over = &AtomicBool::new(false);
    let (begin, begun) = mpsc::channel();
    thread::scope(|scope| {
        let pairs = scope.spawn(move || {
            // This thread runs whenever it can: a message that waits here would be too slow for the server.
            if !schedule(["--fifo", "--pid", "1"])? {
                eprintln!("without a right (CAP_SYS_NICE), other processes delay the pairs in a storm");
            }
            let calm_end = Instant::now() + CALM;
            let calm = exchange_while(fleet, pairs, || Instant::now() < calm_end)?;
            begin.send(())?;
            let storm = exchange_while(fleet, pairs, || !is_over.load(Ordering::Relaxed))?;
            anyhow::Ok((calm, storm))
        });
        let crowd = scope.spawn(move || {
            // This one only while no other wants its core: the pairs do not wait for those who come. Until
            // the scheduler's next tick, only a thread that goes before all others interrupts it.
            ensure!(schedule(["--idle", "--pid", "0"])?, "chrt cannot change a thread");
            begun.recv().context("the pairs have ended")?;
            come()
        });
        let crowd = crowd.join().expect("the crowd panicked");
        is_over.store(true, Ordering::Relaxed);
        let (calm, storm) = pairs.join().expect("the pairs panicked")?;
        Ok((calm, storm, crowd?))
    })
}

/// Returns the 99th percentile of the latency.
fn exchange_while(fleet: &mut Fleet, pairs: &mut Pairs, goes_on: impl Fn() -> bool) -> Result<f64> {
    let mut timetable = Timetable::new(PER_SECOND);
    // After the timetable, so that a message is due whenever it goes off.
    fleet.set_alarm(Duration::from_secs_f64(1.0 / PER_SECOND))?;
    while goes_on() {
        pairs.send_due(fleet, &mut timetable, Duration::from_millis(100))?;
    }
    pairs.drain(fleet)?;
    Ok(pairs.take_p99())
}

/// Opens all peers as fast as the server lets them in. Returns them and the seconds that this took.
fn come(target: Target) -> Result<(Fleet, f64)> {
    let mut fleet = Fleet::storm(target)?;
    let start = Instant::now();
    while fleet.opened + fleet.lost < PEERS {
        fleet.turn(Duration::ZERO)?;
        // Clients that the load generator left waiting would be too slow for the server.
        if fleet.count() < PEERS && fleet.is_calm() {
            fleet.connect()?;
        }
        let open = fleet.opened;
        ensure!(start.elapsed() < PATIENCE, "only {open} of {PEERS} peers opened within {PATIENCE:?}");
    }
    Ok((fleet, start.elapsed().as_secs_f64()))
}

/// True if this thread has the policy now.
fn schedule(policy: [&str; 3]) -> Result<bool> {
    let this = fs::read_link("/proc/thread-self")?;
    let id = this.file_name().context("this thread has no id")?;
    let chrt = Command::new("chrt").args(policy).arg(id).stderr(Stdio::null()).status();
    Ok(chrt.context("chrt is missing: install util-linux")?.success())
}
