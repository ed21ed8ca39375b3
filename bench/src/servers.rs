//! The subject of a measurement: a server, or a cluster with its Redis.

use std::time::Duration;

use anyhow::Result;

use crate::measured::RedisWork;
use crate::process::Process;
use crate::redis::{Redis, Work};

/// The server that is measured: one process, or the nodes of a cluster and their Redis.
#[derive(Clone)]
pub struct Servers {
    pub nodes: Vec<Process>,
    pub redis: Option<Redis>,
}

/// The work of the processes up to some moment.
pub struct Spent {
    nodes: Duration,
    redis: Option<Work>,
}

impl Servers {
    /// CPU time of all nodes, without Redis.
    pub fn cpu(&self) -> Result<Duration> {
        self.nodes.iter().map(|node| node.cpu()).sum()
    }

    /// Resident memory of all nodes.
    pub fn resident(&self) -> Result<u64> {
        self.nodes.iter().map(|node| node.resident()).sum()
    }

    /// The sum of the nodes' maxima.
    pub fn peak_resident(&self) -> Result<u64> {
        self.nodes.iter().map(|node| node.peak_resident()).sum()
    }

    pub fn forget_peak(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.forget_peak())
    }

    /// For [`since`](Self::since).
    pub fn spent(&self) -> Result<Spent> {
        // Redis last, then first: neither measurement contains the cost of asking it.
        Ok(Spent { nodes: self.cpu()?, redis: self.redis.as_ref().map(Redis::work).transpose()? })
    }

    /// CPU time of the nodes since then, and the work of Redis for each of `count` operations.
    pub fn since(&self, before: &Spent, count: usize) -> Result<(Duration, Option<RedisWork>)> {
        let redis = match (&self.redis, &before.redis) {
            (Some(redis), Some(before)) => Some(redis.work()?.since(before, count)),
            _ => None,
        };
        Ok((self.cpu()? - before.nodes, redis))
    }
}
