//! Nodes of a cluster in one process and in virtual time: the real broker, node and worker, on a simulated
//! backplane that delays, repeats, loses and forgets. Each seed is a run; a checker reads its whole history.
//!
//! `make test` runs 130 seeds, `make test-simulation` ten thousand in an optimized build, or
//! `SIMULATION_SEEDS` of them. `SIMULATION_FROM=500` begins behind others. `SIMULATION_SEED=17` shows one.
//!
//! Beside the seeds, every run of two nodes with few events: see `world/walk.rs`. `SIMULATION_DEPTH` is their
//! number.

mod checker;
mod history;
#[path = "../../kit/src/room_views.rs"]
mod room_views;
mod scripts;
#[path = "../../cluster/sim/mod.rs"]
mod sim;
mod socket;
mod world;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use peerbroker_config::Degraded;

use world::Subject;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Seeds that once found something.
const REGRESSIONS: &[u64] =
    &[7, 11, 33, 42, 93, 237, 270, 280, 822, 2712, 3417, 2854, 9010, 10395, 22438, 22550, 31025, 32210];

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// The ways in which nodes treat new clients in an outage.
const MODES: [Degraded; 2] = [Degraded::Allow, Degraded::Refuse];

/// Describes the faults in the runs of a seed.
fn fault(subject: Subject, seed: u64) -> Option<String> {
    MODES.into_iter().find_map(|degraded| {
        let history = world::run(subject, seed, degraded);
        let faults = checker::check(&history);
        let run = || format!("SIMULATION_SEED={seed}, {degraded:?}\n{history}\n{}", faults.join("\n"));
        (!faults.is_empty()).then(run)
    })
}

#[test]
fn no_seed_breaks_a_promise_of_the_cluster() {
    try_seeds(Subject::Messages, REGRESSIONS, 40);
}

#[test]
fn no_seed_breaks_a_promise_of_rooms() {
    try_seeds(
        Subject::Rooms,
        &[
            841, 927, 1350, 2785, 3297, 3317, 3804, 4171, 4493, 9950, 11944, 19130, 21007, 22507, 27191,
            31163, 36354, 45144, 60024, 64091, 66140, 74268, 87951,
        ],
        25,
    );
}

#[test]
fn no_seed_breaks_a_promise_of_games() {
    try_seeds(Subject::Games, &[], 25);
}

#[test]
fn no_seed_breaks_a_promise_of_swarms() {
    try_seeds(Subject::Swarms, &[], 25);
}

#[test]
fn no_seed_makes_a_group_larger_than_its_size() {
    try_seeds(Subject::Groups, &[413, 848, 1236], 40);
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for (subject, seed) in
        [(Subject::Messages, 1), (Subject::Messages, 7), (Subject::Rooms, 1), (Subject::Rooms, 3297)]
    {
        for degraded in MODES {
            let [one, other] = [(); 2].map(|()| world::run(subject, seed, degraded).to_string());
            assert_eq!(one, other, "seed {seed}");
        }
    }
}

/// As many events follow each other in `make test`.
const DEPTH: usize = 2;

#[test]
fn no_run_of_a_small_cluster_breaks_a_promise() {
    let depth = number("SIMULATION_DEPTH").map_or(DEPTH, |depth| usize::try_from(depth).unwrap());
    let walk = |degraded| {
        let mut faults = Vec::new();
        let runs = world::walk::all(depth, degraded, |run| {
            faults = checker::check(&run.history);
            if !faults.is_empty() {
                faults.insert(0, format!("{}, {degraded:?}\n{}", run.describe(), run.history));
            }
            faults.is_empty()
        });
        println!("{degraded:?}: {runs} runs of {depth} events");
        faults.join("\n")
    };
    thread::scope(|scope| {
        let walks = MODES.map(|degraded| scope.spawn(move || walk(degraded)));
        for walk in walks {
            let faults = walk.join().unwrap();
            assert!(faults.is_empty(), "{faults}");
        }
    });
}

fn try_seeds(subject: Subject, regressions: &[u64], usual: u64) {
    let fault = |seed| fault(subject, seed);
    if let Some(seed) = number("SIMULATION_SEED") {
        for degraded in MODES {
            println!("{degraded:?}\n{}", world::run(subject, seed, degraded));
        }
        assert_eq!(fault(seed), None);
        return;
    }
    regressions.iter().for_each(|seed| assert_eq!(fault(*seed), None));
    let seeds = number("SIMULATION_SEEDS").unwrap_or(usual);
    let next = AtomicU64::new(number("SIMULATION_FROM").unwrap_or(1));
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed > seeds {
                            return None;
                        }
                        if let Some(fault) = fault(seed) {
                            next.store(seeds + 1, Ordering::Relaxed);
                            return Some(fault);
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            if let Some(fault) = worker.join().unwrap() {
                panic!("{fault}");
            }
        }
    });
}
