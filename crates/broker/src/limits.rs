//! Limits per address, bans, and the quota of all connections.

mod addresses;
mod bans;
mod quota;

pub use addresses::{
    AddressReport, ConnectionLimiter, ConnectionPermit, GuessLimiter, GuessSource, LimitExceeded,
    SignupLimiter, address_text,
};
pub use bans::Bans;
pub use quota::{Quota, QuotaShare};
