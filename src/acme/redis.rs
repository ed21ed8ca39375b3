//! Keeps the account and the certificate in the Redis of a cluster. One node orders, and all of them have it.
//!
//! The private key is there too, and not encrypted: an operator who can give all nodes a secret can protect Redis with one. The lock
//! has no fencing token: if two nodes order after all, both certificates are good, and the newer one wins. A node whose order was
//! refused keeps the lock while it pauses, because all nodes share the limits of the ACME server.

use std::cell::RefCell;
use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::{FromRedisValue, Script, Value};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::store::{Certificate, CertificateStore, StoreError, StoredAccount, hex_digest};
use crate::clock::Clock;
use crate::config::{AcmeConfig, AcmeName};
use crate::redis_link::{BadRedis, Call, Line, PREFIX, RedisAddress, TIMEOUT};

/// Interval at which a node looks for a newer certificate: one `HGET`.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which a dead node keeps others from ordering.
const LEASE: Duration = Duration::from_secs(30);
/// Interval at which the ordering node renews its lease.
const RENEWAL: Duration = Duration::from_secs(8);
/// Time by which the lock outlives a pause, so that the node which made the pause is the next to order.
const GRACE: Duration = Duration::from_secs(60);

/// Milliseconds for which a response to a challenge is kept: as long as an order may take.
const RESPONSE_MILLIS: u64 = 600_000;
/// Most responses that are read at a time, so that a flood of the HTTP port does not become one of Redis.
const MAX_QUESTIONS: usize = 4;
/// Bytes of a digest in the name of a Redis key, and of a version.
const DIGEST_BYTES: usize = 16;
/// Most bytes of a token. Let's Encrypt's have 43.
const MAX_TOKEN: usize = 128;

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/put.lua")));
static LOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/lock.lua")));

/// The store of a cluster, and responses to HTTP-01 that every node can give: a load balancer sends the validator to any of them.
/// Each key is one hash, and each script touches one key, for Redis Cluster.
///
/// `peerbroker:acme:account:…` has the account at an ACME server, `peerbroker:acme:certificate:…` the certificate for some names
/// with its `version`, and `peerbroker:acme:lock:…` the node that orders it.
pub(super) struct RedisStore {
    line: Line,
    account: String,
    certificate: String,
    lock: String,
    /// The name of this process in the lock.
    holder: String,
    /// The newest certificate that this node knows.
    known: RefCell<Option<Known>>,
    /// Limits how many challenges are read at a time.
    free: Semaphore,
}

#[derive(Clone)]
struct Known {
    version: String,
    pem: String,
    /// Redis may have been away when this node had ordered it.
    is_stored: bool,
}

impl RedisStore {
    /// Checks the address, and does not connect yet.
    pub(super) fn open(address: &RedisAddress, config: &AcmeConfig) -> Result<Self, BadRedis> {
        let mut names: Vec<String> = config.names.iter().map(AcmeName::to_string).collect();
        names.sort();
        // Nodes with other names have a separate certificate: otherwise each would replace the other's again and again.
        let order = hex_digest(&format!("{} {}", config.directory, names.join(" ")), DIGEST_BYTES);
        Ok(RedisStore {
            line: Line::new(address, TIMEOUT)?,
            account: format!("{PREFIX}:acme:account:{}", hex_digest(&config.directory, DIGEST_BYTES)),
            certificate: format!("{PREFIX}:acme:certificate:{order}"),
            lock: format!("{PREFIX}:acme:lock:{order}"),
            holder: format!("{:032x}", rand::random::<u128>()),
            known: RefCell::new(None),
            free: Semaphore::new(MAX_QUESTIONS),
        })
    }

    async fn ask<T: FromRedisValue>(&self, what: &'static str, call: Call) -> Result<T, StoreError> {
        let failed = |error: &dyn Display| StoreError::Redis { what, why: error.to_string() };
        let answer = self.line.ask(call).await.map_err(|error| failed(&error))?;
        redis::from_redis_value(answer).map_err(|error| failed(&error))
    }

    /// Writes a certificate, which Redis deletes when it expires: a private key must not outlive its use.
    async fn put(&self, known: &Known, only_if_absent: bool) -> Result<(), StoreError> {
        let expires = Certificate::parse(known.pem.as_bytes()).map_or(0, |parsed| parsed.validity.to);
        let left = expires.saturating_mul(1000).saturating_sub(Clock::system().unix_millis());
        let call = Call::script(&PUT, self.certificate.clone()).arg(left).arg(u8::from(only_if_absent));
        let call = call.arg("version").arg(&known.version).arg("pem").arg(&known.pem);
        let _: bool = self.ask("keep the certificate", call).await?;
        if let Some(known) = self.known.borrow_mut().as_mut() {
            known.is_stored = true;
        }
        Ok(())
    }

    /// Takes or keeps the lock, or releases it. False if another node has it.
    async fn lease(&self, lease: Duration) -> Result<bool, StoreError> {
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        self.ask("lock the order", Call::script(&LOCK, self.lock.clone()).arg(&self.holder).arg(lease)).await
    }
}

