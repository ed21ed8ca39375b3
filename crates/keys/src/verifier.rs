//! Verifies that a client owns the id that it asks for: by a JSON Web Token, or with a webhook of the key's
//! owner.

mod error;
mod hint;
mod jwks;
mod jwt;
#[cfg(test)]
mod tests;
mod verifying_keys;
mod webhook;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jwks::Jwks;
use jwt::TakeoverBy;
use uuid::Uuid;
use verifying_keys::VerifyingKeys;
use webhook::Webhook;

use crate::{Auth, JwtKey};
use peerbroker_core::vocabulary::{ApiKey, PeerId, Refusal, RoomRights, Token};
use peerbroker_events::Mistake;

pub use error::BadAuth;
pub use error::Denied;
pub use hint::OddClaim;
pub use webhook::Claimant;

/// Decides whether a client owns an id. Each key has its own, which is replaced when the key's settings
/// change.
pub struct Verifier(Method);

enum Method {
    None,
    /// Fixed keys verify tokens.
    Jwt(Arc<VerifyingKeys>),
    /// A file has the keys, and may change.
    Jwks(Jwks),
    Webhook(Box<Webhook>),
}

/// The proof of a client that owns its id.
#[derive(Debug, PartialEq)]
pub struct Verified {
    /// The broker keeps the id under it. A later connection with the same token is the same owner.
    pub token: Token,
    /// The private rooms that the proof lists.
    pub rooms: RoomRights,
    /// A claim that is surely wrong.
    pub odd: Option<OddClaim>,
}

/// Checks whether these settings can verify clients, with the code that does so later. It may read a file and
/// block, so do not call it on a worker's thread.
pub fn check_auth(auth: &Auth) -> Result<(), BadAuth> {
    Verifier::new(auth).map(drop)
}

impl Verifier {
    /// Reads the key, the file or the URL. It may block, so do not call it on a worker's thread.
    pub fn new(auth: &Auth) -> Result<Self, BadAuth> {
        let method = match auth {
            Auth::None => Method::None,
            Auth::Jwt { verify: JwtKey::Secret(secret) } => {
                Method::Jwt(Arc::new(VerifyingKeys::secret(secret)?))
            }
            Auth::Jwt { verify: JwtKey::Pem(pem) } => Method::Jwt(Arc::new(VerifyingKeys::pem(pem)?)),
            Auth::Jwt { verify: JwtKey::Jwks(path) } => Method::Jwks(Jwks::open(path, Instant::now())?),
            Auth::Webhook { url } => Method::Webhook(Box::new(Webhook::new(url)?)),
        };
        Ok(Verifier(method))
    }

    /// A verifier for settings that cannot be used now. `None` if only other settings can change that.
    pub fn awaiting(auth: &Auth) -> Option<Self> {
        match auth {
            Auth::Jwt { verify: JwtKey::Jwks(path) } => {
                Some(Verifier(Method::Jwks(Jwks::awaited(path, Instant::now()))))
            }
            _ => None,
        }
    }

    /// Returns the proof of a client, if it owns the id.
    pub async fn verify(&self, claimant: &Claimant<'_>) -> Result<Verified, Denied> {
        let Claimant { key, id, token, .. } = claimant;
        let asked = match &self.0 {
            Method::Webhook(webhook) => webhook.ask(claimant).await?,
            _ => RoomRights::default(),
        };
        let Some(keys) = self.keys().await? else {
            return Ok(Verified { token: Token::clone(token), rooms: asked, odd: None });
        };
        let claims = jwt::read(token.as_str(), &keys)?;
        let now = now();
        let token = match claims.check(key, id, now)? {
            // A new token with the same subject is the same owner.
            TakeoverBy::Subject => Token::of_subject(id),
            TakeoverBy::Token => Token::clone(token),
        };
        Ok(Verified { token, odd: claims.odd(now), rooms: claims.rooms })
    }

    /// The id in the subject of a token. A prefix gets a random ending. `None` if the key does not use tokens
    /// with subjects.
    pub async fn id_of(&self, key: &ApiKey, token: &str) -> Result<Option<PeerId>, Denied> {
        let Some(keys) = self.keys().await? else { return Ok(None) };
        let token = Token::parse(token).map_err(Denied::NoToken)?;
        let id = match jwt::read(token.as_str(), &keys)?.subject(key, now())? {
            jwt::Subject::Exactly(id) => PeerId::parse(id),
            jwt::Subject::Prefix(prefix) => PeerId::parse(&format!("{prefix}{}", Uuid::new_v4())),
        };
        id.map(Some).map_err(Denied::UnusableSubject)
    }

    async fn keys(&self) -> Result<Option<Arc<VerifyingKeys>>, Denied> {
        Ok(match &self.0 {
            Method::None | Method::Webhook(_) => None,
            Method::Jwt(keys) => Some(Arc::clone(keys)),
            Method::Jwks(jwks) => Some(jwks.keys(Instant::now()).await?),
        })
    }
}

impl Denied {
    /// True if nobody knows whether the client owns the id: the same client can succeed later.
    pub fn is_unknown(&self) -> bool {
        match self {
            // Request Timeout and Too Many Requests.
            Denied::Refused(408 | 429) => true,
            Denied::Refused(400..=499) => false,
            Denied::NoKeySet(_) => true,
            Denied::Refused(_) | Denied::Unusable | Denied::Overloaded | Denied::TimedOut => true,
            Denied::Unreachable(_) | Denied::BadAnswer | Denied::LongAnswer => true,
            _ => false,
        }
    }

    /// The refusal of the client.
    pub fn refusal(&self) -> Refusal {
        match self {
            denied if denied.is_unknown() => Refusal::Unavailable,
            Denied::Expired => Refusal::TokenExpired,
            _ => Refusal::TokenRefused,
        }
    }

    /// The operator's message about a client that is not verified. Of its token, it has the shortened value
    /// that is wrong.
    pub fn mistake(&self, key: ApiKey, id: Option<PeerId>, token: &str) -> Mistake {
        let why = self.to_string();
        if self.is_unknown() {
            return Mistake::Unverified { key, id, why };
        }
        let hint = hint::of(self, token, &key, now());
        Mistake::TokenRefused { key, id, why, hint }
    }
}

/// True if a key of this set has signed the token.
#[doc(hidden)]
pub fn is_signed(token: &str, key_set: &[u8]) -> bool {
    let keys = jwks::parse(std::path::Path::new("key set"), key_set);
    keys.is_ok_and(|keys| jwt::read(token, &keys).is_ok())
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or_default()
}
