use std::fmt;

use super::{DEFAULT_HOST, DEFAULT_PORT, TlsFiles};

/// Where and how the server listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address or name to listen on.
    pub host: String,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// Worker threads; 0 is one for each core.
    pub workers: usize,
    /// HTTPS and WSS instead of HTTP and WS.
    pub tls: Option<TlsFiles>,
    /// The operator's API, on a port of its own.
    pub ops: Option<ListenOps>,
}

/// Where the operator's API listens, over plain HTTP.
#[derive(Clone, Debug)]
pub struct ListenOps {
    /// Address or name to listen on.
    pub host: String,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// What opens it. Without one it answers only programs of the same machine.
    pub token: Option<AdminToken>,
}

/// Lengths of an admin token: 16 random characters are 64 bits or more.
const MIN_TOKEN: usize = 16;
const MAX_TOKEN: usize = 4096;

/// What opens the operator's API. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

/// Why a text cannot be an admin token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token has {MIN_TOKEN} to {MAX_TOKEN} printable ASCII characters and no spaces: `openssl rand -hex 32` makes one"
)]
pub struct InvalidToken;

impl AdminToken {
    /// Takes what can stand in a header and is not guessed soon.
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
        Listen { host: DEFAULT_HOST.to_owned(), port: DEFAULT_PORT, workers: 0, tls: None, ops: None }
    }
}
