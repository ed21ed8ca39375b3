//! A relay for calls that cannot go directly.

use std::net::{IpAddr, SocketAddr};

/// Where a relay listens, and what it tells clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// The addresses to bind: at most one of IPv4 and one of IPv6, and none of them unspecified, because what is sent
    /// has to come from the address that clients know.
    pub listen: Vec<SocketAddr>,
    /// The addresses that clients are told instead, for a machine behind a NAT that leads its ports here: at most one of each
    /// family.
    pub public: Vec<IpAddr>,
    /// Whether to take TCP connections at the same addresses as well, for networks without UDP.
    pub tcp: bool,
    /// Whether clients may have private addresses and those of this machine, as in a local network.
    pub private: bool,
}

impl RelayConfig {
    /// The port of STUN and TURN (RFC 8489).
    pub const DEFAULT_PORT: u16 = 3478;
}

/// Limits of a relay; 0 turns off those of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Maximum calls that the relay knows at the same time, whether they need it or not.
    pub calls: usize,
    /// Maximum calls of one key.
    pub calls_per_key: usize,
    /// Bytes per second of one call, both directions together; bursts of ten times that.
    pub bytes_per_second: u32,
    /// Bytes per second of all calls of one key; bursts of ten times that.
    pub key_bytes_per_second: u32,
}

impl Default for RelayLimits {
    fn default() -> Self {
        RelayLimits {
            calls: 20_000,
            calls_per_key: 20_000,
            // Video in both directions takes some 5 Mbit/s at most; a file may take the rest.
            bytes_per_second: 1_250_000,
            key_bytes_per_second: 0,
        }
    }
}
