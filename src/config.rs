//! What can be set, and every default.

mod limits;
mod listen;
mod live;

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::keys::{Key, Settings};
use crate::wire::ApiKey;

pub use crate::tls::TlsFiles;
pub use limits::{AddressLimits, Limits};
pub use listen::{AdminToken, InvalidToken, Listen, ListenOps};
pub use live::LiveConfig;

/// How a broker behaves. [`Config::default`] is what the binary does without a flag.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything hangs. For an embedded broker the path of
    /// [`mount`](crate::PeerBroker::mount) counts instead.
    pub path: MountPath,
    /// The key that clients must name on the WebSocket.
    pub key: ApiKey,
    /// Whether [`key`](Self::key) is there at all, besides those of [`Builder::keys`](crate::Builder::keys).
    pub default_key: bool,
    /// Whether strangers may register keys.
    pub registration: KeySignup,
    /// Whether `GET {path}{key}/peers` lists the ids of all peers.
    pub allow_discovery: bool,
    /// Whether proxies in front say what the address of a client is, and under what host and scheme it sees this
    /// server.
    pub proxied: bool,
    /// The proxies that are believed about clients, with [`proxied`](Self::proxied).
    pub trusted_proxies: Vec<IpNet>,
    /// The origins that may read HTTP answers; empty, or `*` among them, means every one.
    pub cors: Vec<String>,
    /// The key of clients at the root that name none; by default [`key`](Self::key).
    pub root_key: Option<ApiKey>,
    /// What clients may speak.
    pub dialects: Dialects,
    /// Whether the landing page and the demos are served.
    pub pages: bool,
    /// A directory whose files are served below the path; [`check`](Config::check) tells whether it can
    /// be.
    pub static_dir: Option<PathBuf>,
    /// Largest WebSocket message in bytes; a larger one closes its socket with 1009.
    pub max_message_bytes: usize,
    /// Most bytes of unfinished messages of all connections together; a connection that needs more is closed
    /// with 1013. The first 16 KiB of each connection do not count.
    pub unfinished_total_bytes: usize,
    /// How long a client may take to answer a close frame.
    pub close_timeout: Duration,
    /// Messages that one client of the built-in key may send a second, for long; ten times as many at
    /// once. 0 is any number.
    pub messages_per_second: u32,
    /// Bounds of one address.
    pub address_limits: AddressLimits,
    /// Bounds and times of the broker.
    pub limits: Limits,
}

/// The dialects that are spoken; by default all.
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
    /// Whether anything is spoken at the root.
    pub fn any_at_root(self) -> bool {
        self.rooms || self.calls
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Dialects { peerjs: true, rooms: true, calls: true }
    }
}

/// Whether people may register keys for their apps by themselves, through a form on the landing page; by
/// default not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySignup {
    /// Whether they may at all.
    pub open: bool,
    /// Most keys that one address registers within 24 hours; 0 is any number.
    pub per_day: u32,
    /// Most keys that are registered at a time; 0 is any number.
    pub limit: usize,
    /// Days without a client after which such a key is removed, also when `open` is off by then; 0 is never.
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
/// The default of `--max_message_bytes`. An offer with all its candidates has some 10 KB.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Why the files of [`Config::static_dir`] cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve --static_dir {path}: {error}", path = .path.display())]
pub struct BadStaticDir {
    /// What was to be the directory.
    pub path: PathBuf,
    /// What the system says.
    pub error: io::Error,
}

impl Config {
    /// Looks whether the directory of files is there. [`Server::bind`](crate::Server::bind) does it by
    /// itself; who mounts the broker in an app may ask beforehand.
    pub fn check(&self) -> Result<(), BadStaticDir> {
        let Some(path) = &self.static_dir else {
            return Ok(());
        };
        // The dot is found only in a directory, and only by those who may enter it.
        let entered = path.canonicalize().and_then(|root| fs::metadata(root.join(".")));
        entered.map(drop).map_err(|error| BadStaticDir { path: path.clone(), error })
    }

    /// The keys that the flags name, with what they may do.
    pub fn built_in_keys(&self) -> Vec<Key> {
        let settings = Settings {
            allow_discovery: self.allow_discovery,
            concurrent_limit: self.limits.concurrent_limit,
            messages_per_second: self.messages_per_second,
            ..Settings::default()
        };
        let mut keys =
            if self.default_key { vec![self.key.clone(), self.root_key().clone()] } else { Vec::new() };
        keys.dedup();
        let built_in =
            |key| Key { created: 0, built_in: true, ..Key::new(Some(key), "built in", settings.clone()) };
        keys.into_iter().map(built_in).collect()
    }

    /// Whether the flags name a key.
    pub fn is_built_in(&self, key: &ApiKey) -> bool {
        self.default_key && (*key == self.key || key == self.root_key())
    }

    /// Whether an address is that of a proxy that is believed.
    pub(crate) fn is_proxy(&self, address: &IpAddr) -> bool {
        self.proxied && self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// The key that people are told: the built-in one, or a stand-in for one of theirs.
    pub fn shown_key(&self) -> ApiKey {
        let stand_in = if self.default_key { None } else { ApiKey::parse("YOUR-KEY").ok() };
        stand_in.unwrap_or_else(|| self.key.clone())
    }

    /// The key of clients at the root that name none.
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
            // What PeerJS clients send if their app names no key.
            key: ApiKey::parse("peerjs").unwrap_or_else(|_| unreachable!("a valid key")),
            default_key: true,
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
            address_limits: AddressLimits::default(),
            limits: Limits::default(),
        }
    }
}

/// Loopback and private networks: where a proxy of one's own is.
const TRUSTED_PROXIES: [&str; 7] =
    ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"];

fn default_trusted_proxies() -> Vec<IpNet> {
    TRUSTED_PROXIES.iter().filter_map(|network| network.parse().ok()).collect()
}

/// The path below which everything hangs: `/`, or `/a/b/`. Always begins and ends with a slash
/// and has no empty segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPath(String);

/// Why a text cannot be a mount path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path has letters, digits, percent-escapes and -._~!$&'()*+,;=:@ between its slashes")]
pub struct InvalidPath;

impl MountPath {
    /// Takes any spelling: leading, final and doubled slashes do not matter.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        // RFC 3986, section 3.3; anything else a client sends percent-encoded, and would not match.
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
    fn slashes_around_and_within_a_path_do_not_matter() {
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
    fn a_path_that_no_client_could_ask_for_is_refused() {
        for text in ["/x?y", "/x#y", "/x y", "/x\n", "/é", "/<b>"] {
            assert_eq!(MountPath::parse(text), Err(InvalidPath), "{text:?}");
        }
    }
}
