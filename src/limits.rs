//! Limits per address, and the quota of all connections.

mod addresses;
mod quota;

pub(crate) use addresses::{
    ConnectionLimiter, ConnectionPermit, GuessLimiter, GuessSource, LimitExceeded, SignupLimiter,
    address_text,
};
pub(crate) use quota::{Quota, QuotaShare};
