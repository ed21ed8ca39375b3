//! Whether a client owns the id that it asks for: by nothing, by a JSON Web Token, or by asking the
//! owner of the key.

mod answers;
mod jwks;
mod jwt;
mod verifying_keys;
mod webhook;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::files::FileError;
use crate::keys::{Auth, JwtKey};
use crate::wire::{ApiKey, InvalidName, PeerId, Token};
use jwks::Jwks;
use jwt::Owner;
use verifying_keys::VerifyingKeys;
use webhook::Webhook;

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

/// What a client says, and where it comes from.
#[derive(Clone, Copy)]
pub(crate) struct Claimant<'a> {
    pub(crate) key: &'a ApiKey,
    pub(crate) id: &'a PeerId,
    pub(crate) token: &'a Token,
    pub(crate) address: Option<IpAddr>,
    pub(crate) origin: Option<&'a str>,
}

/// Why a client does not own an id. For the log: to a client, all of them are the same. None of them holds
/// text of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("as a token, {0}")]
    NoToken(InvalidName),
    #[error("it is no JSON Web Token: those are three parts of base64url without padding")]
    Malformed,
    #[error("its header cannot be read, or names an algorithm that is not known")]
    Header,
    #[error("its header asks for extensions (crit); none is known")]
    Critical,
    #[error("its header names another algorithm than {0}, which is that of the key")]
    Algorithm(&'static str),
    #[error("there is no key of the kid in its header")]
    UnknownKeyId,
    #[error("its header has no kid, and there are several keys")]
    NoKeyId,
    #[error("its signature is wrong")]
    Signature,
    #[error("its claims cannot be read, or are not of the right type")]
    Claims,
    #[error("it has no expiry (exp)")]
    NoExpiry,
    #[error("it has expired (exp)")]
    Expired,
    #[error("it is not valid yet (nbf)")]
    NotYet,
    #[error("it is for somebody else than this key (aud)")]
    Audience,
    #[error("it has no subject (sub)")]
    NoSubject,
    #[error("its subject (sub) is another id")]
    Subject,
    #[error("its subject (sub) is a lone star, which would be every id")]
    EveryId,
    #[error("its subject (sub) cannot be an id: {0}")]
    UnusableSubject(InvalidName),
    #[error("too many questions to the webhook are open")]
    Overloaded,
    #[error("the webhook did not answer in time")]
    TimedOut,
    #[error("the webhook cannot be asked: {0}")]
    Unreachable(Arc<str>),
    #[error("the webhook answered {0}")]
    Refused(u16),
    #[error("the webhook answered with another id")]
    OtherId,
    #[error("the webhook's answer cannot be read")]
    BadAnswer,
    #[error("the webhook's answer is too long")]
    LongAnswer,
}

/// Why the settings of a key for proofs cannot work. The message of each variant says what it means; none holds a secret.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BadAuth {
    #[error("the secret has {0} bytes: at least {min} are needed, or it could be guessed from a token", min = verifying_keys::MIN_SECRET_BYTES)]
    ShortSecret(usize),
    #[error("the secret is PEM text: set a public key with --jwt_key_file, or as kind \"pem\" in the API")]
    SecretIsPem,
    #[error(
        "the secret is a JSON Web Key: set the secret itself, or public keys in a key set with --jwks_file, or as kind \"jwks\" in the API"
    )]
    SecretIsJwk,
    #[error(
        "the PEM text has a private key, which only the signer of tokens may have: `openssl pkey -pubout` gives the public one"
    )]
    PrivateKey,
    #[error("the PEM text is a certificate: `openssl x509 -pubkey -noout` gives its public key")]
    Certificate,
    #[error(
        "there is no public key in it: PEM text with 'BEGIN PUBLIC KEY' is needed, as `openssl pkey -pubout` writes it"
    )]
    NoPublicKey,
    #[error("the public key is of a kind that is not supported: RSA, P-256 and Ed25519 are")]
    UnsupportedKey,
    #[error("the RSA key has {0} bits: {min} to {max} are supported", min = verifying_keys::RSA_BITS.start(), max = verifying_keys::RSA_BITS.end())]
    RsaSize(u64),
    #[error(
        "the RSA key verifies nothing: its modulus has to be odd, and its exponent odd, at least 3 and below 2^33"
    )]
    RsaNumbers,
    #[error(
        "the P-256 key is a compressed point, which is not supported: `openssl ec -pubin -conv_form uncompressed` writes it in full"
    )]
    CompressedPoint,
    #[error("the key verifies nothing: its point is not on the curve, or of small order")]
    NoPoint,
    #[error("the path {path} is not UTF-8", path = .0.display())]
    OddPath(PathBuf),
    #[error("cannot read {path}: {error}", path = .path.display())]
    Unreadable { path: PathBuf, error: FileError },
    // Not what the parser says: it might quote a key.
    #[error("{path} is not a JSON Web Key Set: line {line}, column {column}", path = .path.display())]
    NoKeySet { path: PathBuf, line: usize, column: usize },
    #[error("{path} has two keys of the kid {kid:?}", path = .path.display())]
    RepeatedKeyId { path: PathBuf, kid: String },
    #[error("{path} has a key that cannot be used: {error}", path = .path.display())]
    KeyInSet { path: PathBuf, error: Box<BadAuth> },
    #[error("{path} has no key for RS256, ES256 or EdDSA", path = .0.display())]
    NoKey(PathBuf),
    #[error("the webhook's URL {0}")]
    Url(&'static str),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
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
