//! Limits per address, and the quota of all connections.

mod connections;
mod guesses;
mod quota;
mod signups;
mod strangers;

use std::net::IpAddr;
use std::time::Duration;

pub(crate) use crate::wire::AddressPrefix;
use crate::wire::Limit;

pub(crate) use connections::{ConnectionLimiter, ConnectionPermit};
pub(crate) use guesses::{GuessLimiter, GuessSource};
pub(crate) use quota::{Quota, QuotaShare};
pub(crate) use signups::SignupLimiter;
pub(crate) use strangers::Strangers;

/// The unit that limits count an address by, as a text. A client without an address has one as well.
pub(crate) fn address_text(address: Option<IpAddr>) -> String {
    let prefix = address.map(|address| IpAddr::from(AddressPrefix::of(address).0).to_canonical());
    prefix.map_or_else(|| "none".to_owned(), |prefix| prefix.to_string())
}

/// An address has exceeded a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitExceeded {
    /// The limit that was exceeded.
    pub(crate) limit: Limit,
    pub(crate) retry_after: Duration,
}

impl LimitExceeded {
    /// `retry_after` in seconds for the `Retry-After` header: rounded up, and at least 1.
    pub(crate) fn seconds(self) -> u64 {
        let begun = u64::from(self.retry_after.subsec_nanos() > 0);
        (self.retry_after.as_secs() + begun).max(1)
    }
}
