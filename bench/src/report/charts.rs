//! The charts of a run.

use super::plot::{Axis, Chart, Line, Scale};
use super::rows::STEADY;
use crate::MB;
use crate::measured::Pace;
use crate::runner::{Kind, Run, ServerRun};
use crate::statistics::PERCENTILES;

use Kind::{ActixWs, OneNode, PeerjsServer, ThreeNodes, TwoNodes, Yardstick};

/// A chart, the name of its file, and its description.
pub(super) struct Picture {
    pub(super) file: &'static str,
    pub(super) chart: Chart,
}

pub(super) fn pictures(run: &Run) -> Vec<Picture> {
    let picture = |file, title: &str, x, y, points: fn(&ServerRun) -> Vec<(f64, f64)>| Picture {
        file,
        chart: Chart { title: title.to_owned(), x, y, lines: lines(run, Kind::COMPARED, points) },
    };
    vec![
        picture(
            "memory.svg",
            "Resident memory against idle peers",
            axis("idle peers", Scale::Linear),
            axis("MB", Scale::Linear),
            memory,
        ),
        picture(
            "cpu.svg",
            "CPU of the server per forwarded message of 2 KB against load",
            axis("messages a second", Scale::Log),
            axis("µs", Scale::Linear),
            cpu,
        ),
        picture(
            "latency.svg",
            "Latency at 10,000 messages a second",
            axis("percentile", Scale::Nines),
            axis("µs", Scale::Log),
            latency,
        ),
        picture(
            "churn.svg",
            "Resident memory after rounds of 10,000 connects and disconnects",
            axis("round", Scale::Linear),
            axis("MB", Scale::Linear),
            churn,
        ),
    ]
}

pub(super) fn axis(label: &'static str, scale: Scale) -> Axis {
    Axis { label, scale }
}

pub(super) fn lines(run: &Run, kinds: [Kind; 4], points: fn(&ServerRun) -> Vec<(f64, f64)>) -> Vec<Line> {
    let line =
        |kind: Kind| Some(Line { name: kind.name(), colour: colour(kind), points: points(run.of(kind)?) });
    kinds.into_iter().filter_map(line).filter(|line| !line.points.is_empty()).collect()
}

/// Colours that people with any kind of sight can tell apart (Okabe and Ito).
fn colour(kind: Kind) -> &'static str {
    match kind {
        ActixWs | OneNode => "#009E73",
        PeerjsServer | TwoNodes => "#D55E00",
        Yardstick => "#888888",
        ThreeNodes => "#CC79A7",
        _ => "#0072B2",
    }
}

fn memory(server: &ServerRun) -> Vec<(f64, f64)> {
    let at = |peers: usize| Some((peers as f64, server.resident(peers)? / MB));
    server.crowd_sizes().into_iter().filter_map(at).collect()
}

fn cpu(server: &ServerRun) -> Vec<(f64, f64)> {
    let paces = server.exchanges.first().into_iter().flatten().map(|exchange| exchange.pace);
    let open = paces.filter(|pace| matches!(pace, Pace::PerSecond(_)));
    open.filter_map(|pace| Some((server.per_second(pace)?, server.message_us(pace)?))).collect()
}

fn latency(server: &ServerRun) -> Vec<(f64, f64)> {
    let at = |percentile: f64| Some((percentile, server.latency_us(STEADY, percentile)?));
    PERCENTILES.into_iter().filter_map(at).collect()
}

fn churn(server: &ServerRun) -> Vec<(f64, f64)> {
    let rounds = server.churn.iter().flat_map(|churn| &churn.bytes_after);
    rounds.enumerate().map(|(round, bytes)| (round as f64 + 1.0, *bytes as f64 / MB)).collect()
}
