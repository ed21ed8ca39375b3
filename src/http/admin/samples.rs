//! Samples of the server's numbers: the latest, and those of the last five minutes.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::recent::push;
use crate::runtime::Runtime;
use peerbroker_core::clock::millis;
use peerbroker_core::vocabulary::DropReason;
use peerbroker_events::{Count, Outcome};

/// The time from sample to sample.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Samples that are kept: those of five minutes.
const KEPT: usize = 300;

/// Readers at a time. Each costs the work for one message a second.
const MAX_READERS: usize = 16;

/// The samples, for all readers.
#[derive(Default)]
pub(super) struct Samples {
    history: Mutex<VecDeque<LiveSample>>,
    latest: watch::Sender<LiveSample>,
}

impl Samples {
    /// Takes a sample, and gives it to all readers.
    pub(super) fn take(&self, runtime: &Runtime) {
        let sample = LiveSample::take(runtime);
        push(&mut self.history.lock(), sample.clone(), KEPT);
        self.latest.send_replace(sample);
    }

    /// Lets one more reader in, if there is room. It gets all later samples.
    pub(super) fn subscribe(&self) -> Option<watch::Receiver<LiveSample>> {
        // Of several readers that come together, only one may get the last place.
        let _history = self.history.lock();
        (self.latest.receiver_count() < MAX_READERS).then(|| self.latest.subscribe())
    }

    /// The samples of the last five minutes, the oldest first.
    pub(super) fn history(&self) -> VecDeque<LiveSample> {
        self.history.lock().clone()
    }
}

/// The server's numbers at one moment. Totals are since the start of the server.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct LiveSample {
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
    /// CPU time of the process in seconds; `null` where the system does not report it.
    cpu_seconds: Option<f64>,
    /// Resident memory of the process in bytes; `null` where the system does not report it.
    memory_bytes: Option<u64>,
    /// Calls that the relay knows; `null` without a relay.
    relay_calls: Option<usize>,
    /// Total of relayed bytes; `null` without a relay.
    relay_bytes: Option<u64>,
    /// Allocations of the TURN server; `null` without one.
    turn_allocations: Option<usize>,
    /// Total of bytes that the TURN server has relayed; `null` without one.
    turn_bytes: Option<u64>,
    /// Pipes, those whose other end has not come included; `null` if there are none.
    pipes: Option<usize>,
    /// Total of bytes that pipes have carried; `null` if there are none.
    pipe_bytes: Option<u64>,
}

impl LiveSample {
    fn take(runtime: &Runtime) -> Self {
        let counters = runtime.events.counters();
        let dropped = DropReason::ALL.into_iter().map(Outcome::Dropped);
        let relay = runtime.node.relay().map(|relay| relay.calls().totals());
        let turn = runtime.turn().map(|turn| turn.totals());
        let has_pipes = runtime.config().pipes.total > 0;
        let process = process();
        LiveSample {
            uptime: millis(runtime.started.elapsed()),
            clients: runtime.node.peers(),
            connections: runtime.connections(),
            queued_bytes: runtime.node.queued_bytes(),
            opened: counters.total(Count::Opened),
            closed: counters.closed_by_reason().map(|(_, count)| count).sum(),
            refused: counters.refused_by_reason().map(|(_, count)| count).sum(),
            delivered: counters.messages_with(Outcome::Delivered),
            queued: counters.messages_with(Outcome::Queued),
            lost: dropped.chain([Outcome::Expired]).map(|outcome| counters.messages_with(outcome)).sum(),
            cpu_seconds: process.map(|(cpu, _)| cpu),
            memory_bytes: process.map(|(_, memory)| memory),
            relay_calls: relay.as_ref().map(|relay| relay.calls),
            relay_bytes: relay.as_ref().map(|relay| relay.traffic.bytes),
            turn_allocations: turn.as_ref().map(|turn| turn.allocations),
            turn_bytes: turn.as_ref().map(|turn| turn.traffic.bytes),
            pipes: has_pipes.then(|| runtime.node.pipes()),
            pipe_bytes: has_pipes.then(|| counters.total(Count::PipeBytes)),
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
