#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

mod ban;
mod client_options;
mod cluster;
mod ice;
pub mod key;
mod limits;
mod listen;
mod mistyped;
mod pipes;
mod proxies;
mod secret;
mod static_dir;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;
use peerbroker_media_api::LiveLimits;

use key::{Key, Origin, Settings, Webhook};
use peerbroker_core::vocabulary::ApiKey;

pub use ban::{Ban, InvalidBan};
pub use client_options::ClientOptions;
pub use cluster::{BackplaneAddress, ClusterConfig, Degraded, RedisAddress, SharedSettings};
pub use ice::{IceConfig, OwnIceServers, TurnSecret, TurnUser};
pub use limits::{AddressLimits, CrowdedRoom, Limits};
pub use listen::{
    AcmeConfig, AcmeName, AdminToken, ApiTokens, DEFAULT_ACME_HTTP_PORT, InvalidAcmeName, LETS_ENCRYPT,
    Listen, ListenOps, MAX_ACME_NAMES, TlsFiles,
};
pub use mistyped::Mistyped;
use peerbroker_core::vocabulary::Address;
pub use peerbroker_core::vocabulary::Dialect;
pub use peerbroker_events::WebhookEvent;
pub use peerbroker_media_api::{MediaLimits, PeerRule, RelayConfig, TurnConfig};
pub use pipes::PipeLimits;
pub use proxies::ProxySecret;
pub use secret::InvalidSecret;
pub use serde_path_to_error::Segment;
pub use static_dir::{BadStaticDir, PrivateFile};

/// The configuration of a broker. [`Config::default`] is that of the program without flags.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path below which the broker answers. An embedded broker uses the path of
    /// `PeerBroker::mount` instead.
    pub path: MountPath,
    /// The built-in key of PeerJS clients.
    pub key: ApiKey,
    /// True if [`key`](Self::key) is accepted, in addition to the keys of `Builder::keys`.
    pub default_key: bool,
    /// Its settings, and those of [`root_key`](Self::root_key).
    pub key_settings: Settings,
    /// More built-in keys, with settings of their own. One with the text of [`key`](Self::key) replaces its
    /// settings.
    pub keys: Vec<Key>,
    /// Registration of keys by anyone who can reach the server.
    pub registration: KeySignup,
    /// True if trusted proxies give the address of a client, and the host and scheme of its request, in
    /// headers.
    pub proxied: bool,
    /// True if trusted TCP proxies may send the PROXY protocol in front of each connection, to name its
    /// client.
    pub proxy_protocol: bool,
    /// The proxies that are trusted if [`proxied`](Self::proxied) or [`proxy_protocol`](Self::proxy_protocol)
    /// is set.
    pub trusted_proxies: Vec<IpNet>,
    /// The secret that they have to show, if others can connect from their addresses.
    pub proxy_secret: Option<ProxySecret>,
    /// Bans that no operator can end while the server runs.
    pub bans: Vec<Ban>,
    /// The origins that may read HTTP responses (CORS). Empty means any.
    pub cors: Vec<Origin>,
    /// The key of clients at the root that send no key; by default [`key`](Self::key). If it is set, users of
    /// TURN whose name is no key have its limits and rights, too.
    pub root_key: Option<ApiKey>,
    /// The protocols that the server offers.
    pub dialects: Dialects,
    /// True if the landing page and the demos are served.
    pub pages: bool,
    /// A directory whose files are served below the path. [`check`](Config::check) checks that it is
    /// readable.
    pub static_dir: Option<PathBuf>,
    /// Files and directories with secrets, which are never served.
    pub private_files: Vec<PrivateFile>,
    /// Maximum size of a WebSocket message in bytes. A larger one closes its connection with 1009.
    pub max_message_bytes: usize,
    /// Maximum bytes of messages of all connections together that are unfinished, or wait for something. A
    /// connection that needs more is closed with 1013. The first 16 KiB of each message do not count.
    pub unfinished_total_bytes: usize,
    /// Time limit for a client to answer a close frame.
    pub close_timeout: Duration,
    /// Limits per address.
    pub address_limits: AddressLimits,
    /// Limits and timeouts of the broker.
    pub limits: Limits,
    /// Limits of pipes.
    pub pipes: PipeLimits,
    /// Limits of the relay and of the TURN server.
    pub media_limits: MediaLimits,
    /// The ICE servers that clients are told.
    pub ice: IceConfig,
    /// The webhook of the operator, and limits of all webhooks.
    pub webhooks: WebhookConfig,
    /// The settings that all nodes of a cluster should share, for people: each node warns of others with
    /// other values.
    pub shared: SharedSettings,
}

/// The protocols that the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialects([bool; Dialect::ALL.len()]);

impl Dialects {
    /// True if the server offers this one.
    pub fn has(self, dialect: Dialect) -> bool {
        self.0.get(dialect as usize).is_some_and(|is_on| *is_on)
    }

    /// True if the server offers a protocol at the root.
    pub fn any_at_root(self) -> bool {
        Dialect::ALL.into_iter().any(|dialect| dialect.address() == Address::Root && self.has(dialect))
    }
}

impl FromIterator<Dialect> for Dialects {
    fn from_iter<I: IntoIterator<Item = Dialect>>(dialects: I) -> Self {
        let offered = Vec::from_iter(dialects);
        Dialects(Dialect::ALL.map(|dialect| offered.contains(&dialect)))
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Dialect::ALL.into_iter().filter(|dialect| dialect.is_on_by_default()).collect()
    }
}

/// Registration of keys through a form on the landing page, by anyone who can reach the server. By default
/// closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySignup {
    /// True if registration is open.
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

