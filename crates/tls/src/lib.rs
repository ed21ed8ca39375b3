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

#[cfg(feature = "acme")]
pub mod acme;
mod certificates;
mod handshakes;
pub mod outbound;
mod watch;

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use peerbroker_config::TlsFiles;
use peerbroker_core::clock::Clock;
use peerbroker_events::Events;
use peerbroker_system::files::{self, FileError};
use peerbroker_system::lan;

pub use certificates::{ACME_ALPN, Certificates, Validity};
pub use handshakes::Handshake;
pub use watch::{reread, watch};

/// Most bytes of a file. A chain of certificates has a few KB.
const MAX_BYTES: u64 = 1 << 20;

/// The reason why TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {flag} {path}: {error}", path = .path.display())]
    Unreadable {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: FileError,
    },
    /// The file has no certificate.
    #[error("--sslcert {} has no certificate: it must be a PEM file with 'BEGIN CERTIFICATE'", .0.display())]
    NoCertificate(PathBuf),
    /// The file has a private key in place of a certificate.
    #[error("--sslcert {} has a private key and no certificate: are --sslkey and --sslcert swapped?", .0.display())]
    Swapped(PathBuf),
    /// The certificate is older than TLS libraries read.
    #[error(
        "--sslcert {} is an X.509 certificate of version 1, and TLS needs version 3: make one with \
         'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -keyout key.pem -out cert.pem \
         -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1'", .0.display()
    )]
    Version1(PathBuf),
    /// The certificate cannot be read.
    #[error("--sslcert {} begins with a certificate that cannot be read ({}): make or copy it again", .0.display(), .1)]
    Malformed(PathBuf, webpki::Error),
    /// The file has no usable private key.
    #[error("--sslkey {} has no private key: it must be a PEM file (PKCS#8, PKCS#1 or SEC1) without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// The key is that of another certificate.
    #[error(
        "--sslkey {} is not the key of the first certificate in --sslcert {}: give the two files of one pair, with the \
         server's certificate before its chain", .0.key.display(), .0.cert.display()
    )]
    Mismatch(TlsFiles),
    /// The kind of the key or of the certificate is not supported.
    #[error(
        "--sslkey and --sslcert cannot be used: {0}. An EC (P-256) or an RSA key of 2048 bits or more works"
    )]
    Unusable(rustls::Error),
}

/// A source of the certificates of a port.
pub struct CertificateSource {
    /// The certificates that the port shows.
    pub certificates: Arc<Certificates>,
    /// The place of the certificate, if there is one already.
    pub path: Option<String>,
    /// Renews them.
    pub renew: Renew,
}

/// Keeps the certificate fresh until the drop of the returned value.
type Renew = Box<dyn FnOnce(RenewalContext) -> io::Result<Box<dyn Any>> + Send>;

/// The parts of the running server that a source needs.
pub struct RenewalContext {
    /// Where a renewal, or its failure, is told.
    pub events: Events,
    /// The time of the next look.
    pub clock: Clock,
    /// The bound port.
    pub port: u16,
}

/// Reads the key and the certificate chain, and checks that they match.
pub fn load(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(files)?;
    let key = read("--sslkey", &files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    certified_key(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch(files.clone()),
        error => TlsError::Unusable(error),
    })
}

/// A chain with its key, if the key is that of the first certificate.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &ring::default_provider())
}

/// A server that shows these certificates.
pub fn server_config(certificates: Arc<Certificates>) -> Result<ServerConfig, TlsError> {
    // Names ring, because rustls has no default provider if the build has two.
    let mut provider = ring::default_provider();
    // Many libraries ask for SHA-384 first. It takes a quarter of the work of a resumed handshake, and
    // protects nobody better.
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite().as_str().is_some_and(|name| name.ends_with("SHA384")));
    let builder = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.ignore_client_order = true;
    // Clients keep their sessions, so that all of them can come back at once: rustls's own store has room for
    // 256.
    config.ticketer = ring::Ticketer::new().map_err(TlsError::Unusable)?;
    // Each takes work. A client that comes back needs one, and gets the next one then.
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The certificate, which can be read, and its chain.
fn read_chain(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = || files.cert.clone();
    let pem = read("--sslcert", &files.cert)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, pem::Error>>()
        .map_err(|_| TlsError::NoCertificate(path()))?;
    match chain.first().map(EndEntityCert::try_from) {
        Some(Ok(_)) => Ok(chain),
        Some(Err(webpki::Error::UnsupportedCertVersion)) => Err(TlsError::Version1(path())),
        Some(Err(error)) => Err(TlsError::Malformed(path(), error)),
        None if PrivateKeyDer::from_pem_slice(&pem).is_ok() => Err(TlsError::Swapped(path())),
        None => Err(TlsError::NoCertificate(path())),
    }
}

