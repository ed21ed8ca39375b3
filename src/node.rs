//! The keys in force.

mod active_keys;

pub(crate) use active_keys::{ActiveKey, ActiveKeys};
