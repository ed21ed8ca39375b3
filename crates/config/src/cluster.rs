//! Settings of a node of a cluster, and the address of the store that its nodes share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The store that all nodes share.
    pub backplane: BackplaneAddress,
    /// The name of this node, for people. Nodes with the same name are still different nodes.
    pub node_name: String,
    /// The machine and the address of this node, for people: two nodes with the same name are told apart by
    /// it.
    pub place: String,
    /// Time for which the ids of a dead node stay taken for others than their owners.
    pub lease: Duration,
    /// The policy for new clients while the backplane cannot be reached.
    pub degraded: Degraded,
}

/// Settings that all nodes of a cluster should share: the flag of each that is not the default, and its
/// value.
pub type SharedSettings = BTreeMap<String, String>;

/// The address of the store that the nodes of a cluster share: one variant for each implementation of
/// `Backplane`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackplaneAddress {
    /// A Redis or Valkey.
    Redis(RedisAddress),
}

impl<T: Into<RedisAddress>> From<T> for BackplaneAddress {
    fn from(address: T) -> Self {
        BackplaneAddress::Redis(address.into())
    }
}

/// The policy of a node for new clients while it cannot ask the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// New clients get their ids. When the backplane is back, one of two clients with the same id loses it.
    Allow,
    /// New clients are refused.
    Refuse,
}

impl ClusterConfig {
    /// The lease unless another one is set.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(10);

    /// A node with the default settings.
    pub fn new(backplane: impl Into<BackplaneAddress>, node_name: &str) -> Self {
        ClusterConfig {
            backplane: backplane.into(),
            node_name: node_name.to_owned(),
            place: String::new(),
            lease: Self::DEFAULT_LEASE,
            degraded: Degraded::Allow,
        }
    }
}

/// At no backplane yet.
impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig::new("", "")
    }
}

/// The address of Redis or Valkey. A text is a URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisAddress {
    /// The URL, in one of these forms:
    ///
    /// - `redis://[[user]:password@]host[:port][/database]`, with TLS `rediss://…`,
    /// - `unix:///path[?db=…&user=…&pass=…]`,
    /// - `redis-cluster://[[user]:password@]host[:port],host[:port]…`: any nodes of a Redis Cluster,
    /// - `redis-sentinel://[[user]:password@]host[:port],host[:port]…[/database]#master`: all Sentinels, and
    ///   the name under which they know the master. User, password and database are the master's; Sentinels
    ///   are asked without a password.
    ///
    /// `rediss-cluster`, `rediss-sentinel`, `valkey…` for `redis…`, and `+` for `-` do as well. Special
    /// characters in a password are percent-encoded.
    pub url: String,
    /// PEM file of the certificate authorities that sign for the server, instead of the public ones. Files
    /// are read whenever a connection is made, so a certificate can be renewed while the program runs.
    pub ca: Option<PathBuf>,
    /// The client's certificate with its chain, and its private key: PEM files.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl<T: AsRef<str> + ?Sized> From<&T> for RedisAddress {
    fn from(url: &T) -> Self {
        RedisAddress { url: url.as_ref().to_owned(), ..RedisAddress::default() }
    }
}

/// Without the URL: it may hold a password.
impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedisAddress { url: _, ca, client } = self;
        f.debug_struct("RedisAddress").field("ca", ca).field("client", client).finish_non_exhaustive()
    }
}
