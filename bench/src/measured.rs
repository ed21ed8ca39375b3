//! What one scenario measured: `load` prints it as JSON, `compare` keeps it.

use serde::{Deserialize, Serialize};

/// How messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// So many messages of each pair are always on their way.
    InFlight(usize),
    /// So many messages a second by all pairs together, whether answers come or not.
    PerSecond(f64),
}

/// Pairs that exchanged messages at one pace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    pub pace: Pace,
    pub messages: u64,
    pub per_second: f64,
    /// CPU time of the server for one message.
    pub cpu_us: f64,
    /// CPU time of the server for one second.
    pub busy: f64,
    /// At each of [`PERCENTILES`](crate::statistics::PERCENTILES), from when it was due.
    pub latency_us: Vec<f64>,
}

/// Very many peers that are just there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Crowd {
    /// Resident memory with so many peers.
    pub memory: Vec<Resident>,
    /// CPU time of an open while so many peers were there.
    pub opens: Vec<OpenCost>,
    pub heartbeats: Vec<Heartbeats>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Resident {
    pub peers: usize,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OpenCost {
    pub peers: usize,
    pub cpu_us: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Heartbeats {
    pub peers: usize,
    pub per_second: f64,
    pub cpu_us: f64,
}

/// Rounds in which all peers came and went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Churn {
    pub peers: usize,
    /// Resident memory after each round.
    pub bytes_after: Vec<u64>,
}

/// One reader was sent very much, first reading it, then not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stalled {
    pub sent_bytes: u64,
    /// How much the server grew at most while the reader had stopped.
    pub growth_bytes: u64,
    /// 99th percentile of the latency of other pairs while the reader read …
    pub reading_p99_us: f64,
    /// … and while it did not.
    pub stalled_p99_us: f64,
}
