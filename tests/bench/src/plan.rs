//! The steps of a run, in order.
//!
//! Rounds go through all servers (A B C, A B C, …), so that other load on the machine affects all of them
//! alike.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::Pace;
use crate::figures::{Record, Run};
use crate::pipes::Carrier;
use crate::relays::{Relay, VIDEO, VOICE};
use crate::scenario::exchange::STEADY;
use crate::scenario::{cluster, crowd, exchange, handshakes, restart, room, stalled, storm, topic, tracker};
use crate::servers::{Kind, Places, Server};

const ONE: Pace = Pace::InFlight(1);
const FOUR: Pace = Pace::InFlight(4);

/// All steps of a run.
#[derive(Default)]
pub struct Plan(Vec<Step>);

/// One server, started for one scenario.
struct Step {
    server: &'static str,
    name: String,
    run: Measure,
}

type Measure = Box<dyn Fn(&Places, &mut Record) -> Result<()>>;
type Scenario = fn(&mut Server, &mut Record) -> Result<()>;

impl Plan {
    /// The comparison with other servers.
    pub fn comparison() -> Self {
        let mut plan = Plan::default();
        // Many short rounds: a machine that others share is slower for seconds, and then a round is slow for
        // one server only.
        for _ in 0..9 {
            plan.add(&Kind::COMPARED, "messages", |server, record| {
                exchange::run(server, record, &[ONE, FOUR, STEADY], 0.6)
            });
            plan.add(&[Kind::Tls, Kind::TwoWorkers], "messages", |server, record| {
                exchange::run(server, record, &[ONE, FOUR], 0.6)
            });
        }
        for _ in 0..3 {
            plan.add(&[Kind::Peerbroker], "a room", room::run);
            plan.add(&Kind::COMPARED, "a crowd", crowd::all);
            plan.add(&[Kind::Tls], "a crowd", crowd::memory);
            plan.add(&[Kind::Tls, Kind::TlsRsa], "handshakes", handshakes::run);
            plan.add(&Kind::COMPARED, "everybody at once", storm::run);
            plan.add(&[Kind::Tls], "everybody at once", storm::run);
            plan.add(&Kind::COMPARED, "a restart", restart::run);
            plan.add(&[Kind::Tls], "a restart", restart::run);
        }
        plan.add(&Kind::COMPARED, "coming and going", crowd::churn);
        // Where the allocator stands after the tenth round is a matter of luck.
        plan.add(&[Kind::Peerbroker; 2], "coming and going", crowd::churn);
        for _ in 0..3 {
            let servers = [Kind::Peerbroker, Kind::ActixWs, Kind::PeerjsServer];
            plan.add(&servers, "a stalled reader", stalled::run);
        }
        plan
    }

    /// Nodes with a Redis between them.
    pub fn cluster() -> Self {
        let mut plan = Plan::default();
        for _ in 0..3 {
            plan.add(&Kind::CLUSTER, "messages", |server, record| {
                exchange::run(server, record, &[ONE, FOUR, Pace::InFlight(64)], 1.2)
            });
            plan.add(&Kind::CLUSTER, "opens", cluster::opens);
            plan.add(&[Kind::Nodes(3)], "Redis is away for 0 s", cluster::outage::<0>);
            plan.add(&[Kind::Nodes(3)], "Redis is away for 4 s", cluster::outage::<4>);
            plan.add(&[Kind::Nodes(3)], "Redis is away for 12 s", cluster::outage::<12>);
        }
        plan
    }

    /// Other protocols, beside their own servers.
    pub fn protocols() -> Self {
        let mut plan = Plan::default();
        for _ in 0..3 {
            plan.add(&[Kind::WithTracker], "a topic", topic::beside_messages);
            plan.add(&[Kind::YWebrtc, Kind::Yardstick, Kind::YardstickUring], "a topic", topic::run);
            let trackers =
                [Kind::WithTracker, Kind::BittorrentTracker, Kind::Yardstick, Kind::YardstickUring];
            plan.add(&trackers, "swarms", tracker::run);
        }
        plan
    }

    /// Calls through the relay.
    pub fn relays() -> Self {
        let mut plan = Plan::default();
        for relay in Relay::all().repeat(3) {
            let mut add = |scenario: &str, run: fn(Relay, &Places, &mut Record) -> Result<()>| {
                plan.step(relay.name(), scenario, Box::new(move |places, record| run(relay, places, record)));
            };
            if relay != Relay::OneByOne {
                add("datagrams of voice", Relay::datagrams::<VOICE, false>);
                add("datagrams of video", Relay::datagrams::<VIDEO, false>);
                add("losses", Relay::losses);
            }
            if relay.allocations().is_some() {
                add("voice over TCP", Relay::datagrams::<VOICE, true>);
            }
            add("bursts", Relay::bursts);
            // Programs of this package only show what the machine can do.
            if !matches!(relay, Relay::Forwarder | Relay::OneByOne) {
                add("memory", Relay::memory);
            }
        }
        plan
    }

    /// Data through pipes.
    pub fn pipes() -> Self {
        let mut plan = Plan::default();
        for carrier in Carrier::ALL.repeat(3) {
            let mut add = |scenario: &str, run: fn(Carrier, &Places, &mut Record) -> Result<()>| {
                let run = move |places: &Places, record: &mut Record| run(carrier, places, record);
                plan.step(carrier.name(), scenario, Box::new(run));
            };
            add("records", Carrier::records);
            add("memory", Carrier::memory);
        }
        plan
    }

    fn add(&mut self, kinds: &[Kind], scenario: &str, run: Scenario) {
        for &kind in kinds {
            let run =
                move |places: &Places, record: &mut Record| run(&mut Server::start(places, kind)?, record);
            self.step(kind.name(), scenario, Box::new(run));
        }
    }

    fn step(&mut self, server: &'static str, scenario: &str, run: Measure) {
        self.0.push(Step { server, name: format!("{server}: {scenario}"), run });
    }

    /// The steps with this in their name.
    pub fn only(mut self, part: &str) -> Result<Self> {
        self.0.retain(|step| step.name.contains(part));
        ensure!(!self.0.is_empty(), "no step has {part:?} in its name");
        Ok(self)
    }

    /// Each step once.
    pub fn once(mut self) -> Self {
        let mut names = BTreeSet::new();
        self.0.retain(|step| names.insert(step.name.clone()));
        self
    }

    pub fn run(&self, places: &Places) -> Result<Run> {
        let start = Instant::now();
        let mut run = Run::new();
        for Step { server, name, run: measure } in &self.0 {
            eprintln!("{:5.0} s  {name}", start.elapsed().as_secs_f64());
            measure(places, run.entry(server).or_default()).with_context(|| name.clone())?;
        }
        Ok(run)
    }
}
