//! Everybody comes at once, while others exchange messages.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::exchange::{Pairs, Timetable};
use super::opens::{BATCHES, open_cost};
use crate::fleet::{Fleet, Target};
use crate::measured::Storm;
use crate::servers::Servers;
use crate::statistics::{median, p99};

/// The pairs that were there before, and the messages per second of all of them.
const PAIRS: usize = 50;
const PER_SECOND: f64 = 2000.0;
/// Time for which the pairs are measured alone, before each storm.
const CALM: Duration = Duration::from_secs(1);
/// Storms beside the pairs. Another process that takes the core for ten milliseconds decides the 99th percentile of one storm.
const STORMS: usize = 3;
/// Timeout of the scenario.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those who come.
struct Crowd {
    fleet: Fleet,
    seconds: f64,
    /// CPU time of the server per second.
    busy: f64,
}

pub fn run(fleet: &mut Fleet, server: &Servers, target: Target, peers: usize) -> Result<Storm> {
    let cost = open_cost(fleet, server, 2 * PAIRS, BATCHES)?;
    fleet.leave(0)?;
    // Alone, because the load generator needs time for the pairs too.
    let mut crowd = come(server, target.clone(), peers)?;
    let (seconds, busy, mut failed) = (crowd.seconds, crowd.busy, crowd.fleet.lost());
    crowd.fleet.leave(0)?;
    fleet.open(2 * PAIRS)?;
    let mut pairs = Pairs::new(0, PAIRS);
    let (mut calm_p99_us, mut storm_p99_us) = (Vec::new(), Vec::new());
    for _ in 0..STORMS {
        let come = || come(server, target.clone(), peers);
        let (calm, storm, mut crowd) = exchange_before_and_in_storm(fleet, &mut pairs, come)?;
        calm_p99_us.push(calm);
        storm_p99_us.push(storm);
        failed += crowd.fleet.lost();
        crowd.fleet.leave(0)?;
    }
    ensure!(fleet.lost() == 0, "the server ended {} older connections", fleet.lost());
    let (calm_p99_us, storm_p99_us) = median(calm_p99_us).zip(median(storm_p99_us)).context("no storm")?;
    Ok(Storm { peers, failed, seconds, busy, open_us: cost.cpu_us, calm_p99_us, storm_p99_us })
}

/// Returns the 99th percentiles of the latency before the crowd comes and meanwhile, and the crowd.
fn exchange_before_and_in_storm(
    fleet: &mut Fleet,
    pairs: &mut Pairs,
    come: impl FnOnce() -> Result<Crowd> + Send,
) -> Result<(f64, f64, Crowd)> {
    let (is_over, (begin, begun)) = (&AtomicBool::new(false), mpsc::channel());
    thread::scope(|scope| {
        let pairs = scope.spawn(move || {
            go_before_others()?;
            let calm_end = Instant::now() + CALM;
            let calm = exchange_while(fleet, pairs, || Instant::now() < calm_end)?;
            begin.send(())?;
            let storm = exchange_while(fleet, pairs, || !is_over.load(Ordering::Relaxed))?;
            anyhow::Ok((calm, storm))
        });
        let crowd = scope.spawn(move || {
            // The pairs measure the server, so they do not wait for those who come.
            yield_to_others()?;
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
    let (mut latencies, mut timetable) = (Vec::new(), Timetable::new(PER_SECOND));
    // After the timetable, so that a message is due whenever it goes off.
    fleet.set_alarm(Duration::from_secs_f64(1.0 / PER_SECOND))?;
    while goes_on() {
        pairs.send_due(fleet, &mut timetable);
        pairs.arrived(fleet, Duration::from_millis(100), &mut latencies, |_, _, _| {})?;
    }
    pairs.drain(fleet, &mut latencies)?;
    Ok(p99(latencies))
}

/// Opens all peers as fast as the server lets them in.
fn come(server: &Servers, target: Target, peers: usize) -> Result<Crowd> {
    let mut fleet = Fleet::storm(target)?;
    let (start, before) = (Instant::now(), server.cpu()?);
    while fleet.opened() + fleet.lost() < peers {
        fleet.turn(Duration::ZERO)?;
        // Clients that the load generator left waiting would be too slow for the server.
        if fleet.len() < peers && fleet.is_calm() {
            fleet.connect()?;
        }
        let open = fleet.opened();
        ensure!(start.elapsed() < PATIENCE, "only {open} of {peers} peers opened within {PATIENCE:?}");
    }
    let seconds = start.elapsed().as_secs_f64();
    let busy = (server.cpu()? - before).as_secs_f64() / seconds;
    Ok(Crowd { fleet, seconds, busy })
}

/// From now on, this thread runs whenever it can, if this user may ask for that: a message that waits here would be too slow for the
/// server.
fn go_before_others() -> Result<()> {
    if !schedule(["--fifo", "--pid", "1"])? {
        eprintln!("without a right (CAP_SYS_NICE), other processes delay the pairs in a storm");
    }
    Ok(())
}

/// From now on, this thread runs only while no other one wants its core. Until the scheduler's next tick, only a thread that goes
/// before all others interrupts it.
fn yield_to_others() -> Result<()> {
    ensure!(schedule(["--idle", "--pid", "0"])?, "chrt cannot change a thread");
    Ok(())
}

/// True if this thread has the policy now.
fn schedule(policy: [&str; 3]) -> Result<bool> {
    let this = fs::read_link("/proc/thread-self")?;
    let id = this.file_name().context("this thread has no id")?;
    let chrt = Command::new("chrt").args(policy).arg(id).stderr(Stdio::null()).status();
    Ok(chrt.context("chrt is missing: install util-linux")?.success())
}
