//! Connections to Redis or Valkey, from a URL: for the nodes of a cluster, and for keys. Without the feature `redis`, only the URL.

#[cfg(feature = "redis")]
mod connection;
#[cfg(feature = "redis")]
mod reconnecting;

use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "redis")]
pub use connection::check_redis;
pub(crate) use peerbroker_broker::config::RedisAddress;
#[cfg(feature = "redis")]
pub(crate) use {connection::Call, reconnecting::ReconnectingConnection};

/// Prefix of all keys in Redis. Nodes with the same prefix, on the same server, are one broker.
pub(crate) const PREFIX: &str = "peerbroker";

/// The bound of each call, connecting included.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

const CA: &str = "--redis_ca";
const CERT: &str = "--redis_cert";
const KEY: &str = "--redis_key";

/// A call without a result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// The server gave no answer that can be used, or none in time. The call may have been done, or may still be done later.
    #[error("{0}")]
    NoAnswer(String),
    /// The server refuses the login, so nothing is done until somebody changes that.
    #[error("{0}")]
    LoginRefused(String),
}

/// The error of an address that leads to no Redis.
#[derive(Debug, thiserror::Error)]
pub enum BadRedis {
    /// It is not a URL, or has parts that it may not have.
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
    /// The program has to be built with the feature.
    #[error("this program was built without Redis: enable the feature `redis` of peerbroker")]
    NotBuiltIn,
    /// The library refuses the certificates.
    #[error("{CA} {}: a certificate in it is no authority that can be used", .0.display())]
    Unusable(PathBuf),
}

/// Fails: this build has no Redis.
#[cfg(not(feature = "redis"))]
pub fn check_redis(_: &RedisAddress) -> Result<(), BadRedis> {
    Err(BadRedis::NotBuiltIn)
}
