//! Limits per address, and the quota of all connections.

mod connections;
mod guesses;
mod quota;
mod signups;
mod strangers;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::wire::Limit;

pub(crate) use connections::{ConnectionLimiter, ConnectionPermit};
pub(crate) use guesses::{GuessLimiter, GuessSource};
pub(crate) use quota::{Quota, QuotaShare};
pub(crate) use signups::SignupLimiter;
pub(crate) use strangers::Strangers;

/// The unit that limits count by: an IPv4 address, or the /64 of an IPv6 address, which is the usual size of one
/// household's network. Bytes, because the alignment of `u128` would make its containers larger.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AddressPrefix([u8; 16]);

impl AddressPrefix {
    pub(crate) fn of(address: IpAddr) -> Self {
        AddressPrefix::new(address, 64)
    }

    /// The /48 of an IPv6 address instead: most that one customer has (RFC 6177). An IPv4 address stays what it is.
    pub(crate) fn site(address: IpAddr) -> Self {
        AddressPrefix::new(address, 48)
    }

    fn new(address: IpAddr, bits: u32) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => AddressPrefix(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & (u128::MAX << (128 - bits));
                AddressPrefix(Ipv6Addr::from_bits(prefix).octets())
            }
        }
    }
}

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