/// The webhook of the operator, and the rules for those of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Gets the events of all keys and of the server. It may have a private address.
    pub operator: Webhook,
    /// The types of the events that are sent to it.
    pub events: Vec<WebhookEvent>,
    /// True if the webhooks of keys may have private addresses, and URLs without TLS.
    pub private: bool,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        let events = WebhookEvent::ALL.into_iter().filter(WebhookEvent::is_default).collect();
        WebhookConfig { operator: Webhook::default(), events, private: false }
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

impl Config {
    /// Checks that the static directory exists and has no private file. `Server::bind` does this too; call it
    /// before `PeerBroker::mount`.
    pub fn check(&self) -> Result<(), BadStaticDir> {
        self.static_dir.as_ref().map_or(Ok(()), |path| static_dir::check(path, &self.private_files))
    }

    /// The keys of the configuration, with their settings.
    pub fn built_in_keys(&self) -> Vec<Key> {
        let mut keys =
            if self.default_key { vec![self.key.clone(), self.root_key().clone()] } else { Vec::new() };
        keys.dedup();
        keys.retain(|key| !self.keys.iter().any(|own| own.key == *key));
        let built_in = |key| Key {
            created: 0,
            built_in: true,
            ..Key::new(Some(key), "built in", self.key_settings.clone())
        };
        let own = self.keys.iter().cloned().map(|key| Key { created: 0, built_in: true, ..key });
        keys.into_iter().map(built_in).chain(own).collect()
    }

    /// True if an address is that of a trusted proxy.
    pub fn is_proxy(&self, address: &IpAddr) -> bool {
        self.proxied && self.trusts(address)
    }

    /// True if an address is that of a trusted TCP proxy, which names its clients.
    pub fn is_tcp_proxy(&self, address: &IpAddr) -> bool {
        self.proxy_protocol && self.trusts(address)
    }

    fn trusts(&self, address: &IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
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
        Config {
            path: MountPath::default(),
            // The default key of PeerJS clients.
            key: ApiKey::parse("peerjs").unwrap_or_else(|_| unreachable!("a valid key")),
            default_key: true,
            key_settings: Settings::default(),
            keys: Vec::new(),
            registration: KeySignup::default(),
            proxied: false,
            proxy_protocol: false,
            trusted_proxies: proxies::trusted_by_default(),
            proxy_secret: None,
            bans: Vec::new(),
            cors: Vec::new(),
            root_key: None,
            dialects: Dialects::default(),
            pages: true,
            static_dir: None,
            private_files: Vec::new(),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            unfinished_total_bytes: 256 << 20,
            close_timeout: Duration::from_secs(5),
            address_limits: AddressLimits::default(),
            pipes: PipeLimits::default(),
            media_limits: MediaLimits::default(),
            ice: IceConfig::default(),
            webhooks: WebhookConfig::default(),
            shared: SharedSettings::new(),
            limits: Limits::default(),
        }
    }
}

/// The path below which the broker answers: `/`, or `/a/b/`. Always begins and ends with a slash
/// and has no empty segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPath(String);

/// The error of a text that cannot be a mount path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path has letters, digits, percent-escapes and -._~!$&'()*+,;=:@ between its slashes")]
pub struct InvalidPath;

impl MountPath {
    /// Parses a path. Leading, final and doubled slashes do not matter.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        // RFC 3986, section 3.3. Clients percent-encode other characters, so they would never match.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c);
        // A URL is a mistake.
        if !text.chars().all(allowed) || text.contains("://") {
            return Err(InvalidPath);
        }
        let segments = text.split('/').filter(|segment| !segment.is_empty());
        Ok(MountPath(segments.fold("/".to_owned(), |path, segment| path + segment + "/")))
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

/// The current configuration, shared by all clones. Code reads settings from here each time, because they can
/// change while the server runs.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    config: Arc<ArcSwap<Config>>,
    /// The part of it that the media plane reads.
    media: LiveLimits,
}

impl LiveConfig {
    /// The current configuration. Do not hold it across an await.
    #[inline]
    pub fn load(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// The current configuration, as an `Arc` that may be kept.
    pub fn load_full(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Replaces the configuration by the result of `update`. The next read sees it. Concurrent changes are
    /// not lost: `update` may be called again with a newer configuration.
    pub fn update(&self, mut update: impl FnMut(&Config) -> Config) {
        self.config.rcu(|config| update(config));
        // The last one that stores limits has seen the last configuration.
        loop {
            let config = self.load_full();
            self.media.store(Arc::new(config.media_limits));
            if Arc::ptr_eq(&config, &self.load()) {
                break;
            }
        }
    }

    /// The limits of the media plane in it.
    pub fn media_limits(&self) -> &LiveLimits {
        &self.media
    }
}

impl From<Config> for LiveConfig {
    fn from(config: Config) -> Self {
        let media = Arc::new(ArcSwap::from_pointee(config.media_limits));
        LiveConfig { config: Arc::new(ArcSwap::from_pointee(config)), media }
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

    #[test]
    fn an_update_that_another_one_overtakes_loses_neither() {
        let live = LiveConfig::from(Config::default());
        let overtaking = live.clone();
        let mut calls = 0;
        live.update(|config| {
            calls += 1;
            if calls == 1 {
                overtaking.update(|config| Config { default_key: false, ..config.clone() });
            }
            let key_settings = Settings { allow_discovery: true.into(), ..Settings::default() };
            Config { key_settings, ..config.clone() }
        });
        let config = live.load();
        assert_eq!((config.default_key, config.key_settings.allow_discovery, calls), (false, true.into(), 2));
    }
}
