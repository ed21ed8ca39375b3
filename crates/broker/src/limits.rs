//! Limits per address, and the quota of all connections.

mod addresses;
mod quota;

pub use addresses::{
    ConnectionLimiter, ConnectionPermit, GuessLimiter, GuessSource, LimitExceeded, SignupLimiter,
    address_text,
};
pub use quota::{Quota, QuotaShare};
