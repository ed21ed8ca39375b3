//! The errors of this layer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerbroker_core::vocabulary::InvalidName;
use peerbroker_system::files::FileError;

/// The reason why a client does not own an id. It is for the log; a client is told only that its token has
/// expired. No variant holds text of a token.
#[expect(missing_docs, reason = "the messages say it")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the token is invalid: {0}")]
    NoToken(InvalidName),
    #[error("the token is not a JSON Web Token: expected three parts of base64url without padding")]
    Malformed,
    #[error("the header of the token cannot be parsed, or names no algorithm (alg)")]
    Header,
    #[error("the token requires extensions (crit), and none is supported")]
    Critical,
    #[error("the token has another algorithm (alg) than the key: expected {0}")]
    Algorithm(&'static str),
    #[error("the token names an unknown key (kid)")]
    UnknownKeyId,
    #[error("the token names no key (kid), and the set has several")]
    NoKeyId,
    #[error("the signature of the token is wrong")]
    Signature,
    #[error("the signature of the token is wrong: its signer decoded the secret from {0}")]
    DecodedSecret(&'static str),
    #[error("the signature of the token is wrong: it was made with the secret and a line break behind it")]
    UntrimmedSecret,
    #[error("the claims of the token cannot be parsed, or have a wrong type")]
    Claims,
    #[error("the token has no expiry (exp)")]
    NoExpiry,
    #[error("the token has expired (exp)")]
    Expired,
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    #[error("the token is for another audience than this key (aud)")]
    Audience,
    #[error("the token has no subject (sub)")]
    NoSubject,
    #[error("the subject of the token (sub) is another id")]
    Subject,
    #[error("the subject of the token (sub) is '*', which would allow every id")]
    EveryId,
    #[error("the subject of the token (sub) is not a valid id: {0}")]
    UnusableSubject(InvalidName),
    #[error("the settings of the key cannot be used")]
    Unusable,
    #[error(
        "the file {path} of --jwks_file could not be used yet: the log says why, and the file is read again when it changes",
        path = .0.display()
    )]
    NoKeySet(Arc<Path>),
    #[error("clients of the root have no tokens")]
    Tokenless,
    #[error("too many webhook requests are running")]
    Overloaded,
    #[error("the webhook did not answer in time")]
    TimedOut,
    #[error("the request to the webhook failed: {0}")]
    Unreachable(Arc<str>),
    #[error("the webhook answered {0}{redirect}", redirect = if matches!(.0, 300..=399) { ", a redirect, which is not followed" } else { "" })]
    Refused(u16),
    #[error("the webhook answered with another id")]
    OtherId,
    #[error("the answer of the webhook cannot be parsed")]
    BadAnswer,
    #[error("the answer of the webhook is too long")]
    LongAnswer,
}

/// The reason why the `auth` settings of a key cannot verify clients. Each message explains its variant. No
/// variant holds a secret.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BadAuth {
    #[error(
        "the secret has {bytes} bytes: at least {min} are needed, because a shorter secret could be guessed from a token"
    )]
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
    InvalidPoint,
    #[error(
        "{url} is a URL, and a key set is a file of the server: download it, as with `curl -o keys.jwks {url}`, again whenever its \
         issuer changes keys, and give the path of the file", url = .0
    )]
    KeySetIsUrl(String),
    #[error("the path {path} is not UTF-8", path = .0.display())]
    PathNotUtf8(PathBuf),
    #[error("cannot read {path}: {error}", path = .path.display())]
    Unreadable { path: PathBuf, error: FileError },
    // Without the message of the parser, which might quote a key.
    #[error("{path} is not a JSON Web Key Set: line {line}, column {column}", path = .path.display())]
    NoKeySet { path: PathBuf, line: usize, column: usize },
    #[error("it is no JSON Web Key, or one of its members has a wrong type")]
    NoJwk,
    #[error("it is symmetric (oct), and only public keys are used")]
    SymmetricKey,
    #[error("a key before it has the kid {0:?} and the same algorithm")]
    RepeatedKeyId(String),
    #[error("{path} has only keys that cannot be used: {error}", path = .path.display())]
    KeyInSet { path: PathBuf, error: Box<BadAuth> },
    #[error("{path} has no key for RS256, ES256 or EdDSA", path = .0.display())]
    NoKey(PathBuf),
    #[error("the webhook's URL {0}")]
    Url(&'static str),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}
