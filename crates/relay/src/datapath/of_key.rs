//! The state that the calls or allocations of one key share: their rate, and the limits of the key's own.

use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_media_api::{KeyLimits, LiveLimits};

/// The traffic of one key.
#[derive(Debug, Default)]
pub(crate) struct KeyTraffic {
    pub(crate) rate: RateLimit,
    /// The limits of the key's own. They are read for each datagram, and set every few seconds.
    pub(crate) own: LiveLimits<KeyLimits>,
}

impl KeyTraffic {
    /// The bytes per second of one call or allocation, where the server allows `of_server`.
    pub(crate) fn bytes_per_second(&self, of_server: u32) -> u32 {
        self.own.load().bytes_per_second.unwrap_or(of_server)
    }

    /// Charges bytes to the key, where the server allows `of_server` per second. False if they are too many.
    pub(crate) fn charge(&self, bytes: u32, of_server: u32, now: Instant) -> bool {
        let most = self.own.load().key_bytes_per_second.unwrap_or(of_server);
        self.rate.try_charge(bytes, most, now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_limit_of_the_keys_own_replaces_that_of_the_server_and_0_is_none() {
        let traffic = KeyTraffic::default();
        assert!(traffic.charge(200, 20, Instant::default()) && !traffic.charge(1, 20, Instant::default()));
        traffic.own.store(Arc::new(KeyLimits { key_bytes_per_second: Some(0), ..KeyLimits::default() }));
        assert!(traffic.charge(1, 20, Instant::default()));
    }
}
