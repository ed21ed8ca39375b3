//! All measures, with their required limits and their goals.

use crate::measured::{Handshakes, Pace, Storm};
use crate::runner::{Kind, Run, ServerRun};
use crate::statistics::Rounds;

/// One measure.
pub struct Row {
    pub measure: String,
    pub unit: &'static str,
    /// Of each of the compared servers.
    pub values: Vec<Option<f64>>,
    pub must: Option<Claim>,
    pub aim: Option<Claim>,
}

impl Row {
    /// A row without limits.
    pub(super) fn new<const N: usize>(
        measure: impl Into<String>,
        unit: &'static str,
        values: [Option<f64>; N],
    ) -> Self {
        Row { measure: measure.into(), unit, values: values.into(), must: None, aim: None }
    }

    /// A row of the medians of rounds, without limits.
    pub(super) fn of_rounds<const N: usize>(
        measure: impl Into<String>,
        unit: &'static str,
        rounds: &[Rounds; N],
    ) -> Self {
        Row::new(measure, unit, rounds.each_ref().map(Rounds::median))
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

const ONE: Pace = Pace::InFlight(1);
const FOUR: Pace = Pace::InFlight(4);
/// The fixed rate at which latencies are compared.
const STEADY: Pace = Pace::PerSecond(10_000.0);

const YARDSTICK: &str = "× yardstick";
const PEERJS_BEST: &str = "× peerjs-server's best";

/// Figures of each of [`Kind::COMPARED`].
struct Figures([Rounds; 4]);

impl Figures {
    fn of<R: Into<Rounds>>(run: &Run, figure: impl Fn(&ServerRun) -> R) -> Self {
        Figures(Kind::COMPARED.map(|kind| of(run, kind, &figure)))
    }

    fn ours(&self) -> &Rounds {
        &self.0[0]
    }

    fn to_yardstick(&self) -> Option<f64> {
        self.0[0].ratio(&self.0[3])
    }

    fn row(&self, measure: impl Into<String>, unit: &'static str) -> Row {
        Row::of_rounds(measure, unit, &self.0)
    }

    /// A row of figures that are in bytes.
    fn in_megabytes(&self, measure: &'static str) -> Row {
        let megabytes = |bytes: &Rounds| bytes.median().map(|bytes| bytes / crate::MB);
        Row::new(measure, "MB", self.0.each_ref().map(megabytes))
    }

    /// A row with ratios to the yardstick.
    fn by_yardstick(&self, measure: &'static str, must: f64, aim: f64) -> Row {
        let claim = |limit| at_most(self.to_yardstick(), limit, YARDSTICK);
        Row { must: claim(must), aim: claim(aim), ..self.row(measure, "µs") }
    }
}

/// A figure of a server, if it took part.
fn of<R: Into<Rounds>>(run: &Run, kind: Kind, figure: impl Fn(&ServerRun) -> R) -> Rounds {
    run.of(kind).map(|server| figure(server).into()).unwrap_or_default()
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
        let best = run.of(Kind::PeerjsServer).and_then(|server| server.best_latency_us(STEADY, percentile));
        let to_best = figures.ours().median().zip(best).map(|(ours, best)| ours / best);
        Row {
            must: at_most(to_best, 1.0, PEERJS_BEST),
            // Smaller differences cannot be measured between cores.
            aim: at_most(figures.to_yardstick(), 1.1, YARDSTICK),
            ..figures.row(measure, "µs")
        }
    };
    let four = |kind| of(run, kind, |server| server.message_us(FOUR));
    let times = four(Kind::Peerbroker).ratio(&four(Kind::TwoWorkers));
    let scaling = |limit| at_least(times, limit, "× 1 worker");
    let of_rooms =
        of(run, Kind::Peerbroker, |server| server.of_rooms(|room| room.delivery_us / room.message_us));
    let throughput = Figures::of(run, |server| server.per_second(FOUR));
    vec![
        cpu(ONE).by_yardstick("CPU per message, 1 in flight", 1.3, 1.2),
        cpu(FOUR).by_yardstick("CPU per message, 4 in flight", 1.25, 1.2),
        own(
            "CPU per delivery in a room of 500",
            at_most(of_rooms.median(), 1.3, "× forwarded message"),
            None,
        ),
        throughput.row("messages a second on one core, 4 in flight", "/s"),
        latency("p50 latency at 10,000 messages/s", 50.0),
        latency("p99 latency at 10,000 messages/s", 99.0),
        own("messages per CPU-second, 2 workers on 2 cores", scaling(0.9), scaling(0.95)),
    ]
}

fn crowd(run: &Run) -> Vec<Row> {
    let memory = Figures::of(run, |server| server.bytes_per_peer(10_000));
    let ours = memory.ours().median();
    let in_all = Figures::of(run, |server| {
        Some(20_000.0 * (server.bytes_per_peer(15_000)? + server.kernel_bytes_per_peer(15_000)?) / crate::MB)
    });
    let open = |peers| Figures::of(run, |server| server.open_us(peers));
    let (few, many) = (open(100), open(15_000));
    let growth = many.ours().ratio(few.ours());
    let beats = |rate| Figures::of(run, |server| server.heartbeat_us(rate));
    let fast = beats(10_000.0);
    vec![
        Row {
            must: at_most(ours, 1400.0, "B"),
            aim: at_most(ours, 1200.0, "B"),
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
    let message = |measure, pace| {
        let cpu = |kind| of(run, kind, |server| server.message_us(pace));
        let times = cpu(Kind::Tls).ratio(&cpu(Kind::Peerbroker));
        own(measure, at_most(times, 1.5, "× plain"), at_most(times, 1.3, "× plain"))
    };
    let memory = |kind| of(run, kind, |server| server.bytes_per_peer(10_000));
    let idle = memory(Kind::Tls);
    let handshakes =
        |kind, figure: fn(&Handshakes) -> f64| of(run, kind, |server| server.of_handshakes(figure));
    let handshake = handshakes(Kind::Tls, |all| all.full_us - all.plain_us);
    let work = handshake.ratio(&handshakes(Kind::Tls, |all| all.sign_us + all.exchange_us));
    let least = handshakes(Kind::Tls, |all| all.plain_us + all.exchange_us);
    let share =
        of(run, Kind::Tls, |server| server.of_returning(|all| 100.0 * all.resumed as f64 / all.peers as f64));
    let share = share.median();
    let single = |measure, unit, value| Row::new(measure, unit, [value, None, None, None]);
    let opens = |kind, measures: [&'static str; 2]| {
        let full = handshakes(kind, |all| all.full_us);
        let resumed = handshakes(kind, |all| all.resumed_us);
        let times = resumed.ratio(&full);
        [
            single(measures[0], "µs", full.median()),
            Row {
                must: at_most(times, 0.5, "× full"),
                aim: at_most(times, 0.35, "× full"),
                ..single(measures[1], "µs", resumed.median())
            },
        ]
    };
    let [with_p256, resumed_with_p256] =
        opens(Kind::Tls, ["TLS: CPU per open, full handshake", "TLS: CPU per open, resumed"]);
    let [with_rsa, resumed_with_rsa] = opens(
        Kind::TlsRsa,
        [
            "TLS with RSA of 2,048 bits: CPU per open, full handshake",
            "TLS with RSA of 2,048 bits: CPU per open, resumed",
        ],
    );
    vec![
        message("TLS: CPU per message, 1 in flight", ONE),
        message("TLS: CPU per message, 4 in flight", FOUR),
        Row {
            must: at_most(idle.median(), 5000.0, "B"),
            aim: at_most(idle.ratio(&memory(Kind::Peerbroker)), 1.5, "× plain"),
            ..single("TLS: memory per idle peer, 10,000 peers", "B", idle.median())
        },
        with_p256,
        Row {
            must: at_most(work, 1.6, "× signature and key exchange"),
            aim: at_most(work, 1.3, "× signature and key exchange"),
            ..single("TLS: CPU of a full handshake, without the open", "µs", handshake.median())
        },
        resumed_with_p256,
        single("TLS: CPU of a plain open and a key exchange", "µs", least.median()),
        with_rsa,
        resumed_with_rsa,
        Row {
            must: at_least(share, 95.0, "%"),
            ..single("TLS: 10,000 clients come back: resumed", "%", share)
        },
    ]
}

fn storm(run: &Run) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, kind) in [("10,000 at once", Kind::Peerbroker), ("TLS: 10,000 at once", Kind::Tls)] {
        let figures = |number: fn(&Storm) -> f64| {
            let ours = of(run, kind, |server| server.of_storms(number));
            let [_, others @ ..] = match kind {
                Kind::Tls => Default::default(),
                _ => Figures::of(run, |server| server.of_storms(number)).0,
            };
            let [actix, peerjs, yardstick] = others;
            Figures([ours, actix, peerjs, yardstick])
        };
        let failed = figures(|storm| storm.failed as f64);
        let times = figures(|storm| storm.seconds / (storm.peers as f64 * storm.open_us / 1e6));
        let waiting = figures(|storm| storm.storm_p99_us);
        let longer = waiting.ours().ratio(figures(|storm| storm.calm_p99_us).ours());
        rows.extend([
            Row {
                must: at_most(times.ours().median(), 1.2, "× CPU of as many opens"),
                ..figures(|storm| storm.seconds).row(format!("{name}: all are in"), "s")
            },
            Row {
                must: at_most(failed.ours().median(), 0.0, "clients"),
                ..failed.row(format!("{name}: not let in"), "")
            },
            Row {
                must: at_most(longer, 3.0, "× before"),
                aim: at_most(longer, 1.5, "× before"),
                ..waiting.row(format!("{name}: p99 of pairs that were there"), "µs")
            },
        ]);
    }
    rows
}

fn endurance(run: &Run) -> Vec<Row> {
    let after = Figures::of(run, |server| server.after_round(10));
    let two = Figures::of(run, |server| server.after_round(2));
    let growth = after.ours().ratio(two.ours());
    let grown = Figures::of(run, |server| server.of_stalled(|flood| flood.growth_bytes as f64));
    let reading = Figures::of(run, |server| server.of_stalled(|flood| flood.reading_p99_us));
    let stalled = Figures::of(run, |server| server.of_stalled(|flood| flood.stalled_p99_us));
    vec![
        two.in_megabytes("memory after 2 rounds of 10,000 connects"),
        Row {
            must: at_most(growth, 1.1, "× round 2"),
            aim: at_most(growth, 1.02, "× round 2"),
            ..after.in_megabytes("memory after 10 rounds of 10,000 connects")
        },
        Row {
            must: at_most(grown.ours().median().map(|bytes| bytes / crate::MB), 8.0, "MB"),
            ..grown.in_megabytes("growth by 1 GB to a stalled reader")
        },
        reading.row("p99 of other pairs while the reader reads", "µs"),
        Row {
            must: at_most(stalled.ours().ratio(reading.ours()), 1.2, "× while it reads"),
            ..stalled.row("p99 of other pairs while it is stalled", "µs")
        },
    ]
}

fn program(run: &Run) -> Vec<Row> {
    vec![
        Figures::of(run, ServerRun::start_ms).row("start-up, to the first OPEN", "ms"),
        Figures::of(run, ServerRun::base_bytes).in_megabytes("memory without peers"),
        Figures::of(run, |server| server.binary_bytes.map(|bytes| bytes as f64))
            .in_megabytes("size of the program"),
    ]
}
