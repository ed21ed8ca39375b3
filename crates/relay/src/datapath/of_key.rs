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

    /// Charges bytes to the key, if it has a limit. False if they are too many.
    pub(crate) fn charge(&self, bytes: u32, now: Instant) -> bool {
        let most = self.own.load().key_bytes_per_second.unwrap_or_default();
        self.rate.try_charge(bytes, most, now).is_ok()
    }
}
