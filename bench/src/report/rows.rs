//! All measures, with their required limits and their goals.

use crate::measured::{Pace, Returning, Storm};
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
const STEADY: Pace = Pace::PerSecond(10_000.0);

const YARDSTICK: &str = "× yardstick";
const PEERJS_BEST: &str = "× peerjs-server's best";

/// Figures of each of [`Kind::COMPARED`], and of the server that they are compared with.
struct Figures {
    all: [Option<f64>; 4],
    ours: Option<f64>,
    yardstick: Option<f64>,
}

impl Figures {
    fn of(run: &Run, figure: impl Fn(&ServerRun) -> Option<f64>) -> Self {
        let all = Kind::COMPARED.map(|kind| run.of(kind).and_then(&figure));
        let [ours, _, _, yardstick] = all;
        Figures { all, ours, yardstick }
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
    rows.extend(tls(run));
    rows.extend(storm(run));
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
    let one = run.of(Kind::Peerbroker).and_then(|server| server.message_us(FOUR));
    let two = run.of(Kind::TwoWorkers).and_then(|server| server.message_us(FOUR));
    let scaling = |limit| at_least(ratio(one, two), limit, "× 1 worker");
    let of_rooms = run
        .of(Kind::Peerbroker)
        .and_then(|server| server.of_rooms(|room| room.delivery_us / room.message_us));
    let throughput = Figures::of(run, |server| server.per_second(FOUR));
    vec![
        cpu(ONE).by_yardstick("CPU per message, 1 in flight", 1.3, 1.2),
        cpu(FOUR).by_yardstick("CPU per message, 4 in flight", 1.25, 1.2),
        own("CPU per delivery in a room of 500", at_most(of_rooms, 1.3, "× forwarded message"), None),
        throughput.row("messages a second on one core, 4 in flight", "/s"),
        latency("p50 latency at 10,000 messages/s", 50.0),
        latency("p99 latency at 10,000 messages/s", 99.0),
        own("messages per CPU-second, 2 workers on 2 cores", scaling(0.9), scaling(0.95)),
    ]
}

fn crowd(run: &Run) -> Vec<Row> {
    let memory = Figures::of(run, |server| server.bytes_per_peer(10_000));
    let in_all = Figures::of(run, |server| {
        Some(20_000.0 * (server.bytes_per_peer(15_000)? + server.kernel_bytes_per_peer(15_000)?) / crate::MB)
    });
    let open = |peers| Figures::of(run, |server| server.open_us(peers));
    let (few, many) = (open(100), open(15_000));
    let growth = ratio(many.ours, few.ours);
    let beats = |rate| Figures::of(run, |server| server.heartbeat_us(rate));
    let fast = beats(10_000.0);
    vec![
        Row {
            must: at_most(memory.ours, 1400.0, "B"),
            aim: at_most(memory.ours, 1200.0, "B"),
            ..memory.row("memory per idle peer, 10,000 peers", "B")
        },
        in_all.row("memory of 20,000 idle peers, the kernel's included", "MB"),
        few.by_yardstick("CPU per open at 100 peers", 1.7, 1.4),
        many.by_yardstick("CPU per open at 15,000 peers", 1.7, 1.4),
        own(
            "CPU per open, 15,000 peers to 100",
            at_most(growth, 1.2, "× at 100"),
            at_most(growth, 1.1, "× at 100"),
        ),
        fast.by_yardstick("CPU per heartbeat, 10,000 peers, 10,000/s, 10 at once", 1.5, 1.2),
        beats(2000.0).row("CPU per heartbeat, 10,000 peers, 2,000/s, one by one", "µs"),
    ]
}

fn tls(run: &Run) -> Vec<Row> {
    let of = |figure: &dyn Fn(&ServerRun) -> Option<f64>| run.of(Kind::Tls).and_then(figure);
    let plain = |figure: &dyn Fn(&ServerRun) -> Option<f64>| run.of(Kind::Peerbroker).and_then(figure);
    let message = |measure, pace| {
        let figure = |server: &ServerRun| server.message_us(pace);
        let times = ratio(of(&figure), plain(&figure));
        own(measure, at_most(times, 1.5, "× plain"), at_most(times, 1.3, "× plain"))
    };
    let memory = |server: &ServerRun| server.bytes_per_peer(10_000);
    let (full, resumed) = (
        of(&|server| server.of_returning(|all| all.full_us)),
        of(&|server| server.of_returning(|all| all.open_us)),
    );
    let rsa =
        |figure: fn(&Returning) -> f64| run.of(Kind::TlsRsa).and_then(|server| server.of_returning(figure));
    let (rsa_full, rsa_resumed) = (rsa(|all| all.full_us), rsa(|all| all.open_us));
    let handshake = full.zip(plain(&|server| server.open_us(100))).map(|(tls, plain)| tls - plain);
    let least = of(&|server| server.of_returning(|all| all.sign_and_exchange_us));
    let share = of(&|server| server.of_returning(|all| 100.0 * all.resumed as f64 / all.peers as f64));
    let single = |measure, unit, value| Row::new(measure, unit, [value, None, None, None]);
    let work = ratio(handshake, least);
    let resumption = |measure, resumed, full| {
        let times = ratio(resumed, full);
        Row {
            must: at_most(times, 0.5, "× full"),
            aim: at_most(times, 0.35, "× full"),
            ..single(measure, "µs", resumed)
        }
    };
    vec![
        message("TLS: CPU per message, 1 in flight", ONE),
        message("TLS: CPU per message, 4 in flight", FOUR),
        Row {
            must: at_most(of(&memory), 5000.0, "B"),
            aim: at_most(ratio(of(&memory), plain(&memory)), 1.5, "× plain"),
            ..single("TLS: memory per idle peer, 10,000 peers", "B", of(&memory))
        },
        single("TLS: CPU per open, full handshake", "µs", full),
        Row {
            must: at_most(work, 1.6, "× signature and key exchange"),
            aim: at_most(work, 1.3, "× signature and key exchange"),
            ..single("TLS: CPU of a full handshake, without the open", "µs", handshake)
        },
        resumption("TLS: CPU per open, resumed", resumed, full),
        single("TLS with RSA of 2,048 bits: CPU per open, full handshake", "µs", rsa_full),
        resumption("TLS with RSA of 2,048 bits: CPU per open, resumed", rsa_resumed, rsa_full),
        Row {
            must: at_least(share, 95.0, "%"),
            ..single("TLS: 10,000 clients come back: resumed", "%", share)
        },
    ]
}

fn storm(run: &Run) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, kind) in [("10,000 at once", Kind::Peerbroker), ("TLS: 10,000 at once", Kind::Tls)] {
        let of = |number: fn(&Storm) -> f64| {
            let mut figures = Figures::of(run, |server| server.of_storms(number)).all;
            figures[0] = run.of(kind).and_then(|server| server.of_storms(number));
            if kind == Kind::Tls { [figures[0], None, None, None] } else { figures }
        };
        let (seconds, failed) = (of(|storm| storm.seconds), of(|storm| storm.failed as f64));
        let times = of(|storm| storm.seconds / (storm.peers as f64 * storm.open_us / 1e6))[0];
        let waiting = of(|storm| storm.storm_p99_us);
        let longer = ratio(waiting[0], of(|storm| storm.calm_p99_us)[0]);
        rows.extend([
            Row {
                must: at_most(times, 1.2, "× CPU of as many opens"),
                ..Row::new(format!("{name}: all are in"), "s", seconds)
            },
            Row {
                must: at_most(failed[0], 0.0, "clients"),
                ..Row::new(format!("{name}: not let in"), "", failed)
            },
            Row {
                must: at_most(longer, 3.0, "× before"),
                aim: at_most(longer, 1.5, "× before"),
                ..Row::new(format!("{name}: p99 of pairs that were there"), "µs", waiting)
            },
        ]);
    }
    rows
}

fn endurance(run: &Run) -> Vec<Row> {
    let after = Figures::of(run, |server| Some(server.after_round(10)? / crate::MB));
    let two = Figures::of(run, |server| Some(server.after_round(2)? / crate::MB));
    let growth = ratio(after.ours, two.ours);
    let grown = Figures::of(run, |server| server.of_stalled(|flood| flood.growth_bytes as f64 / crate::MB));
    let reading = Figures::of(run, |server| server.of_stalled(|flood| flood.reading_p99_us));
    let stalled = Figures::of(run, |server| server.of_stalled(|flood| flood.stalled_p99_us));
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
