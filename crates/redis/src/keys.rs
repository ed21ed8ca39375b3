//! A store of keys in Redis or Valkey, which the nodes of a cluster share.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Once};
use std::time::Duration;

use redis::{FromRedisValue, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::{Call, Script};
use super::error::BadRedis;
use super::reconnecting::{ReconnectingConnection, RedisClient as _};
use super::{PREFIX, TIMEOUT};
use peerbroker_cluster::Unavailable;
use peerbroker_config::{Ban, RedisAddress};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Change, Key, KeyError, KeyStore, SharedStore};
use peerbroker_system::threads::{self, caught};

/// Maximum of keys whose last use one call stores.
const USED_BATCH: usize = 500;

/// Further time for a call about all keys, or any number of them: with 10,000, a busy machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/put.lua")));
static IMPORT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/import.lua")));
static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/remove.lua")));
static UNUSED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/unused.lua")));
static HOUR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/hour.lua")));
static USED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/used.lua")));
static APPENDS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/appends.lua")));
static SIGNUP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys/signup.lua")));

/// Keys in Redis.
///
/// All of them are one hash, so each change is one script about one key, in a Redis Cluster too. Its fields
/// are `k:` with a key, which hold the key as JSON; `u:` with a key, which hold its last use in seconds since
/// 1970; `h:` with a key, which hold the counted hour of that; `registered`, the number of registered keys;
/// `hours`, the number of counted hours; `counted`, the time of the last one; and `version`, a random number
/// that differs after each change.
///
/// One thread talks to Redis, because callers wait without a runtime. It connects when a caller wants
/// something.
pub struct RedisKeys {
    requests: UnboundedSender<Request>,
    /// Done once it was asked if it keeps keys over a restart.
    persistence: Once,
}

struct Request {
    call: Call,
    /// True for a call about any number of keys.
    is_long: bool,
    answer: SyncSender<Result<Value, Unavailable>>,
}

impl RedisKeys {
    /// Checks the address, and does not connect yet.
    pub fn open(redis: impl Into<RedisAddress>) -> Result<Self, BadRedis> {
        let connection = ReconnectingConnection::new(&redis.into(), TIMEOUT)?;
        let (requests, waiting) = unbounded_channel();
        // It ends after the drop of the store. Without a thread, every call fails.
        let _ = threads::start("keys", move || serve(&connection, waiting));
        Ok(RedisKeys { requests, persistence: Once::new() })
    }

    /// Warns if a restart of Redis loses keys. A server that does not answer this may be a managed one.
    fn check_persistence(&self) {
        let appends: Result<Option<u8>, _> = self.ask(Call::script(&APPENDS, keys()));
        if let Ok(Some(0)) = appends {
            log::warn!(
                "the Redis of --keys redis has `appendonly no`: a restart of it loses keys, or all of them. Set `appendonly yes`"
            );
        }
    }

    fn ask<T: FromRedisValue>(&self, call: Call) -> Result<T, KeyError> {
        self.request(call, false)
    }

    /// As [`ask`](Self::ask), about any number of keys.
    fn ask_of_many<T: FromRedisValue>(&self, call: Call) -> Result<T, KeyError> {
        self.request(call, true)
    }

    fn request<T: FromRedisValue>(&self, call: Call, is_long: bool) -> Result<T, KeyError> {
        let (answer, answered) = sync_channel(1);
        // A request that cannot be sent is dropped, and its answer with it.
        let _ = self.requests.send(Request { call, is_long, answer });
        let answer = answered.recv().map_err(|_| failed("the thread of the keys has ended"))?;
        redis::from_redis_value(answer.map_err(failed)?).map_err(|error| unexpected(&error))
    }

    /// A key, and the JSON that it was read from.
    fn find(&self, key: &ApiKey) -> Result<Option<(Key, String)>, KeyError> {
        let call = Call::command("HMGET", keys())
            .arg(format!("k:{}", key.as_str()))
            .arg(format!("u:{}", key.as_str()));
        let (json, used): (Option<String>, Option<String>) = self.ask(call)?;
        let Some(json) = json else { return Ok(None) };
        Ok(Some((read(key.as_str(), &json, used.as_ref())?, json)))
    }

