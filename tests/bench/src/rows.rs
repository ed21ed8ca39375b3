//! The rows of the tables, with their required limits and their goals.

use crate::figures::{Rounds, Run};
use crate::pipes::{self, Carrier};
use crate::relays::{self, Relay};
use crate::report::Limit::{self, AtLeast, AtMost};
use crate::report::{Claim, Recorded, Row};
use crate::scenario::{cluster, crowd, restart, topic, tracker};
use crate::servers::Kind;

const MB: f64 = (1 << 20) as f64;

/// A table of a run that is being written.
struct Table<'a> {
    run: &'a Run,
    columns: Vec<&'static str>,
    /// The server in the first column, and what rows without the others begin with.
    ours: &'static str,
    prefix: &'static str,
    rows: Vec<Row>,
}

impl<'a> Table<'a> {
    fn new(run: &'a Run, columns: Vec<&'static str>) -> Self {
        Table { run, ours: columns[0], columns, prefix: "", rows: Vec::new() }
    }

    /// From now on, rows have only this server.
    fn only(&mut self, kind: Kind, prefix: &'static str) {
        self.ours = kind.name();
        self.prefix = prefix;
    }

    fn of(&self, server: &str, figure: &str) -> Rounds {
        self.run.get(server).map(|record| record.rounds(figure)).unwrap_or_default()
    }

    fn ours(&self, figure: &str) -> Rounds {
        self.of(self.ours, figure)
    }

    fn add(&mut self, measure: &str, unit: &str, values: Vec<Option<f64>>) -> &mut Row {
        let values = values.into_iter().map(|value| value.map(rounded)).collect();
        let measure = format!("{}{measure}", self.prefix);
        let unit = unit.to_owned();
        self.rows.push_mut(Row { measure, unit, values, must: None, aim: None })
    }

    /// A row with the medians of a figure, in parts of `scale`.
    fn scaled(&mut self, measure: &str, unit: &str, figure: &str, scale: f64) -> &mut Row {
        let others = self.columns[1..].iter().filter(|_| self.prefix.is_empty());
        let servers = std::iter::once(&self.ours).chain(others);
        let mut values: Vec<_> =
            servers.map(|server| Some(self.of(server, figure).median()? / scale)).collect();
        values.resize(self.columns.len(), None);
        self.add(measure, unit, values)
    }

    fn row(&mut self, figure: &str, unit: &str) -> &mut Row {
        self.scaled(figure, unit, figure, 1.0)
    }

    /// A row with one value.
    fn own(&mut self, measure: &str, unit: &str, value: Option<f64>) -> &mut Row {
        let others = vec![None; self.columns.len() - 1];
        self.add(measure, unit, [vec![value], others].concat())
    }

    /// A row with limits for the ratio to the yardstick.
    fn by_yardstick(&mut self, figure: &str, must: f64, aim: f64) -> &mut Row {
        let times = self.ours(figure).ratio(&self.of(Kind::Yardstick.name(), figure));
        self.row(figure, "µs").limits(times, "× yardstick", must, aim)
    }

    fn recorded(mut self, about: String) -> Recorded {
        self.rows.retain(|row| row.values.iter().any(Option::is_some));
        Recorded { about, columns: self.columns.into_iter().map(str::to_owned).collect(), rows: self.rows }
    }
}

/// As many digits as the documents need.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

impl Row {
    fn must(&mut self, value: Option<f64>, of: &str, limit: Limit) -> &mut Row {
        self.must = value.map(|value| Claim { value: rounded(value), of: of.to_owned(), limit });
        self
    }

    fn aim(&mut self, value: Option<f64>, of: &str, limit: Limit) -> &mut Row {
        self.aim = value.map(|value| Claim { value: rounded(value), of: of.to_owned(), limit });
        self
    }

    /// Both with the same value, which may be at most these.
    fn limits(&mut self, value: Option<f64>, of: &str, must: f64, aim: f64) -> &mut Row {
        self.must(value, of, AtMost(must)).aim(value, of, AtMost(aim))
    }
}

