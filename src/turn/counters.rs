//! What a TURN server counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a client's request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnRefusal {
    /// A wrong username or password.
    Credentials,
    /// The credentials have expired.
    Expired,
    /// There is no such API key, or it may not use TURN.
    Key,
    /// The key has too many allocations.
    KeyQuota,
    /// The client's address has too many allocations.
    AddressQuota,
    /// There are too many allocations, permissions or channels.
    Capacity,
    /// The peer may not be reached.
    Peer,
    /// A request that no client should send.
    Request,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnDrop {
    /// It is none of STUN or TURN, or its client has no allocation.
    Unknown,
    /// Its sender has proved nothing, and sends too much.
    Stranger,
    /// The client has not permitted the peer, or has no such channel.
    Permission,
    /// Nobody is at the peer's address, or it may not be reached.
    NoWay,
    /// A limit of bytes per second.
    TooMuch,
    /// A socket or a connection had no room.
    Full,
}

macro_rules! labels {
    ($kind:ident, $count:literal, $($variant:ident: $label:literal,)*) => {
        impl $kind {
            /// All of them, in the order of their numbers.
            pub(crate) const ALL: [$kind; $count] = [$($kind::$variant,)*];

            /// The name in metrics.
            pub(crate) fn label(self) -> &'static str {
                match self {
                    $($kind::$variant => $label,)*
                }
            }
        }
    };
}

labels! {
    TurnRefusal, 8,
    Credentials: "credentials",
    Expired: "expired",
    Key: "key",
    KeyQuota: "key_quota",
    AddressQuota: "address_quota",
    Capacity: "capacity",
    Peer: "peer",
    Request: "request",
}

labels! {
    TurnDrop, 6,
    Unknown: "unknown",
    Stranger: "stranger",
    Permission: "permission",
    NoWay: "no_way",
    TooMuch: "too_much",
    Full: "full",
}

/// What a TURN server has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TurnTotals {
    /// Allocations that it has now.
    pub(crate) allocations: usize,
    /// Allocations that it has given.
    pub(crate) allocated: u64,
    /// Allocations that it has ended because nobody used them and all were taken.
    pub(crate) reclaimed: u64,
    /// Datagrams that it has relayed.
    pub(crate) packets: u64,
    /// Their bytes, without TURN's own.
    pub(crate) bytes: u64,
    /// Clients' questions for their own address that it answered.
    pub(crate) bindings: u64,
    /// Requests that it refused, by reason.
    pub(crate) refused: [u64; TurnRefusal::ALL.len()],
    /// Datagrams that it dropped, by reason.
    pub(crate) dropped: [u64; TurnDrop::ALL.len()],
}

#[derive(Default)]
pub(super) struct Counters {
    allocated: AtomicU64,
    reclaimed: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    bindings: AtomicU64,
    refused: [AtomicU64; TurnRefusal::ALL.len()],
    dropped: [AtomicU64; TurnDrop::ALL.len()],
}

impl Counters {
    pub(super) fn allocated(&self) {
        self.allocated.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reclaimed(&self) {
        self.reclaimed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn binding(&self) {
        self.bindings.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn relayed(&self, bytes: usize) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: TurnRefusal) {
        if let Some(counter) = self.refused.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self, why: TurnDrop) {
        if let Some(counter) = self.dropped.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn totals(&self, allocations: usize) -> TurnTotals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TurnTotals {
            allocations,
            allocated: load(&self.allocated),
            reclaimed: load(&self.reclaimed),
            packets: load(&self.packets),
            bytes: load(&self.bytes),
            bindings: load(&self.bindings),
            refused: self.refused.each_ref().map(load),
            dropped: self.dropped.each_ref().map(load),
        }
    }
}
