//! The cost of calls through the relay.

use super::document::Chapter;
use super::rows::{at_most, ratio};
use super::table::{aligned, number};
use crate::measured::{CallsMeasured, Pace, Packets};
use crate::runner::Run;
use crate::runner::relays::{BURST, IN_FLIGHT, Relays, SIZES, STEADY, VIDEO};
use crate::statistics::median;

/// The table of a run of relays.
pub fn relays(run: &Run) -> Chapter {
    let mut cells = vec![["measure", "unit"].map(str::to_owned).to_vec()];
    cells[0].extend(Relays::ALL.map(|relay| relay.name().to_owned()));
    cells[0].push("must".to_owned());
    let paces = IN_FLIGHT.map(Pace::InFlight).into_iter().chain([Pace::PerSecond(STEADY)]);
    for pace in paces {
        for size in SIZES {
            let values = Relays::ALL.map(|relay| of_packets(run, relay, pace, 1, size, |all| all.cpu_us));
            let [ours, bare, ..] = values;
            let must = at_most(ratio(ours, bare), 1.3, "× bare loop").map(|claim| claim.text());
            cells.push(line(
                &format!("CPU per datagram of {size} bytes, {}", what(pace)),
                "µs",
                values,
                must,
            ));
        }
    }
    let cpu_us = |all: &Packets| all.cpu_us;
    let bursts =
        Relays::ALL.map(|relay| of_packets(run, relay, Pace::PerSecond(STEADY), BURST, VIDEO, cpu_us));
    let [relay, _, one_by_one, turn, ..] = bursts;
    // The dearer one.
    let ours = relay.zip(turn).map(|(relay, turn)| relay.max(turn));
    cells.push(line(
        &format!("CPU per datagram of {VIDEO} bytes, {BURST} in a row"),
        "µs",
        bursts,
        at_most(ratio(ours, one_by_one), 0.6, "× without batches, relay and TURN").map(|claim| claim.text()),
    ));
    for size in SIZES {
        let pace = Pace::InFlight(IN_FLIGHT[1]);
        let values = Relays::ALL.map(|relay| {
            let spent = of_packets(run, relay, pace, 1, size, |all| all.busy / all.per_second);
            spent.map(|seconds| 1.0 / seconds)
        });
        let measure = format!("datagrams of {size} bytes for which a core is enough, {}", what(pace));
        cells.push(line(&measure, "/s", values, None));
    }
    let memory = Relays::ALL.map(|relay| {
        let idle = measured(run, relay).filter(|calls| calls.packets.is_empty());
        median(idle.map(|calls| calls.bytes_per_call))
    });
    cells.push(line(
        "memory per further call, from 1,000 to 5,000 calls",
        "B",
        memory,
        at_most(memory[0], 1024.0, "B").map(|claim| claim.text()),
    ));
    Chapter { name: "relays", data: "relays.json", table: aligned(&cells), rest: String::new() }
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
) -> Option<f64> {
    let packets = measured(run, relay).flat_map(|calls| &calls.packets);
    median(packets.filter(|all| all.pace == pace && all.burst == burst && all.size == size).map(figure))
}

fn what(pace: Pace) -> String {
    match pace {
        Pace::InFlight(count) => format!("{count} in flight"),
        Pace::PerSecond(_) => "50 a second and direction".to_owned(),
    }
}

fn line(
    measure: &str,
    unit: &str,
    values: [Option<f64>; Relays::ALL.len()],
    must: Option<String>,
) -> Vec<String> {
    let mut line = vec![measure.to_owned(), unit.to_owned()];
    line.extend(values.map(|value| value.map_or_else(|| "–".to_owned(), number)));
    line.push(must.unwrap_or_default());
    line
}