/// The comparison with other servers.
pub fn comparison(run: &Run, about: String) -> Recorded {
    let mut table = Table::new(run, Kind::COMPARED.map(Kind::name).to_vec());
    messages(&mut table);
    idle_peers(&mut table);
    storm(&mut table);
    restart(&mut table);
    endurance(&mut table);
    table.only(Kind::Tls, "TLS: ");
    tls(&mut table);
    storm(&mut table);
    restart(&mut table);
    table.only(Kind::TlsRsa, "TLS with RSA of 2,048 bits: ");
    handshakes(&mut table);
    table.recorded(about)
}

fn messages(table: &mut Table<'_>) {
    let one = "CPU per message, 1 in flight";
    let four = "CPU per message, 4 in flight";
    table.by_yardstick(one, 1.3, 1.2);
    table.by_yardstick(four, 1.25, 1.2);
    let room = "CPU per delivery in a room of 500";
    let of_room = table.ours(room).median();
    table.row(room, "×").must(of_room, "× forwarded message", AtMost(1.3));
    let per_second = "messages a second, 4 in flight";
    table.scaled("messages a second on one core, 4 in flight", "/s", per_second, 1.0);
    for latency in ["p50 latency at 10,000 messages/s", "p99 latency at 10,000 messages/s"] {
        let best = table.of(Kind::PeerjsServer.name(), latency).0.into_iter().min_by(f64::total_cmp);
        let to_best = table.ours(latency).median().zip(best).map(|(ours, best)| ours / best);
        // Smaller differences than the aim cannot be measured between cores.
        let row = table.by_yardstick(latency, 1.0, 1.1);
        row.must(to_best, "× peerjs-server's best", AtMost(1.0));
    }
    let scaling = table.ours(four).ratio(&table.of(Kind::TwoWorkers.name(), four));
    let row = table.own("messages per CPU-second, 2 workers on 2 cores", "×", scaling);
    row.must(scaling, "× 1 worker", AtLeast(0.9)).aim(scaling, "× 1 worker", AtLeast(0.95));
}

fn idle_peers(table: &mut Table<'_>) {
    let ours = table.ours(crowd::MEMORY).median();
    table.row(crowd::MEMORY, "B").limits(ours, "B", 1400.0, 1200.0);
    table.row("kernel's memory per idle peer", "B");
    let few = "CPU per open at 100 peers";
    let many = "CPU per open at 15,000 peers";
    table.by_yardstick(few, 1.7, 1.4);
    table.by_yardstick(many, 1.7, 1.4);
    let growth = table.ours(many).ratio(&table.ours(few));
    table.own("CPU per open, 15,000 peers to 100", "×", growth).limits(growth, "× at 100", 1.2, 1.1);
    table.by_yardstick(crowd::FAST_BEATS, 1.5, 1.3);
}

fn storm(table: &mut Table<'_>) {
    let all = "10,000 at once: all are in";
    let failed = "10,000 at once: not let in";
    let pairs = "10,000 at once: p99 of pairs meanwhile";
    let times = table.ours("10,000 at once: times the CPU of as many opens").median();
    let longer = table.ours(pairs).ratio(&table.ours("10,000 at once: p99 of pairs before"));
    let missing = table.ours(failed).median();
    table.row(all, "s").must(times, "× CPU of as many opens", AtMost(1.2));
    table.row(failed, "").must(missing, "clients", AtMost(0.0));
    table.row(pairs, "µs").limits(longer, "× before", 3.0, 1.5);
}

fn restart(table: &mut Table<'_>) {
    let most = table.ours(restart::MOST).median();
    let times = table.ours(restart::CPU).ratio(&table.ours(restart::CPU_OF_OPENS));
    // As in the test of the script, reconnect-storm.test.mjs.
    table.row(restart::MOST, "s").must(most, "s", AtMost(2.0));
    table.row(restart::CPU, "ms").must(times, "× CPU of as many opens", AtMost(1.5));
}

