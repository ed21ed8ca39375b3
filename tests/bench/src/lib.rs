//! The benchmark's load generator, the servers that it compares, and its report. `compare` is its program;
//! `yardstick`, `forwarder` and `actix_ws_server` are servers.

#![forbid(unsafe_code)]

pub mod calls;
pub mod figures;
pub mod fleet;
pub mod link;
pub mod payload;
pub mod pipes;
pub mod plan;
pub mod relays;
pub mod report;
pub mod rows;
pub mod scenario;
pub mod servers;
pub mod ws;

use std::fmt;

/// The pace of messages or datagrams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each pair always has this many in flight.
    InFlight(usize),
    /// This many per second of all pairs together, sent even without answers.
    PerSecond(f64),
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::InFlight(count) => write!(f, "{count} in flight"),
            Pace::PerSecond(rate) => write!(f, "{rate} a second"),
        }
    }
}
