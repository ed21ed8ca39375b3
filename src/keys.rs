//! API keys: their settings, and the stores that keep them.

mod auth;
pub mod memory;
mod origin;
pub mod redis;
pub mod sqlite;
mod webhook;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use crate::wire::ApiKey;

pub use auth::{Auth, JwtKey, SerializedAuth};
pub use origin::{InvalidOrigin, MAX_ORIGIN_BYTES, Origin};
pub use webhook::{InvalidWebhookSecret, Webhook, WebhookSecret};

/// Maximum characters of a key's name. Tables show it.
pub const MAX_NAME_CHARS: usize = 100;

/// Characters of a random key: as hard to guess as a UUID.
pub const RANDOM_KEY_CHARS: usize = 24;

/// A key and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The text that clients send.
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    #[schema(value_type = String, min_length = 1, example = "my-game")]
    pub key: ApiKey,
    /// A name for people, usually that of an app.
    pub name: String,
    /// The settings of its clients.
    #[serde(flatten)]
    pub settings: Settings,
    /// When the key was created, in seconds since 1970; 0 for a key of the flags.
    pub created: u64,
    /// When a client last connected with the key, in seconds since 1970, to within a minute.
    pub used: Option<u64>,
    /// Whether it was created through the registration form. Such keys are deleted when they are unused.
    pub registered: bool,
    /// Whether it comes from the flags of the server and not from a store.
    #[serde(default)]
    pub built_in: bool,
}

/// The form of the ids that the server gives to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdStyle {
    /// A random UUID, as peerjs-server gives.
    #[default]
    Uuid,
    /// Eight small letters and digits.
    Short,
    /// Four plain words with hyphens between them.
    Words,
}

/// What the relay of the server does for the calls of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayMode {
    /// It carries the calls that cannot go directly.
    #[default]
    Fallback,
    /// It carries all calls: clients never learn each other's addresses.
    Always,
    /// Nothing.
    Off,
}

/// The settings of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Settings {
    /// Whether clients may use the key.
    pub enabled: bool,
    /// Whether clients may list each other's ids.
    pub allow_discovery: bool,
    /// Maximum clients at the same time.
    pub concurrent_limit: usize,
    /// The origins that may use the key, as `https://example.org` or `https://*.example.org`; empty means any.
    #[schema(value_type = Vec<String>)]
    pub origins: Vec<Origin>,
    /// Whether clients without an `Origin` header may use a key with origins. Native apps send none.
    pub allow_no_origin: bool,
    /// How clients prove that they own an id.
    #[schema(value_type = SerializedAuth)]
    pub auth: Auth,
    /// Rate limit of messages per second for each client; bursts of ten times that. 0 turns it off.
    pub messages_per_second: u32,
    /// The form of the ids that the server gives to its clients.
    pub id_style: IdStyle,
    /// What the relay does for calls, if the server has one.
    pub relay: RelayMode,
    /// Whether clients are told ICE servers, with credentials for them. Not named `ice`: rows of an older version have a
    /// setting of that name, which did nothing and was off.
    pub ice_servers: bool,
    /// Where the events of its clients are sent to.
    pub webhook: Webhook,
}

/// A change of a key. Missing fields keep their value. [`Settings`] describes the fields.
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
    #[schema(value_type = Option<SerializedAuth>)]
    pub auth: Option<Auth>,
    pub messages_per_second: Option<u32>,
    pub id_style: Option<IdStyle>,
    pub relay: Option<RelayMode>,
    pub ice_servers: Option<bool>,
    pub webhook: Option<Webhook>,
}

/// Why a text cannot be the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has at most {MAX_NAME_CHARS} characters and no control characters")]
pub struct InvalidName;

/// Why an operation on a key failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key already exists.
    #[error("the key {0} exists already")]
    Exists(ApiKey),
    /// The key does not exist.
    #[error("there is no key {0}")]
    Unknown(ApiKey),
    /// The store failed.
    #[error("cannot reach the keys: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

