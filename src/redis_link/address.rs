//! Where Redis is, and which certificates count on the way there.

use std::fmt;
use std::path::{Path, PathBuf};

use redis::{ClientTlsConfig, TlsCertificates};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{self, FileError};
use crate::tls;

/// Most bytes of a file. A chain of certificates has a few KB.
const MAX_BYTES: u64 = 1 << 20;

const CA: &str = "--redis_ca";
const CERT: &str = "--redis_cert";
const KEY: &str = "--redis_key";

/// Where Redis or Valkey is. A text is a URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisAddress {
    /// One of
    ///
    /// - `redis://[[user]:password@]host[:port][/database]`, with TLS `rediss://…`,
    /// - `unix:///path[?db=…&user=…&pass=…]`,
    /// - `redis-cluster://[[user]:password@]host[:port],host[:port]…`: any nodes of a Redis Cluster,
    /// - `redis-sentinel://[[user]:password@]host[:port],host[:port]…[/database]#master`: all Sentinels, and the name under
    ///   which they know the master. User, password and database are the master's; Sentinels are asked without a password.
    ///
    /// `rediss-cluster`, `rediss-sentinel`, `valkey…` for `redis…`, and `+` for `-` do as well. Special characters in a password are
    /// percent-encoded.
    pub url: String,
    /// PEM file of the certificate authorities that sign for the server, instead of the public ones. Files are read
    /// whenever a connection is made, so a certificate can be renewed while the program runs.
    pub ca: Option<PathBuf>,
    /// The client's certificate with its chain, and its private key: PEM files.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A URL that leads to no Redis.
#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    /// It is none, or has parts that it may not have.
    #[error(
        "{0}: expected redis://[[user]:password@]host[:port][/database], rediss:// for TLS, unix:///path, \
         redis-cluster://host,host or redis-sentinel://host,host#master"
    )]
    Malformed(String),
    /// A Sentinel watches many masters, and the URL does not say which.
    #[error("the URL of a Sentinel ends with the name of its master, as in redis-sentinel://host#mymaster")]
    NoMaster,
}

/// Why an address leads to no Redis.
#[derive(Debug, thiserror::Error)]
pub enum BadRedis {
    /// The URL.
    #[error("invalid value for '--redis <URL>': {0}")]
    Url(#[from] BadUrl),
    /// Certificates without TLS.
    #[error("{CA}, {CERT} and {KEY} are for TLS: give --redis a URL that begins with rediss")]
    NoTls,
    /// A file cannot be read.
    #[error("cannot read {flag} {path}: {error}", path = .path.display())]
    Unreadable {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: FileError,
    },
    /// A file has no certificate.
    #[error("{flag} {path} has no certificate: it must be a PEM file with 'BEGIN CERTIFICATE'", path = .path.display())]
    NoCertificate {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key.
    #[error("{KEY} {} has no private key: it must be a PEM file (PKCS#8, PKCS#1 or SEC1) without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// The key is that of another certificate, or of a kind that is not supported.
    #[error("{CERT} {cert} and {KEY} {key} cannot be used together: {error}", cert = .cert.display(), key = .key.display())]
    NoPair {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why not.
        error: String,
    },
    /// The library refuses the certificates.
    #[error("{CA} {}: a certificate in it is no authority that can be used", .0.display())]
    Unusable(PathBuf),
}

impl RedisAddress {
    /// The files; `None` if there are none.
    pub(super) fn certificates(&self) -> Result<Option<TlsCertificates>, BadRedis> {
        let root_cert = self.ca.as_deref().map(read_ca).transpose()?;
        let client_tls = self.client.as_ref().map(|(cert, key)| read_pair(cert, key)).transpose()?;
        let any = root_cert.is_some() || client_tls.is_some();
        Ok(any.then_some(TlsCertificates { client_tls, root_cert }))
    }
}

impl From<&str> for RedisAddress {
    fn from(url: &str) -> Self {
        RedisAddress { url: url.to_owned(), ..RedisAddress::default() }
    }
}

impl From<&String> for RedisAddress {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}

/// Without the URL: it may hold a password.
impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedisAddress { url: _, ca, client } = self;
        f.debug_struct("RedisAddress").field("ca", ca).field("client", client).finish_non_exhaustive()
    }
}

fn read_ca(path: &Path) -> Result<Vec<u8>, BadRedis> {
    let pem = read(CA, path)?;
    chain(CA, path, &pem)?;
    Ok(pem)
}

fn read_pair(cert: &Path, key: &Path) -> Result<ClientTlsConfig, BadRedis> {
    let (client_cert, client_key) = (read(CERT, cert)?, read(KEY, key)?);
    let chain = chain(CERT, cert, &client_cert)?;
    let private = PrivateKeyDer::from_pem_slice(&client_key).map_err(|_| BadRedis::NoKey(key.to_owned()))?;
    // Otherwise the first connection would fail, and each later one.
    tls::certified_key(chain, private).map_err(|error| BadRedis::NoPair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        error: error.to_string(),
    })?;
    Ok(ClientTlsConfig { client_cert, client_key })
}

fn chain(flag: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadRedis> {
    let chain: Option<Vec<_>> = CertificateDer::pem_slice_iter(pem).map(Result::ok).collect();
    let none = || BadRedis::NoCertificate { flag, path: path.to_owned() };
    chain.filter(|chain| !chain.is_empty()).ok_or_else(none)
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, BadRedis> {
    // Never a pipe: it could be read once only.
    files::read_regular(path, MAX_BYTES).map_err(|error| BadRedis::Unreadable {
        flag,
        path: path.to_owned(),
        error,
    })
}
