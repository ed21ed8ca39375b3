//! Whether a client owns the id that it asks for: by nothing, by a JSON Web Token, or by asking the
//! owner of the key.

mod answers;
mod claimant;
mod error;
mod jwks;
mod jwt;
mod verifying_keys;
mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::keys::{Auth, JwtKey};
use crate::wire::{ApiKey, PeerId, Token};
use jwks::Jwks;
use jwt::Owner;
use verifying_keys::VerifyingKeys;
use webhook::Webhook;

pub(crate) use claimant::Claimant;
pub use error::BadAuth;
pub(crate) use error::Denied;

/// Decides whether a client owns an id. One for each key, made anew when the key's settings change.
pub(crate) struct Verifier {
    method: Method,
}

enum Method {
    None,
    /// What verifies tokens does not change.
    Jwt(Arc<VerifyingKeys>),
    /// It stands in a file that may change.
    Jwks(Jwks),
    Webhook(Box<Webhook>),
}

/// Checks with the code that verifies clients whether these settings can verify any. It reads the file of a key set,
/// so call it where blocking delays nobody.
pub fn check_auth(auth: &Auth) -> Result<(), BadAuth> {
    Verifier::new(auth).map(drop)
}

impl Verifier {
    /// Reads the key, the file or the URL. A file is read here and now, so this belongs on no worker's thread.
    pub(crate) fn new(auth: &Auth) -> Result<Self, BadAuth> {
        let method = match auth {
            Auth::None => Method::None,
            Auth::Jwt { verify: JwtKey::Secret(secret) } => {
                Method::Jwt(Arc::new(VerifyingKeys::secret(secret)?))
            }
            Auth::Jwt { verify: JwtKey::Pem(pem) } => Method::Jwt(Arc::new(VerifyingKeys::pem(pem)?)),
            Auth::Jwt { verify: JwtKey::Jwks(path) } => Method::Jwks(Jwks::open(path, Instant::now())?),
            Auth::Webhook { url } => Method::Webhook(Box::new(Webhook::new(url)?)),
        };
        Ok(Verifier { method })
    }

    /// The token under which the broker keeps the id, if it is the client's: who comes with the same one
    /// later is its owner.
    pub(crate) async fn verify(&self, claimant: &Claimant<'_>) -> Result<Token, Denied> {
        let Claimant { key, id, token, .. } = claimant;
        if let Method::Webhook(webhook) = &self.method {
            webhook.ask(claimant).await?;
        }
        let Some(keys) = self.keys().await else {
            return Ok(Token::clone(token));
        };
        Ok(match jwt::read(token.as_str(), &keys)?.owner(key, id, now())? {
            // A fresh token of the same subject is the same owner.
            Owner::Subject => Token::of_subject(id),
            Owner::Bearer => Token::clone(token),
        })
    }

    /// The id that a token is for; for a prefix, a fresh one. `None` if the key has no tokens that say.
    pub(crate) async fn id_of(&self, key: &ApiKey, token: &str) -> Result<Option<PeerId>, Denied> {
        let Some(keys) = self.keys().await else {
            return Ok(None);
        };
        let token = Token::parse(token).map_err(Denied::NoToken)?;
        let id = match jwt::read(token.as_str(), &keys)?.subject(key, now())? {
            jwt::Subject::Exactly(id) => PeerId::parse(id),
            jwt::Subject::Prefix(prefix) => PeerId::parse(&format!("{prefix}{}", Uuid::new_v4())),
        };
        id.map(Some).map_err(Denied::UnusableSubject)
    }

    async fn keys(&self) -> Option<Arc<VerifyingKeys>> {
        match &self.method {
            Method::None | Method::Webhook(_) => None,
            Method::Jwt(keys) => Some(Arc::clone(keys)),
            Method::Jwks(jwks) => Some(jwks.keys(Instant::now()).await),
        }
    }
}

/// Whether one of the keys of a set has signed a token.
#[cfg(any(test, fuzzing))]
pub(crate) fn is_signed(token: &str, key_set: &[u8]) -> bool {
    let keys = jwks::parse(std::path::Path::new("key set"), key_set);
    keys.is_ok_and(|keys| jwt::read(token, &keys).is_ok())
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or_default()
}
