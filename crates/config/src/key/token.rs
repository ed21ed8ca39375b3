//! Tokens for the API that may do a part of it, for one key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::distr::{Alphanumeric, SampleString as _};
use ring::digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::unix_time;
use peerbroker_core::vocabulary::{ApiKey, labels};

/// Most tokens of one key.
pub const MAX_TOKENS: usize = 16;

/// The beginning of a token. Searches for leaked secrets find it.
const PREFIX: &str = "pbk_";

/// Random characters of a token: 250 bits, so its hash needs no salt.
const RANDOM_CHARS: usize = 43;

labels! {
    /// A part of the API.
    #[derive(Serialize, Deserialize, ToSchema)]
    pub enum TokenScope {
        /// Messages to clients.
        #[serde(rename = "messages")]
        Messages = "messages",
        /// Lists of connected clients.
        #[serde(rename = "peers:read")]
        PeersRead = "peers:read",
        /// Closing clients.
        #[serde(rename = "kick")]
        Kick = "kick",
    }
}

/// A token as it is stored: its text is shown once, to whoever adds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyToken {
    /// A name for people; no other token of the key has it.
    pub name: String,
    /// The scopes of the token.
    pub scopes: Vec<TokenScope>,
    /// The time at which it was added, in seconds since 1970.
    pub created: u64,
    /// The SHA-256 of its text. Responses never contain it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

impl KeyToken {
    /// Makes a token for a key. Returns its text too.
    pub fn new(key: &ApiKey, name: &str, scopes: Vec<TokenScope>) -> (Self, String) {
        let random = Alphanumeric.sample_string(&mut rand::rng(), RANDOM_CHARS);
        let text = format!("{PREFIX}{}_{random}", URL_SAFE_NO_PAD.encode(key.as_str()));
        let name = name.to_owned();
        let created = unix_time();
        let hash = hash(&text);
        (KeyToken { name, scopes, created, hash }, text)
    }

    /// The key that a text names, whether that has such a token or not. `None` if the text is no token of a
    /// key.
    pub fn key_of(text: &str) -> Option<ApiKey> {
        let (key, _) = text.strip_prefix(PREFIX)?.rsplit_once('_')?;
        ApiKey::parse(&String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?).ok()
    }

    /// True if this is the token. Hashes are compared, so the time reveals nothing about it.
    pub fn is(&self, text: &str) -> bool {
        hash(text) == self.hash
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// A change of the tokens of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// Adds one, unless the key has one of that name, or [`MAX_TOKENS`].
    Add(KeyToken),
    /// Removes the one of this name.
    Remove(String),
}

/// The reason why a token was not added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A token without a name: nobody could name it.
    #[error("a token needs a name")]
    NoName,
    /// A token without a scope: it would allow nothing.
    #[error("a token needs a scope: messages, peers:read or kick")]
    NoScope,
    /// Another token of the key has the name.
    #[error("the key has a token of this name already")]
    Exists,
    /// The key has [`MAX_TOKENS`].
    #[error("the key has {MAX_TOKENS} tokens already: remove one")]
    TooMany,
    /// No token of the key has the name.
    #[error("the key has no token of this name")]
    Unknown,
}

impl TokenChange {
    /// Checks the change for a key with these tokens.
    pub fn check(&self, tokens: &[KeyToken]) -> Result<(), TokenError> {
        let has = |name: &str| tokens.iter().any(|token| token.name == name);
        match self {
            TokenChange::Add(token) if token.name.is_empty() => Err(TokenError::NoName),
            TokenChange::Add(token) if token.scopes.is_empty() => Err(TokenError::NoScope),
            TokenChange::Add(token) if has(&token.name) => Err(TokenError::Exists),
            TokenChange::Add(_) if tokens.len() >= MAX_TOKENS => Err(TokenError::TooMany),
            TokenChange::Remove(name) if !has(name) => Err(TokenError::Unknown),
            _ => Ok(()),
        }
    }

    /// Checks that a key with these tokens has been changed so: another process may have been faster.
    pub fn check_done(&self, tokens: &[KeyToken]) -> Result<(), TokenError> {
        match self {
            TokenChange::Add(token) if !tokens.contains(token) => Err(TokenError::Exists),
            _ => Ok(()),
        }
    }

    /// Applies it, if it is valid.
    pub(super) fn apply(self, tokens: &mut Vec<KeyToken>) {
        if self.check(tokens).is_ok() {
            match self {
                TokenChange::Add(token) => tokens.push(token),
                TokenChange::Remove(name) => tokens.retain(|token| token.name != name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_tokens_of_one_name_the_second_is_not_taken_for_added() {
        let mut tokens = Vec::new();
        let [first, second] = ["1", "2"].map(|hash| {
            let name = "shop".to_owned();
            let scopes = vec![TokenScope::Kick];
            TokenChange::Add(KeyToken { name, scopes, created: 0, hash: hash.to_owned() })
        });
        for change in [&first, &second] {
            change.clone().apply(&mut tokens);
        }
        assert_eq!(first.check_done(&tokens), Ok(()));
        assert_eq!(second.check_done(&tokens), Err(TokenError::Exists));
    }
}
