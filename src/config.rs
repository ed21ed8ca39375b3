//! All settings and their defaults.

mod acme;
mod cluster;
mod ice;
mod limits;
mod listen;
mod live;
mod relay;
mod turn;
mod webhooks;

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::keys::{IdStyle, Key, Origin, RelayMode, Settings};
use crate::wire::ApiKey;

pub use crate::redis_link::{BadRedis, BadUrl, RedisAddress};
pub use crate::tls::TlsFiles;
pub use acme::{
    AcmeConfig, AcmeName, AcmeStore, DEFAULT_ACME_HTTP_PORT, InvalidAcmeName, LETS_ENCRYPT, MAX_ACME_NAMES,
};
pub use cluster::{ClusterConfig, Degraded};
pub use ice::{IceConfig, InvalidSecret, OwnIceServers, TurnCredentials, TurnSecret};
pub use limits::{AddressLimits, Limits};
pub use listen::{AdminToken, InvalidToken, Listen, ListenOps};
pub use live::LiveConfig;
pub use relay::{RelayConfig, RelayLimits};
pub use turn::{TurnConfig, TurnLimits};
pub use webhooks::{WebhookConfig, WebhookEvent};

/// The configuration of a broker. [`Config::default`] is that of the program without flags.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path below which the broker answers. An embedded broker uses the path of
    /// [`mount`](crate::PeerBroker::mount) instead.
    pub path: MountPath,
    /// The built-in key of PeerJS clients.
    pub key: ApiKey,
    /// Whether [`key`](Self::key) is accepted, in addition to the keys of [`Builder::keys`](crate::Builder::keys).
    pub default_key: bool,
    /// More built-in keys, with settings of their own. One with the text of [`key`](Self::key) replaces its settings.
    pub keys: Vec<Key>,
    /// Registration of keys by anyone who can reach the server.
    pub registration: KeySignup,
    /// Whether `GET {path}{key}/peers` lists the ids of all peers.
    pub allow_discovery: bool,
    /// Whether trusted proxies tell the address of a client, and the host and scheme of its request, in headers.
    pub proxied: bool,
    /// The proxies whose headers are trusted if [`proxied`](Self::proxied) is set.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins that may read HTTP responses (CORS). Empty means any.
    pub cors: Vec<Origin>,
    /// The key of clients at the root that send no key; by default [`key`](Self::key).
    pub root_key: Option<ApiKey>,
    /// The protocols that the server offers.
    pub dialects: Dialects,
    /// Whether the landing page and the demos are served.
    pub pages: bool,
    /// A directory whose files are served below the path. [`check`](Config::check) checks that it is readable.
    pub static_dir: Option<PathBuf>,
    /// Maximum size of a WebSocket message in bytes. A larger one closes its connection with 1009.
    pub max_message_bytes: usize,
    /// Maximum bytes of unfinished messages of all connections together. A connection that needs more is closed
    /// with 1013. The first 16 KiB of each connection do not count.
    pub unfinished_total_bytes: usize,
    /// How long a client may take to answer a close frame.
    pub close_timeout: Duration,
    /// Rate limit of messages per second for each client of the built-in key; bursts of ten times that. 0 turns it
    /// off.
    pub messages_per_second: u32,
    /// The form of the ids that the server gives to clients of the built-in key.
    pub id_style: IdStyle,
    /// What the relay does for calls of the built-in key.
    pub relay: RelayMode,
    /// Limits per address.
    pub address_limits: AddressLimits,
    /// Limits and timeouts of the broker.
    pub limits: Limits,
    /// Limits of the relay, if there is one.
    pub relay_limits: RelayLimits,
    /// Limits of the TURN server, if there is one.
    pub turn_limits: TurnLimits,
    /// The ICE servers that clients are told.
    pub ice: IceConfig,
    /// Where events are sent to.
    pub webhooks: WebhookConfig,
}

/// The protocols that the server offers; by default all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialects {
    /// PeerJS, at `{path}peerjs` and over HTTP.
    pub peerjs: bool,
    /// Room codes, at the root.
    pub rooms: bool,
    /// One-to-one calls, at the root.
    pub calls: bool,
}

impl Dialects {
    /// Whether the server offers a protocol at the root.
    pub fn any_at_root(self) -> bool {
        self.rooms || self.calls
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Dialects { peerjs: true, rooms: true, calls: true }
    }
}

/// Registration of keys through a form on the landing page, by anyone who can reach the server. By default
/// closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySignup {
    /// Whether registration is open.
    pub open: bool,
    /// Maximum keys that one address registers within 24 hours; 0 means no limit.
    pub per_day: u32,
    /// Maximum registered keys in total; 0 means no limit.
    pub limit: usize,
    /// Registered keys unused for this many days are deleted, even after registration closes; 0 means never.
    pub ttl_days: u32,
}

impl Default for KeySignup {
    fn default() -> Self {
        KeySignup { open: false, per_day: 5, limit: 10_000, ttl_days: 90 }
    }
}

/// The default of `--host`.
pub const DEFAULT_HOST: &str = "::";
/// The default of `--ops_host`.
pub const DEFAULT_OPS_HOST: &str = "127.0.0.1";
/// The default of `--port`.
pub const DEFAULT_PORT: u16 = 9000;
/// The default of `--max_message_bytes`. An offer with all its candidates has about 10 KB.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Why the files of [`Config::static_dir`] cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve --static_dir {path}: {error}", path = .path.display())]
pub struct BadStaticDir {
    /// The configured directory.
    pub path: PathBuf,
    /// The error of the operating system.
    pub error: io::Error,
}

