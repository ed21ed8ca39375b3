//! Starts the servers, one at a time, and runs the load against each.
//!
//! Every comparison has rounds that go through all servers (A B C, A B C, …), so that other load on
//! the machine affects all servers alike.

mod child;
pub mod machine;
mod micro;
mod plan;
mod servers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::measured::{Churn, Crowd, Exchange, Stalled};
pub use child::pin_to_load_core;
pub use machine::Machine;
pub use micro::FIXED_WORK;
pub use plan::Plan;
pub use servers::Kind;
use servers::Stage;

/// The measurements of one run of the benchmark.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub machine: Machine,
    /// By the names of [`Kind`].
    pub servers: BTreeMap<String, ServerRun>,
    /// Nanoseconds of one iteration of each micro-benchmark.
    pub micro: BTreeMap<String, f64>,
    /// Failed measurements, with reasons.
    pub failures: Vec<String>,
    pub seconds: f64,
}

/// The measurements of one server, with one element per round.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ServerRun {
    /// The size of the program; `None` for scripts.
    pub binary_bytes: Option<u64>,
    /// From the start of the process to the OPEN of the first peer.
    pub start_ms: Vec<f64>,
    /// Resident memory after one peer has come and gone.
    pub base_bytes: Vec<u64>,
    pub exchanges: Vec<Vec<Exchange>>,
    pub crowds: Vec<Crowd>,
    pub churn: Option<Churn>,
    pub stalled: Option<Stalled>,
}

/// Paths of the benchmark.
pub struct Places {
    /// The directory of this package.
    pub package: PathBuf,
    /// The program of the server.
    pub server: PathBuf,
}

impl Run {
    /// The measurements of a server, if it took part.
    pub fn of(&self, kind: Kind) -> Option<&ServerRun> {
        self.servers.get(kind.name())
    }
}

/// Runs the whole plan.
pub fn run(places: &Places, plan: &Plan) -> Result<Run> {
    let start = std::time::Instant::now();
    let machine = Machine::look(&places.package)?;
    if machine.load_average > 0.5 {
        eprintln!("The machine is busy (load average {}): the numbers will be noisy.", machine.load_average);
    }
    let stage = Stage::set(places, plan.kinds())?;
    let mut servers: BTreeMap<String, ServerRun> = BTreeMap::new();
    let mut failures = Vec::new();
    for step in plan.steps() {
        eprintln!("{:5.0} s  {}: {}", start.elapsed().as_secs_f64(), step.kind.name(), step.what());
        let record = servers.entry(step.kind.name().to_owned()).or_default();
        // The other measurements are still useful.
        if let Err(error) = step.run(&stage, record) {
            failures.push(format!("{}, {}: {error:#}", step.kind.name(), step.what()));
        }
    }
    for (name, record) in &mut servers {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        record.binary_bytes = kind.and_then(|kind| stage.binary_bytes(kind));
    }
    eprintln!("{:5.0} s  micro-benchmarks", start.elapsed().as_secs_f64());
    let micro = micro::run(&places.package, plan.micro)?;
    Ok(Run { machine, servers, micro, failures, seconds: start.elapsed().as_secs_f64() })
}

/// The version in the `package.json` of npm's `peer`, if it is installed.
fn peer_version(package: &Path) -> Option<String> {
    let text = std::fs::read_to_string(package.join("node/node_modules/peer/package.json")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(json["version"].as_str()?.to_owned())
}
