//! PEM files to a TLS configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{self, FileError};

/// Longest file that is read: a chain of certificates has some KB.
const MAX_BYTES: u64 = 1 << 20;

/// PEM files. One file may hold both.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// Certificate, with its chain behind it.
    pub cert: PathBuf,
}

/// Why TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {flag} {path}: {error}", path = .path.display())]
    Unreadable {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: FileError,
    },
    /// No certificate in it.
    #[error("--sslcert {} has no certificate: it must be a PEM file with 'BEGIN CERTIFICATE'", .0.display())]
    NoCertificate(PathBuf),
    /// No key in it that could be used.
    #[error("--sslkey {} has no private key: it must be a PEM file (PKCS#8, PKCS#1 or SEC1) without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("--sslkey and --sslcert cannot be used together: {0}")]
    Unusable(rustls::Error),
}

/// Reads key and certificate chain, and checks that they belong together.
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
    // Named, because with two providers in the build there would be none by default.
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Unusable)
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path, MAX_BYTES).map_err(|error| TlsError::Unreadable { flag, path: path.to_owned(), error })
}
