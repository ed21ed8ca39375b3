//! Connections to Redis or Valkey, from a URL: for the nodes of a cluster, and for keys.

mod address;
mod connection;
mod line;
mod target;

use std::time::Duration;

pub use address::{BadRedis, BadUrl, RedisAddress};
pub(crate) use connection::Call;
pub(crate) use line::{Line, NoAnswer};

/// What all keys in Redis begin with. Nodes with the same prefix, on the same server, are one broker.
pub(crate) const PREFIX: &str = "peerbroker";

/// The bound of each call, connecting included.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
