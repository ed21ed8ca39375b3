//! Limits per address, the budget of a key, bans, and the quota of all connections.

mod addresses;
mod bans;
mod deliveries;
mod pipes;
mod quota;

pub use addresses::{
    AddressReport, ConnectionLimiter, ConnectionPermit, GuessLimiter, GuessSource, LimitExceeded,
    SignupLimiter, address_text,
};
pub use bans::Bans;
pub use deliveries::{AddressAccount, Deliveries};
pub use pipes::PipeTotals;
pub(crate) use pipes::{EndPermit, PipePermit};
pub use quota::{Quota, QuotaShare};
