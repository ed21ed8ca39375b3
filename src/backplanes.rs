//! The stores through which the nodes of a cluster find each other: all that differs between them, by
//! [`BackplaneAddress`].

use std::error::Error;
use std::sync::{Arc, Weak};

use crate::redis::{self, BadRedis};
use peerbroker_cluster::{LocalNode, Membership};
use peerbroker_config::BackplaneAddress;
use peerbroker_keys::KeyStore;
use peerbroker_system::threads::Threads;

/// The reason why no connection can be made from the address of a store.
#[derive(Debug, thiserror::Error)]
pub enum BadBackplane {
    /// An address of a Redis that cannot be used.
    #[error(transparent)]
    Redis(#[from] BadRedis),
}

/// Checks an address without a connection.
pub fn check_backplane(address: &BackplaneAddress) -> Result<(), BadBackplane> {
    match address {
        BackplaneAddress::Redis(address) => Ok(redis::check_redis(address)?),
    }
}

/// Starts the thread through which a node takes part in a cluster. It ends when the membership is closed, or
/// the node is gone.
pub(crate) fn join_cluster(
    membership: &Arc<Membership>,
    node: Weak<dyn LocalNode>,
    threads: &Threads,
) -> Result<(), Box<dyn Error>> {
    match &membership.config().backplane {
        BackplaneAddress::Redis(address) => Ok(redis::join_cluster(address, membership, node, threads)?),
    }
}

/// A store of keys that all nodes of a cluster share. `None` for a wrong address, which is an error of the
/// cluster.
pub(crate) fn shared_keys(address: &BackplaneAddress) -> Option<Arc<dyn KeyStore>> {
    match address {
        BackplaneAddress::Redis(address) => redis::shared_keys(address),
    }
}
