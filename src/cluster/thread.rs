//! The thread through which a node takes part in a cluster.

use std::error::Error;
use std::sync::{Arc, Weak};

use super::{LocalNode, Membership};
use peerbroker_core::threads::Threads;

/// Starts the thread. It ends when the membership is closed, or the node is gone.
pub(crate) fn start(membership: &Arc<Membership>, node: Weak<dyn LocalNode>, threads: &Threads) {
    if let Err(error) = try_start(membership, node, threads) {
        log::error!("this node is in no cluster: {error}");
        membership.end();
    }
}

#[cfg(feature = "redis")]
fn try_start(
    membership: &Arc<Membership>,
    node: Weak<dyn LocalNode>,
    threads: &Threads,
) -> Result<(), Box<dyn Error>> {
    use super::redis::{RedisBackplane, RedisSettings};
    use peerbroker_broker::config::BackplaneAddress;

    let config = membership.config();
    let BackplaneAddress::Redis(address) = &config.backplane;
    let mut settings = RedisSettings::new(address.clone());
    // One renewal may fail without the loss of the lease.
    settings.timeout = settings.timeout.min(config.lease / 5);
    settings.place.clone_from(&config.place);
    let backplane = RedisBackplane::new(&settings)?;
    let membership = Arc::clone(membership);
    threads.once_async("cluster", async move || membership.run(node, backplane).await)?;
    Ok(())
}

#[cfg(not(feature = "redis"))]
fn try_start(_: &Arc<Membership>, _: Weak<dyn LocalNode>, _: &Threads) -> Result<(), Box<dyn Error>> {
    Err(crate::redis_link::BadRedis::NotBuiltIn.into())
}
