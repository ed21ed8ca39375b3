//! The time for which messages of a key wait.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The time for which a message waits for an absent peer, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schema(value_type = u64, minimum = 1, maximum = 120_000)]
pub struct ExpireTimeout(u64);

/// The error of a time that no message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message waits for {} to {} milliseconds", ExpireTimeout::MILLIS.start(), ExpireTimeout::MILLIS.end())]
pub struct InvalidExpireTimeout;

impl ExpireTimeout {
    /// Milliseconds that a key may set. Its queues are as bounded as ever: for longer, the app keeps what its
    /// clients want.
    pub const MILLIS: RangeInclusive<u64> = 1..=120_000;

    /// The time.
    pub fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl TryFrom<u64> for ExpireTimeout {
    type Error = InvalidExpireTimeout;

    fn try_from(millis: u64) -> Result<Self, InvalidExpireTimeout> {
        if Self::MILLIS.contains(&millis) { Ok(ExpireTimeout(millis)) } else { Err(InvalidExpireTimeout) }
    }
}

impl From<ExpireTimeout> for u64 {
    fn from(time: ExpireTimeout) -> u64 {
        time.0
    }
}

impl fmt::Display for ExpireTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
