//! Why a client does not own an id, and why settings cannot tell.

use std::path::PathBuf;
use std::sync::Arc;

use crate::files::FileError;
use crate::wire::InvalidName;

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
    #[error("the secret has {bytes} bytes: at least {min} are needed, or it could be guessed from a token")]
    ShortSecret { bytes: usize, min: usize },
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
    #[error("the RSA key has {bits} bits: {min} to {max} are supported")]
    RsaSize { bits: u64, min: u64, max: u64 },
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