impl Config {
    /// Checks that the static directory exists. [`Server::bind`](crate::Server::bind) does this too; call it before
    /// [`mount`](crate::PeerBroker::mount).
    pub fn check(&self) -> Result<(), BadStaticDir> {
        let Some(path) = &self.static_dir else {
            return Ok(());
        };
        // The dot exists only in a directory, and looking it up needs permission to enter it.
        let entered = path.canonicalize().and_then(|root| fs::metadata(root.join(".")));
        entered.map(drop).map_err(|error| BadStaticDir { path: path.clone(), error })
    }

    /// The keys of the configuration, with their settings.
    pub fn built_in_keys(&self) -> Vec<Key> {
        let settings = Settings {
            allow_discovery: self.allow_discovery,
            concurrent_limit: self.limits.concurrent_limit,
            messages_per_second: self.messages_per_second,
            id_style: self.id_style,
            relay: self.relay,
            ..Settings::default()
        };
        let mut keys =
            if self.default_key { vec![self.key.clone(), self.root_key().clone()] } else { Vec::new() };
        keys.dedup();
        keys.retain(|key| !self.keys.iter().any(|own| own.key == *key));
        let built_in =
            |key| Key { created: 0, built_in: true, ..Key::new(Some(key), "built in", settings.clone()) };
        let own = self.keys.iter().cloned().map(|key| Key { created: 0, built_in: true, ..key });
        keys.into_iter().map(built_in).chain(own).collect()
    }

    /// Whether a key comes from the configuration.
    pub fn is_built_in(&self, key: &ApiKey) -> bool {
        let is_default = self.default_key && (*key == self.key || key == self.root_key());
        is_default || self.keys.iter().any(|own| own.key == *key)
    }

    /// Whether an address is that of a trusted proxy.
    pub(crate) fn is_proxy(&self, address: &IpAddr) -> bool {
        self.proxied && self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// The key that pages and examples show: the built-in key, or a placeholder if there is none.
    pub fn shown_key(&self) -> ApiKey {
        let placeholder = if self.default_key { None } else { ApiKey::parse("YOUR-KEY").ok() };
        placeholder.unwrap_or_else(|| self.key.clone())
    }

    /// The key of clients at the root that send no key.
    pub fn root_key(&self) -> &ApiKey {
        self.root_key.as_ref().unwrap_or(&self.key)
    }
}

impl Default for Config {
    #[cfg_attr(not(test), expect(clippy::unreachable, reason = "a constant that a test parses"))]
    fn default() -> Self {
        // The built-in key has the defaults of a stored one.
        let key = Settings::default();
        Config {
            path: MountPath::default(),
            // The default key of PeerJS clients.
            key: ApiKey::parse("peerjs").unwrap_or_else(|_| unreachable!("a valid key")),
            default_key: true,
            keys: Vec::new(),
            registration: KeySignup::default(),
            allow_discovery: key.allow_discovery,
            proxied: false,
            trusted_proxies: default_trusted_proxies(),
            cors: Vec::new(),
            root_key: None,
            dialects: Dialects::default(),
            pages: true,
            static_dir: None,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            unfinished_total_bytes: 256 << 20,
            close_timeout: Duration::from_secs(5),
            messages_per_second: key.messages_per_second,
            id_style: key.id_style,
            relay: key.relay,
            address_limits: AddressLimits::default(),
            relay_limits: RelayLimits::default(),
            turn_limits: TurnLimits::default(),
            ice: IceConfig::default(),
            webhooks: WebhookConfig::default(),
            limits: Limits::default(),
        }
    }
}

/// Loopback and private networks, where an operator's own proxy usually is.
const TRUSTED_PROXIES: [&str; 7] =
    ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"];

fn default_trusted_proxies() -> Vec<IpNet> {
    TRUSTED_PROXIES.iter().filter_map(|network| network.parse().ok()).collect()
}

/// The path below which the broker answers: `/`, or `/a/b/`. Always begins and ends with a slash
/// and has no empty segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPath(String);

/// Why a text cannot be a mount path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path has letters, digits, percent-escapes and -._~!$&'()*+,;=:@ between its slashes")]
pub struct InvalidPath;

impl MountPath {
    /// Parses a path. Leading, final and doubled slashes do not matter.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        // RFC 3986, section 3.3. Clients percent-encode other characters, so they would never match.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c);
        if !text.chars().all(allowed) {
            return Err(InvalidPath);
        }
        let mut path = String::from("/");
        for segment in text.split('/').filter(|segment| !segment.is_empty()) {
            path.push_str(segment);
            path.push('/');
        }
        Ok(MountPath(path))
    }

    /// The path, with its final slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as people write it: without its final slash, unless it is the root.
    pub fn shown(&self) -> &str {
        match self.0.trim_end_matches('/') {
            "" => "/",
            path => path,
        }
    }
}

impl Default for MountPath {
    fn default() -> Self {
        MountPath("/".to_owned())
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_final_and_doubled_slashes_do_not_matter() {
        for (text, path) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("x", "/x/"),
            ("/x", "/x/"),
            ("/x/", "/x/"),
            ("//a///b//", "/a/b/"),
        ] {
            assert_eq!(MountPath::parse(text).map(|path| path.0), Ok(path.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_path_that_no_client_can_request_is_refused() {
        for text in ["/x?y", "/x#y", "/x y", "/x\n", "/é", "/<b>"] {
            assert_eq!(MountPath::parse(text), Err(InvalidPath), "{text:?}");
        }
    }
}
