//! The values of all settings, before they are checked together.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use peerbroker::config::{AcmeConfig, AcmeName, ClusterConfig, ListenOps, RedisAddress, RelayConfig};
use peerbroker::keys::Origin;
use peerbroker::{Config, Listen};

use super::values::{LogFormat, MediaAddress};
use crate::stored_keys::KeysIn;

/// The values of all settings: first the defaults, then what was given. [`settings`](super::Cli::settings) checks them together.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub(super) config: Config,
    pub listen: Listen,
    pub(super) file: Option<PathBuf>,
    pub(super) sslkey: Option<PathBuf>,
    pub(super) sslcert: Option<PathBuf>,
    /// Its store is that of `--data_dir` or `--redis`, later.
    pub(super) acme: AcmeConfig,
    pub data_dir: Option<PathBuf>,
    pub(super) cors: Vec<Option<Origin>>,
    /// Without a URL, there is none.
    pub(super) redis: RedisAddress,
    pub(super) redis_cert: Option<PathBuf>,
    pub(super) redis_key: Option<PathBuf>,
    pub(super) keys: KeysIn,
    /// Its backplane is at `redis`.
    pub(super) cluster: ClusterConfig,
    pub(super) relay_at: Vec<MediaAddress>,
    pub(super) relay_public: Vec<AcmeName>,
    /// Its addresses are those of `relay_at` and `relay_public`.
    pub(super) relay: RelayConfig,
    pub(super) turn: Vec<MediaAddress>,
    pub(super) turn_ports: Option<RangeInclusive<u16>>,
    pub(super) turn_secret_file: Option<PathBuf>,
    pub(super) webhook_secret_file: Option<PathBuf>,
    pub(super) ops_port: Option<u16>,
    /// Its port is `ops_port`.
    pub(super) ops: ListenOps,
    pub(super) admin_token_file: Option<PathBuf>,
    pub(super) read_token_file: Option<PathBuf>,
    pub(super) metrics_token_file: Option<PathBuf>,
    pub log_format: LogFormat,
    pub log: Option<String>,
    pub quiet: bool,
    pub stdio: bool,
}
