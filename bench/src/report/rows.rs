//! All measures, with their required limits and their goals.

use crate::measured::Pace;
use crate::runner::{Kind, Run, ServerRun};

/// One measure.
pub struct Row {
    pub measure: String,
    pub unit: &'static str,
    /// Of each of the compared servers.
    pub values: [Option<f64>; 4],
    pub must: Option<Claim>,
    pub aim: Option<Claim>,
}

impl Row {
    /// A row without limits.
    pub(super) fn new(measure: impl Into<String>, unit: &'static str, values: [Option<f64>; 4]) -> Self {
        Row { measure: measure.into(), unit, values, must: None, aim: None }
    }
}

/// A limit for a value.
#[derive(Clone, Copy)]
pub struct Claim {
    pub value: f64,
    limit: f64,
    /// True if the limit is a minimum instead of a maximum.
    least: bool,
    /// The reference of a ratio, or the unit of the value.
    of: &'static str,
}

impl Claim {
    pub fn holds(self) -> bool {
        if self.least { self.value >= self.limit } else { self.value <= self.limit }
    }

    pub fn text(self) -> String {
        let (sign, mark) = (if self.least { '≥' } else { '≤' }, if self.holds() { '✓' } else { '✗' });
        format!("{:.2} {} ({sign} {}) {mark}", self.value, self.of, self.limit)
    }
}

pub(super) fn at_most(value: Option<f64>, limit: f64, of: &'static str) -> Option<Claim> {
    value.map(|value| Claim { value, limit, least: false, of })
}

pub(super) fn at_least(value: Option<f64>, limit: f64, of: &'static str) -> Option<Claim> {
    value.map(|value| Claim { value, limit, least: true, of })
}

pub(super) fn ratio(value: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(value? / to?).filter(|ratio| ratio.is_finite())
}

const ONE: Pace = Pace::InFlight(1);
const FOUR: Pace = Pace::InFlight(4);
/// The fixed rate at which latencies are compared.
pub(super) const STEADY: Pace = Pace::PerSecond(10_000.0);

const YARDSTICK: &str = "× yardstick";
const PEERJS: &str = "× peerjs-server";
const PEERJS_BEST: &str = "× peerjs-server's best";

/// Figures of each of [`Kind::COMPARED`], and of the server that they are compared with.
struct Figures {
    all: [Option<f64>; 4],
    ours: Option<f64>,
    peerjs: Option<f64>,
    yardstick: Option<f64>,
}

impl Figures {
    fn of(run: &Run, figure: impl Fn(&ServerRun) -> Option<f64>) -> Self {
        let all = Kind::COMPARED.map(|kind| run.of(kind).and_then(&figure));
        let [ours, _, peerjs, yardstick] = all;
        Figures { all, ours, peerjs, yardstick }
    }

    fn to_yardstick(&self) -> Option<f64> {
        ratio(self.ours, self.yardstick)
    }

    fn row(&self, measure: &'static str, unit: &'static str) -> Row {
        Row::new(measure, unit, self.all)
    }

    /// A row with ratios to the yardstick.
    fn by_yardstick(&self, measure: &'static str, must: f64, aim: f64) -> Row {
        let claim = |limit| at_most(self.to_yardstick(), limit, YARDSTICK);
        Row { must: claim(must), aim: claim(aim), ..self.row(measure, "µs") }
    }
}

/// A row with one value: peerbroker compared with itself in another setup.
fn own(measure: &'static str, must: Option<Claim>, aim: Option<Claim>) -> Row {
    Row { must, aim, ..Row::new(measure, "×", [must.map(|claim| claim.value), None, None, None]) }
}

/// All rows, in the order of the table.
pub fn rows(run: &Run) -> Vec<Row> {
    let mut rows = messages(run);
    rows.extend(crowd(run));
    rows.extend(endurance(run));
    rows.extend(program(run));
    rows
}

