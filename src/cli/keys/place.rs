//! Where `peerbroker keys` finds the keys.

use std::env;
use std::path::PathBuf;

use clap::Args;

use crate::cli::cluster::{RedisTlsArgs, StoredKeys};

/// The options for the place of the keys.
#[derive(Debug, Args)]
pub struct KeysPlace {
    /// Data directory of the server
    #[arg(long = "data_dir", alias = "data-dir", env = "PEERBROKER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Redis of the server's cluster, if the server has --keys redis
    ///
    /// With PEERBROKER_KEYS=redis, that of PEERBROKER_REDIS. The URL may hold a password: prefer the variables then.
    // No parser: clap's errors show the value.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,

    #[command(flatten)]
    tls: RedisTlsArgs,
}

impl KeysPlace {
    /// A URL on the command line wins. The variables mean what they mean to the server.
    pub fn stored_keys(&self) -> StoredKeys {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let is_in_redis = || variable("PEERBROKER_KEYS").is_some_and(|keys| keys == "redis");
        let of_server = || variable("PEERBROKER_REDIS").filter(|_| is_in_redis());
        match (self.redis.clone().or_else(of_server), &self.data_dir) {
            (Some(url), _) => StoredKeys::Redis(self.tls.address(url)),
            (None, Some(dir)) => StoredKeys::Directory(dir.clone()),
            (None, None) => StoredKeys::InMemory,
        }
    }
}
