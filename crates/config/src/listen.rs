//! Settings of the server itself: ports, TLS, the API and its token.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustls_pki_types::ServerName;

use super::secret::{Hidden, InvalidSecret, STRONG};
use super::{DEFAULT_HOST, DEFAULT_OPS_HOST, DEFAULT_PORT};

/// The addresses and protocols of the server.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address or name to listen on.
    pub host: String,
    /// TCP port; 0 selects a free one.
    pub port: u16,
    /// A Unix socket at which clients are served too, as behind a reverse proxy of the same machine.
    pub unix_socket: Option<PathBuf>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Connections that wait to be accepted, at each port. The kernel has a limit of its own, on Linux
    /// `net.core.somaxconn`.
    pub backlog: u16,
    /// Certificate and key; if set, the server uses HTTPS and WSS instead of HTTP and WS.
    pub tls: Option<TlsFiles>,
    /// A certificate that the server orders; used if there are no files.
    pub acme: Option<AcmeConfig>,
    /// The operator's API, on its own port.
    pub ops: Option<ListenOps>,
    /// The URL of this server, with its path and a slash at the end, for the other nodes of its cluster:
    /// pipes with ends on two nodes need it. `None` is the bound address, or that of the interface that leads
    /// out.
    pub node_url: Option<String>,
    /// Let another server of the same user bind the TCP ports too (`SO_REUSEPORT`), so that the next one can
    /// start before this one ends. Linux only.
    pub reuse_port: bool,
    /// Time over which clients are closed when the server stops; zero means all at once. `None` depends on
    /// the servers that can take them: none, at once; another node of a cluster, or another server at the
    /// same port, 10 s; the next server of an inherited socket, 1 s.
    pub drain_timeout: Option<Duration>,
    /// Time for which calls through the relay and TURN may go on when the server stops; zero ends them at
    /// once. `None` is 10 min with [`reuse_port`](Self::reuse_port), and zero without.
    pub relay_drain_timeout: Option<Duration>,
}

/// Time for which relayed calls may go on while the next server has the ports.
const DEFAULT_RELAY_DRAIN: Duration = Duration::from_secs(600);

impl Listen {
    /// True if clients use HTTPS and WSS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some() || self.acme.is_some()
    }

    /// Time for which relayed calls may go on when the server stops. Without `reuse_port`, the next server
    /// often starts only when this one has ended, so calls would keep all clients waiting.
    pub fn relay_drain(&self) -> Duration {
        let default = if self.reuse_port { DEFAULT_RELAY_DRAIN } else { Duration::ZERO };
        self.relay_drain_timeout.unwrap_or(default)
    }
}

/// PEM files. One file may hold both.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// Certificate, followed by its chain.
    pub cert: PathBuf,
}

impl TlsFiles {
    /// True if the files can be read more than once: pipes cannot.
    pub fn are_regular(&self) -> bool {
        self.key.is_file() && self.cert.is_file()
    }
}

/// The address of the operator's API.
#[derive(Clone, Debug)]
pub struct ListenOps {
    /// Address or name to listen on.
    pub host: String,
    /// TCP port; 0 selects a free one.
    pub port: u16,
    /// Bearer tokens for the API.
    pub tokens: ApiTokens,
    /// True for HTTPS, with the certificate of clients; without one it is plain HTTP.
    pub tls: bool,
}

impl Default for ListenOps {
    fn default() -> Self {
        ListenOps { host: DEFAULT_OPS_HOST.to_owned(), port: 0, tokens: ApiTokens::default(), tls: false }
    }
}

/// The bearer tokens of the operator's API. Without an admin token, local programs may do all without a
/// token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiTokens {
    /// Allows everything.
    pub admin: Option<AdminToken>,
    /// Allows requests that change nothing.
    pub read: Option<AdminToken>,
    /// Allows `GET /metrics`.
    pub metrics: Option<AdminToken>,
}

impl ApiTokens {
    /// True if browsers log in: with the admin token, or with the read token.
    pub fn has_login(&self) -> bool {
        self.admin.is_some() || self.read.is_some()
    }

    /// True if callers elsewhere can use the API, or a part of it.
    pub fn is_some(&self) -> bool {
        *self != ApiTokens::default()
    }
}

