//! Limits per address, shares of the limits of keys and of all, bans, and the quota of all connections.

mod addresses;
mod bans;
mod pipes;
mod quota;
mod shares;

pub use addresses::{
    AddressReport, ConnectionLimiter, ConnectionPermit, GuessLimiter, GuessSource, LimitExceeded,
    SignupLimiter, address_text,
};
pub use bans::Bans;
pub(crate) use pipes::EndPermit;
pub use pipes::PipeTotals;
pub use quota::{Quota, QuotaShare};
pub use shares::{Accounts, OwnShare, Place, Places, SharedRate};