    /// The unused keys, sorted. Removes them if there is a new version.
    fn find_unused(&self, hours: u64, version: &str) -> Result<Vec<ApiKey>, KeyError> {
        let mut unused: Vec<String> =
            self.ask_of_many(Call::script(&UNUSED, keys()).arg(hours).arg(version))?;
        unused.sort_unstable();
        unused.iter().map(|key| ApiKey::parse(key).map_err(|error| unreadable(key, &error))).collect()
    }

    /// Puts a key where `expected` is, or nothing if that is empty. Returns `done`; `other` if another text
    /// was there; `full` for a registered key whose limit is reached.
    fn put(&self, key: &Key, expected: &str, most_registered: usize) -> Result<String, KeyError> {
        let call = Call::script(&PUT, keys())
            .arg(key.key.as_str())
            .arg(expected)
            .arg(stored(key)?)
            .arg(new_version())
            .arg(usize::from(key.registered))
            .arg(most_registered)
            .arg(last_use(key));
        self.ask(call)
    }
}

impl KeyStore for RedisKeys {
    fn all(&self) -> Result<Vec<Key>, KeyError> {
        let mut keys = Vec::new();
        self.for_each(&mut |key| keys.push(key))?;
        keys.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        Ok(keys)
    }

    fn for_each(&self, act: &mut dyn FnMut(Key)) -> Result<(), KeyError> {
        let fields: HashMap<String, String> = self.ask_of_many(Call::command("HGETALL", keys()))?;
        for (field, json) in &fields {
            if let Some(key) = field.strip_prefix("k:") {
                act(read(key, json, fields.get(&format!("u:{key}")))?);
            }
        }
        self.persistence.call_once(|| self.check_persistence());
        Ok(())
    }

    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError> {
        Ok(self.find(key)?.map(|(key, _)| key))
    }

    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError> {
        match self.put(&key, "", most)?.as_str() {
            "done" => Ok(true),
            "full" => Ok(false),
            "other" => Err(KeyError::Exists(key.key)),
            unknown => Err(unexpected(&unknown)),
        }
    }

    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError> {
        loop {
            let (mut found, json) = self.find(key)?.ok_or_else(|| KeyError::Unknown(key.clone()))?;
            found.apply(change.clone());
            match self.put(&found, &json, 0)?.as_str() {
                "done" => return Ok(found),
                // Another process has changed it since. Each time, one of the writers succeeds.
                "other" => {}
                unknown => return Err(unexpected(&unknown)),
            }
        }
    }

    /// Runs one script, so that the keys are read in one moment, for all nodes.
    fn import(&self, keys: Vec<Key>, replace: bool) -> Result<(), KeyError> {
        if keys.is_empty() {
            return Ok(());
        }
        let call = Call::script(&IMPORT, self::keys()).arg(new_version()).arg(usize::from(replace));
        let call = keys.iter().try_fold(call, |call, key| {
            let call = call.arg(key.key.as_str()).arg(stored(key)?);
            Ok::<_, KeyError>(call.arg(usize::from(key.registered)).arg(last_use(key)))
        })?;
        // The index of an existing key, counted from 1; 0 means none.
        let existing: usize = self.ask_of_many(call)?;
        let existing = existing.checked_sub(1).and_then(|index| keys.into_iter().nth(index));
        existing.map_or(Ok(()), |key| Err(KeyError::Exists(key.key)))
    }

    fn remove(&self, key: &ApiKey) -> Result<(), KeyError> {
        let is_removed: bool =
            self.ask(Call::script(&REMOVE, keys()).arg(key.as_str()).arg(new_version()))?;
        is_removed.then_some(()).ok_or_else(|| KeyError::Unknown(key.clone()))
    }

    /// The later one of two times is shown: each node stores those of its own clients.
    fn record_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError> {
        for some in used.chunks(USED_BATCH) {
            let call = Call::script(&USED, keys());
            let call = some.iter().fold(call, |call, (key, when)| call.arg(key.as_str()).arg(*when));
            self.ask::<Value>(call)?;
        }
        Ok(())
    }

