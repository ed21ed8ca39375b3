//! Limits per address, the budget of a key, bans, and the quota of all connections.

mod addresses;
mod bans;
mod deliveries;
mod quota;

pub use addresses::{
    AddressReport, ConnectionLimiter, ConnectionPermit, GuessLimiter, GuessSource, LimitExceeded,
    SignupLimiter, address_text,
};
pub use bans::Bans;
pub use deliveries::{AddressAccount, Deliveries};
pub use quota::{Quota, QuotaShare};
