//! Limits of pipes.

use std::time::Duration;

/// Limits of pipes, and whether the server has any. Rates have bursts of ten times that; 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeLimits {
    /// False if the server has no pipes.
    pub on: bool,
    /// Maximum pipes of all keys.
    pub total: usize,
    /// Maximum pipes of a key.
    pub per_key: usize,
    /// Maximum ends of pipes of one address; 0 means no limit.
    pub per_address: usize,
    /// Bytes per second of one pipe, both directions together.
    pub bytes_per_second: u32,
    /// The same of all pipes of a key.
    pub key_bytes_per_second: u32,
    /// The same of all pipes.
    pub total_bytes_per_second: u32,
    /// An end from which nothing came for this long is closed. It may come back.
    pub idle_timeout: Duration,
}

impl Default for PipeLimits {
    fn default() -> Self {
        PipeLimits {
            on: true,
            total: 2000,
            per_key: 1000,
            per_address: 100,
            bytes_per_second: 4 << 20,
            key_bytes_per_second: 16 << 20,
            total_bytes_per_second: 32 << 20,
            // A page whose timers sleep says something once a minute.
            idle_timeout: Duration::from_secs(150),
        }
    }
}
