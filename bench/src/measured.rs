//! The measurements of one scenario. `load` prints them as JSON, `compare` stores them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The pace of messages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Each pair always has this many messages in flight.
    InFlight(usize),
    /// This many messages per second of all pairs together, sent even without answers.
    PerSecond(f64),
}

/// Pairs that exchanged messages at one pace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    pub pace: Pace,
    pub messages: u64,
    pub per_second: f64,
    /// CPU time of the server per message, in microseconds.
    pub cpu_us: f64,
    /// CPU time of the server per second.
    pub busy: f64,
    /// Per message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisWork>,
    /// At each of [`PERCENTILES`](crate::statistics::PERCENTILES), counted from the due time.
    pub latency_us: Vec<f64>,
}

/// The share of the Redis of a cluster in one operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RedisWork {
    /// CPU time of its process, in microseconds.
    pub cpu_us: f64,
    /// Its commands, by name.
    pub commands: BTreeMap<String, f64>,
}

/// A Redis that was away, and came back empty.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Settled {
    pub peers: usize,
    /// For how long it did not run.
    pub away_seconds: f64,
    /// Time from its first answer until it had the records of all clients again.
    pub registered_seconds: f64,
    /// … and all nodes were ready.
    pub ready_seconds: f64,
}

/// Many idle peers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Crowd {
    /// Resident memory by number of peers.
    pub memory: Vec<Resident>,
    /// CPU time of an open by number of peers.
    pub opens: Vec<OpenCost>,
    pub heartbeats: Vec<Heartbeats>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Resident {
    pub peers: usize,
    pub bytes: u64,
    /// Memory of the kernel's objects, of both ends of each connection and of the rest of the machine.
    #[serde(default)]
    pub kernel_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenCost {
    pub peers: usize,
    pub cpu_us: f64,
    /// Per open and leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisWork>,
}

/// Clients that open one by one and many at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opens {
    pub cost: OpenCost,
    /// Clients that opened in a second, opened as many at a time as the fleet does.
    pub per_second: f64,
    /// Of single opens, at each of [`PERCENTILES`](crate::statistics::PERCENTILES).
    pub latency_us: Vec<f64>,
    /// Memory that Redis uses for each client.
    pub redis_bytes: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Heartbeats {
    pub peers: usize,
    pub per_second: f64,
    pub cpu_us: f64,
}

/// Rounds in which all peers connected and left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Churn {
    pub peers: usize,
    /// Resident memory after each round.
    pub bytes_after: Vec<u64>,
}

/// A flood to one reader, which first reads and then stops.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stalled {
    pub sent_bytes: u64,
    /// Maximum growth of the server's memory while the reader had stopped.
    pub growth_bytes: u64,
    /// 99th percentile of the latency of other pairs while the reader read …
    pub reading_p99_us: f64,
    /// … and while it did not.
    pub stalled_p99_us: f64,
}

/// Many clients that connected at the same moment, while pairs of others exchanged messages.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Storm {
    pub peers: usize,
    /// Those that did not get their OPEN.
    pub failed: usize,
    /// Time until the last one got its OPEN.
    pub seconds: f64,
    /// CPU time of the server per second of it.
    pub busy: f64,
    /// CPU time of an open when few come.
    pub open_us: f64,
    /// 99th percentile of the latency of the others before a storm: the median of several storms.
    pub calm_p99_us: f64,
    /// The same during a storm.
    pub storm_p99_us: f64,
}

/// Clients that came back with their TLS sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Returning {
    pub peers: usize,
    pub resumed: usize,
    /// Of all turns.
    pub handshakes: Vec<Handshakes>,
}

/// CPU times of opens with TLS and without, and of their cryptography, measured one after the other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Handshakes {
    /// CPU time of an open with a full handshake.
    pub full_us: f64,
    /// CPU time of an open that resumes.
    pub resumed_us: f64,
    /// CPU time of an open without TLS.
    pub plain_us: f64,
    /// CPU time of a signature by itself.
    pub sign_us: f64,
    /// CPU time of a key exchange by itself.
    pub exchange_us: f64,
}

/// A room, and pairs of its members.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Room {
    pub members: usize,
    /// CPU time of the server per delivery of a message to all.
    pub delivery_us: f64,
    /// Deliveries per second.
    pub per_second: f64,
    /// CPU time of the server per message of as many bytes that it forwards, one in flight per pair.
    pub message_us: f64,
}

/// Calls through a relay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallsMeasured {
    pub calls: usize,
    /// Resident memory that the server needed for each.
    pub bytes_per_call: f64,
    pub packets: Vec<Packets>,
}

/// Datagrams in both directions of all calls at one pace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packets {
    pub pace: Pace,
    /// Datagrams that a side sends in a row.
    pub burst: usize,
    /// Bytes of each.
    pub size: usize,
    pub packets: u64,
    pub per_second: f64,
    /// CPU time of the server for each that arrived, in microseconds.
    pub cpu_us: f64,
    /// CPU time of the server per second.
    pub busy: f64,
    /// The share that did not arrive.
    pub lost: f64,
}
