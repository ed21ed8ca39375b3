//! The state that the calls or allocations of one key share: their rate, and the limits of the key's own.

use std::sync::atomic::{AtomicU64, Ordering};

use peerbroker_core::media_api::KeyLimits;
use peerbroker_core::rate_limit::RateLimit;

/// The traffic of one key. Its limits are read for each datagram, and set every few seconds.
#[derive(Debug, Default)]
pub(crate) struct KeyTraffic {
    rate: RateLimit,
    calls: OwnLimit,
    bytes_per_second: OwnLimit,
    key_bytes_per_second: OwnLimit,
}

/// A limit plus one; 0 if the key has none of its own.
#[derive(Debug, Default)]
struct OwnLimit(AtomicU64);

impl OwnLimit {
    fn set(&self, limit: Option<u64>) {
        self.0.store(limit.map_or(0, |limit| limit.saturating_add(1)), Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }

    fn or(&self, of_server: u32) -> u32 {
        self.get().map_or(of_server, |own| u32::try_from(own).unwrap_or(u32::MAX))
    }
}

impl KeyTraffic {
    /// Replaces the limits of the key's own.
    pub(crate) fn set_limits(&self, KeyLimits { calls, bytes_per_second, key_bytes_per_second }: KeyLimits) {
        self.calls.set(calls.map(|calls| calls as u64));
        self.bytes_per_second.set(bytes_per_second.map(u64::from));
        self.key_bytes_per_second.set(key_bytes_per_second.map(u64::from));
    }

    /// The most calls or allocations, where the server allows so many.
    pub(crate) fn calls(&self, of_server: usize) -> usize {
        self.calls.get().map_or(of_server, |own| usize::try_from(own).unwrap_or(usize::MAX))
    }

    /// The rate of one call or allocation, where the server allows that much.
    pub(crate) fn bytes_per_second(&self, of_server: u32) -> u32 {
        self.bytes_per_second.or(of_server)
    }

    /// Charges bytes to the key, where the server allows `of_server` per second. False if they are too many.
    pub(crate) fn charge(&self, bytes: u32, of_server: u32, now: u64) -> bool {
        self.rate.try_charge(bytes, self.key_bytes_per_second.or(of_server), now).is_ok()
    }

    /// True if the full burst is available again.
    pub(crate) fn is_rested(&self, now: u64) -> bool {
        self.rate.is_rested(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_keys_own_replaces_that_of_the_server_and_0_is_none() {
        let traffic = KeyTraffic::default();
        let limits = || (traffic.calls(10), traffic.bytes_per_second(20));
        assert_eq!(limits(), (10, 20));
        traffic.set_limits(KeyLimits {
            calls: Some(0),
            bytes_per_second: Some(u32::MAX),
            ..KeyLimits::default()
        });
        assert_eq!(limits(), (0, u32::MAX));
        traffic.set_limits(KeyLimits::default());
        assert_eq!(limits(), (10, 20));

        assert!(traffic.charge(200, 20, 0) && !traffic.charge(1, 20, 0));
        traffic.set_limits(KeyLimits { key_bytes_per_second: Some(0), ..KeyLimits::default() });
        assert!(traffic.charge(1, 20, 0));
    }
}
