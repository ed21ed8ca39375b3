//! The server's numbers at one moment.

use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Parts;
use crate::clock::millis;
use crate::events::Outcome;
use crate::wire::{CloseReason, MessageKind, Refusal};

/// The server's numbers at one moment. Totals are since the start of the server.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = LiveSample)]
pub(in crate::ops) struct Sample {
    /// Milliseconds since the start of the server.
    uptime: u64,
    /// Clients that have an id, of all keys.
    clients: usize,
    /// WebSockets and streams, including those that are opening or closing.
    connections: usize,
    /// Bytes of messages that wait for absent peers.
    queued_bytes: usize,
    /// Total of connections that got an id.
    opened: u64,
    /// Total of connections that lost their id.
    closed: u64,
    /// Total of refused clients.
    refused: u64,
    /// Total of messages that were delivered.
    delivered: u64,
    /// Total of messages that waited for their recipient.
    queued: u64,
    /// Total of messages that expired or were dropped.
    lost: u64,
    /// CPU time of the process in seconds; `null` where the system does not tell.
    cpu_seconds: Option<f64>,
    /// Resident memory of the process in bytes; `null` where the system does not tell.
    memory_bytes: Option<u64>,
    /// Calls that the relay knows; `null` without one.
    relay_calls: Option<usize>,
    /// Total of bytes that the relay has passed on; `null` without one.
    relay_bytes: Option<u64>,
    /// Allocations of the TURN server; `null` without one.
    turn_allocations: Option<usize>,
    /// Total of bytes that the TURN server has relayed; `null` without one.
    turn_bytes: Option<u64>,
}

impl Sample {
    pub(in crate::ops) fn take(parts: &Parts) -> Self {
        let totals = parts.events.counters().totals();
        let messages = |fits: fn(Outcome) -> bool| -> u64 {
            let outcomes = Outcome::all().filter(|outcome| fits(*outcome));
            let of_kinds =
                |outcome| MessageKind::ALL.into_iter().map(move |kind| totals.messages(kind, outcome));
            outcomes.flat_map(of_kinds).sum()
        };
        let (relay, turn) =
            (parts.node.relay().map(|relay| relay.totals()), parts.turn.as_ref().map(|turn| turn.totals()));
        let process = process();
        Sample {
            uptime: millis(parts.uptime()),
            clients: parts.node.peers(),
            connections: parts.sessions.len(),
            queued_bytes: parts.node.queued_bytes(),
            opened: totals.opened(),
            closed: CloseReason::ALL.into_iter().map(|reason| totals.closed(reason)).sum(),
            refused: Refusal::ALL.into_iter().map(|reason| totals.refused(reason)).sum(),
            delivered: messages(|outcome| outcome == Outcome::Delivered),
            queued: messages(|outcome| outcome == Outcome::Queued),
            lost: messages(|outcome| matches!(outcome, Outcome::Expired | Outcome::Dropped(_))),
            cpu_seconds: process.map(|(cpu, _)| cpu),
            memory_bytes: process.map(|(_, memory)| memory),
            relay_calls: relay.as_ref().map(|relay| relay.calls),
            relay_bytes: relay.as_ref().map(|relay| relay.bytes),
            turn_allocations: turn.as_ref().map(|turn| turn.allocations),
            turn_bytes: turn.as_ref().map(|turn| turn.bytes),
        }
    }
}

/// CPU time in seconds and resident memory in bytes.
#[cfg(target_os = "linux")]
fn process() -> Option<(f64, u64)> {
    let stat = procfs::process::Process::myself().and_then(|myself| myself.stat()).ok()?;
    let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second().max(1) as f64;
    Some((seconds, stat.rss * procfs::page_size()))
}

#[cfg(not(target_os = "linux"))]
fn process() -> Option<(f64, u64)> {
    None
}
