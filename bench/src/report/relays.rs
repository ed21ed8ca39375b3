//! The cost of calls through the relay.

use super::document::Chapter;
use super::rows::{Row, at_most};
use super::table::table;
use crate::measured::{CallsMeasured, Pace, Packets};
use crate::runner::Run;
use crate::runner::relays::{BURST, IN_FLIGHT, Relays, SIZES, STEADY, VIDEO};
use crate::statistics::{Rounds, median};

/// The table of a run of relays.
pub fn relays(run: &Run) -> Chapter {
    let table = table(Relays::ALL.map(Relays::name), &rows(run));
    Chapter { name: "relays", data: "relays.json", table, rest: String::new() }
}

fn rows(run: &Run) -> Vec<Row> {
    let mut rows = Vec::new();
    for pace in IN_FLIGHT.map(Pace::InFlight).into_iter().chain([Pace::PerSecond(STEADY)]) {
        for size in SIZES {
            let all = Relays::ALL.map(|relay| of_packets(run, relay, pace, 1, size, |all| all.cpu_us));
            let [ours, bare, ..] = &all;
            rows.push(Row {
                must: at_most(ours.ratio(bare), 1.3, "× bare loop"),
                ..Row::of_rounds(format!("CPU per datagram of {size} bytes, {}", what(pace)), "µs", &all)
            });
        }
    }
    let bursts = Relays::ALL
        .map(|relay| of_packets(run, relay, Pace::PerSecond(STEADY), BURST, VIDEO, |all| all.cpu_us));
    let [relay, _, one_by_one, turn, ..] = &bursts;
    let times = relay.with(turn, f64::max).ratio(one_by_one);
    let claim = |limit| at_most(times, limit, "× without batches, relay and TURN");
    rows.push(Row {
        must: claim(0.6),
        aim: claim(0.35),
        ..Row::of_rounds(format!("CPU per datagram of {VIDEO} bytes, {BURST} in a row"), "µs", &bursts)
    });
    for size in SIZES {
        let pace = Pace::InFlight(IN_FLIGHT[1]);
        let per_core = Relays::ALL.map(|relay| {
            let spent = of_packets(run, relay, pace, 1, size, |all| all.busy / all.per_second);
            spent.median().map(|seconds| 1.0 / seconds)
        });
        let measure = format!("datagrams of {size} bytes for which a core is enough, {}", what(pace));
        rows.push(Row::new(measure, "/s", per_core));
    }
    let memory = Relays::ALL.map(|relay| {
        let idle = measured(run, relay).filter(|calls| calls.packets.is_empty());
        median(idle.map(|calls| calls.bytes_per_call))
    });
    rows.push(Row {
        must: at_most(memory[0], 1024.0, "B"),
        ..Row::new("memory per further call, from 1,000 to 5,000 calls", "B", memory)
    });
    rows
}

fn measured(run: &Run, relay: Relays) -> impl Iterator<Item = &CallsMeasured> {
    run.relays.iter().filter_map(move |relays| relays.get(relay.name())).flatten()
}

fn of_packets(
    run: &Run,
    relay: Relays,
    pace: Pace,
    burst: usize,
    size: usize,
    figure: fn(&Packets) -> f64,
) -> Rounds {
    let packets = measured(run, relay).flat_map(|calls| &calls.packets);
    packets.filter(|all| all.pace == pace && all.burst == burst && all.size == size).map(figure).collect()
}

fn what(pace: Pace) -> String {
    match pace {
        Pace::InFlight(count) => format!("{count} in flight"),
        Pace::PerSecond(_) => "50 a second and direction".to_owned(),
    }
}