/// A store of keys. Calls may wait for a disk, so do not call them on a worker's thread. All implementations
/// pass the same tests.
pub trait KeyStore: Send + Sync {
    /// All keys, oldest first. Keys of the same second are sorted by their text.
    fn all(&self) -> Result<Vec<Key>, KeyError>;
    /// Finds a key.
    fn get(&self, key: &ApiKey) -> Result<Option<Key>, KeyError>;
    /// Adds a key; fails if it exists.
    fn add(&self, key: Key) -> Result<(), KeyError>;
    /// Changes a key and returns the result; fails if the key does not exist.
    fn change(&self, key: &ApiKey, change: Change) -> Result<Key, KeyError>;
    /// Adds keys as they are, all or none of them. Keys that exist are overwritten with `replace`; without it, one of them
    /// is the error. The last one of equal keys counts.
    fn import(&self, keys: Vec<Key>, replace: bool) -> Result<(), KeyError>;
    /// Removes a key; fails if it does not exist.
    fn remove(&self, key: &ApiKey) -> Result<(), KeyError>;
    /// Stores when keys were last used; ignores unknown keys. This does not change the
    /// [`version`](Self::version).
    fn note_used(&self, used: &[(ApiKey, u64)]) -> Result<(), KeyError>;
    /// Adds a registered key, unless there are `most` of them; 0 means no limit. False if there are. Callers at the same
    /// time do not exceed the limit together.
    fn register(&self, key: Key, most: usize) -> Result<bool, KeyError>;
    /// Removes the registered keys that were unused since `before`, in seconds since 1970, and returns them. Keys
    /// that were never used count from their creation.
    fn remove_unused(&self, before: u64) -> Result<Vec<ApiKey>, KeyError>;
    /// A number that changes whenever this or another process adds, changes or removes a key. Must be cheap: it is
    /// called twice a second.
    fn version(&self) -> Result<u64, KeyError>;
    /// Counts a registration of an address, unless it had `most` within 24 hours, in a store that many nodes share. Any
    /// other store leaves the counting to its server.
    fn count_signup(&self, address: &str, most: u32) -> Result<SignupCount, KeyError> {
        let _ = (address, most);
        Ok(SignupCount::Elsewhere)
    }
    /// Takes back what [`count_signup`](Self::count_signup) has counted last: no key was registered.
    fn discount_signup(&self, address: &str) -> Result<(), KeyError> {
        let _ = address;
        Ok(())
    }
}

/// What became of a registration that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignupCount {
    /// It is counted.
    Counted,
    /// The address has to wait for this long.
    Wait(Duration),
    /// This store does not count.
    Elsewhere,
}

impl Key {
    /// Creates a key now. Without `key` its text is random.
    pub fn new(key: Option<ApiKey>, name: &str, settings: Settings) -> Self {
        let key = key.unwrap_or_else(random_key);
        let (name, created) = (name.to_owned(), unix_time());
        Key { key, name, settings, created, used: None, registered: false, built_in: false }
    }

    /// Applies a change.
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
            id_style,
            relay,
            ice_servers,
            webhook,
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
        set(&mut settings.id_style, id_style);
        set(&mut settings.relay, relay);
        set(&mut settings.ice_servers, ice_servers);
        set(&mut settings.webhook, webhook);
    }

    /// The key as JSON for operators, without its secrets.
    pub fn public_json(&self) -> serde_json::Result<serde_json::Value> {
        let mut json = serde_json::to_value(self)?;
        if matches!(self.settings.auth, Auth::Jwt { verify: JwtKey::Secret(_) })
            && let Some(auth) = json.get_mut("auth").and_then(|auth| auth.as_object_mut())
        {
            auth.remove("value");
        }
        if let Some(webhook) = json.get_mut("webhook").and_then(|webhook| webhook.as_object_mut()) {
            webhook.remove("secrets");
        }
        Ok(json)
    }

    /// The key as one line of JSON, without its secrets and without the queries of URLs, which may hold one.
    pub fn described(&self) -> String {
        let mut json = match self.public_json() {
            Ok(json) => json,
            Err(error) => return error.to_string(),
        };
        for url in ["/auth/url", "/webhook/url"] {
            if let Some(serde_json::Value::String(url)) = json.pointer_mut(url)
                && let Some(query) = url.find('?')
            {
                url.truncate(query);
                url.push_str("?…");
            }
        }
        escaped(&json.to_string())
    }
}

/// JSON with escapes for characters that could forge a log line or control a terminal. Strangers choose names of keys.
fn escaped(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1 {
            line.push(c);
        } else {
            let mut units = [0; 2];
            line.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    line
}

impl IdStyle {
    /// All styles.
    pub const ALL: [IdStyle; 3] = [IdStyle::Uuid, IdStyle::Short, IdStyle::Words];

    /// The name in flags and settings.
    pub fn name(self) -> &'static str {
        match self {
            IdStyle::Uuid => "uuid",
            IdStyle::Short => "short",
            IdStyle::Words => "words",
        }
    }
}

impl RelayMode {
    /// All modes.
    pub const ALL: [RelayMode; 3] = [RelayMode::Fallback, RelayMode::Always, RelayMode::Off];

    /// The name in flags and settings.
    pub fn name(self) -> &'static str {
        match self {
            RelayMode::Fallback => "fallback",
            RelayMode::Always => "always",
            RelayMode::Off => "off",
        }
    }
}

impl fmt::Display for RelayMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for IdStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Settings {
    /// Whether a request from this origin may use the key. An origin longer than [`MAX_ORIGIN_BYTES`] may not, so that
    /// nothing has to store it.
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
            // Enough for a mesh of fifty peers.
            messages_per_second: 200,
            id_style: IdStyle::default(),
            relay: RelayMode::default(),
            ice_servers: true,
            webhook: Webhook::default(),
        }
    }
}

/// Checks the name of a key.
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

/// Creates a key that cannot be guessed.
pub fn random_key() -> ApiKey {
    let text = Alphanumeric.sample_string(&mut rand::rng(), RANDOM_KEY_CHARS);
    #[expect(clippy::expect_used, reason = "letters and digits, fewer than the bound")]
    ApiKey::parse(&text).expect("a valid key")
}

/// The current time in seconds since 1970.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
