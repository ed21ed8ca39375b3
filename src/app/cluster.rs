//! The thread through which a node takes part in a cluster.

use std::error::Error;
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
    if let Err(error) = try_start(membership, node, threads) {
        log::error!("this node is in no cluster: {error}");
        membership.end();
    }
}

fn try_start(
    membership: &Arc<Membership>,
    node: Weak<Node>,
    threads: &Threads,
) -> Result<(), Box<dyn Error>> {
    let config = membership.config();
    let settings = RedisSettings {
        // One renewal may fail, and the lease goes on.
        timeout: MAX_CALL.min(config.lease / 5),
        ..RedisSettings::new(config.redis.clone())
    };
    let backplane = RedisBackplane::new(&settings)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let membership = Arc::clone(membership);
    let work = move || LocalSet::new().block_on(&runtime, membership.run(node, backplane));
    threads.once("cluster", work)?;
    Ok(())
}
