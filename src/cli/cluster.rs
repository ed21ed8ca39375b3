//! The flags of a node of a cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use gethostname::gethostname;
use peerbroker::config::{BadRedis, ClusterConfig, Degraded, RedisAddress};
use rand::distr::{Alphanumeric, SampleString as _};

use super::help;
use super::values::{in_millis, millis};

/// Longest name of a node, in bytes.
const MAX_NODE_NAME: usize = 100;

/// Shortest lease: a busy machine may not run us for a second.
const MIN_LEASE: Duration = Duration::from_secs(1);

/// Where stored keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredKeys {
    /// Nowhere: they are lost when the server stops.
    InMemory,
    /// In a database in this directory.
    Directory(PathBuf),
    /// In this Redis.
    Redis(RedisAddress),
}

#[derive(Debug, Args)]
pub(super) struct ClusterArgs {
    /// Redis or Valkey that all nodes of a cluster share
    ///
    /// redis://, rediss:// (TLS), redis-sentinel:// or redis-cluster://. The URL may hold a password: set the variable rather
    /// than the flag then, because other users of the machine see flags.
    #[arg(help_heading = help::CLUSTER, long, env = "PEERBROKER_REDIS", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,

    #[command(flatten)]
    tls: RedisTlsArgs,

    /// Where stored keys are: in --data_dir, or in the Redis of the cluster
    #[arg(help_heading = help::CLUSTER, long, env = "PEERBROKER_KEYS", value_enum, value_name = "sqlite|redis", default_value_t = StoredIn::Sqlite)]
    keys: StoredIn,

    /// Name of this node [default: the host's name and four random characters]
    #[arg(help_heading = help::CLUSTER, long = "node_name", alias = "node-name", env = "PEERBROKER_NODE_NAME", value_name = "NAME", value_parser = node_name)]
    node_name: Option<String>,

    /// Milliseconds after which the ids of a dead node are free
    #[arg(help_heading = help::CLUSTER, long = "cluster_lease", alias = "cluster-lease", env = "PEERBROKER_CLUSTER_LEASE", value_name = "MS", default_value = in_millis(ClusterConfig::DEFAULT_LEASE), value_parser = lease)]
    cluster_lease: Duration,

    /// What happens to new clients while Redis cannot be reached
    #[arg(help_heading = help::CLUSTER, long = "cluster_degraded", alias = "cluster-degraded", env = "PEERBROKER_CLUSTER_DEGRADED", value_enum, value_name = "allow|refuse", default_value_t = DegradedPolicy::Allow)]
    cluster_degraded: DegradedPolicy,
}

/// Certificates on the way to Redis, for the server and for `peerbroker keys`.
#[derive(Debug, Args)]
pub(super) struct RedisTlsArgs {
    /// Certificate authorities of the Redis, instead of the public ones: PEM
    ///
    /// With a URL that begins with rediss. The three files are read for each connection, so certificates can be renewed
    /// without a restart.
    #[arg(help_heading = help::CLUSTER, long = "redis_ca", alias = "redis-ca", env = "PEERBROKER_REDIS_CA", value_name = "FILE")]
    redis_ca: Option<PathBuf>,

    /// Certificate that the Redis wants from its clients, and its chain: PEM
    #[arg(help_heading = help::CLUSTER, long = "redis_cert", alias = "redis-cert", env = "PEERBROKER_REDIS_CERT", value_name = "FILE", requires = "redis_key")]
    redis_cert: Option<PathBuf>,

    /// Private key of --redis_cert: PEM, without a passphrase
    #[arg(help_heading = help::CLUSTER, long = "redis_key", alias = "redis-key", env = "PEERBROKER_REDIS_KEY", value_name = "FILE", requires = "redis_cert")]
    redis_key: Option<PathBuf>,
}

impl RedisTlsArgs {
    pub(super) fn address(&self, url: String) -> RedisAddress {
        let RedisTlsArgs { redis_ca, redis_cert, redis_key } = self;
        RedisAddress { url, ca: redis_ca.clone(), client: redis_cert.clone().zip(redis_key.clone()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoredIn {
    /// A database in --data_dir: each node has its own keys
    Sqlite,
    /// The Redis of --redis: all nodes have the same keys
    Redis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DegradedPolicy {
    /// They get their ids; of two clients with one id, one loses it when Redis is back
    Allow,
    /// They are refused
    Refuse,
}

impl ClusterArgs {
    pub(super) fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    pub(super) fn keys_in_redis(&self) -> bool {
        self.keys == StoredIn::Redis
    }

    /// The cluster that the node is in, if it is in one.
    pub(super) fn config(&self) -> Result<Option<ClusterConfig>, BadRedis> {
        let Some(url) = self.redis.clone() else { return Ok(None) };
        let redis = self.tls.address(url);
        // Not by clap, whose error would show the URL.
        redis.check()?;
        let node_name = self.node_name.clone().unwrap_or_else(|| {
            let random = Alphanumeric.sample_string(&mut rand::rng(), 4).to_lowercase();
            format!("{}-{random}", gethostname().to_string_lossy())
        });
        let degraded = match self.cluster_degraded {
            DegradedPolicy::Allow => Degraded::Allow,
            DegradedPolicy::Refuse => Degraded::Refuse,
        };
        Ok(Some(ClusterConfig { redis, node_name, lease: self.cluster_lease, degraded }))
    }
}

fn node_name(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_NODE_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(format!("expected 1 to {MAX_NODE_NAME} bytes of text")) }
}

/// A lease, which has to be long enough to be renewed several times.
fn lease(text: &str) -> Result<Duration, String> {
    let lease = millis(text).ok().filter(|lease| *lease >= MIN_LEASE);
    lease.ok_or_else(|| format!("expected milliseconds of {} or more", MIN_LEASE.as_millis()))
}
