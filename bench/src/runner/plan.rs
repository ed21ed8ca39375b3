//! The scenarios of a run, in order.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::ServerRun;
use super::child::run_load;
use super::servers::{Kind, Server, Stage};
use super::settle;
use crate::directory;

/// A whole run.
pub struct Plan {
    kinds: Vec<Kind>,
    steps: Vec<Step>,
    pub(super) directory: Option<directory::Plan>,
    pub(super) relays: bool,
}

/// One server, started for one scenario.
pub(super) struct Step {
    pub(super) kind: Kind,
    scenario: Scenario,
}

/// A scenario of the load generator, with its arguments.
#[derive(Clone, Copy)]
enum Scenario {
    Messages(&'static str),
    /// The same, between two peers.
    Lone(&'static str),
    Opens,
    /// Redis is away for so long.
    Settle(Duration),
    Crowd(&'static str),
    Churn,
    Stalled,
    Storm,
    Returning,
    Room,
}

use Scenario::{Churn, Crowd, Lone, Messages, Opens, Returning, Room, Settle, Stalled, Storm};

/// Timeout of a scenario.
const PATIENCE: Duration = Duration::from_secs(180);

const CLOSED_AND_OPEN: Scenario = Messages("--in-flight 1,4 --per-second 10000 --seconds 0.6");
const CLOSED: Scenario = Messages("--in-flight 1,4 --seconds 0.6");
const TO_SATURATION: Scenario = Messages("--in-flight 1,4,16,64 --seconds 1.2");
const LONE: Scenario = Lone("--pairs 1 --in-flight 1 --seconds 1");
const TO_15_000: Scenario = Crowd(
    "--steps 1000,10000,15000 --opens-at 100,15000 --beating 10000 \
     --beats 10000x10,10000x10,10000x10,2000x1 --seconds 2",
);

const TO_10_000: Scenario = Crowd("--steps 1000,10000 --opens-at 100 --beating 0");

impl Plan {
    /// The full comparison, which takes about thirteen minutes.
    pub fn full() -> Self {
        let mut plan = Plan::of(&Kind::ALL);
        // Many short rounds: a machine that others share is slower for seconds, and then a round is slow for one server only.
        for _ in 0..9 {
            plan.add(&Kind::COMPARED, CLOSED_AND_OPEN);
            plan.add(&[Kind::Tls, Kind::TwoWorkers], CLOSED);
        }
        for _ in 0..3 {
            plan.add(&[Kind::Peerbroker], Room);
            plan.add(&Kind::COMPARED, TO_15_000);
            plan.add(&[Kind::Tls], TO_10_000);
            plan.add(&[Kind::Tls, Kind::TlsRsa], Returning);
            plan.add(&Kind::COMPARED, Storm);
            plan.add(&[Kind::Tls], Storm);
        }
        plan.add(&Kind::COMPARED, Churn);
        // Where the allocator stands after the tenth round is a matter of luck.
        plan.add(&[Kind::Peerbroker; 2], Churn);
        for _ in 0..3 {
            plan.add(&[Kind::Peerbroker, Kind::ActixWs, Kind::PeerjsServer], Stalled);
        }
        plan
    }

    /// Nodes with a Redis between them, which takes about five minutes.
    pub fn cluster() -> Self {
        let mut plan = Plan::of(&Kind::CLUSTER);
        for _ in 0..3 {
            plan.add(&Kind::CLUSTER, TO_SATURATION);
            plan.add(&Kind::CLUSTER, LONE);
            plan.add(&Kind::CLUSTER, Opens);
        }
        for seconds in [0, 4, 12] {
            for _ in 0..3 {
                plan.add(&[Kind::ThreeNodes], Settle(Duration::from_secs(seconds)));
            }
        }
        plan.directory = Some(directory::Plan::full());
        plan
    }

    /// Calls through the relay, which takes about three minutes.
    pub fn relays() -> Self {
        Plan { relays: true, ..Plan::of(&[]) }
    }

    /// The steps whose name has `name` in it.
    pub fn only(mut self, name: &str) -> Result<Self> {
        self.steps.retain(|step| step.name().contains(name));
        ensure!(!self.steps.is_empty(), "no server and scenario has {name:?} in its name");
        self.kinds.retain(|kind| self.steps.iter().any(|step| step.kind == *kind));
        Ok(self)
    }

    fn of(kinds: &[Kind]) -> Self {
        Plan { kinds: kinds.to_vec(), steps: Vec::new(), directory: None, relays: false }
    }

    fn add(&mut self, kinds: &[Kind], scenario: Scenario) {
        self.steps.extend(kinds.iter().map(|&kind| Step { kind, scenario }));
    }

    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Step {
    /// The server and the scenario.
    pub(super) fn name(&self) -> String {
        format!("{}: {}", self.kind.name(), self.what())
    }

    fn what(&self) -> &'static str {
        match self.scenario {
            Messages(_) => "messages",
            Lone(_) => "messages of one pair",
            Opens => "opens",
            Settle(_) => "Redis goes and returns empty",
            Crowd(_) => "a crowd",
            Churn => "coming and going",
            Stalled => "a stalled reader",
            Storm => "everybody at once",
            Returning => "coming back with a session",
            Room => "a room",
        }
    }

    /// Starts the server, runs the load against it, and adds the measurements.
    pub(super) fn run(&self, stage: &Stage, record: &mut ServerRun) -> Result<()> {
        let mut server = stage.start(self.kind)?;
        record.start_ms.push(server.started_in.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(200));
        record.base_bytes.push(server.measured()?.resident()?);
        let load = stage.load();
        let run = |scenario: &str, args: &str| arguments(&server, scenario, args);
        match self.scenario {
            Messages(args) => record.exchanges.push(run_load(&load, &run("messages", args), PATIENCE)?),
            Lone(args) => record.lone.push(run_load(&load, &run("messages", args), PATIENCE)?),
            Opens => record.opens.push(run_load(&load, &run("opens", ""), PATIENCE)?),
            Settle(away) => record.settled.push(settle::run(&mut server, away)?),
            Crowd(args) => record.crowds.push(run_load(&load, &run("crowd", args), PATIENCE)?),
            Churn => record.churns.push(run_load(&load, &run("churn", ""), PATIENCE)?),
            Storm => record.storms.push(run_load(&load, &run("storm", ""), PATIENCE)?),
            Returning => {
                let plain = stage.start(Kind::Peerbroker)?;
                let args =
                    format!("--plain {} --plain-pid {}", joined(&plain.addresses), joined(&plain.pids()));
                record.returning.push(run_load(&load, &run("returning", &args), PATIENCE)?);
            }
            Room => record.rooms.push(run_load(&load, &run("room", ""), PATIENCE)?),
            Stalled => record.stalled.push(run_load(&load, &run("stalled", ""), PATIENCE)?),
        }
        Ok(())
    }
}

fn arguments(server: &Server, scenario: &str, args: &str) -> Vec<String> {
    let pids = server.pids();
    let mut all =
        vec![format!("--address={}", joined(&server.addresses)), format!("--pid={}", joined(&pids))];
    all.extend(server.redis.as_ref().map(|redis| format!("--redis={}", redis.port())));
    all.extend(server.has_tls.then(|| "--tls".to_owned()));
    all.push(scenario.to_owned());
    all.extend(args.split_whitespace().map(str::to_owned));
    all
}

fn joined(all: &[impl ToString]) -> String {
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    texts.join(",")
}
