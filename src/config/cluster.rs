//! What makes a node one of many.

use std::time::Duration;

/// A node of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The URL of the Redis or Valkey that all nodes share. It may hold a password.
    pub redis: String,
    /// The name of this node, for people. Nodes with the same name are different nodes all the same.
    pub node_name: String,
    /// How long the ids of a dead node stay taken for others than their owners.
    pub lease: Duration,
    /// What happens to new clients while Redis cannot be reached.
    pub degraded: Degraded,
}

/// What a node does with new clients while it cannot ask the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// They get their ids. When Redis is back, one of two clients with the same id loses it.
    Allow,
    /// They are refused.
    Refuse,
}

impl ClusterConfig {
    /// The lease unless another one is set.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(10);

    /// A node with the default settings.
    pub fn new(redis: &str, node_name: &str) -> Self {
        ClusterConfig {
            redis: redis.to_owned(),
            node_name: node_name.to_owned(),
            lease: Self::DEFAULT_LEASE,
            degraded: Degraded::Allow,
        }
    }
}

impl std::fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ClusterConfig { redis: _, node_name, lease, degraded } = self;
        let mut shown = f.debug_struct("ClusterConfig");
        shown
            .field("node_name", node_name)
            .field("lease", lease)
            .field("degraded", degraded)
            .finish_non_exhaustive()
    }
}
