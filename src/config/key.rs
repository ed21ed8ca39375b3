//! An API key and its settings.

mod origin;
mod token;

use std::fmt;
use std::mem;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use crate::wire::{ApiKey, labels};

pub use origin::{InvalidOrigin, MAX_ORIGIN_BYTES, Origin};
pub use token::{KeyToken, MAX_TOKENS, TokenChange, TokenError, TokenScope};

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
    /// The time at which the key was created, in seconds since 1970; 0 for a key of the flags.
    pub created: u64,
    /// The time at which a client last connected with the key, in seconds since 1970, to within a minute.
    pub used: Option<u64>,
    /// True if it was created through the registration form. Such keys are deleted when they are unused.
    pub registered: bool,
    /// True if it comes from the flags of the server and not from a store.
    #[serde(default)]
    pub built_in: bool,
}

labels! {
    /// The form of the ids that the server gives to clients.
    #[derive(Default, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum IdStyle {
        /// A random UUID, as peerjs-server gives.
        #[default]
        Uuid = "uuid",
        /// Eight small letters and digits.
        Short = "short",
        /// Four plain words with hyphens between them.
        Words = "words",
    }
}

labels! {
    /// The mode of the server's relay for the calls of a key.
    #[derive(Default, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum RelayMode {
        /// It carries the calls that cannot go directly.
        #[default]
        Fallback = "fallback",
        /// It carries all calls: clients never learn each other's addresses.
        Always = "always",
        /// Nothing.
        Off = "off",
    }
}

/// The settings of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Settings {
    /// True if clients may use the key.
    pub enabled: bool,
    /// True if clients may list each other's ids.
    pub allow_discovery: bool,
    /// Maximum clients at the same time.
    pub concurrent_limit: usize,
    /// The origins that may use the key, as `https://example.org` or `https://*.example.org`; empty means any.
    #[schema(value_type = Vec<String>)]
    pub origins: Vec<Origin>,
    /// True if clients without an `Origin` header may use a key with origins. Native apps send none.
    pub allow_no_origin: bool,
    /// The proof that clients own their ids.
    pub auth: Auth,
    /// Rate limit of messages per second for each client; bursts of ten times that. 0 turns it off.
    pub messages_per_second: u32,
    /// True if the peers of a PeerJS client hear LEAVE when its page goes away.
    pub leave_on_close: bool,
    /// True if clients may use rooms.
    pub allow_rooms: bool,
    /// True if clients may enter only rooms that the proof of their ids lists.
    pub private_rooms: bool,
    /// Maximum members of one room.
    pub room_members: usize,
    /// The form of the ids that the server gives to its clients.
    pub id_style: IdStyle,
    /// The relay mode for calls, if the server has a relay.
    pub relay: RelayMode,
    /// Maximum calls that the relay knows, and maximum allocations of TURN. Missing if those of the server apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_calls_per_key: Option<usize>,
    /// Bytes per second of one relayed call, and of one allocation of TURN; 0 means no limit. Missing if the server's apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_bytes_per_second: Option<u32>,
    /// Bytes per second of all relayed calls together, and of all allocations; 0 means no limit. Missing if the server's apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_key_bytes_per_second: Option<u32>,
    /// True if clients are told ICE servers, with credentials for them. Not named `ice`: rows of an older version have a
    /// setting of that name, which did nothing and was off.
    pub ice_servers: bool,
    /// The webhook for the events of its clients.
    pub webhook: Webhook,
    /// Tokens for the API that may do a part of it, for this key. They have requests of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<KeyToken>,
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
    pub auth: Option<Auth>,
    pub messages_per_second: Option<u32>,
    pub leave_on_close: Option<bool>,
    pub allow_rooms: Option<bool>,
    pub private_rooms: Option<bool>,
    pub room_members: Option<usize>,
    pub id_style: Option<IdStyle>,
    pub relay: Option<RelayMode>,
    /// `null` applies the server's limit again.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<usize>)]
    pub relay_calls_per_key: Option<Option<usize>>,
    /// `null` applies the server's limit again.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    pub relay_bytes_per_second: Option<Option<u32>>,
    /// `null` applies the server's limit again.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    pub relay_key_bytes_per_second: Option<Option<u32>>,
    pub ice_servers: Option<bool>,
    pub webhook: Option<Webhook>,
    #[serde(skip)]
    pub token: Option<TokenChange>,
}

/// The error of a text that cannot be the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has at most {MAX_NAME_CHARS} characters and no control characters")]
pub struct InvalidName;

