//! The costs of nodes that share a Redis.

use super::document::Chapter;
use super::rows::{Row, at_least, at_most};
use super::sizing::sizing;
use super::table::{aligned, number, table, thousands};
use crate::directory::Directory;
use crate::measured::{Opens, Pace};
use crate::runner::{Kind, Run, ServerRun};
use crate::statistics::{Rounds, index_of};

/// Messages in flight of each pair.
const IN_FLIGHT: [usize; 4] = [1, 4, 16, 64];
/// Enough for saturation.
const MANY: Pace = Pace::InFlight(64);

/// The table and the capacity of a run of clusters.
pub fn cluster(run: &Run) -> Chapter {
    Chapter {
        name: "cluster",
        data: "cluster.json",
        table: table(Kind::CLUSTER.map(Kind::name), &rows(run)),
        rest: run.directory.as_ref().map(capacity).unwrap_or_default(),
    }
}

/// The tables of the directory.
pub fn directory(directory: &Directory) -> String {
    let Directory { sizes, memberships, batches } = directory;
    let header = [
        "records",
        "bytes per record",
        "register",
        "register again",
        "claim",
        "find",
        "release",
        "registered /s",
    ];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(sizes.iter().map(|size| {
        let mut line = vec![thousands(size.records as f64)];
        let times = [size.register_us, size.renew_us, size.claim_us, size.locate_us, size.release_us];
        line.push(number(size.bytes_per_record));
        line.extend(times.map(number));
        line.push(number(size.registered_per_second));
        line
    }));
    let records = aligned(&cells);

    let header = ["nodes with clients of one key", "claim", "release", "renew a lease"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(memberships.iter().map(|one| {
        let mut line = vec![one.nodes.to_string()];
        line.extend([one.claim_us, one.release_us, one.lease_us].map(number));
        line
    }));
    let memberships = aligned(&cells);

    let header = ["nodes that talk", "messages in a batch", "per batch", "per message"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(batches.iter().map(|one| {
        let times = [one.batch_us, one.batch_us / one.messages as f64];
        [one.links, one.messages]
            .map(|count| count.to_string())
            .into_iter()
            .chain(times.map(number))
            .collect()
    }));
    let batches = aligned(&cells);
    let capacity = capacity(directory);
    format!(
        "Redis alone on a core, CPU time in µs of each operation, by number of records:\n\n{records}\n\
         by number of nodes:\n\n{memberships}\n\
         and by size of the batches between nodes, each written and read by itself:\n\n{batches}\n{capacity}"
    )
}

/// The load of one Redis, computed from the tables of the directory.
fn capacity(directory: &Directory) -> String {
    let sizing = sizing(directory).unwrap_or_default();
    format!(
        "Computed from the measured operations of Redis: one Redis for a whole cluster whose clients stay for half \
         an hour and send ten messages each, with its CPU time in parts of a core:\n\n{sizing}"
    )
}

fn of(run: &Run, figure: impl Fn(&ServerRun) -> Rounds) -> [Rounds; 4] {
    Kind::CLUSTER.map(|kind| run.of(kind).map(&figure).unwrap_or_default())
}

/// The worse of the two setups in which messages go from node to node.
fn across([_, _, two, three]: [Option<f64>; 4], worse: fn(f64, f64) -> f64) -> Option<f64> {
    two.into_iter().chain(three).reduce(worse)
}

fn rows(run: &Run) -> Vec<Row> {
    let mut rows = messages(run);
    rows.extend(opens(run));
    rows.extend(settling(run));
    rows
}

fn messages(run: &Run) -> Vec<Row> {
    let mut rows = Vec::new();
    // With more in flight, a single server writes many messages at once, so the two cannot be compared.
    let limits = [(Some(3.0), None), (Some(2.4), Some(2.0)), (None, None), (None, None)];
    for (count, (must, aim)) in IN_FLIGHT.into_iter().zip(limits) {
        let values = of(run, |server| server.message_us(Pace::InFlight(count)));
        let times = across(values.each_ref().map(|nodes| nodes.ratio(&values[0])), f64::max);
        let claim = |limit: Option<f64>| at_most(times, limit?, "× peerbroker");
        rows.push(Row {
            must: claim(must),
            aim: claim(aim),
            ..Row::of_rounds(format!("CPU of the nodes per message, {count} in flight"), "µs", &values)
        });
    }
    for count in IN_FLIGHT {
        let values = of(run, |server| server.redis_us(Pace::InFlight(count)));
        rows.push(Row::of_rounds(format!("CPU of Redis per message, {count} in flight"), "µs", &values));
    }
    let per_core = of(run, |server| server.redis_us(MANY)).map(|redis| Some(1e6 / redis.median()?));
    let per_core = [None, None, per_core[2], per_core[3]];
    rows.push(Row {
        must: at_least(across(per_core, f64::min), 50_000.0, "/s"),
        ..Row::new("messages a second for which a core of Redis is enough, 64 in flight", "/s", per_core)
    });
    let measured = of(run, |server| server.per_second(MANY));
    rows.push(Row::of_rounds("messages a second, all nodes on one core, 64 in flight", "/s", &measured));
    for percentile in [50.0, 99.0] {
        let name = format!("p{percentile} latency");
        let lone = of(run, |server| server.lone_us(percentile));
        rows.push(Row::of_rounds(format!("{name}, 1 pair, 1 in flight"), "µs", &lone));
        for count in [1, 4] {
            let all = of(run, |server| server.latency_us(Pace::InFlight(count), percentile));
            rows.push(Row::of_rounds(format!("{name}, 100 pairs, {count} in flight"), "µs", &all));
        }
    }
    rows
}

fn opens(run: &Run) -> Vec<Row> {
    let row = |measure: &str, unit, number: fn(&Opens) -> Option<f64>| {
        Row::of_rounds(measure, unit, &of(run, |server| server.of_opens(number)))
    };
    fn latency(opens: &Opens, percentile: f64) -> Option<f64> {
        opens.latency_us.get(index_of(percentile)?).copied()
    }
    vec![
        row("CPU of the nodes per open", "µs", |opens| Some(opens.cost.cpu_us)),
        row("CPU of Redis per open and leave", "µs", |opens| Some(opens.cost.redis.as_ref()?.cpu_us)),
        row("opens a second, 32 at once", "/s", |opens| Some(opens.per_second)),
        row("p50 latency of an open, one by one", "µs", |opens| latency(opens, 50.0)),
        row("p99 latency of an open, one by one", "µs", |opens| latency(opens, 99.0)),
        row("memory of Redis per client, 10,000 clients", "B", |opens| opens.redis_bytes),
    ]
}

fn settling(run: &Run) -> Vec<Row> {
    let Some(three) = run.of(Kind::ThreeNodes) else { return Vec::new() };
    let row = |what: &str, away: f64, seconds: f64| {
        let measure = format!("10,000 clients, Redis away for {away} s and back empty: {what}");
        Row::new(measure, "s", [None, None, None, Some(seconds)])
    };
    let registered = three.of_outages(|settled| settled.registered_seconds);
    let ready = three.of_outages(|settled| settled.ready_seconds);
    let rows = registered.into_iter().zip(ready).flat_map(|((away, registered), (_, ready))| {
        [
            row("all are registered", away, registered),
            Row { must: at_most(Some(ready), 5.0, "s"), ..row("all nodes are ready", away, ready) },
        ]
    });
    rows.collect()
}
