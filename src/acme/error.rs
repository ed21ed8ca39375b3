use std::path::PathBuf;

use super::store::StoreError;

/// Why there can be no certificate by ACME.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of authorities cannot be used.
    #[error("cannot use --acme_ca {path}: {why}", path = .path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library refuses what it is given.
    #[error("cannot set up TLS for --acme: {0}")]
    Tls(rustls::Error),
    /// No certificate can be made for the names.
    #[error("cannot make a certificate for the names of --acme: {0}")]
    Provisional(String),
}
