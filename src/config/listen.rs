use std::fmt;
use std::time::Duration;

use super::{AcmeConfig, DEFAULT_HOST, DEFAULT_PORT, TlsFiles};

/// Where and how the server listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address or name to listen on.
    pub host: String,
    /// TCP port; 0 selects a free one.
    pub port: u16,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Certificate and key; if set, the server uses HTTPS and WSS instead of HTTP and WS.
    pub tls: Option<TlsFiles>,
    /// A certificate that the server gets by itself; used if there are no files.
    pub acme: Option<AcmeConfig>,
    /// The operator's API, on its own port.
    pub ops: Option<ListenOps>,
    /// Let another server of the same user bind the TCP ports too (`SO_REUSEPORT`), so that the next one can start before this one ends.
    /// Linux only.
    pub reuse_port: bool,
    /// Over how long clients are closed when the server stops; zero means all at once. `None` depends on who can take them:
    /// nobody, at once; another node of a cluster, or another server at the same port, 10 s; the next server of an
    /// [inherited](crate::InheritedSockets) socket, 1 s.
    pub drain_timeout: Option<Duration>,
}

impl Listen {
    /// Whether clients use HTTPS and WSS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some() || self.acme.is_some()
    }
}

/// Where the operator's API listens, over plain HTTP.
#[derive(Clone, Debug)]
pub struct ListenOps {
    /// Address or name to listen on.
    pub host: String,
    /// TCP port; 0 selects a free one.
    pub port: u16,
    /// Bearer token for the API. Without it, only local programs may use the API.
    pub token: Option<AdminToken>,
}

/// Minimum and maximum length of an admin token. 16 random characters have at least 64 bits of entropy.
const MIN_TOKEN: usize = 16;
const MAX_TOKEN: usize = 4096;

/// Bearer token for the operator's API. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

/// Why a text cannot be an admin token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token has {MIN_TOKEN} to {MAX_TOKEN} printable ASCII characters and no spaces: `openssl rand -hex 32` makes one"
)]
pub struct InvalidToken;

impl AdminToken {
    /// Accepts texts that fit into a header and are long enough not to be guessed.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let fine =
            (MIN_TOKEN..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fine.then(|| AdminToken(text.to_owned())).ok_or(InvalidToken)
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            host: DEFAULT_HOST.to_owned(),
            port: DEFAULT_PORT,
            workers: 0,
            tls: None,
            acme: None,
            ops: None,
            reuse_port: false,
            drain_timeout: None,
        }
    }
}
