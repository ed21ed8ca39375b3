//! Counts the instructions and allocations of the program for each message, connection and datagram, without a clock: callgrind
//! runs the program, and real clients talk to it.
//!
//! `make test-instructions` fails if one is more than [`TOLERANCE`] above `baseline.json`; `ARGS=--save` writes that file anew.
//! The baseline holds for one compiler and one profile.

mod callgrind;
mod scenarios;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

use callgrind::Cost;
use testkit::tools::{lacks, root};
use testkit::{need, program};

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
    // nextest asks for the tests of each binary, and gets none: these run one after another.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(program::PROGRAM).is_none() {
        println!("skipped: `make test-instructions` counts, and names the program in {}", program::PROGRAM);
        return ExitCode::SUCCESS;
    }
    if need("valgrind").is_none() {
        return ExitCode::SUCCESS;
    }
    let (flags, wanted): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let saves = flags.iter().any(|flag| flag == "--save");
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
    let mut is_worse = false;
    for (name, measure) in scenarios::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part)) {
            continue;
        }
        let cost = measure();
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
        is_worse |= worse;
    }
    let counts_allocations = baseline.costs.values().any(|cost| cost.allocations > 0.0);
    assert!(counts_allocations, "no function of the allocator was found: see `ALLOCATORS`");
    if saves {
        baseline.compiler = compiler;
        fs::write(path, serde_json::to_string_pretty(&baseline).expect("JSON") + "\n").expect("the baseline");
        return ExitCode::SUCCESS;
    }
    if is_worse {
        println!("If that is meant: make test-instructions ARGS=--save, and the commit says why.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
