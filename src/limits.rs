//! How much one address may do, and how much all connections may hold together.

mod addresses;
mod daily;
mod guesses;
mod quota;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::wire::Limit;

pub(crate) use addresses::{Addresses, ConnectionPermit};
pub(crate) use daily::DailyQuota;
pub(crate) use guesses::{GuessLimiter, Guesser};
pub(crate) use quota::{Held, Quota};

/// Whom an address counts as: itself, or its /64, which is what one household gets of IPv6. Bytes,
/// because a number of that size would make everything that holds it larger.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Network([u8; 16]);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Network(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                let household = address.to_bits() & (u128::MAX << 64);
                Network(Ipv6Addr::from_bits(household).octets())
            }
        }
    }
}

/// Too much: come again after so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// Of what.
    pub(crate) limit: Limit,
    pub(crate) retry_after: Duration,
}

impl TooMany {
    /// Whole seconds, rounded up; none is too early.
    pub(crate) fn seconds(self) -> u64 {
        let begun = u64::from(self.retry_after.subsec_nanos() > 0);
        (self.retry_after.as_secs() + begun).max(1)
    }
}
