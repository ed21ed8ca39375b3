//! Turns the flags into settings, and checks combinations of flags.

use std::path::PathBuf;

use peerbroker::config::{
    AddressLimits, AdminToken, BadRedis, BadStaticDir, ClusterConfig, Dialects, InvalidToken, KeySignup,
    Limits, ListenOps, RelayConfig, TlsFiles, TurnConfig,
};
use peerbroker::files::FileError;
use peerbroker::keys::Origin;
use peerbroker::{Config, Listen};

use super::Cli;
use super::acme::{BadAcme, Others};
use super::cluster::StoredKeys;
use super::ice::BadIce;
use super::relay::BadRelay;
use super::secret_file;
use super::values::{Cors, Dialect, MAX_SECRET_FILE_BYTES, Path, RegistrationState};
use super::webhooks::BadWebhookFlags;

/// The settings of the flags.
#[derive(Clone)]
pub struct Settings {
    pub config: Config,
    pub listen: Listen,
    /// The mount path as the user wrote it, for the start line.
    pub given_path: String,
    /// The cluster that the node is in, if it is in one.
    pub cluster: Option<ClusterConfig>,
    /// The relay for calls that cannot go directly, if there is one.
    pub relay: Option<RelayConfig>,
    /// The TURN server, or the STUN server of the relay, if there is one.
    pub turn: Option<TurnConfig>,
    /// Where stored keys are.
    pub stored_keys: StoredKeys,
}

