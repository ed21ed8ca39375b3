//! Stands in for ACME in a build without it: there is no such certificate.

use std::net::TcpListener;

use peerbroker_config::AcmeConfig;
use peerbroker_tls::CertificateSource;

/// An error that prevents certificates by ACME.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The program has to be built with the feature.
    #[error("this program was built without ACME: enable the feature `acme` of peerbroker")]
    NotBuiltIn,
}

pub(crate) fn check(_: &AcmeConfig) -> Result<(), AcmeError> {
    Err(AcmeError::NotBuiltIn)
}

pub(crate) fn open<E>(
    _: &AcmeConfig,
    _: impl FnOnce(u16) -> Result<TcpListener, E>,
) -> Result<CertificateSource, AcmeError> {
    Err(AcmeError::NotBuiltIn)
}
