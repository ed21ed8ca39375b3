//! Shared code of the benchmark's programs: frames, a fleet of peers, the kernel's accounting of
//! the server, and the reports.
//!
//! `load` drives one server and measures it; `compare` starts the servers one after the other,
//! runs `load` against each, and reports; `yardstick` and `actix_ws_server` are two of the servers.

#![forbid(unsafe_code)]

pub mod calls;
pub mod directory;
pub mod fleet;
pub mod link;
pub mod measured;
pub mod payload;
pub mod process;
pub mod redis;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod servers;
pub mod statistics;
pub mod ws;

/// The bytes of one mebibyte, as a number to divide by.
pub const MB: f64 = (1 << 20) as f64;
