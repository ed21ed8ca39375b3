//! Addresses that lead to no Redis.

use std::path::PathBuf;

pub(super) const CA: &str = "--redis_ca";
pub(super) const CERT: &str = "--redis_cert";
pub(super) const KEY: &str = "--redis_key";

/// The error of an address that leads to no Redis.
#[derive(Debug, thiserror::Error)]
pub enum BadRedis {
    /// The address is not a URL, or has parts that it may not have.
    #[error(
        "invalid value '{url}' for '--redis <URL>': {why}: expected redis://[[user]:password@]host[:port][/database], rediss:// for \
         TLS, unix:///path, redis-cluster://host,host or redis-sentinel://host,host#master"
    )]
    Malformed {
        /// The URL without what may be a password.
        url: String,
        /// The reason.
        why: String,
    },
    /// A Sentinel watches many masters, and the URL does not say which.
    #[error(
        "invalid value for '--redis <URL>': the URL of a Sentinel ends with the name of its master, as in \
         redis-sentinel://host#mymaster"
    )]
    NoMaster,
    /// Certificates without TLS.
    #[error("{CA}, {CERT} and {KEY} are for TLS: give --redis a URL that begins with rediss")]
    NoTls,
    /// A file cannot be read, has no certificate, or does not fit the other one.
    #[error("{0}")]
    File(String),
    /// A file has no private key.
    #[error("{KEY} {} has no private key: it must be a PEM file (PKCS#8, PKCS#1 or SEC1) without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// The library refuses the certificates.
    #[error("{CA} {}: a certificate in it is no authority that can be used", .0.display())]
    Unusable(PathBuf),
}
