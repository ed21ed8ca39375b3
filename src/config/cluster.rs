//! What makes a node one of many.

use std::time::Duration;

use crate::redis_link::RedisAddress;

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The Redis or Valkey that all nodes share.
    pub redis: RedisAddress,
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
    pub fn new(redis: impl Into<RedisAddress>, node_name: &str) -> Self {
        ClusterConfig {
            redis: redis.into(),
            node_name: node_name.to_owned(),
            lease: Self::DEFAULT_LEASE,
            degraded: Degraded::Allow,
        }
    }
}