impl Key {
    /// Creates a key now. Without `key` its text is random.
    pub fn new(key: Option<ApiKey>, name: &str, settings: Settings) -> Self {
        let key = key.unwrap_or_else(random_key);
        let (name, created) = (name.to_owned(), unix_time());
        Key { key, name, settings, created, used: None, registered: false, built_in: false }
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        let mut old = mem::take(&mut self.settings);
        if let Some(token) = change.token {
            token.apply(&mut old.tokens);
        }
        self.name = change.name.unwrap_or_else(|| mem::take(&mut self.name));
        self.settings = Settings {
            enabled: change.enabled.unwrap_or(old.enabled),
            allow_discovery: change.allow_discovery.unwrap_or(old.allow_discovery),
            concurrent_limit: change.concurrent_limit.unwrap_or(old.concurrent_limit),
            origins: change.origins.unwrap_or(old.origins),
            allow_no_origin: change.allow_no_origin.unwrap_or(old.allow_no_origin),
            auth: change.auth.unwrap_or(old.auth),
            messages_per_second: change.messages_per_second.unwrap_or(old.messages_per_second),
            leave_on_close: change.leave_on_close.unwrap_or(old.leave_on_close),
            allow_rooms: change.allow_rooms.unwrap_or(old.allow_rooms),
            private_rooms: change.private_rooms.unwrap_or(old.private_rooms),
            room_members: change.room_members.unwrap_or(old.room_members),
            id_style: change.id_style.unwrap_or(old.id_style),
            relay: change.relay.unwrap_or(old.relay),
            relay_calls_per_key: change.relay_calls_per_key.unwrap_or(old.relay_calls_per_key),
            relay_bytes_per_second: change.relay_bytes_per_second.unwrap_or(old.relay_bytes_per_second),
            relay_key_bytes_per_second: change
                .relay_key_bytes_per_second
                .unwrap_or(old.relay_key_bytes_per_second),
            ice_servers: change.ice_servers.unwrap_or(old.ice_servers),
            webhook: change.webhook.unwrap_or(old.webhook),
            tokens: old.tokens,
        };
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
        for token in json.get_mut("tokens").and_then(|tokens| tokens.as_array_mut()).into_iter().flatten() {
            token.as_object_mut().map(|token| token.remove("hash"));
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

/// JSON with escapes for characters that could forge a log line or control a terminal. Anybody may choose the name of a key.
pub fn escaped(json: &str) -> String {
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

impl Settings {
    /// True if a request from this origin may use the key. An origin longer than [`MAX_ORIGIN_BYTES`] may not, so that
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
            leave_on_close: false,
            allow_rooms: true,
            private_rooms: false,
            room_members: 500,
            id_style: IdStyle::default(),
            relay: RelayMode::default(),
            relay_calls_per_key: None,
            relay_bytes_per_second: None,
            relay_key_bytes_per_second: None,
            ice_servers: true,
            webhook: Webhook::default(),
            tokens: Vec::new(),
        }
    }
}

/// Checks the name of a key.
pub fn check_name(text: &str) -> Result<(), InvalidName> {
    let fine = text.chars().count() <= MAX_NAME_CHARS && !text.chars().any(char::is_control);
    fine.then_some(()).ok_or(InvalidName)
}

/// A field that is there, `null` included.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
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

/// The beginning of a secret as text (Standard Webhooks 1.0).
const PREFIX: &str = "whsec_";
/// The sizes of a secret that Standard Webhooks allows.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The endpoint of events, and of messages of clients. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// An `https` URL; empty means that no events are sent.
    pub url: String,
    /// Secrets that sign the events: `whsec_` and 24 to 64 bytes in base64. Several while one replaces another. Responses
    /// never contain them.
    #[schema(value_type = Vec<String>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<WebhookSecret>,
    /// True if it gets messages of clients to the app as well, and answers them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub messages: bool,
}

/// A secret that signs events.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookSecret(Vec<u8>);

/// The error of a text that cannot be a secret. Does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook's secret is whsec_ and 24 to 64 bytes in base64: `echo whsec_$(openssl rand -base64 32)` makes one"
)]
pub struct InvalidWebhookSecret;

impl WebhookSecret {
    /// Parses a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidWebhookSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidWebhookSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidWebhookSecret)?;
        if SECRET_BYTES.contains(&bytes.len()) { Ok(WebhookSecret(bytes)) } else { Err(InvalidWebhookSecret) }
    }

    /// Parses secrets between blanks or line breaks.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidWebhookSecret> {
        text.split_whitespace().map(WebhookSecret::parse).collect()
    }

    /// The key of the signature.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for WebhookSecret {
    type Error = InvalidWebhookSecret;

    fn try_from(text: String) -> Result<Self, InvalidWebhookSecret> {
        WebhookSecret::parse(&text)
    }
}

