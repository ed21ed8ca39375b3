//! How much one address, and one client, may do.

mod addresses;
mod flood;
mod rate;
