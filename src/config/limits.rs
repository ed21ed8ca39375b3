use std::time::Duration;

use crate::keys::Settings;

/// The bounds and times that the broker keeps.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most registered peers of one key.
    pub concurrent_limit: usize,
    /// How long a conversation waits for an absent peer before its sender hears that it expired.
    pub expire_timeout: Duration,
    /// A peer that was not heard of for this long is dropped.
    pub alive_timeout: Duration,
    /// A peer that was not heard of for this long is pinged. Never more than a third of
    /// [`alive_timeout`](Self::alive_timeout) in force.
    pub ping_interval: Duration,
    /// How long the holder of an id has to answer when somebody else asks for that id.
    pub probe_timeout: Duration,
    /// How long the id of a connection that was closed with [`Evicted`](crate::wire::CloseReason::Evicted) or
    /// [`SlowReader`](crate::wire::CloseReason::SlowReader) is kept for its token. Zero: not at all.
    pub reclaim_timeout: Duration,
    /// How long a client whose outbox is full may take nothing before it is closed with
    /// [`SlowReader`](crate::wire::CloseReason::SlowReader).
    pub stall_timeout: Duration,
    /// Most messages waiting for one absent peer.
    pub queue_messages: usize,
    /// Most bytes waiting for one absent peer.
    pub queue_bytes: usize,
    /// Most bytes waiting for all absent peers of all realms, with what it costs to keep them.
    pub queue_total_bytes: usize,
    /// Most bytes one outbox holds beyond the message that is being written and what waited for the peer.
    pub outbox_bytes: usize,
    /// Most rooms of one key.
    pub rooms: usize,
    /// Most players of one room.
    pub room_players: usize,
    /// A room in which nobody joined, was answered or started for this long is removed.
    pub room_timeout: Duration,
}

impl Limits {
    /// The ping interval in force: three pings fit into the alive timeout.
    pub fn effective_ping_interval(&self) -> Duration {
        self.ping_interval.min(self.alive_timeout / 3)
    }

    /// How often the sweeper should run, so that no time above is overshot by much:
    /// an eighth of the shortest, between 5 ms and 500 ms.
    pub fn sweep_interval(&self) -> Duration {
        let times =
            [self.expire_timeout, self.effective_ping_interval(), self.probe_timeout, self.stall_timeout];
        let shortest = times.into_iter().min().unwrap_or_default();
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            concurrent_limit: Settings::default().concurrent_limit,
            expire_timeout: Duration::from_millis(5000),
            alive_timeout: Duration::from_millis(60_000),
            ping_interval: Duration::from_millis(20_000),
            probe_timeout: Duration::from_millis(3000),
            reclaim_timeout: Duration::from_millis(10_000),
            stall_timeout: Duration::from_millis(5000),
            queue_messages: 1000,
            queue_bytes: 4 << 20,
            queue_total_bytes: 64 << 20,
            outbox_bytes: 2 << 20,
            rooms: 10_000,
            room_players: 64,
            room_timeout: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The bounds of one address; 0 turns one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Most connections at a time: WebSockets, streams, and those that are in HTTP.
    pub connections: u32,
    /// New WebSockets and streams a second, for long; ten times as many at once.
    pub opens_per_second: u32,
}

impl Default for AddressLimits {
    fn default() -> Self {
        AddressLimits { connections: 1000, opens_per_second: 50 }
    }
}
