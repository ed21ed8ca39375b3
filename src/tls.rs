//! Reads PEM files into a TLS configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{self, FileError};

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
    /// The file has no usable private key.
    #[error("--sslkey {} has no private key: it must be a PEM file (PKCS#8, PKCS#1 or SEC1) without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// Key and certificate do not match, or their kind is not supported.
    #[error("--sslkey and --sslcert cannot be used together: {0}")]
    Unusable(rustls::Error),
}

/// Reads the key and the certificate chain, and checks that they match.
pub(crate) fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let certs = read("--sslcert", &files.cert)?;
    let key = read("--sslkey", &files.key)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certs)
        .collect::<Result<_, pem::Error>>()
        .map_err(|_| TlsError::NoCertificate(files.cert.clone()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(files.cert.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    // Names ring, because rustls has no default provider if the build has two.
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Unusable)
}

/// For clients that take the provider of the process, which panic if the build has two and none is named.
pub(crate) fn install_default_provider() {
    // An error says that the embedding program has named one.
    let _ = ring::default_provider().install_default();
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path, MAX_BYTES).map_err(|error| TlsError::Unreadable { flag, path: path.to_owned(), error })
}
