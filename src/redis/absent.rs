//! Stands in for Redis in a build without it.

mod error;

use std::sync::{Arc, Weak};

use crate::cluster::{LocalNode, Membership};
use crate::keys::KeyStore;
pub use error::BadRedis;
use peerbroker_config::RedisAddress;
use peerbroker_core::threads::Threads;

/// Fails: this build has no Redis.
pub fn check_redis(_: &RedisAddress) -> Result<(), BadRedis> {
    Err(BadRedis::NotBuiltIn)
}

pub(crate) fn join_cluster(
    _: &RedisAddress,
    _: &Arc<Membership>,
    _: Weak<dyn LocalNode>,
    _: &Threads,
) -> Result<(), BadRedis> {
    Err(BadRedis::NotBuiltIn)
}

pub(crate) fn shared_keys(_: &RedisAddress) -> Option<Arc<dyn KeyStore>> {
    None
}
