//! An API key and its settings.

mod discovery;
mod expire_timeout;
mod origin;
mod token;

use std::fmt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use peerbroker_media_api::KeyLimits;
use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use super::secret::Hidden;
use peerbroker_core::vocabulary::{ApiKey, labels};

pub use discovery::Discovery;
pub use expire_timeout::{ExpireTimeout, InvalidExpireTimeout};
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
        /// The relay carries the calls that cannot go directly.
        #[default]
        Fallback = "fallback",
        /// The relay carries all calls: clients never learn each other's addresses.
        Always = "always",
        /// The relay carries nothing.
        Off = "off",
    }
}

/// Makes [`Settings`], [`Change`] and [`PlainSetting::ALL`] from one table. A row has the help, the name, the
/// type and the default. One flag gives a plain setting, which also has its form and its label in
/// `peerbroker keys show`.
macro_rules! settings {
    (
        $($(#[doc = $rich_help:literal])+ $rich:ident: $rich_type:ty = $rich_default:expr;)*
        plain:
        $($(#[doc = $help:literal])+ $name:ident: $type:ty = $default:expr, $form:ident, $label:literal;)*
        of the server, unless the key has its own:
        $($(#[doc = $own_help:literal])+ $own:ident: $own_type:ident, $own_form:ident, $own_label:literal;)*
    ) => {
        /// The settings of a key.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(default)]
        pub struct Settings {
            $($(#[doc = $rich_help])+ pub $rich: $rich_type,)*
            $($(#[doc = $help])+ pub $name: $type,)*
            $(
                $(#[doc = $own_help])+
                ///
                /// Missing if the limit of the server applies.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $own: Option<$own_type>,
            )*
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
            $(pub $rich: Option<$rich_type>,)*
            $(pub $name: Option<$type>,)*
            $(
                /// `null` applies the server's limit again.
                #[serde(deserialize_with = "given")]
                #[schema(value_type = Option<$own_type>)]
                pub $own: Option<Option<$own_type>>,
            )*
            #[serde(skip)]
            pub tokens: Vec<TokenChange>,
        }

        impl Settings {
            /// The names of all settings, and of the key's own.
            pub const NAMES: &[&str] = &["name", $(stringify!($rich),)* $(stringify!($name),)* $(stringify!($own)),*];

            fn apply(&mut self, change: Change) {
                $(if let Some(value) = change.$rich { self.$rich = value; })*
                $(if let Some(value) = change.$name { self.$name = value; })*
                $(if let Some(value) = change.$own { self.$own = value; })*
                for token in change.tokens { token.apply(&mut self.tokens); }
            }
        }

        impl Change {
            /// A change that makes this change and then a later one.
            pub fn then(self, later: Change) -> Self {
                Change {
                    name: later.name.or(self.name),
                    $($rich: later.$rich.or(self.$rich),)*
                    $($name: later.$name.or(self.$name),)*
                    $($own: later.$own.or(self.$own),)*
                    tokens: [self.tokens, later.tokens].concat(),
                }
            }
        }

        impl Default for Settings {
            fn default() -> Self {
                Settings {
                    $($rich: $rich_default,)*
                    $($name: $default,)*
                    $($own: None,)*
                    tokens: Vec::new(),
                }
            }
        }

        /// The change that gives a key these settings, except tokens.
        impl From<Settings> for Change {
            fn from(settings: Settings) -> Self {
                Change {
                    $($rich: Some(settings.$rich),)*
                    $($name: Some(settings.$name),)*
                    $($own: Some(settings.$own),)*
                    ..Change::default()
                }
            }
        }

        impl PlainSetting {
            /// All plain settings, in the order of the help.
            pub const ALL: &[Self] = &[
                $(PlainSetting {
                    name: stringify!($name),
                    help: concat!($($help),+),
                    label: $label,
                    kind: SettingKind::$form(|change| &mut change.$name),
                },)*
                $(PlainSetting {
                    name: stringify!($own),
                    help: concat!($($own_help),+),
                    label: $own_label,
                    kind: SettingKind::$own_form(|change| &mut change.$own),
                },)*
            ];
        }
    };
}

/// A setting that one flag gives.
#[derive(Clone, Copy, Debug)]
pub struct PlainSetting {
    /// The name of its field.
    pub name: &'static str,
    /// The help, in Markdown.
    pub help: &'static str,
    /// The label in `peerbroker keys show`. Empty if another line says it.
    pub label: &'static str,
    /// Its kind, with its place in a change.
    pub kind: SettingKind,
}

/// The kind of a plain setting, and its place in a change.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum SettingKind {
    Switch(fn(&mut Change) -> &mut Option<bool>),
    Count(fn(&mut Change) -> &mut Option<usize>),
    /// Per second and client; 0 means no limit.
    Rate(fn(&mut Change) -> &mut Option<u32>),
    Discovery(fn(&mut Change) -> &mut Option<Discovery>),
    Ids(fn(&mut Change) -> &mut Option<IdStyle>),
    Relay(fn(&mut Change) -> &mut Option<RelayMode>),
    OwnCount(fn(&mut Change) -> &mut Option<Option<usize>>),
    /// Bytes per second; 0 means no limit.
    OwnRate(fn(&mut Change) -> &mut Option<Option<u32>>),
    OwnTime(fn(&mut Change) -> &mut Option<Option<ExpireTimeout>>),
}

settings! {
    /// Clients may use the key.
    enabled: bool = true;
    /// Pages that may use the key, as in `https://example.org` or `https://*.example.org`; empty means any.
    origins: Vec<Origin> = Vec::new();
    /// The proof that clients own their ids.
    auth: Auth = Auth::None;
    /// The webhook for the events of its clients.
    webhook: Webhook = Webhook::default();

    plain:
    /// If the key has origins: clients without an `Origin` (programs other than browsers) may use it too.
    allow_no_origin: bool = false, Switch, "";
    /// Maximum clients at the same time.
    concurrent_limit: usize = 5000, Count, "Clients";
    /// Messages per second and client; bursts up to ten times that; 0 means no limit.
    // Enough for a mesh of fifty peers.
    messages_per_second: u32 = 200, Rate, "Messages";
    /// Clients that find each other without an id: `true`, all; `near`, those of one network; `pin`, those of
    /// one network with the same PIN.
    allow_discovery: Discovery = Discovery::Off, Discovery, "Discovery";
    /// The peers of a PeerJS client hear LEAVE when its page goes away.
    leave_on_close: bool = false, Switch, "Leave on close";
    /// Clients may use rooms.
    allow_rooms: bool = true, Switch, "Rooms";
    /// Clients may enter only rooms that the proof of their ids lists. Without a proof, nobody enters a room.
    private_rooms: bool = false, Switch, "Private rooms";
    /// Maximum members of one room.
    room_members: usize = 500, Count, "Room size";
    /// Form of the ids that the server gives to clients: `uuid`, `short` or `words`.
    id_style: IdStyle = IdStyle::Uuid, Ids, "Ids";
    /// Calls that the server's relay carries: `fallback`, those that cannot go directly; `always`, all;
    /// `off`, none.
    relay: RelayMode = RelayMode::Fallback, Relay, "Relay";
    /// Clients may have [pipes](PROTOCOL.md#pipes).
    pipes: bool = true, Switch, "Pipes";
    /// Clients are told the ICE servers of the server, with credentials.
    ice_servers: bool = true, Switch, "ICE";
    /// Pages with the served `peerjs.js` [report](PROTOCOL.md#call-reports) how their connections went.
    call_reports: bool = false, Switch, "Call reports";

    of the server, unless the key has its own:
    /// Time for which a message waits for an absent peer, up to two minutes.
    expire_timeout: ExpireTimeout, OwnTime, "Waiting";
    /// Maximum calls that the relay knows, and maximum allocations of TURN.
    relay_calls_per_key: usize, OwnCount, "Calls";
    /// Bytes per second of one relayed call, and of one allocation of TURN; 0 means no limit.
    relay_bytes_per_second: u32, OwnRate, "Call rate";
    /// Bytes per second of all relayed calls together, and of all allocations of TURN; 0 means no limit.
    relay_key_bytes_per_second: u32, OwnRate, "Key rate";
}

/// The error of a text that cannot be the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has at most {MAX_NAME_CHARS} characters and no control characters")]
pub struct InvalidName;

impl Key {
    /// Creates a key now. Without `key` its text is random.
    pub fn new(key: Option<ApiKey>, name: &str, settings: Settings) -> Self {
        let key = key.unwrap_or_else(random_key);
        let name = name.to_owned();
        let created = unix_time();
        Key { key, name, settings, created, used: None, registered: false, built_in: false }
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        if let Some(name) = &change.name {
            self.name.clone_from(name);
        }
        self.settings.apply(change);
    }

    /// The key as JSON for operators, without its secrets.
    pub fn public_json(&self) -> serde_json::Result<serde_json::Value> {
        let mut key = self.clone();
        // Empty ones are not written.
        key.settings.webhook.secrets.clear();
        key.settings.tokens.iter_mut().for_each(|token| token.hash.clear());
        let mut json = serde_json::to_value(key)?;
        if matches!(self.settings.auth, Auth::Jwt { verify: JwtKey::Secret(_) })
            && let Some(auth) = json.get_mut("auth").and_then(|auth| auth.as_object_mut())
        {
            auth.remove("value");
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

/// JSON with escapes for characters that could forge a log line or control a terminal. Anybody may choose the
/// name of a key.
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
    /// The limits of the relay and of TURN that the key has of its own.
    pub fn relay_limits(&self) -> KeyLimits {
        KeyLimits {
            calls: self.relay_calls_per_key,
            bytes_per_second: self.relay_bytes_per_second,
            key_bytes_per_second: self.relay_key_bytes_per_second,
        }
    }

    /// The reason why they are probably not meant, if there is one.
    pub fn warning(&self) -> Option<&'static str> {
        (self.private_rooms && self.auth == Auth::None).then_some(
            "nobody can enter a room: with --private_rooms, a client needs a proof that lists its rooms, and without --auth it has none",
        )
    }

    /// True if a request from this origin may use the key. An origin longer than [`MAX_ORIGIN_BYTES`] may
    /// not, so that nothing has to store it.
    pub fn allows_origin(&self, origin: Option<&str>) -> bool {
        match origin {
            Some(origin) if origin.len() > MAX_ORIGIN_BYTES => false,
            _ if self.origins.is_empty() => true,
            None => self.allow_no_origin,
            Some(origin) => self.origins.iter().any(|allowed| allowed.matches(origin)),
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
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

/// The beginning of a secret as text (Standard Webhooks 1.0).
const PREFIX: &str = "whsec_";
/// The sizes of a secret that Standard Webhooks allows.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The endpoint of events, and of messages of clients. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(expecting = "an object with url, secrets and messages")]
pub struct Webhook {
    /// An `https` URL; empty means that no events are sent.
    pub url: String,
    /// Secrets that sign the events: `whsec_` and 24 to 64 bytes in base64. Several while one replaces
    /// another. Responses never contain them.
    #[schema(value_type = Vec<String>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<WebhookSecret>,
    /// True if it gets messages of clients to the app as well, and answers them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub messages: bool,
}

/// A secret that signs events. Never shown, not even by `Debug`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookSecret(Hidden<Vec<u8>>);

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
        let is_fine = SECRET_BYTES.contains(&bytes.len());
        is_fine.then_some(WebhookSecret(Hidden(bytes))).ok_or(InvalidWebhookSecret)
    }

    /// Parses secrets between blanks or line breaks.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidWebhookSecret> {
        text.split_whitespace().map(WebhookSecret::parse).collect()
    }

    /// The key of the signature.
    pub fn bytes(&self) -> &[u8] {
        &self.0.0
    }
}

impl TryFrom<String> for WebhookSecret {
    type Error = InvalidWebhookSecret;

    fn try_from(text: String) -> Result<Self, InvalidWebhookSecret> {
        WebhookSecret::parse(&text)
    }
}

impl From<WebhookSecret> for String {
    fn from(secret: WebhookSecret) -> Self {
        format!("{PREFIX}{}", STANDARD.encode(secret.bytes()))
    }
}

/// The proof that clients own their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "method")]
#[serde(expecting = "an object with a method: none, jwt or webhook")]
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
    /// The secret, the public key in PEM, or the path of the key set on the server. Responses never contain a
    /// secret.
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
