//! Limits of messages, queues, outboxes and addresses, and all timeouts.

use std::time::Duration;

use super::key::Settings;

/// Limits and timeouts of the broker.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time for which messages wait for an absent peer before their sender is told that they expired.
    pub expire_timeout: Duration,
    /// A client that was silent for this long is disconnected.
    pub alive_timeout: Duration,
    /// Time limit for the holder of an id to answer a ping when another client asks for the id.
    pub probe_timeout: Duration,
    /// Time for which an id is reserved for its token after the broker closed its connection with
    /// [`Evicted`](peerbroker_core::vocabulary::CloseReason::Evicted) or
    /// [`SlowReader`](peerbroker_core::vocabulary::CloseReason::SlowReader). Zero turns it off.
    pub reclaim_timeout: Duration,
    /// Time for which a client with a full outbox may read nothing before it is closed with
    /// [`SlowReader`](peerbroker_core::vocabulary::CloseReason::SlowReader).
    pub stall_timeout: Duration,
    /// Maximum messages in the queue of one absent peer.
    pub queue_messages: usize,
    /// Maximum bytes in the queue of one absent peer.
    pub queue_bytes: usize,
    /// Maximum bytes in the queues of all absent peers of all keys, including the overhead per message.
    pub queue_total_bytes: usize,
    /// Maximum bytes of an outbox, without the message being written and those from the peer's queue.
    pub outbox_bytes: usize,
    /// Maximum bytes in the outboxes of all clients whose sockets are full, beyond 16 KiB of each. An outbox
    /// has at most as much as is still free.
    pub outbox_total_bytes: usize,
    /// Rate limit of the frames per second that one member of rooms causes for the others; bursts of ten
    /// times that. 0 turns it off.
    pub room_deliveries_per_second: u32,
    /// Rate limit of the frames per second that all members of a key together cause for the others; bursts of
    /// ten times that. The program sets it to 300 times that of one member.
    pub room_key_deliveries_per_second: u32,
    /// Maximum room codes of one key.
    pub room_codes: usize,
    /// Maximum players of one room code.
    pub room_code_players: usize,
    /// A room code without a join, an answer or a start for this long is removed.
    pub room_code_timeout: Duration,
}

/// The burst of a rate limit, as a multiple of the rate.
const BURST: usize = 10;

/// The error of a size of rooms that no room can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a room can never have {members} members: a client that joins counts once for each, and --room_deliveries_per_second {rate} has a burst of {most}"
)]
pub struct CrowdedRoom {
    members: usize,
    rate: u32,
    most: usize,
}

impl Limits {
    /// Checks that the last member of a room of so many may join it.
    pub fn check_room_members(&self, members: usize) -> Result<(), CrowdedRoom> {
        let rate = self.room_deliveries_per_second;
        let most = usize::try_from(rate).unwrap_or(usize::MAX).saturating_mul(BURST);
        if rate == 0 || members <= most { Ok(()) } else { Err(CrowdedRoom { members, rate, most }) }
    }

    /// Checks the room size of a key, unless it is the default, of which the server warns for all keys.
    pub fn check_key(&self, settings: &Settings) -> Result<(), CrowdedRoom> {
        let is_default = settings.room_members == Settings::default().room_members;
        if is_default { Ok(()) } else { self.check_room_members(settings.room_members) }
    }

    /// A client that was silent for this long is pinged: three pings fit into the alive timeout.
    pub fn ping_interval(&self) -> Duration {
        self.alive_timeout / 3
    }

    /// An end of a pipe from which nothing came for this long is closed. It may come back. By default, a page
    /// whose timers sleep says something twice in this time.
    pub fn pipe_idle_timeout(&self) -> Duration {
        self.alive_timeout * 5 / 2
    }

    /// Interval of the sweeper: an eighth of the shortest timeout, between 5 ms and 500 ms, so that no
    /// timeout is exceeded by much.
    pub fn sweep_interval(&self) -> Duration {
        let times = [self.expire_timeout, self.ping_interval(), self.probe_timeout, self.stall_timeout];
        let shortest = times.into_iter().min().unwrap_or_default();
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            expire_timeout: Duration::from_millis(5000),
            alive_timeout: Duration::from_millis(60_000),
            probe_timeout: Duration::from_millis(3000),
            reclaim_timeout: Duration::from_millis(10_000),
            stall_timeout: Duration::from_millis(5000),
            queue_messages: 1000,
            queue_bytes: 4 << 20,
            queue_total_bytes: 64 << 20,
            outbox_bytes: 2 << 20,
            outbox_total_bytes: 256 << 20,
            room_deliveries_per_second: 1000,
            room_key_deliveries_per_second: 300_000,
            room_codes: 10_000,
            room_code_players: 64,
            room_code_timeout: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Limits per address; 0 turns one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Maximum open connections: WebSockets, streams, and HTTP.
    pub connections: u32,
    /// Rate limit of new WebSockets and streams per second; bursts of ten times that.
    pub opens_per_second: u32,
}

impl Default for AddressLimits {
    fn default() -> Self {
        AddressLimits { connections: 1000, opens_per_second: 50 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_may_have_as_many_members_as_one_of_them_may_tell_at_once() {
        let limits = |rate| Limits { room_deliveries_per_second: rate, ..Limits::default() };
        for (rate, members, fits) in [(2, 20, true), (2, 21, false), (0, usize::MAX, true)] {
            assert_eq!(limits(rate).check_room_members(members).is_ok(), fits, "{rate} {members}");
        }
        assert_eq!(limits(2).check_key(&Settings::default()), Ok(()));
        assert!(limits(2).check_key(&Settings { room_members: 21, ..Settings::default() }).is_err());
    }

    #[test]
    fn by_default_each_of_500_members_of_a_room_may_send_to_all_others_every_second() {
        const MEMBERS: u32 = 500;
        let limits = Limits::default();
        assert!(limits.room_deliveries_per_second >= MEMBERS - 1);
        assert!(limits.room_key_deliveries_per_second >= MEMBERS * (MEMBERS - 1));
    }
}