#[async_trait(?Send)]
impl CertificateStore for RedisStore {
    fn place(&self) -> String {
        "Redis".to_owned()
    }

    fn look_interval(&self) -> Duration {
        LOOK_INTERVAL
    }

    async fn certificate(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let what = "read the certificate";
        let known = self.known.borrow().clone();
        if let Some(known) = known.as_ref().filter(|known| !known.is_stored) {
            self.put(known, false).await?;
        }
        let call = Call::command("HGET", self.certificate.clone()).arg("version");
        let version: Option<String> = self.ask(what, call).await?;
        match (version, known) {
            (Some(version), Some(known)) if version == known.version => Ok(Some(known.pem.into_bytes())),
            // Redis has lost it, or it has expired.
            (None, Some(known)) => {
                self.put(&known, true).await?;
                Ok(Some(known.pem.into_bytes()))
            }
            (None, None) => Ok(None),
            (Some(_), known) => {
                let call = Call::command("HMGET", self.certificate.clone()).arg("version").arg("pem");
                let (version, pem): (Option<String>, Option<String>) = self.ask(what, call).await?;
                let (Some(version), Some(pem)) = (version, pem) else { return Ok(None) };
                let from = |pem: &str| Certificate::parse(pem.as_bytes()).map(|parsed| parsed.validity.from);
                let stored = from(&pem).ok();
                // A failover of Redis may lose a renewal.
                if let Some(known) = known.filter(|known| from(&known.pem).ok() > stored) {
                    self.put(&known, false).await?;
                    return Ok(Some(known.pem.into_bytes()));
                }
                // One that cannot be used is not put back.
                if stored.is_some() {
                    self.known.replace(Some(Known { version, pem: pem.clone(), is_stored: true }));
                }
                Ok(Some(pem.into_bytes()))
            }
        }
    }

    async fn keep_certificate(&self, pem: &str) -> Result<(), StoreError> {
        let known = Known { version: hex_digest(pem, DIGEST_BYTES), pem: pem.to_owned(), is_stored: false };
        self.known.replace(Some(known.clone()));
        self.put(&known, false).await
    }

    async fn account(&self) -> Result<Option<StoredAccount>, StoreError> {
        let call = Call::command("HGET", self.account.clone()).arg("json");
        let json: Option<String> = self.ask("read the ACME account", call).await?;
        let account = json.map(|json| serde_json::from_str(&json)).transpose();
        Ok(account.unwrap_or_else(|error| {
            log::warn!("the ACME account in Redis cannot be read, so a new one is made: {error}");
            None
        }))
    }

    async fn keep_account(&self, account: &StoredAccount) -> Result<(), StoreError> {
        let what = "keep the ACME account";
        let json = serde_json::to_string(account);
        let json = json.map_err(|error| StoreError::Redis { what, why: error.to_string() })?;
        let call = Call::command("HSET", self.account.clone()).arg("json").arg(json);
        self.ask::<Value>(what, call).await.map(drop)
    }

    async fn forget_account(&self) -> Result<(), StoreError> {
        let call = Call::command("DEL", self.account.clone());
        self.ask::<Value>("remove the ACME account", call).await.map(drop)
    }

    async fn lock(&self) -> Result<bool, StoreError> {
        self.lease(LEASE).await
    }

    async fn lost(&self) {
        // Two missed renewals and their timeouts fit into the lease.
        let mut missed = 0;
        while missed < 2 {
            sleep(RENEWAL).await;
            match self.lease(LEASE).await {
                Ok(true) => missed = 0,
                Ok(false) => return,
                Err(error) => {
                    log::debug!("{error}");
                    missed += 1;
                }
            }
        }
    }

    async fn unlock(&self, pause: Duration) {
        let lease = if pause.is_zero() { pause } else { pause.saturating_add(GRACE) };
        if let Err(error) = self.lease(lease).await {
            log::debug!("{error}");
        }
    }

    async fn share(&self, token: &str, authorization: &str) -> Result<(), StoreError> {
        let call = Call::script(&PUT, response_key(token)).arg(RESPONSE_MILLIS).arg(0);
        let call = call.arg("authorization").arg(authorization);
        self.ask::<Value>("keep the answer to a challenge", call).await.map(drop)
    }

    async fn shared(&self, token: &str) -> Option<String> {
        if !is_token(token) {
            return None;
        }
        let _permit = self.free.acquire().await.ok()?;
        let call = Call::command("HGET", response_key(token)).arg("authorization");
        let answer = self.ask("read the answer to a challenge", call).await;
        answer.inspect_err(|error| log::debug!("{error}")).ok()?
    }
}

fn response_key(token: &str) -> String {
    format!("{PREFIX}:acme:answer:{token}")
}

/// Tokens are base64url (RFC 8555, section 8.3).
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_asked_for_tokens_only() {
        for (text, is) in [
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
            ("a-_", true),
            ("", false),
            ("a/b", false),
            ("a%00", false),
            ("a b", false),
        ] {
            assert_eq!(is_token(text), is, "{text}");
        }
        assert!(is_token(&"x".repeat(MAX_TOKEN)) && !is_token(&"x".repeat(MAX_TOKEN + 1)));
    }
}
