//! The thread through which a node takes part in a cluster.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::cluster::redis::{RedisBackplane, RedisSettings};
use crate::node::{Membership, Node};
use crate::threads::Threads;

/// Longest time of a call of Redis.
const MAX_CALL: Duration = Duration::from_secs(2);

/// Starts the thread. It ends when the membership is closed, or the node is gone.
pub(super) fn start(membership: &Arc<Membership>, node: Weak<Node>, threads: &Threads) {
    let config = membership.config();
    let settings = RedisSettings {
        // One renewal may fail, and the lease goes on.
        timeout: MAX_CALL.min(config.lease / 5),
        ..RedisSettings::new(config.redis.clone())
    };
    let backplane = match RedisBackplane::new(&settings) {
        Ok(backplane) => backplane,
        Err(error) => return log::error!("this node is in no cluster: {error}"),
    };
    let membership = Arc::clone(membership);
    let work = move || match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => LocalSet::new().block_on(&runtime, membership.run(node, backplane)),
        Err(error) => log::error!("this node is in no cluster: {error}"),
    };
    if let Err(error) = threads.once("cluster", work) {
        log::error!("cannot start the thread of the cluster: {error}");
    }
}