/// The reasons why clients will refuse the certificate, which is shown, of a machine with these names.
pub fn warnings(certificates: &Certificates, names: &[String]) -> impl Iterator<Item = String> + use<> {
    let shown = certificates.current.load();
    let warnings = shown.cert.first().map(|first| [wrong_dates(first), wrong_names(first, names)]);
    warnings.into_iter().flatten().flatten()
}

fn wrong_dates(certificate: &CertificateDer<'_>) -> Option<String> {
    let Validity { from, to } = Validity::of(certificate)?;
    let now = UnixTime::now().as_secs();
    if to < now {
        return Some(format!("has expired on {}: clients refuse it. Renew it", date(to)));
    }
    (now < from).then(|| {
        format!(
            "is not valid before {}: clients refuse it. Check the date of this machine, or make it again",
            date(from)
        )
    })
}

/// The hosts that the certificate covers, of those that a caller may show to clients.
#[derive(Clone, Debug, Default)]
pub struct CertifiedHosts {
    /// The given hosts that the certificate covers.
    pub covered: Vec<String>,
    /// Its first host; `None` if it names none.
    pub first: Option<String>,
}

/// The hosts that the certificate in these files covers. `None` if it cannot be read.
pub fn certified_hosts(files: &TlsFiles, hosts: &[String]) -> Option<CertifiedHosts> {
    let chain = read_chain(files).ok()?;
    let certificate = EndEntityCert::try_from(chain.first()?).ok()?;
    let is_covered = |host: &&String| covers(&certificate, host);
    let is_host = |name: &String| !name.starts_with('*');
    Some(CertifiedHosts {
        covered: hosts.iter().filter(is_covered).cloned().collect(),
        first: names_of(&certificate).into_iter().find(is_host),
    })
}

/// True if a certificate is for a host.
pub fn covers(certificate: &EndEntityCert<'_>, host: &str) -> bool {
    ServerName::try_from(host).is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}

/// The names that a certificate is for.
fn names_of(certificate: &EndEntityCert<'_>) -> Vec<String> {
    // No certificate has this name (RFC 6761), so the error tells the names that it has.
    let no_name = ServerName::try_from("peerbroker.invalid");
    let error = no_name.ok().and_then(|name| certificate.verify_is_valid_for_subject_name(&name).err());
    let Some(webpki::Error::CertNotValidForName(context)) = error else { return Vec::new() };
    // webpki writes `DnsName("example.org")` and `IpAddress(192.0.2.1)`.
    let names = context.presented.iter().filter_map(|name| name.split_once('('));
    names.map(|(_, name)| name.trim_matches(['"', ')']).to_owned()).collect()
}

fn wrong_names(certificate: &CertificateDer<'_>, names: &[String]) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    if names.iter().any(|name| covers(&certificate, name)) {
        return None;
    }
    let of_certificate = names_of(&certificate);
    let Some(first) = of_certificate.first() else {
        return Some(
            "has no subjectAltName: browsers refuse it. Make it again with '-addext subjectAltName=DNS:NAME' of openssl"
                .to_owned(),
        );
    };
    let is_own = of_certificate.iter().any(|name| name.parse().is_ok_and(lan::is_own));
    (!is_own).then(|| {
        format!(
            "is for {} and for no name of this machine ({}): clients that use another host than '{first}' refuse it",
            of_certificate.join(", "),
            names.join(", ")
        )
    })
}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// For clients that take the provider of the process, which panic if the build has two and none is named.
pub fn install_default_provider() {
    // An error says that the embedding program has named one.
    let _ = ring::default_provider().install_default();
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path, MAX_BYTES).map_err(|error| TlsError::Unreadable { flag, path: path.to_owned(), error })
}