/// Bearer token for the operator's API. Never shown, not even by `Debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken(Hidden<String>);

impl AdminToken {
    /// Accepts texts that fit into a header and are long enough not to be guessed.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        Hidden::parse(text, "token", STRONG).map(AdminToken)
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

/// The default of Linux's own limit, `net.core.somaxconn`.
const DEFAULT_BACKLOG: u16 = 4096;

impl Default for Listen {
    fn default() -> Self {
        Listen {
            host: DEFAULT_HOST.to_owned(),
            port: DEFAULT_PORT,
            unix_socket: None,
            workers: 0,
            backlog: DEFAULT_BACKLOG,
            tls: None,
            acme: None,
            ops: None,
            node_url: None,
            reuse_port: false,
            drain_timeout: None,
            relay_drain_timeout: None,
        }
    }
}

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Default port of the listener that answers HTTP-01: ACME servers come to no other (RFC 8555, section 8.3).
pub const DEFAULT_ACME_HTTP_PORT: u16 = 80;

/// Most names in one certificate: the limit of Let's Encrypt.
pub const MAX_ACME_NAMES: usize = 100;

/// A certificate that the server orders and renews by itself (ACME, RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// Names in the certificate, at most [`MAX_ACME_NAMES`].
    pub names: Vec<AcmeName>,
    /// URL of the ACME server's directory.
    pub directory: String,
    /// Port that answers HTTP-01 and redirects to HTTPS; `None` if there is to be none.
    pub http_port: Option<u16>,
    /// PEM file with the authorities that may certify the ACME server; `None` stands for the public ones.
    pub ca: Option<PathBuf>,
    /// The directory of the account and the certificate, with its private key.
    pub dir: PathBuf,
}

impl AcmeConfig {
    /// A certificate of Let's Encrypt for these names, kept in this directory.
    pub fn new(names: Vec<AcmeName>, dir: PathBuf) -> Self {
        let http_port = Some(DEFAULT_ACME_HTTP_PORT);
        AcmeConfig { names, directory: LETS_ENCRYPT.to_owned(), http_port, ca: None, dir }
    }
}

/// For no name yet.
impl Default for AcmeConfig {
    fn default() -> Self {
        AcmeConfig::new(Vec::new(), PathBuf::new())
    }
}

/// A host name or an IP address that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AcmeName {
    /// A host name in lower case.
    Host(String),
    /// An IP address.
    Ip(IpAddr),
}

/// The error of a text that cannot be a name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAcmeName {
    /// A wildcard.
    #[error("a wildcard needs DNS-01, which this server does not speak: name each host")]
    Wildcard,
    /// Neither a host name nor an address.
    #[error("expected a host name or an IP address, as in example.org or 198.51.100.7")]
    NoName,
}

impl AcmeName {
    /// Reads a host name or an IP address. Brackets around an IPv6 address are allowed.
    pub fn parse(text: &str) -> Result<Self, InvalidAcmeName> {
        if text.starts_with('*') {
            return Err(InvalidAcmeName::Wildcard);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(AcmeName::Ip(ip));
        }
        match ServerName::try_from(text) {
            Ok(ServerName::DnsName(name)) if !text.ends_with('.') => {
                Ok(AcmeName::Host(name.as_ref().to_ascii_lowercase()))
            }
            _ => Err(InvalidAcmeName::NoName),
        }
    }

    /// The name as in a URL: an IPv6 address has brackets.
    pub fn in_url(&self) -> String {
        match self {
            AcmeName::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
            name => name.to_string(),
        }
    }
}

impl fmt::Display for AcmeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcmeName::Host(name) => f.write_str(name),
            AcmeName::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_or_addresses() {
        for (text, name) in [
            ("Example.ORG", "example.org"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("198.51.100.7", "198.51.100.7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
        ] {
            assert_eq!(AcmeName::parse(text).map(|name| name.to_string()), Ok(name.to_owned()), "{text}");
        }
        assert_eq!(AcmeName::parse("*.example.org"), Err(InvalidAcmeName::Wildcard));
        for text in
            ["", "a b", "https://example.org", "example.org:443", "bücher.example", "[::1", "example.org."]
        {
            assert_eq!(AcmeName::parse(text), Err(InvalidAcmeName::NoName), "{text}");
        }
    }
}
