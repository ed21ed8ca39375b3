//! Limits per address and per client.

mod addresses;
mod rate;
mod rooms;
mod shares;
