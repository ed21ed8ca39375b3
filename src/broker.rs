//! Who is here, and what waits for whom.
//!
//! Plain Rust: no runtime, no HTTP, no JSON. A session registers a peer, routes ready-made
//! [`Frame`]s to ids, and is told what happened. Time comes from a [`Clock`] and passes only in
//! [`Broker::sweep`], so tests drive both.

mod call_aliases;
mod delivery;
mod inspect;
mod lease;
mod outbox;
mod queue;
mod realm;
mod rooms;
mod slot;
mod state;
mod stream;
mod sweep;
mod tenant;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use crate::clock::Clock;
use crate::wire::{ApiKey, CloseReason, Frame};

pub use call_aliases::{CallAlias, CallAliases};
pub use inspect::{ConnectionInfo, PeerInfo};
pub use lease::{Departure, Flush, IdLease, Peer, Probe, RegisterOutcome, Routed};
pub use outbox::{Outbox, Outgoing, Writer};
pub use realm::{Realm, RegisterRequest};
pub use rooms::{HostedRoom, PlayerName, RoomError, Rooms};
pub use stream::{Arrival, Posting};
pub use tenant::Tenant;

/// The bounds and times that the broker keeps. The defaults are those of [`crate::config`].
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
    /// How long the id of a connection that was closed with [`CloseReason::Evicted`] or
    /// [`CloseReason::SlowReader`] is kept for its token. Zero: not at all.
    pub reclaim_timeout: Duration,
    /// How long a client whose outbox is full may take nothing before it is closed with
    /// [`CloseReason::SlowReader`].
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

    /// How often [`Broker::sweep`] should run, so that no time above is overshot by much:
    /// an eighth of the shortest, between 5 ms and 500 ms.
    pub fn sweep_interval(&self) -> Duration {
        let times =
            [self.expire_timeout, self.effective_ping_interval(), self.probe_timeout, self.stall_timeout];
        let shortest = times.into_iter().min().unwrap_or_default();
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}

/// What has happened since the broker was made.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections closed because they did not read what was sent to them.
    pub slow_readers: AtomicU64,
    /// Connections dropped because nothing was heard of them for the alive timeout.
    pub timed_out: AtomicU64,
    /// Connections that lost their id because they did not answer a probe.
    pub evicted: AtomicU64,
    /// Conversations that expired.
    pub expired: AtomicU64,
}

/// What all realms of one broker share.
struct Shared {
    limits: Limits,
    clock: Clock,
    counters: Counters,
    last_number: AtomicU64,
    queued_bytes: AtomicUsize,
    closing: AtomicBool,
}

impl Shared {
    /// A number that was never used before.
    fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// All that is here in one process, by key.
pub struct Broker {
    shared: Arc<Shared>,
    tenants: DashMap<ApiKey, Arc<Tenant>>,
}

impl Broker {
    /// An empty broker: no realm, nobody here.
    pub fn new(limits: Limits, clock: Clock) -> Self {
        Broker {
            shared: Arc::new(Shared {
                limits,
                clock,
                counters: Counters::default(),
                last_number: AtomicU64::new(0),
                queued_bytes: AtomicUsize::new(0),
                closing: AtomicBool::new(false),
            }),
            tenants: DashMap::new(),
        }
    }

    /// Adds what belongs to `key`, or gives what is there.
    ///
    /// `expired` writes the notice that a sender gets when what it sent to an absent peer expired,
    /// from the absent peer's id and the sender's.
    pub fn add_tenant(&self, key: ApiKey, expired: fn(&str, &str) -> Frame) -> Arc<Tenant> {
        let tenant = self.tenants.entry(key.clone());
        Arc::clone(&tenant.or_insert_with(|| Arc::new(Tenant::new(key, &self.shared, expired))))
    }

    /// Removes a key: its clients are dismissed with [`CloseReason::KeyRevoked`], and nobody comes in any
    /// more.
    pub fn remove_tenant(&self, key: &str) {
        if let Some((_, tenant)) = self.tenants.remove(key) {
            tenant.revoke();
        }
    }

    /// What belongs to a key, if there is such a key.
    pub fn tenant(&self, key: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(key).map(|tenant| Arc::clone(&tenant))
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Bytes of the messages that wait for absent peers, with what it costs to keep them.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// Connections that are registered now, of all keys.
    pub fn peers(&self) -> usize {
        self.all_realms().iter().map(|realm| realm.len()).sum()
    }

    /// Does all that is due by the clock: pings the silent, drops the dead, expires what has
    /// waited too long, ends probes, and removes idle rooms. Cheap when nothing is due.
    pub fn sweep(&self) {
        let closing = self.shared.closing.load(Ordering::SeqCst);
        for realm in self.all_realms() {
            realm.sweep();
            if closing {
                // Somebody may have come in between.
                realm.close(CloseReason::Shutdown);
            }
        }
        for tenant in self.all_tenants() {
            tenant.rooms.sweep();
        }
    }

    /// Dismisses every peer with [`CloseReason::Shutdown`] and admits nobody any more.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for realm in self.all_realms() {
            realm.close(CloseReason::Shutdown);
        }
    }

    // Collected first: no map guard is held while a realm works.
    fn all_tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    fn all_realms(&self) -> Vec<Arc<Realm>> {
        self.all_tenants().iter().flat_map(|tenant| tenant.realms().map(Arc::clone)).collect()
    }
}