fn tls(table: &mut Table<'_>) {
    let plain = Kind::Peerbroker.name();
    for figure in ["CPU per message, 1 in flight", "CPU per message, 4 in flight"] {
        let times = table.ours(figure).ratio(&table.of(plain, figure));
        table.own(figure, "×", times).limits(times, "× plain", 1.5, 1.3);
    }
    let idle = table.ours(crowd::MEMORY);
    let bytes = idle.median();
    let times = idle.ratio(&table.of(plain, crowd::MEMORY));
    let row = table.row(crowd::MEMORY, "B");
    row.must(bytes, "B", AtMost(5000.0)).aim(times, "× plain", AtMost(1.5));
    let handshake = "CPU of a full handshake, without the open";
    let work = table.ours(handshake).ratio(&table.ours("CPU of a signature and a key exchange"));
    table.row(handshake, "µs").limits(work, "× signature and key exchange", 1.6, 1.3);
    handshakes(table);
    let back = "10,000 clients come back: resumed";
    let share = table.ours(back).median();
    table.row(back, "%").must(share, "%", AtLeast(95.0));
}

fn handshakes(table: &mut Table<'_>) {
    let full = "CPU per open, full handshake";
    let resumed = "CPU per open, resumed";
    let times = table.ours(resumed).ratio(&table.ours(full));
    table.row(full, "µs");
    table.row(resumed, "µs").limits(times, "× full", 0.5, 0.35);
}

fn endurance(table: &mut Table<'_>) {
    let after = |round: usize| format!("memory after {round} rounds of 10,000 connects");
    let growth = table.ours(&after(10)).ratio(&table.ours(&after(2)));
    table.scaled(&after(10), "MB", &after(10), MB).limits(growth, "× round 2", 1.1, 1.02);
    let flood = "growth by 1 GB to a stalled reader";
    let grown = table.ours(flood).median().map(|bytes| bytes / MB);
    table.scaled(flood, "MB", flood, MB).must(grown, "MB", AtMost(8.0));
    let stalled = "p99 of other pairs while it is stalled";
    let slower = table.ours(stalled).ratio(&table.ours("p99 of other pairs while the reader reads"));
    table.row(stalled, "µs").must(slower, "× while it reads", AtMost(1.2));
}

/// Nodes that share a Redis.
pub fn cluster(run: &Run, about: String) -> Recorded {
    let mut table = Table::new(run, Kind::CLUSTER.map(Kind::name).to_vec());
    // In these, messages go from node to node. The worse one counts.
    let across = [Kind::Nodes(2), Kind::Nodes(3)].map(Kind::name);
    let times = |table: &Table<'_>, figure: &str| {
        let times = across.map(|nodes| table.of(nodes, figure).ratio(&table.ours(figure)));
        times.into_iter().flatten().max_by(f64::total_cmp)
    };
    let one = "CPU per message, 1 in flight";
    let four = "CPU per message, 4 in flight";
    let of_one = times(&table, one);
    let of_four = times(&table, four);
    let row = table.scaled("CPU of the nodes per message, 1 in flight", "µs", one, 1.0);
    row.must(of_one, "× peerbroker", AtMost(3.0));
    let row = table.scaled("CPU of the nodes per message, 4 in flight", "µs", four, 1.0);
    row.limits(of_four, "× peerbroker", 3.0, 2.4);
    for count in [1, 4, 64] {
        table.row(&format!("CPU of Redis per message, {count} in flight"), "µs");
    }
    let redis = across.map(|nodes| table.of(nodes, "CPU of Redis per message, 64 in flight").median());
    let per_core = redis.map(|cpu| cpu.map(|cpu| 1e6 / cpu));
    let least = per_core.into_iter().flatten().min_by(f64::total_cmp);
    let measure = "messages a second per core of Redis, 64 in flight";
    let row = table.add(measure, "/s", [vec![None, None], per_core.to_vec()].concat());
    row.must(least, "/s", AtLeast(50_000.0));
    table.scaled("CPU of the nodes per open", "µs", "CPU per open", 1.0);
    table.row("CPU of Redis per open and leave", "µs");
    table.row("memory of Redis per client, 10,000 clients", "B");
    table.row(cluster::REGISTERED, "s");
    let longest = table.of(across[1], cluster::READY).0.into_iter().max_by(f64::total_cmp);
    table.row(cluster::READY, "s").must(longest, "s in the slowest round", AtMost(5.0));
    table.recorded(about)
}