/// Why the flags are invalid; the program prints it and exits.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("--sslkey and --sslcert must be used together: --{missing} is missing")]
    HalfTls { missing: &'static str },
    #[error(
        "--registration open cannot be used with --pages false: the registration form is on the landing page"
    )]
    NoForm,
    #[error(
        "--port and --ops_port are both {port}: give the API a port of its own, as in --ops_port {other}"
    )]
    SamePort { port: u16, other: u16 },
    #[error(transparent)]
    Acme(#[from] BadAcme),
    #[error(transparent)]
    Redis(#[from] BadRedis),
    #[error(transparent)]
    Relay(#[from] BadRelay),
    #[error(transparent)]
    Ice(#[from] BadIce),
    #[error(transparent)]
    Webhook(#[from] BadWebhookFlags),
    #[error("--keys redis needs --redis: keys are stored in the Redis that all nodes of the cluster share")]
    KeysWithoutRedis,
    #[error(
        "--keys redis cannot be used with --data_dir {}: keys are stored in one place, so leave one of the two out", .0.display()
    )]
    TwoStores(PathBuf),
    #[error(transparent)]
    StaticDir(#[from] BadStaticDir),
    #[error("cannot read --admin_token_file {path}: {error}", path = .path.display())]
    TokenFile { path: PathBuf, error: FileError },
    #[error("invalid value for '--{flag}': {why}")]
    Token { flag: &'static str, why: InvalidToken },
}

impl BadSettings {
    /// 2 for a wrong value or combination, like clap; 1 for files, and where peerjs-server exits with 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            BadSettings::NoForm
            | BadSettings::Acme(_)
            | BadSettings::Redis(_)
            | BadSettings::KeysWithoutRedis
            | BadSettings::Relay(_)
            | BadSettings::TwoStores(_)
            | BadSettings::SamePort { .. }
            | BadSettings::Token { flag: "admin_token", .. } => 2,
            BadSettings::Ice(why) => why.exit_code(),
            BadSettings::Webhook(why) => why.exit_code(),
            _ => 1,
        }
    }
}

impl Settings {
    /// What is surely not meant, and can be seen only when all files are read.
    pub fn warnings(&self) -> Option<String> {
        let secret = self.config.ice.turn_secret.as_ref()?;
        secret.is_weak().then(|| {
            "the secret of TURN servers is short: a client can find it by trying, with the credentials that it gets. `openssl \
             rand -hex 32` makes a better one"
                .to_owned()
        })
    }
}

impl Cli {
    /// Checks combinations of flags, and reads the files that they name.
    pub fn settings(&self) -> Result<Settings, BadSettings> {
        let port = self.port;
        let Path { path, given: given_path } = self.path.clone();
        let cluster = self.cluster.config()?;
        let acme = self.acme.config(&Others {
            data_dir: self.data_dir.as_deref(),
            redis: cluster.as_ref().map(|cluster| &cluster.redis),
            sslkey: self.sslkey.is_some(),
            sslcert: self.sslcert.is_some(),
            port,
            ops_port: self.ops_port,
        })?;
        let tls = match (self.sslkey.clone(), self.sslcert.clone()) {
            (Some(key), Some(cert)) => Some(TlsFiles { key, cert }),
            (None, None) => None,
            (Some(_), None) => return Err(BadSettings::HalfTls { missing: "sslcert" }),
            (None, Some(_)) => return Err(BadSettings::HalfTls { missing: "sslkey" }),
        };
        if self.registration == RegistrationState::Open && !self.pages {
            return Err(BadSettings::NoForm);
        }
        let config = Config {
            path,
            key: self.key.clone(),
            keys: self.file.as_ref().map(|file| file.keys.clone()).unwrap_or_default(),
            default_key: !self.no_default_key,
            registration: KeySignup {
                open: self.registration == RegistrationState::Open,
                per_day: self.registrations_per_day,
                limit: self.registration_limit,
                ttl_days: self.registration_ttl,
            },
            allow_discovery: self.allow_discovery,
            proxied: self.proxied,
            trusted_proxies: match &*self.trusted_proxy {
                [] => Config::default().trusted_proxies,
                networks => networks.to_vec(),
            },
            address_limits: AddressLimits {
                connections: self.connections_per_address,
                opens_per_second: self.opens_per_second_per_address,
            },
            relay_limits: self.relay.limits(),
            turn_limits: self.turn.limits(),
            messages_per_second: self.messages_per_second,
            id_style: self.id_style,
            relay: self.relay.mode(),
            ice: self.ice.config()?,
            webhooks: self.webhooks.config()?,
            cors: self.origins(),
            root_key: self.root_key.clone(),
            dialects: Dialects {
                peerjs: self.dialects.contains(&Dialect::Peerjs),
                rooms: self.dialects.contains(&Dialect::Rooms),
                calls: self.dialects.contains(&Dialect::Calls),
            },
            pages: self.pages,
            static_dir: self.static_dir.clone(),
            max_message_bytes: self.max_message_bytes,
            unfinished_total_bytes: self.unfinished_total_bytes,
            limits: Limits {
                concurrent_limit: self.concurrent_limit,
                expire_timeout: self.expire_timeout,
                alive_timeout: self.alive_timeout,
                ping_interval: self.ping_interval,
                probe_timeout: self.probe_timeout,
                reclaim_timeout: self.reclaim_timeout,
                queue_messages: self.queue_messages,
                queue_bytes: self.queue_bytes,
                queue_total_bytes: self.queue_total_bytes,
                rooms: self.rooms,
                room_players: self.room_players,
                room_timeout: self.room_timeout,
                ..Limits::default()
            },
            ..Config::default()
        };
        config.check()?;
        let ops = self.ops_port.map(|port| {
            Ok::<_, BadSettings>(ListenOps { host: self.ops_host.clone(), port, token: self.token()? })
        });
        let ops = ops.transpose()?;
        if let Some(ops) = ops.as_ref().filter(|ops| ops.port == port && port != 0)
            && is_same_host(&self.host, &ops.host)
        {
            let other = if port == u16::MAX { port - 1 } else { port + 1 };
            return Err(BadSettings::SamePort { port: ops.port, other });
        }
        let listen = Listen {
            host: self.host.clone(),
            port,
            workers: self.workers,
            tls,
            acme,
            ops,
            ..self.handover.listen()
        };
        let stored_keys = self.stored_keys(cluster.as_ref())?;
        let relay = self.relay.config(self.turn.is_wanted())?;
        let (public, private) = self.relay.public();
        let turn = self.turn.config(relay.as_ref(), public, private)?;
        Ok(Settings { config, listen, given_path, cluster, relay, turn, stored_keys })
    }

    fn stored_keys(&self, cluster: Option<&ClusterConfig>) -> Result<StoredKeys, BadSettings> {
        match (self.cluster.keys_in_redis(), &self.data_dir, cluster) {
            (false, None, _) => Ok(StoredKeys::InMemory),
            (false, Some(dir), _) => Ok(StoredKeys::Directory(dir.clone())),
            (true, Some(dir), _) => Err(BadSettings::TwoStores(dir.clone())),
            (true, None, None) => Err(BadSettings::KeysWithoutRedis),
            (true, None, Some(cluster)) => Ok(StoredKeys::Redis(cluster.redis.clone())),
        }
    }
}

impl Cli {
    /// The origins of `--cors`; none if any origin may read answers.
    fn origins(&self) -> Vec<Origin> {
        let origin = |cors: &Cors| match cors {
            Cors::All => None,
            Cors::Origin(origin) => Some(origin.clone()),
        };
        self.cors.iter().map(origin).collect::<Option<_>>().unwrap_or_default()
    }

    /// The bearer token of the API.
    fn token(&self) -> Result<Option<AdminToken>, BadSettings> {
        let (flag, text) = match (&self.admin_token, &self.admin_token_file) {
            (Some(token), _) => ("admin_token", token.clone()),
            (None, Some(path)) => {
                let read = secret_file::read(path, MAX_SECRET_FILE_BYTES);
                let text = read.map_err(|error| BadSettings::TokenFile { path: path.clone(), error })?;
                ("admin_token_file", text.trim_end().to_owned())
            }
            (None, None) => return Ok(None),
        };
        AdminToken::parse(&text).map(Some).map_err(|why| BadSettings::Token { flag, why })
    }
}

/// Whether listeners on the two hosts need different ports.
fn is_same_host(a: &str, b: &str) -> bool {
    let is_all = |host: &str| matches!(host, "::" | "[::]" | "0.0.0.0");
    a == b || is_all(a) || is_all(b)
}