    fn count_hour(&self, now: u64) -> Result<(), KeyError> {
        self.ask::<Value>(Call::script(&HOUR, keys()).arg(now).arg(peerbroker_keys::HOUR)).map(drop)
    }

    fn unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        self.find_unused(hours, "")
    }

    fn remove_unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError> {
        self.find_unused(hours, &new_version().to_string())
    }

    fn version(&self) -> Result<u64, KeyError> {
        let version: Option<u64> = self.ask(Call::command("HGET", keys()).arg("version"))?;
        Ok(version.unwrap_or_default())
    }

    fn is_blank(&self) -> Result<bool, KeyError> {
        Ok(self.version()? == 0)
    }

    fn bans(&self) -> Result<Vec<Ban>, KeyError> {
        let texts: HashMap<String, String> = self.ask(Call::command("HGETALL", bans()))?;
        Ok(Ban::read_all(texts.into_values()))
    }

    fn put_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        self.ask::<Value>(Call::command("HSET", bans()).arg(ban.place()).arg(ban.to_string())).map(drop)
    }

    fn remove_ban(&self, ban: &Ban) -> Result<(), KeyError> {
        self.ask::<Value>(Call::command("HDEL", bans()).arg(ban.place())).map(drop)
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }
}

impl SharedStore for RedisKeys {
    fn count_signup(&self, address: &str, most: u32) -> Result<Option<Duration>, KeyError> {
        let wait: u64 = self.ask(Call::script(&SIGNUP, signups(address)).arg(most))?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }

    fn discount_signup(&self, address: &str) -> Result<(), KeyError> {
        self.ask::<Value>(Call::command("RPOP", signups(address))).map(drop)
    }
}

/// Answers until the store is dropped. Between two requests the connection is polled, so its end is noticed.
fn serve(connection: &ReconnectingConnection, mut requests: UnboundedReceiver<Request>) {
    let Ok(runtime) = threads::runtime() else { return };
    let mut answer_all = || {
        runtime.block_on(async {
            while let Some(Request { call, is_long, answer }) = requests.recv().await {
                let answered = match is_long {
                    true => connection.block(call, PATIENCE).await,
                    false => connection.ask(call).await,
                };
                // This fails only if the caller has panicked.
                let _ = answer.send(answered);
            }
        })
    };
    // The caller gets an error, because its request is gone.
    while let Err(panic) = caught(&mut answer_all) {
        log::error!("the thread of the keys has {panic}");
    }
}

fn failed(why: impl Into<Box<dyn Error + Send + Sync>>) -> KeyError {
    KeyError::Store(why.into())
}

fn unexpected(answer: &dyn Display) -> KeyError {
    failed(format!("unexpected answer of Redis: {answer}"))
}

fn read(key: &str, json: &str, used: Option<&String>) -> Result<Key, KeyError> {
    let read: Key = serde_json::from_str(json).map_err(|error| unreadable(key, &error))?;
    Ok(Key { used: used.and_then(|used| used.parse().ok()), ..read })
}

fn unreadable(key: &str, error: &dyn Display) -> KeyError {
    failed(format!("the key {} in Redis cannot be read: {error}", key.escape_debug()))
}

/// The JSON of a key in its field. Its last use has a separate field.
fn stored(key: &Key) -> Result<String, KeyError> {
    let stored = Key { used: None, built_in: false, ..key.clone() };
    serde_json::to_string(&stored).map_err(failed)
}

fn last_use(key: &Key) -> String {
    key.used.map(|used| used.to_string()).unwrap_or_default()
}

fn keys() -> String {
    format!("{PREFIX}:keys")
}

/// The texts of bans, by their places. They are few, so nodes read all of them each second.
fn bans() -> String {
    format!("{PREFIX}:bans")
}

fn signups(address: &str) -> String {
    format!("{PREFIX}:signups:{address}")
}

/// Never 0, which is the version of no keys at all.
fn new_version() -> u64 {
    rand::random::<u64>().max(1)
}
