#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

pub mod memory;
mod policy;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod verifier;

use std::time::Duration;

use peerbroker_config::Ban;
use peerbroker_core::vocabulary::{ApiKey, printable};

pub use peerbroker_config::key::unix_time;
pub use peerbroker_config::key::{
    Auth, Change, Discovery, ExpireTimeout, IdStyle, InvalidExpireTimeout, InvalidName, InvalidOrigin,
    InvalidWebhookSecret, JwtKey, Key, KeyToken, MAX_NAME_CHARS, MAX_ORIGIN_BYTES, MAX_TOKENS, Origin,
    PlainSetting, RANDOM_KEY_CHARS, RelayMode, SettingKind, Settings, TokenChange, TokenError, TokenScope,
    Webhook, WebhookSecret, check_name, escaped, random_key,
};
pub use policy::Policy;
pub use policy::Proof;

/// Seconds after a counted hour in which stores count no other. A little less than an hour, so that a small
/// correction of the clock does not skip one.
pub const HOUR: u64 = 55 * 60;

/// A failed operation on a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key already exists.
    #[error("the key {key} exists already", key = printable(.0.as_str()))]
    Exists(ApiKey),
    /// The key does not exist.
    #[error("there is no key {key}", key = printable(.0.as_str()))]
    Unknown(ApiKey),
    /// The store failed.
    #[error("cannot reach the keys: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

impl KeyError {
    /// True if there is no space for a change.
    pub fn is_full(&self) -> bool {
        #[cfg(feature = "sqlite")]
        if let KeyError::Store(why) = self {
            let error = why.downcast_ref::<sqlite::DatabaseError>();
            return error.is_some_and(|error| matches!(error.problem, sqlite::Problem::Full(_)));
        }
        false
    }
}

/// A store of keys. Calls may wait for a disk, so do not call them on a worker's thread. All implementations
/// pass the same tests.
pub trait KeyStore: Send + Sync {
    /// All keys, oldest first. Keys of the same second are sorted by their text.
    fn all(&self) -> Result<Vec<Key>, KeyError>;
    /// Passes each key to `act`, in any order, so that a caller with very many keys need not have all of them
    /// in memory at once. `act` must not use the store.
    fn for_each(&self, act: &mut dyn FnMut(Key)) -> Result<(), KeyError> {
        self.all().map(|keys| {
            for key in keys {
                act(key);
            }
        })
    }
    /// Finds a key.
    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError>;
    /// Adds a key; fails if it exists.
    fn add(&self, key: Key) -> Result<(), KeyError> {
        self.register(key, 0).map(drop)
    }
    /// Changes a key and returns the result; fails if the key does not exist.
    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError>;
    /// Adds keys unchanged, all or none of them. Keys that exist are overwritten with `replace`; without it,
    /// one of them is the error. The last one of equal keys counts.
    fn import(&self, keys: Vec<Key>, replace: bool) -> Result<(), KeyError>;
    /// Removes a key; fails if it does not exist.
    fn remove(&self, key: &ApiKey) -> Result<(), KeyError>;
    /// Stores when keys were last used; ignores unknown keys. This does not change the
    /// [`version`](Self::version).
    fn record_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError>;
    /// Adds a registered key, unless there are `most` of them; 0 means no limit. False if there are. Callers
    /// at the same time do not exceed the limit together.
    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError>;
    /// Counts an hour in which a server runs, unless one was counted less than [`HOUR`] before `now`, in
    /// seconds since 1970: other processes count too. So time passes only while a server runs, and a clock
    /// that leaps adds one hour at most.
    fn count_hour(&self, now: u64) -> Result<(), KeyError>;
    /// The registered keys that were unused for this many [counted](Self::count_hour) hours, sorted. Keys
    /// that were never used count from when they were added to this store.
    fn unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError>;
    /// Removes these keys and returns them.
    fn remove_unused(&self, hours: u64) -> Result<Vec<ApiKey>, KeyError>;
    /// True if other processes may change the keys.
    fn is_shared(&self) -> bool {
        true
    }
    /// A number that changes whenever this or another process adds, changes or removes a key. Must be cheap:
    /// it is called twice a second.
    fn version(&self) -> Result<u64, KeyError>;
    /// The reason why only a restart reaches the stored keys again, if there is one.
    fn lost(&self) -> Option<String> {
        None
    }
    /// True if nobody has ever stored a key, as far as the store can tell: it may have lost all of them.
    fn is_blank(&self) -> Result<bool, KeyError> {
        Ok(false)
    }
    /// The bans that operators have set.
    fn bans(&self) -> Result<Vec<Ban>, KeyError>;
    /// Keeps a ban, in place of one of the same network and key.
    fn put_ban(&self, ban: &Ban) -> Result<(), KeyError>;
    /// Removes the ban of this network and key, if it is there.
    fn remove_ban(&self, ban: &Ban) -> Result<(), KeyError>;
    /// The functions of a store that all nodes of a cluster use. `None` for any other.
    fn shared(&self) -> Option<&dyn SharedStore>;
    /// Closes the store at the end of its process. Later calls may wait until that end.
    fn close(&self) {}
}

/// A store that all nodes of a cluster use, so that it counts for all of them. The server counts for any
/// other.
pub trait SharedStore: Send + Sync {
    /// Counts a registration of an address, unless it had `most` within 24 hours. Returns the time that it
    /// has to wait then.
    fn count_signup(&self, address: &str, most: u32) -> Result<Option<Duration>, KeyError>;
    /// Takes back the last [`count_signup`](Self::count_signup): no key was registered.
    fn discount_signup(&self, address: &str) -> Result<(), KeyError>;
}
