//! Counters of a server, which any thread may read.

use std::sync::atomic::{AtomicU64, Ordering};

use peerbroker_media_api::{Dropped, Traffic};

/// A number of things that have happened.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Datagrams that were passed on or dropped. On cache lines of its own, so that each thread may have one.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(crate) struct TrafficCounters {
    packets: Count,
    bytes: Count,
    /// Clients' questions for their own address.
    pub(crate) bindings: Count,
    dropped: [Count; Dropped::ALL.len()],
}

impl TrafficCounters {
    pub(crate) fn passed(&self, packets: u64, bytes: usize) {
        self.packets.add(packets);
        self.bytes.add(bytes as u64);
    }

    pub(crate) fn dropped(&self, why: Dropped, packets: u64) {
        if let Some(counter) = self.dropped.get(why as usize).filter(|_| packets > 0) {
            counter.add(packets);
        }
    }

    pub(crate) fn add_to(&self, totals: &mut Traffic) {
        totals.packets += self.packets.get();
        totals.bytes += self.bytes.get();
        totals.bindings += self.bindings.get();
        totals.dropped.iter_mut().zip(&self.dropped).for_each(|(total, count)| *total += count.get());
    }
}
