//! The values of all settings, before they are checked together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use peerbroker::{Config, Listen};
use peerbroker_config::{
    AcmeConfig, AcmeName, ClusterConfig, Limits, ListenOps, PeerRule, PrivateFile, RedisAddress, RelayConfig,
    WebhookEvent,
};
use peerbroker_keys::Origin;
use peerbroker_keys::sqlite::FILE_NAME;
use peerbroker_system::files::Stamp;

use super::values::{LogFormat, MediaAddress};
use crate::stored_keys::KeysIn;

/// Directory of the accounts and certificates of --acme, in the data directory.
pub const ACME_DIR: &str = "acme";

/// The values of all settings: first the defaults, then what was given. [`settings`](super::Cli::settings)
/// checks them together.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub(super) config: Config,
    pub listen: Listen,
    pub(super) file: Option<PathBuf>,
    pub(super) sslkey: Option<PathBuf>,
    pub(super) sslcert: Option<PathBuf>,
    /// The settings of ACME, without the directory, which is below `data_dir`.
    pub(super) acme: AcmeConfig,
    pub data_dir: Option<PathBuf>,
    pub(super) cors: Vec<Option<Origin>>,
    /// The Redis. Without a URL, there is none.
    pub(super) redis: RedisAddress,
    pub(super) redis_cert: Option<PathBuf>,
    pub(super) redis_key: Option<PathBuf>,
    pub(super) keys: KeysIn,
    /// The settings of the cluster, whose backplane is at `redis`.
    pub(super) cluster: ClusterConfig,
    pub(super) relay_at: Vec<MediaAddress>,
    pub(super) relay_public: Vec<AcmeName>,
    /// The settings of the relay, whose addresses are those of `relay_at` and `relay_public`.
    pub(super) relay: RelayConfig,
    pub(super) turn: Vec<MediaAddress>,
    pub(super) turn_ports: Option<RangeInclusive<u16>>,
    pub(super) turn_peers: Vec<PeerRule>,
    pub(super) ops_port: Option<u16>,
    /// The settings of the operator's API, whose port is `ops_port`.
    pub(super) ops: ListenOps,
    /// `None` stands for the messages of clients.
    pub(super) webhook_events: Vec<Option<WebhookEvent>>,
    /// The files of secrets, by the names of these.
    pub(super) secret_files: BTreeMap<&'static str, Option<PathBuf>>,
    pub log_format: LogFormat,
    pub log: Option<String>,
    pub quiet: bool,
    pub stdio: bool,
}

/// The files of secrets, each by its flag, as they are now. A pipe has no stamp.
pub type SecretStamps = Vec<(&'static str, Option<Stamp>)>;

/// The texts of the files of secrets, by the names of the secrets.
pub type Secrets = BTreeMap<&'static str, String>;

impl Draft {
    /// The defaults for a process that may have this much memory, in bytes.
    pub(super) fn for_memory(memory: Option<u64>) -> Self {
        let mut draft = Draft::default();
        let Config { unfinished_total_bytes, limits, .. } = &mut draft.config;
        let Limits { queue_bytes, queue_total_bytes, outbox_total_bytes, .. } = limits;
        // Strangers can fill them, and buffers are up to twice as large as what they hold.
        for (default, part) in
            [(unfinished_total_bytes, 8), (&mut *queue_total_bytes, 16), (outbox_total_bytes, 8)]
        {
            let most = memory.and_then(|memory| usize::try_from(memory / part).ok());
            *default = most.unwrap_or(usize::MAX).min(*default);
        }
        *queue_bytes = *queue_total_bytes / 16;
        draft
    }

    pub fn secret_stamps(&self) -> SecretStamps {
        let stamp = |path: &Path| path.is_file().then(|| Stamp::of(path)).flatten();
        self.files_of_secrets().map(|(name, file)| (name, stamp(file))).collect()
    }

    pub(super) fn files_of_secrets(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        self.secret_files.iter().filter_map(|(name, file)| Some((*name, file.as_ref()?)))
    }

    /// The files with secrets, which are never served.
    pub(super) fn private_files(&self) -> Vec<PrivateFile> {
        let named = [("config", &self.file), ("sslkey", &self.sslkey), ("redis_key", &self.redis_key)];
        let named = named.into_iter().filter_map(|(flag, path)| Some((flag.to_owned(), path.clone()?)));
        let of_secrets = self.files_of_secrets().map(|(name, path)| (format!("{name}_file"), path.clone()));
        let of_data = ["", "-wal", "-shm", "-journal"].map(|end| format!("{FILE_NAME}{end}"));
        let of_data = of_data.into_iter().chain([ACME_DIR.to_owned()]);
        let of_data = self
            .data_dir
            .iter()
            .flat_map(|dir| of_data.clone().map(|name| ("data_dir".to_owned(), dir.join(name))));
        let private = |(flag, path)| PrivateFile { setting: format!("--{flag}"), path };
        named.chain(of_secrets).chain(of_data).map(private).collect()
    }
}
