#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

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
pub use pipes::{EndPermit, PipeTotals};
pub use quota::{Quota, QuotaExceeded, QuotaShare};
pub use shares::{Accounts, OwnShare, Place, Places, SharedRate, giving_way};
