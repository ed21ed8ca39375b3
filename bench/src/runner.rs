//! Starts the servers, one at a time, and runs the load against each.
//!
//! Every comparison has rounds that go through all servers (A B C, A B C, …), so that other load on
//! the machine affects all servers alike.

mod child;
pub mod machine;
mod plan;
mod redis_server;
pub mod relays;
mod servers;
mod settle;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::directory::{self, Directory};
use crate::measured::{
    CallsMeasured, Churn, Crowd, Exchange, Opens, Returning, Room, Settled, Stalled, Storm,
};
use child::SERVER_CORE;
pub use child::pin_to_load_core;
pub use machine::Machine;
pub use plan::Plan;
use redis_server::RedisServer;
pub use servers::Kind;
use servers::Stage;

/// The measurements of one run of the benchmark.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub machine: Machine,
    /// By the names of [`Kind`].
    pub servers: BTreeMap<String, ServerRun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// Calls through relays, by the names of [`Relays`](relays::Relays).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relays: Option<BTreeMap<String, Vec<CallsMeasured>>>,
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
    /// Of one pair only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lone: Vec<Vec<Exchange>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opens: Vec<Opens>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settled>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crowds: Vec<Crowd>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub churns: Vec<Churn>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storms: Vec<Storm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returning: Vec<Returning>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<Room>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stalled: Vec<Stalled>,
}

/// Paths of the benchmark.
pub struct Places {
    /// The directory of this package.
    pub package: PathBuf,
    /// The program of the server.
    pub server: PathBuf,
    /// The program of Redis.
    pub redis: PathBuf,
    /// The program of coturn.
    pub coturn: PathBuf,
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
    let machine = Machine::look(places)?;
    if machine.load_average > 0.5 {
        eprintln!("The machine is busy (load average {}): the numbers will be noisy.", machine.load_average);
    }
    let stage = Stage::set(places, plan.kinds())?;
    let mut servers: BTreeMap<String, ServerRun> = BTreeMap::new();
    let mut failures = Vec::new();
    for step in plan.steps() {
        eprintln!("{:5.0} s  {}", start.elapsed().as_secs_f64(), step.name());
        let record = servers.entry(step.kind.name().to_owned()).or_default();
        // The other measurements are still useful.
        if let Err(error) = step.run(&stage, record) {
            failures.push(format!("{}: {error:#}", step.name()));
        }
    }
    for (name, record) in &mut servers {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        record.binary_bytes = kind.and_then(|kind| stage.binary_bytes(kind));
    }
    let say = |what: &str| eprintln!("{:5.0} s  {what}", start.elapsed().as_secs_f64());
    let mut directory = None;
    if let Some(plan) = &plan.directory {
        say("the directory");
        match run_directory(places, plan) {
            Ok(measured) => directory = Some(measured),
            Err(error) => failures.push(format!("the directory: {error:#}")),
        }
    }
    let mut relays = None;
    if plan.relays {
        match relays::run(places, say) {
            Ok(measured) => relays = Some(measured),
            Err(error) => failures.push(format!("relays: {error:#}")),
        }
    }
    Ok(Run { machine, servers, directory, relays, failures, seconds: start.elapsed().as_secs_f64() })
}

/// Measures a Redis with a core of its own, without nodes.
pub fn run_directory(places: &Places, plan: &directory::Plan) -> Result<Directory> {
    let redis = RedisServer::start(&places.redis, SERVER_CORE)?;
    directory::run(&redis.redis()?, redis.port(), plan)
}

/// The version in the `package.json` of npm's `peer`, if it is installed.
fn peer_version(package: &Path) -> Option<String> {
    let text = std::fs::read_to_string(package.join("node/node_modules/peer/package.json")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(json["version"].as_str()?.to_owned())
}
