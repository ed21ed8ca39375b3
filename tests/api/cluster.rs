//! Clients of several nodes that share a Redis.

mod calls;
mod games;
mod going_away;
mod ids;
mod legacy;
mod matchbox;
mod media;
mod messages;
mod near;
mod nostr;
mod pipes;
mod room_codes;
mod rooms;
mod rxdb;
mod topics;
mod tracker;
mod webhooks;

use std::ops::Index;
use std::time::Duration;

use peerbroker::Config;
use peerbroker_cluster::Membership;
use peerbroker_config::{ClusterConfig, Degraded};

use crate::harness::{TestServer, wait_until};
use crate::redis_server::RedisServer;

/// Nodes of one broker, and their Redis, which ends after them.
struct Nodes {
    nodes: Vec<TestServer>,
    redis: RedisServer,
}

impl Nodes {
    fn start(count: usize) -> Self {
        Self::start_with(count, Degraded::Allow, |_| {})
    }

    fn start_with(count: usize, degraded: Degraded, configure: impl Fn(&mut Config)) -> Self {
        let redis = RedisServer::start();
        let mut nodes = Nodes { nodes: Vec::new(), redis };
        (0..count).for_each(|_| nodes.add(degraded, &configure));
        nodes
    }

    fn add(&mut self, degraded: Degraded, configure: impl Fn(&mut Config)) {
        let cluster = ClusterConfig { degraded, ..self.cluster() };
        self.push(TestServer::start_node(cluster, configure));
    }

    /// Of the next node.
    fn cluster(&self) -> ClusterConfig {
        ClusterConfig {
            lease: Duration::from_secs(3),
            ..ClusterConfig::new(&self.redis.url_of_user(), &format!("node-{}", self.nodes.len()))
        }
    }

    fn push(&mut self, node: TestServer) {
        wait_until("a node that is up", || membership(&node).view().is_up);
        self.nodes.push(node);
    }
}

impl Index<usize> for Nodes {
    type Output = TestServer;

    fn index(&self, number: usize) -> &TestServer {
        &self.nodes[number]
    }
}

fn membership(node: &TestServer) -> &std::sync::Arc<Membership> {
    node.node().membership().expect("a node of a cluster")
}
