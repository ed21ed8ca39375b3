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

mod backplane;
mod connection;
mod error;
mod keys;
mod reconnecting;

use std::error::Error;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use backplane::{RedisBackplane, RedisSettings};
pub use connection::{Call, check_redis};
pub use error::BadRedis;
pub use keys::RedisKeys;
use peerbroker_cluster::{LocalNode, Membership};
use peerbroker_config::RedisAddress;
use peerbroker_keys::KeyStore;
use peerbroker_system::threads::Threads;
pub use reconnecting::{ReconnectingConnection, RedisClient};

/// Prefix of all keys in Redis. Nodes with the same prefix, on the same server, are one broker.
const PREFIX: &str = "peerbroker";

/// The bound of each call, connecting included.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the thread through which a node takes part in a cluster. It ends when the membership is closed, or
/// the node is gone.
pub fn join_cluster(
    address: &RedisAddress,
    membership: &Arc<Membership>,
    node: Weak<dyn LocalNode>,
    threads: &Threads,
) -> Result<(), Box<dyn Error>> {
    let config = membership.config();
    let mut settings = RedisSettings::new(address.clone());
    // One renewal may fail without the loss of the lease.
    settings.timeout = settings.timeout.min(config.lease / 5);
    let backplane = RedisBackplane::new(&settings)?;
    let membership = Arc::clone(membership);
    threads.once_async("cluster", async move || membership.run(node, backplane).await)?;
    Ok(())
}

/// A store of keys that all nodes of a cluster share. `None` for a wrong address, which is an error of the
/// cluster.
pub fn shared_keys(address: &RedisAddress) -> Option<Arc<dyn KeyStore>> {
    Some(Arc::new(RedisKeys::open(address.clone()).ok()?))
}
