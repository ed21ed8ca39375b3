//! API keys: what each of them may do, and where they are kept.

mod auth;
pub mod memory;
mod origin;
pub mod sqlite;

use std::time::{SystemTime, UNIX_EPOCH};

use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use crate::wire::ApiKey;

pub use auth::{Auth, JwtKey, WrittenAuth};
pub use origin::{InvalidOrigin, MAX_ORIGIN_BYTES, Origin};

/// Most characters of a key's name: it is shown in tables.
pub const MAX_NAME_CHARS: usize = 100;

/// Characters of a key that is made here: as hard to guess as a UUID.
pub const RANDOM_KEY_CHARS: usize = 24;

/// One key, and what its clients may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// What clients name it by.
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    #[schema(value_type = String, min_length = 1, example = "my-game")]
    pub key: ApiKey,
    /// What people call it: the name of an app.
    pub name: String,
    /// What its clients may do.
    #[serde(flatten)]
    pub settings: Settings,
    /// When it was made, in seconds since 1970; 0 for one of the flags.
    pub created: u64,
    /// When a client last came with it, in seconds since 1970, to within a minute.
    pub used: Option<u64>,
    /// Somebody has registered it by themselves; it goes when it is unused for long.
    pub registered: bool,
    /// The flags of the server name it, and no store keeps it.
    #[serde(default)]
    pub built_in: bool,
}

/// What the clients of a key may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Settings {
    /// Whether anybody may use it at all.
    pub enabled: bool,
    /// Whether its clients may list each other's ids.
    pub allow_discovery: bool,
    /// Most clients at a time.
    pub concurrent_limit: usize,
    /// The pages that may use it, as `https://example.org` or `https://*.example.org`; empty is any.
    #[schema(value_type = Vec<String>)]
    pub origins: Vec<Origin>,
    /// Whether clients that name no origin may use it where origins are named. Native apps name none.
    pub allow_no_origin: bool,
    /// How a client proves that an id is its own.
    #[schema(value_type = WrittenAuth)]
    pub auth: Auth,
    /// Messages that one client may send a second, for long; ten times as many at once. 0 is any number.
    pub messages_per_second: u32,
}

/// What is to be changed of a key; what is left out stays. The meaning of each is that of [`Settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Change {
    #[schema(max_length = 100)]
    pub name: Option<String>,
    pub enabled: Option<bool>,
    pub allow_discovery: Option<bool>,
    pub concurrent_limit: Option<usize>,
    #[schema(value_type = Option<Vec<String>>)]
    pub origins: Option<Vec<Origin>>,
    pub allow_no_origin: Option<bool>,
    #[schema(value_type = Option<WrittenAuth>)]
    pub auth: Option<Auth>,
    pub messages_per_second: Option<u32>,
}

/// Why a text cannot be the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has at most {MAX_NAME_CHARS} characters and no control characters")]
pub struct InvalidName;

/// Why something cannot be done with a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is one with that text already.
    #[error("the key {0} exists already")]
    Exists(ApiKey),
    /// There is none with that text.
    #[error("there is no key {0}")]
    Unknown(ApiKey),
    /// The place where keys are kept failed.
    #[error("cannot reach the keys: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

/// Where keys are kept. Every call may wait for a disk, so none belongs on a worker's thread. All
/// implementations pass one suite of tests.
pub trait KeyStore: Send + Sync {
    /// All keys, oldest first; of one second, by their text.
    fn all(&self) -> Result<Vec<Key>, KeyError>;
    /// One key.
    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError>;
    /// Adds a key that must not be there.
    fn add(&self, key: Key) -> Result<(), KeyError>;
    /// Changes a key that must be there, and gives it as it is then.
    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError>;
    /// Removes a key that must be there.
    fn remove(&self, key: &ApiKey) -> Result<(), KeyError>;
    /// Notes when keys were last used. Unknown ones are passed over. Not a change: see
    /// [`version`](Self::version).
    fn note_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError>;
    /// How many keys are registered.
    fn count_registered(&self) -> Result<usize, KeyError>;
    /// Removes the registered keys that were last used, or else made, before this time, in seconds since 1970, and
    /// says which.
    fn remove_unused(&self, before: u64) -> Result<Vec<ApiKey>, KeyError>;
    /// A number that is another one once any key was added, changed or removed, by this process or by
    /// another. Cheap: it is asked for twice a second.
    fn version(&self) -> Result<u64, KeyError>;
}

impl Key {
    /// A key made now, with the default settings; `key` is a random one unless given.
    pub fn new(key: Option<ApiKey>, name: &str, settings: Settings) -> Self {
        let key = key.unwrap_or_else(random_key);
        let (name, created) = (name.to_owned(), unix_time());
        Key { key, name, settings, created, used: None, registered: false, built_in: false }
    }

    /// Changes what `change` names.
    pub fn apply(&mut self, change: Change) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        let Change {
            name,
            enabled,
            allow_discovery,
            concurrent_limit,
            origins,
            allow_no_origin,
            auth,
            messages_per_second,
        } = change;
        set(&mut self.name, name);
        let settings = &mut self.settings;
        set(&mut settings.enabled, enabled);
        set(&mut settings.allow_discovery, allow_discovery);
        set(&mut settings.concurrent_limit, concurrent_limit);
        set(&mut settings.origins, origins);
        set(&mut settings.allow_no_origin, allow_no_origin);
        set(&mut settings.auth, auth);
        set(&mut settings.messages_per_second, messages_per_second);
    }

    /// The key as JSON for those who administer it: all but its secret.
    pub fn public_json(&self) -> serde_json::Result<serde_json::Value> {
        let mut json = serde_json::to_value(self)?;
        if matches!(self.settings.auth, Auth::Jwt { verify: JwtKey::Secret(_) })
            && let Some(auth) = json.get_mut("auth").and_then(|auth| auth.as_object_mut())
        {
            auth.remove("value");
        }
        Ok(json)
    }
}

impl Settings {
    /// Whether a request from this origin may use the key. One longer than any real origin may use none, so that it
    /// gets no further.
    pub fn admits(&self, origin: Option<&str>) -> bool {
        match origin {
            Some(origin) if origin.len() > MAX_ORIGIN_BYTES => false,
            _ if self.origins.is_empty() => true,
            None => self.allow_no_origin,
            Some(origin) => self.origins.iter().any(|allowed| allowed.matches(origin)),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            enabled: true,
            allow_discovery: false,
            concurrent_limit: 5000,
            origins: Vec::new(),
            allow_no_origin: false,
            auth: Auth::None,
            // A mesh of fifty peers stays below it.
            messages_per_second: 200,
        }
    }
}

/// Whether people may call a key so.
pub fn check_name(text: &str) -> Result<(), InvalidName> {
    let fine = text.chars().count() <= MAX_NAME_CHARS && !text.chars().any(char::is_control);
    fine.then_some(()).ok_or(InvalidName)
}

fn write_key<S: Serializer>(key: &ApiKey, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(key.as_str())
}

fn read_key<'de, D: Deserializer<'de>>(from: D) -> Result<ApiKey, D::Error> {
    let text = String::deserialize(from)?;
    ApiKey::parse(&text).map_err(de::Error::custom)
}

/// A key that nobody can guess.
pub fn random_key() -> ApiKey {
    let text = Alphanumeric.sample_string(&mut rand::rng(), RANDOM_KEY_CHARS);
    #[expect(clippy::expect_used, reason = "letters and digits, fewer than the bound")]
    ApiKey::parse(&text).expect("a valid key")
}

/// Now, in seconds since 1970.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
