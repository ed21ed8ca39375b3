use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use rustls_pki_types::ServerName;

use crate::redis_link::RedisAddress;

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
    /// Mail address that the ACME server may write to.
    pub email: Option<String>,
    /// URL of the ACME server's directory.
    pub directory: String,
    /// Port that answers HTTP-01 and redirects to HTTPS; `None` if there is to be none.
    pub http_port: Option<u16>,
    /// PEM file with the authorities that may certify the ACME server; `None` stands for the public ones.
    pub ca: Option<PathBuf>,
    /// Where the account and the certificate are kept.
    pub store: AcmeStore,
}

/// Where an ACME account is kept, and the certificate with its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcmeStore {
    /// In a directory of this machine.
    Directory(PathBuf),
    /// In the Redis of a cluster: one node orders, and all of them have the certificate. Only HTTP-01 works.
    Redis(RedisAddress),
}

impl AcmeConfig {
    /// A certificate of Let's Encrypt for these names, kept in this directory.
    pub fn new(names: Vec<AcmeName>, dir: PathBuf) -> Self {
        let http_port = Some(DEFAULT_ACME_HTTP_PORT);
        let (directory, store) = (LETS_ENCRYPT.to_owned(), AcmeStore::Directory(dir));
        AcmeConfig { names, email: None, directory, http_port, ca: None, store }
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

/// Why a text cannot be a name in a certificate.
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
