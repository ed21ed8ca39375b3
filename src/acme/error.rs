use std::io;
use std::path::PathBuf;

use super::store::StoreError;
use crate::redis_link::BadRedis;

/// Why there can be no certificate by ACME.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address of the Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] BadRedis),
    /// The system gives no thread.
    #[error("cannot start a thread for --acme: {0}")]
    Thread(#[from] io::Error),
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
