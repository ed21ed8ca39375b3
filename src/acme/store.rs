//! The account, the certificate and their stores, with errors at the start of the server.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use instant_acme::{AccountCredentials, CertificateIdentifier};
use ring::digest::{SHA256, digest};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use webpki::EndEntityCert;

use crate::config::AcmeName;
use crate::files::FileError;
use crate::redis_link::BadRedis;
use crate::tls::{self, Validity};

/// An error that prevents certificates by ACME.
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
    #[error("cannot use --acme_ca {}: {}", .0.display(), .1)]
    Ca(PathBuf, String),
    /// The TLS library refuses its input.
    #[error("cannot set up TLS for --acme: {0}")]
    Tls(rustls::Error),
    /// No certificate can be made for the names.
    #[error("cannot make a certificate for the names of --acme: {0}")]
    Provisional(String),
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory.
    #[error("cannot {what} {path}: {error}. The server keeps its ACME account and certificate there", path = .path.display())]
    Directory {
        /// The failed operation.
        what: &'static str,
        /// The file or the directory.
        path: PathBuf,
        /// Its error.
        error: FileError,
    },
    /// The Redis of a cluster.
    #[error(
        "cannot {what} in Redis: {why}. The nodes of a cluster keep their ACME account and certificate there"
    )]
    Redis {
        /// The failed operation.
        what: &'static str,
        /// Its error.
        why: String,
    },
    /// Another node orders.
    #[error("this node was too slow, so another node may order")]
    LostLock,
}

impl StoreError {
    /// True if it may pass without an operator.
    pub(super) fn is_outage(&self) -> bool {
        !matches!(self, StoreError::Directory { .. })
    }

    pub(super) fn directory(what: &'static str, path: &Path, error: io::Error) -> Self {
        StoreError::Directory { what, path: path.to_owned(), error: error.into() }
    }
}

/// A certificate as it is stored: its key and its chain in one PEM text.
pub(super) struct Certificate {
    pub(super) certified: CertifiedKey,
    pub(super) validity: Validity,
}

impl Certificate {
    pub(super) fn parse(pem: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("its key: {error}"))?;
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("its chain: {error}"))?;
        let first = chain.first().ok_or_else(|| "it has no certificate".to_owned())?;
        let validity = Validity::of(first).ok_or_else(|| "its dates cannot be read".to_owned())?;
        let certified = tls::certified_key(chain, key).map_err(|error| error.to_string())?;
        Ok(Certificate { certified, validity })
    }

    /// The first of these names that the certificate is not for.
    pub(super) fn lacks<'a>(&self, names: &'a [AcmeName]) -> Option<&'a AcmeName> {
        let certificate = self.certified.cert.first().and_then(|first| EndEntityCert::try_from(first).ok());
        let covers =
            |name: &AcmeName| certificate.as_ref().is_some_and(|it| tls::covers(it, &name.to_string()));
        names.iter().find(|name| !covers(name))
    }

    /// The name of the certificate for ARI (RFC 9773, section 4.1).
    pub(super) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let identifier = CertificateIdentifier::try_from(self.certified.cert.first()?).ok()?;
        Some(identifier.into_owned())
    }
}

/// The first bytes of the digest of a text, in hexadecimal.
pub(super) fn hex_digest(text: &str, bytes: usize) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// The account at the ACME server.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAccount {
    pub(super) email: Option<String>,
    pub(super) credentials: AccountCredentials,
}

/// Keeps the account and the certificate, for one process or for many. Every wait has a bound.
#[async_trait(?Send)]
pub(super) trait CertificateStore: Send {
    /// The place of the certificate, for people.
    fn place(&self) -> String;

    /// Interval at which to look for a certificate of another process.
    fn look_interval(&self) -> Duration;

    /// The key and the chain, if there are any.
    async fn certificate(&self) -> Result<Option<Vec<u8>>, StoreError>;

    async fn keep_certificate(&self, pem: &str) -> Result<(), StoreError>;

    /// The account, if there is one that can be read.
    async fn account(&self) -> Result<Option<StoredAccount>, StoreError>;

    async fn keep_account(&self, account: &StoredAccount) -> Result<(), StoreError>;

    async fn forget_account(&self) -> Result<(), StoreError>;

    /// Takes the right to order, which one process has at a time. It ends with the process, at once or soon after. False if
    /// another one has it.
    async fn lock(&self) -> Result<bool, StoreError>;

    /// Keeps the right to order until it is lost.
    async fn lost(&self);

    /// Gives the right to order back. If the ACME server has refused the order, other machines must not ask it before
    /// this one's pause is over.
    async fn unlock(&self, pause: Duration);

    /// Lets all nodes of a cluster answer a challenge with this key authorization, for some minutes.
    async fn share(&self, token: &str, authorization: &str) -> Result<(), StoreError>;

    /// The key authorization of a token that a node shares. A client of the HTTP port chose the token.
    async fn shared(&self, token: &str) -> Option<String>;
}
