//! Tokens for the API that may do a part of it, for one key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::labels;

/// Most tokens of one key.
pub const MAX_TOKENS: usize = 16;

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
    /// Nobody could name it.
    #[error("a token needs a name")]
    NoName,
    /// It would allow nothing.
    #[error("a token needs a scope: messages, peers:read or kick")]
    NoScope,
    /// Another one has its name.
    #[error("the key has a token of this name already")]
    Exists,
    /// The key has [`MAX_TOKENS`].
    #[error("the key has {MAX_TOKENS} tokens already: remove one")]
    TooMany,
    /// There is none of this name.
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
            let (name, scopes) = ("shop".to_owned(), vec![TokenScope::Kick]);
            TokenChange::Add(KeyToken { name, scopes, created: 0, hash: hash.to_owned() })
        });
        [&first, &second].into_iter().for_each(|change| change.clone().apply(&mut tokens));
        assert_eq!(first.check_done(&tokens), Ok(()));
        assert_eq!(second.check_done(&tokens), Err(TokenError::Exists));
    }
}
