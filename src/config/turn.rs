//! A TURN server for clients that ask for one, and a STUN server for pages.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::RelayConfig;

/// Where a TURN server listens, and what it tells clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnConfig {
    /// The addresses to bind for UDP and TCP: at most one of IPv4 and one of IPv6, and none of them unspecified.
    pub listen: Vec<SocketAddr>,
    /// The addresses that clients are told instead, for a machine behind a NAT that leads its ports here: at most one of each
    /// family.
    pub public: Vec<IpAddr>,
    /// Whether it answers STUN alone, over UDP: pages then have a server that tells them their address, and no relay.
    pub only_stun: bool,
    /// The ports of relayed addresses. Without them these addresses are virtual, and clients reach only each other.
    pub ports: Option<RangeInclusive<u16>>,
    /// Whether clients may reach private addresses, as in a local network. Only matters with [`ports`](Self::ports).
    pub private: bool,
    /// Whether clients may reach this machine, except the ports of this server. For tests: it opens to clients whatever listens
    /// on loopback.
    pub loopback: bool,
}

impl TurnConfig {
    /// The port of TURN over TLS (RFC 8656), for all of TURN. It must not be the relay's: Chromium takes all packets from a
    /// page's ICE server for answers of that server.
    pub const DEFAULT_PORT: u16 = 5349;

    /// The port of the TURN server beside a relay: as far from the relay's as the default ports of both are apart, so that
    /// several servers of one machine need only different ports for their relays.
    pub fn port_beside(relay: u16) -> u16 {
        const APART: u16 = TurnConfig::DEFAULT_PORT - RelayConfig::DEFAULT_PORT;
        match relay {
            0 => 0,
            relay => relay.checked_add(APART).unwrap_or(relay.saturating_sub(APART)),
        }
    }
}

/// Limits of a TURN server; 0 turns off those of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLimits {
    /// Maximum allocations at the same time. A connection of a browser has one for each URL and network interface. A further client
    /// gets the place of one that nobody uses.
    pub allocations: usize,
    /// Maximum allocations of one key.
    pub allocations_per_key: usize,
    /// Maximum allocations of clients with one address, or in one /64 of IPv6; four times as many in a /48.
    pub allocations_per_address: usize,
    /// Bytes per second of one allocation, both directions together, with 60 for the headers of each datagram; bursts of ten times
    /// that.
    pub bytes_per_second: u32,
    /// Bytes per second of all allocations of one key; bursts of ten times that.
    pub key_bytes_per_second: u32,
}

impl Default for TurnLimits {
    fn default() -> Self {
        TurnLimits {
            allocations: 10_000,
            allocations_per_key: 10_000,
            // A school or an office behind one address.
            allocations_per_address: 500,
            // As the relay's, for the same calls. Video in both directions, 5 Mbit/s at most, has some 570 packets a second, and 140
            // more of sound and reports: 625,000 bytes, and 43,000 for their headers.
            bytes_per_second: 1_250_000,
            key_bytes_per_second: 0,
        }
    }
}
