//! Random scripts of what clients do and what fails, and a checker of all that the clients saw.

mod barrier;
mod chance;
mod check;
mod fate;
mod history;
mod script;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::tools::cases;

use crate::harness::run;

/// Seeds that failed once.
const REGRESSIONS: &[u64] = &[];

/// The number of other seeds that run for every change, and every night.
const SEEDS: u64 = 4;
const NIGHTLY_SEEDS: u64 = 10;

/// The number that run at the same time, each with its own nodes. They wait more than they compute.
const SEEDS_IN_PARALLEL: usize = 4;

/// The variable for one seed.
const SEED: &str = "PEERBROKER_SEED";

/// The variables for another number of seeds, the first one, and how many run at the same time.
const NUMBER: &str = "PEERBROKER_SEEDS";
const FIRST: &str = "PEERBROKER_FIRST_SEED";
const THREADS: &str = "PEERBROKER_SEEDS_AT_ONCE";

#[test]
fn no_random_failure_gives_an_id_two_owners_or_loses_or_doubles_or_reorders_a_message() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number(FIRST).unwrap_or(1);
    let seeds: Vec<u64> = match number(SEED) {
        Some(seed) => vec![seed],
        None => REGRESSIONS
            .iter()
            .copied()
            .chain(first..first + number(NUMBER).unwrap_or(cases(SEEDS, NIGHTLY_SEEDS)))
            .collect(),
    };
    let in_parallel =
        number(THREADS).and_then(|number| usize::try_from(number).ok()).unwrap_or(SEEDS_IN_PARALLEL);
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..in_parallel {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(script::play(*seed))));
                    let what = match outcome {
                        Ok(Ok(summary)) => {
                            println!("seed {seed}: {summary}");
                            continue;
                        }
                        Ok(Err(history)) => history,
                        Err(_) => "the harness failed: see above".to_owned(),
                    };
                    println!("seed {seed} FAILED\n{what}");
                    failed.lock().expect("no panic").push(*seed);
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "{SEED}=… runs one of the seeds that failed: {failed:?}");
}
