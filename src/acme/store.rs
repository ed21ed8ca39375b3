//! Where the account and the certificate are kept.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};

use crate::files::FileError;

/// What a store does, which may take a while. Every wait has a bound.
pub(super) type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory.
    #[error("cannot {what} {path}: {error}. The server keeps its ACME account and certificate there", path = .path.display())]
    Directory {
        /// What cannot be done.
        what: &'static str,
        /// The file or the directory.
        path: PathBuf,
        /// Why not.
        error: FileError,
    },
    /// The Redis of a cluster.
    #[error(
        "cannot {what} in Redis: {why}. The nodes of a cluster keep their ACME account and certificate there"
    )]
    Redis {
        /// What cannot be done.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// Another node orders.
    #[error("this node was too slow, so another node may order")]
    LostLock,
}

impl StoreError {
    /// Whether it may pass without an operator.
    pub(super) fn is_outage(&self) -> bool {
        !matches!(self, StoreError::Directory { .. })
    }

    pub(super) fn directory(what: &'static str, path: &Path, error: io::Error) -> Self {
        StoreError::Directory { what, path: path.to_owned(), error: error.into() }
    }
}

/// The account at the ACME server.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAccount {
    pub(super) email: Option<String>,
    pub(super) credentials: AccountCredentials,
}

/// The right to order.
pub(super) struct OrderLock(#[allow(dead_code, reason = "the drop unlocks it")] pub(super) Option<File>);

/// Keeps the account and the certificate, for one process or for many.
pub(super) trait CertificateStore: Send {
    /// Where the certificate is, for people.
    fn place(&self) -> String;

    /// How often to look for a certificate of another process.
    fn look_interval(&self) -> Duration;

    /// The key and the chain, if there are any.
    fn certificate(&self) -> Doing<'_, Result<Option<Vec<u8>>, StoreError>>;

    fn keep_certificate<'a>(&'a self, pem: &'a str) -> Doing<'a, Result<(), StoreError>>;

    /// The account, if there is one that can be read.
    fn account(&self) -> Doing<'_, Result<Option<StoredAccount>, StoreError>>;

    fn keep_account<'a>(&'a self, account: &'a StoredAccount) -> Doing<'a, Result<(), StoreError>>;

    fn forget_account(&self) -> Doing<'_, Result<(), StoreError>>;

    /// The right to order, which one process has at a time. It ends with the process, at once or soon.
    fn lock(&self) -> Doing<'_, Result<Option<OrderLock>, StoreError>>;

    /// Keeps the right to order until it is lost.
    fn lost<'a>(&'a self, lock: &'a OrderLock) -> Doing<'a, ()>;

    /// Gives the right to order back. If the ACME server has refused the order, other machines must not ask it before
    /// this one has paused.
    fn unlock(&self, lock: OrderLock, pause: Duration) -> Doing<'_, ()>;
}
