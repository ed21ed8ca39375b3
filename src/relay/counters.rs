//! What a relay counts. Each thread has counters of its own.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a datagram went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It belongs to no call that this relay knows.
    Unknown,
    /// Its integrity does not hold.
    Forged,
    /// Its address may not be used: a private one, for example, or one too many.
    Address,
    /// Its recipient is not there, or has not agreed lately.
    NoWay,
    /// The call, or its key, has sent too much.
    TooMuch,
    /// The socket had no room.
    Full,
}

/// Counters of one thread, on cache lines of their own.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
    bindings: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

/// What a relay has done since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RelayTotals {
    /// Calls that it knows now.
    pub(crate) calls: usize,
    /// Calls that were offered a way through it.
    pub(crate) offered: u64,
    /// Calls whose two clients both came to it.
    pub(crate) joined: u64,
    /// Calls that it carried something for.
    pub(crate) carried: u64,
    /// Calls that it refused because of a limit.
    pub(crate) refused: u64,
    /// Unused calls that it ended to make room for others.
    pub(crate) displaced: u64,
    /// Datagrams that it passed on, STUN included.
    pub(crate) packets: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Clients' questions for their own address that it answered.
    pub(crate) bindings: u64,
    /// Datagrams that it dropped, by reason.
    pub(crate) dropped: [u64; Dropped::ALL.len()],
}

impl Dropped {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Dropped; 6] = [
        Dropped::Unknown,
        Dropped::Forged,
        Dropped::Address,
        Dropped::NoWay,
        Dropped::TooMuch,
        Dropped::Full,
    ];

    /// The name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Dropped::Unknown => "unknown",
            Dropped::Forged => "forged",
            Dropped::Address => "address",
            Dropped::NoWay => "no_way",
            Dropped::TooMuch => "too_much",
            Dropped::Full => "full",
        }
    }
}

impl Counters {
    pub(super) fn passed(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn binding(&self) {
        self.bindings.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, why: Dropped, packets: u64) {
        if let Some(counter) = self.dropped.get(why as usize) {
            counter.fetch_add(packets, Ordering::Relaxed);
        }
    }

    pub(super) fn add_to(&self, totals: &mut RelayTotals) {
        let sum = |total: &mut u64, counter: &AtomicU64| *total += counter.load(Ordering::Relaxed);
        sum(&mut totals.packets, &self.packets);
        sum(&mut totals.bytes, &self.bytes);
        sum(&mut totals.bindings, &self.bindings);
        totals.dropped.iter_mut().zip(&self.dropped).for_each(|(total, counter)| sum(total, counter));
    }
}
