//! Keeps the account and the certificate in the Redis of a cluster. One node orders, and all of them have it.

mod answers;

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{FromRedisValue, Script, Value};
use ring::digest::{SHA256, digest};
use tokio::time::sleep;

use super::certificate::Certificate;
use super::store::{CertificateStore, Doing, OrderLock, StoreError, StoredAccount};
use crate::clock::Clock;
use crate::config::{AcmeConfig, AcmeName};
use crate::redis_link::{BadRedis, Call, Line, PREFIX, RedisAddress, TIMEOUT};

pub(super) use answers::SharedAnswers;

/// How often a node looks for a newer certificate: one `HGET`.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a dead node keeps others from ordering.
const LEASE: Duration = Duration::from_secs(30);
/// How often the node that orders renews its lease.
const RENEWAL: Duration = Duration::from_secs(8);
/// How long the lock outlives a pause, so that the node which made the pause is the next to order.
const GRACE: Duration = Duration::from_secs(60);

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/put.lua")));
static LOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/lock.lua")));

/// The store of a cluster. Each key is one hash, and each script touches one key, for Redis Cluster.
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
}

#[derive(Clone)]
struct Known {
    version: String,
    pem: String,
    /// Redis may have been away when this node had ordered it.
    is_stored: bool,
}

impl RedisStore {
    pub(super) fn open(address: &RedisAddress, config: &AcmeConfig) -> Result<Self, BadRedis> {
        let mut names: Vec<String> = config.names.iter().map(AcmeName::to_string).collect();
        names.sort();
        // Nodes with other names have a certificate of their own, or each would replace that of the other for ever.
        let order = short_digest(&format!("{} {}", config.directory, names.join(" ")));
        Ok(RedisStore {
            line: Line::new(address, TIMEOUT)?,
            account: format!("{PREFIX}:acme:account:{}", short_digest(&config.directory)),
            certificate: format!("{PREFIX}:acme:certificate:{order}"),
            lock: format!("{PREFIX}:acme:lock:{order}"),
            holder: format!("{:032x}", rand::random::<u128>()),
            known: RefCell::new(None),
        })
    }

    async fn ask<T: FromRedisValue>(&self, what: &'static str, call: Call) -> Result<T, StoreError> {
        ask(&self.line, call).await.map_err(|why| StoreError::Redis { what, why })
    }

    async fn look(&self) -> Result<Option<Vec<u8>>, StoreError> {
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

    /// Takes or keeps the lock, or gives it back at once. False if another node has it.
    async fn lease(&self, lease: Duration) -> Result<bool, StoreError> {
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        self.ask("lock the order", Call::script(&LOCK, self.lock.clone()).arg(&self.holder).arg(lease)).await
    }
}

impl CertificateStore for RedisStore {
    fn place(&self) -> String {
        "Redis".to_owned()
    }

    fn look_interval(&self) -> Duration {
        LOOK_INTERVAL
    }

    fn certificate(&self) -> Doing<'_, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.look())
    }

    fn keep_certificate<'a>(&'a self, pem: &'a str) -> Doing<'a, Result<(), StoreError>> {
        let known = Known { version: short_digest(pem), pem: pem.to_owned(), is_stored: false };
        self.known.replace(Some(known.clone()));
        Box::pin(async move { self.put(&known, false).await })
    }

    fn account(&self) -> Doing<'_, Result<Option<StoredAccount>, StoreError>> {
        Box::pin(async {
            let call = Call::command("HGET", self.account.clone()).arg("json");
            let json: Option<String> = self.ask("read the ACME account", call).await?;
            let account = json.map(|json| serde_json::from_str(&json)).transpose();
            Ok(account.unwrap_or_else(|error| {
                log::warn!("the ACME account in Redis cannot be read, so a new one is made: {error}");
                None
            }))
        })
    }

    fn keep_account<'a>(&'a self, account: &'a StoredAccount) -> Doing<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let what = "keep the ACME account";
            let json = serde_json::to_string(account);
            let json = json.map_err(|error| StoreError::Redis { what, why: error.to_string() })?;
            let call = Call::command("HSET", self.account.clone()).arg("json").arg(json);
            self.ask::<Value>(what, call).await.map(drop)
        })
    }

    fn forget_account(&self) -> Doing<'_, Result<(), StoreError>> {
        let call = Call::command("DEL", self.account.clone());
        Box::pin(async { self.ask::<Value>("remove the ACME account", call).await.map(drop) })
    }

    fn lock(&self) -> Doing<'_, Result<Option<OrderLock>, StoreError>> {
        Box::pin(async { Ok(self.lease(LEASE).await?.then_some(OrderLock(None))) })
    }

    fn lost<'a>(&'a self, _: &'a OrderLock) -> Doing<'a, ()> {
        Box::pin(async {
            // Two missed renewals and their timeouts are within the lease.
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
        })
    }

    fn unlock(&self, _: OrderLock, pause: Duration) -> Doing<'_, ()> {
        let lease = if pause.is_zero() { pause } else { pause.saturating_add(GRACE) };
        Box::pin(async move {
            if let Err(error) = self.lease(lease).await {
                log::debug!("{error}");
            }
        })
    }
}

async fn ask<T: FromRedisValue>(line: &Line, call: Call) -> Result<T, String> {
    let answers = line.run(vec![call]).await.map_err(|error| error.to_string())?;
    let answer = answers.into_iter().next().unwrap_or(Value::Nil);
    redis::from_redis_value(answer).map_err(|error| error.to_string())
}

fn short_digest(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