impl From<WebhookSecret> for String {
    fn from(WebhookSecret(bytes): WebhookSecret) -> Self {
        format!("{PREFIX}{}", STANDARD.encode(bytes))
    }
}

/// Never shows the secret.
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// The proof that clients own their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum Auth {
    /// No proof: the first client to claim an id owns it while it is connected.
    #[default]
    None,
    /// A JSON Web Token whose subject is the id.
    Jwt {
        /// The key that verifies the signature.
        #[serde(flatten)]
        #[schema(value_type = JwtFields)]
        verify: JwtKey,
    },
    /// The broker asks a server of the key's owner.
    Webhook {
        /// An `http` or `https` URL.
        url: String,
    },
}

/// A key that verifies JSON Web Tokens. Its kind pins the algorithm.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value", try_from = "JwtFields")]
pub enum JwtKey {
    /// A secret for HS256.
    Secret(String),
    /// A public key in PEM, for RS256, ES256 or EdDSA, depending on its type.
    Pem(String),
    /// A file with a JSON Web Key Set, read again when it changes.
    Jwks(PathBuf),
}

/// [`JwtKey`] as it is read.
#[derive(Deserialize, ToSchema)]
struct JwtFields {
    /// The kind of `value`.
    kind: JwtKind,
    /// The secret, the public key in PEM, or the path of the key set on the server. Responses never contain a secret.
    value: Option<String>,
}

/// The kind of key that verifies a signature.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum JwtKind {
    /// A secret of 32 bytes or more: HS256.
    Secret,
    /// A public key, for RS256, ES256 or EdDSA, depending on its type.
    Pem,
    /// A file with a JSON Web Key Set, read again when it changes.
    Jwks,
}

/// The key that verifies tokens is missing.
#[derive(Debug, thiserror::Error)]
#[error("jwt needs a value: the secret, the public key or the path of the key set")]
pub struct NoValue;

impl TryFrom<JwtFields> for JwtKey {
    type Error = NoValue;

    fn try_from(JwtFields { kind, value }: JwtFields) -> Result<Self, NoValue> {
        let value = value.ok_or(NoValue)?;
        Ok(match kind {
            JwtKind::Secret => JwtKey::secret(value),
            JwtKind::Pem => JwtKey::Pem(value),
            JwtKind::Jwks => JwtKey::Jwks(value.into()),
        })
    }
}

impl JwtKey {
    /// A secret for HS256, without the newline at the end of its file.
    pub fn secret(mut text: String) -> Self {
        let end = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).len());
        text.truncate(end.unwrap_or(text.len()));
        JwtKey::Secret(text)
    }
}

/// Never shows a secret.
impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JwtKey::Secret(_) => f.write_str("Secret(…)"),
            JwtKey::Pem(pem) => f.debug_tuple("Pem").field(pem).finish(),
            JwtKey::Jwks(path) => f.debug_tuple("Jwks").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_prefix_and_24_to_64_bytes() {
        let text = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (bytes, fits) in [(23, false), (24, true), (64, true), (65, false)] {
            let parsed = WebhookSecret::parse(&text(bytes));
            assert_eq!(parsed.is_ok(), fits, "{bytes}");
            assert!(parsed.is_err() || String::from(parsed.unwrap()) == text(bytes));
        }
        for bad in ["", "whsec_", "whsec_####", &text(32)[1..], &text(32)["whsec_".len()..]] {
            assert_eq!(WebhookSecret::parse(bad), Err(InvalidWebhookSecret), "{bad:?}");
        }
        let two = WebhookSecret::parse_all(&format!("{}\n {}\n", text(24), text(32))).unwrap();
        assert_eq!(two.len(), 2);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = WebhookSecret::parse("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0").unwrap();
        assert!(!format!("{secret:?}").contains("c2Vj") && !format!("{secret:?}").contains("115"));
    }

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_secret_is_taken_without_the_newline_of_its_file() {
        for text in [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
            assert_eq!(JwtKey::secret(text), JwtKey::Secret(SECRET.to_owned()));
        }
        for text in ["a\r", "a\n\n", " a "] {
            let kept = text.strip_suffix('\n').unwrap_or(text);
            assert_eq!(JwtKey::secret(text.to_owned()), JwtKey::Secret(kept.to_owned()));
        }
    }

    #[test]
    fn a_secret_of_tokens_is_never_shown() {
        let auth = Auth::Jwt { verify: JwtKey::Secret(SECRET.to_owned()) };
        assert!(!format!("{auth:?}").contains("0123"));
    }
}
