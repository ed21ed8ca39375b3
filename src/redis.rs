//! Stands in for Redis in a build without it.

use std::sync::{Arc, Weak};

use peerbroker_cluster::{LocalNode, Membership};
use peerbroker_config::RedisAddress;
use peerbroker_keys::KeyStore;
use peerbroker_system::threads::Threads;

/// The reason why no Redis can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadRedis {
    /// The program has to be built with the feature.
    #[error("this program was built without Redis: enable the feature `redis` of peerbroker")]
    NotBuiltIn,
}

/// Fails: this build has no Redis.
pub(crate) fn check_redis(_: &RedisAddress) -> Result<(), BadRedis> {
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