fn messages(run: &Run) -> Vec<Row> {
    let cpu = |pace| Figures::of(run, |server| server.message_us(pace));
    let latency = |measure, percentile| {
        let figures = Figures::of(run, |server| server.latency_us(STEADY, percentile));
        let peerjs = run.of(Kind::PeerjsServer);
        let best = peerjs.and_then(|server| server.best_latency_us(STEADY, percentile));
        Row {
            must: at_most(ratio(figures.ours, best), 1.0, PEERJS_BEST),
            // Smaller differences cannot be measured between cores.
            aim: at_most(figures.to_yardstick(), 1.1, YARDSTICK),
            ..figures.row(measure, "µs")
        }
    };
    let tls = |measure, pace| {
        let tls = run.of(Kind::Tls).and_then(|server| server.message_us(pace));
        let plain = run.of(Kind::Peerbroker).and_then(|server| server.message_us(pace));
        own(measure, at_most(ratio(tls, plain), 2.0, "× plain"), None)
    };
    let one = run.of(Kind::Peerbroker).and_then(|server| server.message_us(FOUR));
    let two = run.of(Kind::TwoWorkers).and_then(|server| server.message_us(FOUR));
    let scaling = |limit| at_least(ratio(one, two), limit, "× 1 worker");
    let throughput = Figures::of(run, |server| server.per_second(FOUR));
    vec![
        cpu(ONE).by_yardstick("CPU per message, 1 in flight", 1.5, 1.2),
        cpu(FOUR).by_yardstick("CPU per message, 4 in flight", 1.5, 1.2),
        throughput.row("messages a second on one core, 4 in flight", "/s"),
        latency("p50 latency at 10,000 messages/s", 50.0),
        latency("p99 latency at 10,000 messages/s", 99.0),
        tls("TLS: CPU per message, 1 in flight", ONE),
        tls("TLS: CPU per message, 4 in flight", FOUR),
        own("messages per CPU-second, 2 workers on 2 cores", scaling(0.85), scaling(0.95)),
    ]
}

fn crowd(run: &Run) -> Vec<Row> {
    let memory = Figures::of(run, |server| server.bytes_per_peer(10_000));
    let kilobytes = memory.ours.map(|bytes| bytes / 1024.0);
    let open = |peers| Figures::of(run, |server| server.open_us(peers));
    let (few, many) = (open(100), open(15_000));
    let growth = ratio(many.ours, few.ours);
    let beats = |rate| Figures::of(run, |server| server.heartbeat_us(rate));
    let fast = beats(10_000.0);
    vec![
        Row {
            must: at_most(kilobytes, 2.0, "KB"),
            aim: at_most(kilobytes, 1.2, "KB"),
            ..memory.row("memory per idle peer, 10,000 peers", "B")
        },
        few.by_yardstick("CPU per open at 100 peers", 2.5, 1.5),
        many.by_yardstick("CPU per open at 15,000 peers", 2.5, 1.5),
        own(
            "CPU per open, 15,000 peers to 100",
            at_most(growth, 1.2, "× at 100"),
            at_most(growth, 1.1, "× at 100"),
        ),
        Row {
            must: at_most(ratio(fast.ours, fast.peerjs), 0.6, PEERJS),
            aim: at_most(fast.to_yardstick(), 1.5, YARDSTICK),
            ..fast.row("CPU per heartbeat, 10,000 peers, 10,000/s, 10 at once", "µs")
        },
        beats(2000.0).row("CPU per heartbeat, 10,000 peers, 2,000/s, one by one", "µs"),
    ]
}

fn endurance(run: &Run) -> Vec<Row> {
    let after = Figures::of(run, |server| Some(server.after_round(10)? / crate::MB));
    let two = Figures::of(run, |server| Some(server.after_round(2)? / crate::MB));
    let growth = ratio(after.ours, two.ours);
    let grown = Figures::of(run, |server| Some(server.stalled.as_ref()?.growth_bytes as f64 / crate::MB));
    let reading = Figures::of(run, |server| Some(server.stalled.as_ref()?.reading_p99_us));
    let stalled = Figures::of(run, |server| Some(server.stalled.as_ref()?.stalled_p99_us));
    let kept = ratio(stalled.ours, reading.ours);
    vec![
        two.row("memory after 2 rounds of 10,000 connects", "MB"),
        Row {
            must: at_most(growth, 1.1, "× round 2"),
            aim: at_most(growth, 1.02, "× round 2"),
            ..after.row("memory after 10 rounds of 10,000 connects", "MB")
        },
        Row { must: at_most(grown.ours, 8.0, "MB"), ..grown.row("growth by 1 GB to a stalled reader", "MB") },
        reading.row("p99 of other pairs while the reader reads", "µs"),
        Row {
            must: at_most(kept, 1.2, "× while it reads"),
            ..stalled.row("p99 of other pairs while it is stalled", "µs")
        },
    ]
}

fn program(run: &Run) -> Vec<Row> {
    let megabytes = |bytes: f64| bytes / crate::MB;
    vec![
        Figures::of(run, ServerRun::start_ms).row("start-up, to the first OPEN", "ms"),
        Figures::of(run, |server| server.base_bytes().map(megabytes)).row("memory without peers", "MB"),
        Figures::of(run, |server| server.binary_bytes.map(|bytes| megabytes(bytes as f64)))
            .row("size of the program", "MB"),
    ]
}
