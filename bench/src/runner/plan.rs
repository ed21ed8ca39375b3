//! The scenarios of a run, in order.

use std::time::Duration;

use anyhow::Result;

use super::ServerRun;
use super::child::run_load;
use super::micro;
use super::servers::{Kind, Server, Stage};
use crate::process::Process;

/// A whole run.
pub struct Plan {
    kinds: Vec<Kind>,
    steps: Vec<Step>,
    pub(super) micro: micro::Timing,
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
    Crowd(&'static str),
    Churn,
    Stalled,
}

use Scenario::{Churn, Crowd, Messages, Stalled};

/// Timeout of a scenario.
const PATIENCE: Duration = Duration::from_secs(180);

const CLOSED_AND_OPEN: Scenario =
    Messages("--in-flight 1,4 --per-second 1000,2000,5000,10000,20000,40000 --seconds 1.5");
const CLOSED: Scenario = Messages("--in-flight 1,4 --seconds 1.5");
const TO_15_000: Scenario = Crowd(
    "--steps 1000,2500,5000,7500,10000,12500,15000 --opens-at 100,15000 --beating 10000 \
     --beats 10000x10,2000x1 --seconds 2",
);
const TO_5_000: Scenario =
    Crowd("--steps 1000,5000 --opens-at 100,5000 --beating 5000 --beats 10000x10 --seconds 1");

impl Plan {
    /// The full comparison, which takes about ten minutes.
    pub fn full() -> Self {
        let mut plan = Plan::of(Kind::ALL.to_vec(), 2.0);
        for _ in 0..3 {
            plan.add(&Kind::COMPARED, CLOSED_AND_OPEN);
            plan.add(&[Kind::Tls, Kind::TwoWorkers], CLOSED);
        }
        for _ in 0..3 {
            plan.add(&Kind::COMPARED, TO_15_000);
        }
        plan.add(&Kind::COMPARED, Churn);
        plan.add(&[Kind::Peerbroker, Kind::ActixWs, Kind::PeerjsServer], Stalled);
        plan
    }

    /// peerbroker and the yardstick, which takes about a minute.
    pub fn quick() -> Self {
        let kinds = [Kind::Peerbroker, Kind::Yardstick];
        let mut plan = Plan::of(kinds.to_vec(), 0.5);
        for _ in 0..3 {
            plan.add(&kinds, CLOSED);
            plan.add(&kinds, TO_5_000);
        }
        plan
    }

    fn of(kinds: Vec<Kind>, measure_seconds: f64) -> Self {
        let micro = micro::Timing { warm_up_seconds: measure_seconds / 2.0, measure_seconds };
        Plan { kinds, steps: Vec::new(), micro }
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
    pub(super) fn what(&self) -> &'static str {
        match self.scenario {
            Messages(_) => "messages",
            Crowd(_) => "a crowd",
            Churn => "coming and going",
            Stalled => "a stalled reader",
        }
    }

    /// Starts the server, runs the load against it, and adds the measurements.
    pub(super) fn run(&self, stage: &Stage, record: &mut ServerRun) -> Result<()> {
        let server = stage.start(self.kind)?;
        record.start_ms.push(server.started_in.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(200));
        record.base_bytes.push(Process(server.process.pid()).resident()?);
        let load = stage.load();
        let run = |scenario: &str, args: &str| arguments(&server, scenario, args);
        match self.scenario {
            Messages(args) => record.exchanges.push(run_load(&load, &run("messages", args), PATIENCE)?),
            Crowd(args) => record.crowds.push(run_load(&load, &run("crowd", args), PATIENCE)?),
            Churn => record.churn = Some(run_load(&load, &run("churn", ""), PATIENCE)?),
            Stalled => record.stalled = Some(run_load(&load, &run("stalled", ""), PATIENCE)?),
        }
        Ok(())
    }
}

fn arguments(server: &Server, scenario: &str, args: &str) -> Vec<String> {
    let mut all = vec![format!("--address={}", server.address), format!("--pid={}", server.process.pid())];
    all.extend(server.certificate.as_ref().map(|file| format!("--trust={}", file.display())));
    all.push(scenario.to_owned());
    all.extend(args.split_whitespace().map(str::to_owned));
    all
}
