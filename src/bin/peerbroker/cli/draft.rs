//! The values of all settings, before they are checked together.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use peerbroker::config::{
    AcmeConfig, AcmeName, ApiTokens, ClusterConfig, DEFAULT_OPS_HOST, Dialect, ListenOps, RedisAddress,
    RelayConfig,
};
use peerbroker::keys::Origin;
use peerbroker::{Config, Listen};

use super::values::{LogFormat, MediaAddress};

/// The values of all settings: first the defaults, then what was given. [`settings`](super::Cli::settings) checks them together.
#[derive(Clone, Debug)]
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
    pub(super) dialects: Vec<Dialect>,
    /// Without a URL, there is none.
    pub(super) redis: RedisAddress,
    pub(super) redis_cert: Option<PathBuf>,
    pub(super) redis_key: Option<PathBuf>,
    pub(super) keys_in_redis: bool,
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

impl Default for Draft {
    fn default() -> Self {
        Draft {
            config: Config::default(),
            listen: Listen::default(),
            file: None,
            sslkey: None,
            sslcert: None,
            acme: AcmeConfig::new(Vec::new(), PathBuf::new()),
            data_dir: None,
            cors: Vec::new(),
            dialects: Dialect::ALL.to_vec(),
            redis: RedisAddress::default(),
            redis_cert: None,
            redis_key: None,
            keys_in_redis: false,
            cluster: ClusterConfig::new("", ""),
            relay_at: Vec::new(),
            relay_public: Vec::new(),
            relay: RelayConfig {
                listen: Vec::new(),
                public: Vec::new(),
                tcp: true,
                tcp_port: None,
                private: false,
            },
            turn: Vec::new(),
            turn_ports: None,
            turn_secret_file: None,
            webhook_secret_file: None,
            ops_port: None,
            ops: ListenOps { host: DEFAULT_OPS_HOST.to_owned(), port: 0, tokens: ApiTokens::default() },
            admin_token_file: None,
            read_token_file: None,
            metrics_token_file: None,
            log_format: LogFormat::Text,
            log: None,
            quiet: false,
            stdio: false,
        }
    }
}
