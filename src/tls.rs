//! Certificates of the TLS port: reads them from PEM files, and swaps them while the port is open.

mod certificates;
mod handshakes;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

use crate::files::{self, FileError};
use crate::lan;

pub(crate) use certificates::{ACME_ALPN, Certificates, Validity};
pub(crate) use handshakes::Handshake;
pub(crate) use watch::{Watch, reread, watch};

/// Most bytes of a file. A chain of certificates has a few KB.
const MAX_BYTES: u64 = 1 << 20;

/// PEM files. One file may hold both.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// Certificate, followed by its chain.
    pub cert: PathBuf,
}

impl TlsFiles {
    /// Whether the files can be read more than once: pipes cannot.
    pub fn are_regular(&self) -> bool {
        let is_regular = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        is_regular(&self.key) && is_regular(&self.cert)
    }
}

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

/// Reads the key and the certificate chain, and checks that they match.
pub(crate) fn load(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(files)?;
    let key = read("--sslkey", &files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    certified_key(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch(files.clone()),
        error => TlsError::Unusable(error),
    })
}

/// A chain with its key, if the key is that of the first certificate.
pub(crate) fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &ring::default_provider())
}

/// A server that shows these certificates.
pub(crate) fn server_config(certificates: Arc<Certificates>) -> Result<ServerConfig, TlsError> {
    // Names ring, because rustls has no default provider if the build has two.
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    Ok(builder.with_no_client_auth().with_cert_resolver(certificates))
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

/// Why clients will refuse the certificate of a machine with these names.
pub(crate) fn warnings(files: &TlsFiles, names: &[String]) -> Result<Vec<String>, TlsError> {
    let chain = read_chain(files)?;
    let Some(Ok(certificate)) = chain.first().map(EndEntityCert::try_from) else { return Ok(Vec::new()) };
    let warnings = [wrong_dates(&certificate), wrong_names(&certificate, names)];
    let of_file = |warning: String| format!("--sslcert {} {warning}", files.cert.display());
    Ok(warnings.into_iter().flatten().map(of_file).collect())
}

fn wrong_dates(certificate: &EndEntityCert<'_>) -> Option<String> {
    let (now, usage) = (UnixTime::now(), KeyUsage::server_auth());
    // The dates are checked first. Other errors do not matter: nobody has to trust the certificate here.
    match certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &[], &[], now, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            Some(format!("has expired on {}: clients refuse it. Renew it", date(not_after)))
        }
        Err(webpki::Error::CertNotValidYet { not_before, .. }) => Some(format!(
            "is not valid before {}: clients refuse it. Check the date of this machine, or make it again",
            date(not_before)
        )),
        _ => None,
    }
}

fn wrong_names(certificate: &EndEntityCert<'_>, names: &[String]) -> Option<String> {
    let mut presented = Vec::new();
    for name in names {
        let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
        match certificate.verify_is_valid_for_subject_name(&name) {
            Ok(()) => return None,
            Err(webpki::Error::CertNotValidForName(context)) => presented = context.presented,
            Err(_) => {}
        }
    }
    // webpki writes `DnsName("example.org")` and `IpAddress(192.0.2.1)`.
    let of_certificate: Vec<&str> = presented
        .iter()
        .filter_map(|name| name.split_once('(').map(|(_, name)| name.trim_matches(['"', ')'])))
        .collect();
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

fn date(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// For clients that take the provider of the process, which panic if the build has two and none is named.
pub(crate) fn install_default_provider() {
    // An error says that the embedding program has named one.
    let _ = ring::default_provider().install_default();
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path, MAX_BYTES).map_err(|error| TlsError::Unreadable { flag, path: path.to_owned(), error })
}
