//! Limits per address and per client.

mod addresses;
mod flood;
mod rate;
mod rooms;
mod shares;