/// Other protocols, beside their own servers.
pub fn protocols(run: &Run, about: String) -> Recorded {
    let mut table = Table::new(run, Kind::PROTOCOLS.map(Kind::name).to_vec());
    let of = |table: &Table<'_>, kind: Kind, figure: &str| {
        table.ours(figure).ratio(&table.of(kind.name(), figure))
    };
    for load in topic::LOADS {
        let to_theirs = of(&table, Kind::YWebrtc, load.delivery);
        table.row(load.delivery, "µs").must(to_theirs, "× y-webrtc", AtMost(0.25));
        let to_message = table.ours(load.delivery).ratio(&table.ours(load.message));
        let row = table.own("a delivery beside a message", "×", to_message);
        row.must(to_message, "× forwarded message", AtMost(0.6));
    }
    table.row(tracker::GUEST, "B");
    let member = of(&table, Kind::BittorrentTracker, tracker::MEMBER);
    table.row(tracker::MEMBER, "B").limits(member, "× bittorrent-tracker", 1.0, 0.25);
    let announce = of(&table, Kind::BittorrentTracker, tracker::ANNOUNCE);
    table.row(tracker::ANNOUNCE, "µs").limits(announce, "× bittorrent-tracker", 1.0, 0.5);
    table.recorded(about)
}

/// The relay beside other programs.
pub fn relays(run: &Run, about: String) -> Recorded {
    let mut table = Table::new(run, Relay::all().into_iter().map(Relay::name).collect());
    for pace in relays::PACES {
        for size in [relays::VOICE, relays::VIDEO] {
            let figure = relays::cpu(size, pace);
            let times = table.ours(&figure).ratio(&table.of(Relay::Forwarder.name(), &figure));
            table.row(&figure, "µs").must(times, "× bare loop", AtMost(1.3));
        }
    }
    let in_a_row = |relay: Relay| table.of(relay.name(), relays::IN_A_ROW);
    let of_one_by_one = |relay: Relay| in_a_row(relay).ratio(&in_a_row(Relay::OneByOne));
    let times = of_one_by_one(Relay::Peerbroker).zip(of_one_by_one(Relay::Turn));
    let times = times.map(|(relay, turn)| relay.max(turn));
    table.row(relays::IN_A_ROW, "µs").limits(times, "× without batches, relay and TURN", 0.6, 0.35);
    for pace in relays::PACES {
        table.row(&(relays::cpu(relays::VOICE, pace) + relays::OVER_TCP), "µs");
    }
    table.row(relays::LOSSLESS, "/s");
    let memory = table.ours(relays::MEMORY).median();
    table.row(relays::MEMORY, "B").must(memory, "B", AtMost(1024.0));
    let of_one = |relay: Relay| Some(table.of(relay.name(), relays::MEMORY).median()? / relay.allocations()?);
    let memory = Relay::all().into_iter().map(of_one).collect();
    table.add("memory per further allocation of TURN", "B", memory);
    table.recorded(about)
}

/// Pipes beside a TCP proxy and TURN.
pub fn pipes(run: &Run, about: String) -> Recorded {
    let mut table = Table::new(run, Carrier::ALL.map(Carrier::name).to_vec());
    let times = table.ours(pipes::CPU).ratio(&table.of(Carrier::Nginx.name(), pipes::CPU));
    table.row(pipes::CPU, "µs").aim(times, "× nginx", AtMost(1.2));
    table.scaled(pipes::RATE, "MB/s", pipes::RATE, 1e6);
    let memory = table.ours(pipes::MEMORY).median();
    table.row(pipes::MEMORY, "B").aim(memory, "B", AtMost(3000.0));
    table.recorded(about)
}
