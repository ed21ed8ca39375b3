//! Counts the instructions and allocations of the program for each message, connection and datagram, without
//! a clock: callgrind runs the program, and real clients talk to it.
//!
//! `make test-instructions` fails if one is more than [`TOLERANCE`] above `baseline.json`; `ARGS=--save`
//! writes that file anew. The baseline holds for one compiler and one profile. The dearest messages of each
//! protocol are compared with a heartbeat.

mod callgrind;
mod dearest;
mod scenarios;

use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

use callgrind::Cost;
use testkit::need;
use testkit::rows::{Arguments, verdict};
use testkit::tools::{lacks, root};

/// The part by which counts may be above the baseline.
const TOLERANCE: f64 = 0.03;
/// The number by which allocations may be above it, too: a buffer grows now and then.
const ALLOCATIONS: f64 = 0.1;
const BASELINE: &str = "tests/instructions/baseline.json";

#[derive(Deserialize, Serialize)]
struct Baseline {
    /// As `rustc --version` says it.
    compiler: String,
    costs: BTreeMap<String, Cost>,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read("test-instructions") else { return ExitCode::SUCCESS };
    if need("valgrind").is_none() {
        return ExitCode::SUCCESS;
    }
    let saves = arguments.has("--save");
    let path = root().join(BASELINE);
    let mut baseline: Baseline =
        serde_json::from_str(&fs::read_to_string(&path).expect("the baseline")).expect("JSON");
    let compiler = compiler();
    if !saves && baseline.compiler != compiler {
        lacks(&format!("the baseline holds for {}, and this is {compiler}", baseline.compiler));
        return ExitCode::SUCCESS;
    }

    println!(
        "{:<44} {:>12} {:>10} {:>8} {:>6} {:>7}",
        "", "instructions", "baseline", "", "alloc.", "before"
    );
    let mut counted = 0;
    let mut failed = Vec::new();
    for (name, measure) in scenarios::ALL.iter().filter(|(name, _)| arguments.wants(name)) {
        counted += 1;
        // A panic says itself what is wrong, and the other rows are counted all the same.
        let Ok(cost) = catch_unwind(measure) else {
            assert!(!saves, "{name} was not counted, so nothing is saved");
            failed.push(*name);
            continue;
        };
        let before = baseline.costs.insert((*name).to_owned(), cost).unwrap_or_default();
        let worse = cost.instructions > before.instructions * (1.0 + TOLERANCE)
            || cost.allocations > before.allocations * (1.0 + TOLERANCE) + ALLOCATIONS;
        println!(
            "{name:<44} {:>12.0} {:>10.0} {:>+7.1}% {:>6.1} {:>7.1}{}",
            cost.instructions,
            before.instructions,
            100.0 * (cost.instructions / before.instructions - 1.0),
            cost.allocations,
            before.allocations,
            if worse { "  WORSE" } else { "" }
        );
        failed.extend(worse.then_some(*name));
    }
    let (dear, too_dear) =
        if saves { (0, Vec::new()) } else { dearest::too_dear(|name| arguments.wants(name)) };
    let counts_allocations = baseline.costs.values().any(|cost| cost.allocations > 0.0);
    assert!(counts_allocations, "no function of the allocator was found: see `ALLOCATORS`");
    if saves {
        baseline.compiler = compiler;
        fs::write(path, serde_json::to_string_pretty(&baseline).expect("JSON") + "\n").expect("the baseline");
        failed.clear();
    } else if !failed.is_empty() {
        println!("If that is meant: make test-instructions ARGS=--save, and the commit says why.");
    }
    failed.extend(too_dear.iter().map(String::as_str));
    verdict(counted + dear, &failed)
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
