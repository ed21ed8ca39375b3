//! How a client proves that an id is its own, and what can serve as a proof.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, alg_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Fewest bytes of a secret for HS256: what it signs to has as many (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;

/// How a client proves that an id is its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenAuth", into = "WrittenAuth")]
pub enum Auth {
    /// Who comes first has it, for as long as it is here.
    #[default]
    None,
    /// By a JSON Web Token whose subject is the id.
    Jwt {
        /// What its signature is verified with.
        verify: JwtKey,
    },
    /// The owner of the key is asked.
    Webhook {
        /// Where: an `http` or `https` URL.
        url: String,
    },
}

/// What verifies a JSON Web Token. The kind pins the algorithm.
#[derive(Clone, PartialEq, Eq)]
pub enum JwtKey {
    /// A secret for HS256.
    Secret(String),
    /// A public key in PEM: RS256, ES256 or EdDSA, by its type.
    Pem(String),
    /// A file with a JSON Web Key Set, read again when it changes.
    Jwks(PathBuf),
}

/// [`Auth`] as it is written, in a database and by those who administer keys.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Auth)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum WrittenAuth {
    /// Who comes first has an id, for as long as it is here.
    None,
    /// By a JSON Web Token whose subject is the id.
    Jwt {
        /// What `value` is.
        kind: JwtKind,
        /// The secret, the public key in PEM, or the path of the key set on the server. A secret is never
        /// shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The owner of the key is asked.
    Webhook {
        /// Where: an `http` or `https` URL.
        url: String,
    },
}

/// What a signature is verified with.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JwtKind {
    /// A secret of 32 bytes or more: HS256.
    Secret,
    /// A public key: RS256, ES256 or EdDSA, by its type.
    Pem,
    /// A file with a JSON Web Key Set, read again when it changes.
    Jwks,
}

/// There is nothing to verify with.
#[derive(Debug, thiserror::Error)]
#[error("jwt needs a value: the secret, the public key or the path of the key set")]
pub struct NoValue;

/// Why something cannot serve as a proof.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Unfit {
    #[error("a secret has {SECRET_BYTES} bytes or more, and this one {0}")]
    ShortSecret(usize),
    #[error(
        "there is no public key in it: PEM with 'BEGIN PUBLIC KEY' is needed, as `openssl pkey -pubout` writes it"
    )]
    NoPublicKey,
    #[error(
        "it is a private key, and tokens are verified with the public one, as `openssl pkey -pubout` writes it"
    )]
    PrivateKey,
    #[error("its public key is of a kind that is not supported: RSA, EC P-256 and Ed25519 are")]
    OtherKind,
    #[error("it is no JSON Web Key Set: {0}")]
    NoKeySet(serde_json::Error),
    #[error("none of its keys can be used: RSA, EC P-256 and OKP Ed25519 can")]
    EmptyKeySet,
    #[error("its name is not UTF-8")]
    OddName,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("an http or https URL without a user is needed")]
    NoUrl,
}

impl Auth {
    /// Asks at this URL.
    pub fn webhook(url: &str) -> Result<Self, Unfit> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        // A URL is shown to those who list keys, so no password belongs into it.
        let plain = !host.is_empty() && !host.starts_with(':') && !host.contains('@');
        let fine = plain && url.chars().all(|c| c.is_ascii_graphic());
        fine.then(|| Auth::Webhook { url: url.to_owned() }).ok_or(Unfit::NoUrl)
    }
}

impl Auth {
    /// Looks whether it can serve, at a file too.
    pub fn check(self) -> Result<Self, Unfit> {
        Ok(match self {
            Auth::None => Auth::None,
            Auth::Webhook { url } => Auth::webhook(&url)?,
            Auth::Jwt { verify } => Auth::Jwt { verify: verify.check()? },
        })
    }
}

impl TryFrom<WrittenAuth> for Auth {
    type Error = NoValue;

    fn try_from(written: WrittenAuth) -> Result<Self, NoValue> {
        Ok(match written {
            WrittenAuth::None => Auth::None,
            WrittenAuth::Webhook { url } => Auth::Webhook { url },
            WrittenAuth::Jwt { value: None, .. } => return Err(NoValue),
            WrittenAuth::Jwt { kind, value: Some(value) } => Auth::Jwt {
                verify: match kind {
                    JwtKind::Secret => JwtKey::Secret(value),
                    JwtKind::Pem => JwtKey::Pem(value),
                    JwtKind::Jwks => JwtKey::Jwks(value.into()),
                },
            },
        })
    }
}

impl From<Auth> for WrittenAuth {
    fn from(auth: Auth) -> Self {
        let verify = match auth {
            Auth::None => return WrittenAuth::None,
            Auth::Webhook { url } => return WrittenAuth::Webhook { url },
            Auth::Jwt { verify } => verify,
        };
        let (kind, value) = match verify {
            JwtKey::Secret(secret) => (JwtKind::Secret, secret),
            JwtKey::Pem(pem) => (JwtKind::Pem, pem),
            // Its name was looked at, in `JwtKey::key_set`.
            JwtKey::Jwks(path) => (JwtKind::Jwks, path.to_string_lossy().into_owned()),
        };
        WrittenAuth::Jwt { kind, value: Some(value) }
    }
}

impl JwtKey {
    fn check(self) -> Result<Self, Unfit> {
        match self {
            JwtKey::Secret(secret) => JwtKey::secret(&secret),
            JwtKey::Pem(pem) => JwtKey::public_key(&pem),
            JwtKey::Jwks(path) => {
                let content = fs::read_to_string(&path).map_err(Unfit::Unreadable)?;
                JwtKey::key_set(path, &content)
            }
        }
    }

    /// A secret for HS256; the newline at the end of a file is not part of it.
    pub fn secret(text: &str) -> Result<Self, Unfit> {
        let secret = text.strip_suffix('\n').unwrap_or(text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.len() < SECRET_BYTES {
            return Err(Unfit::ShortSecret(secret.len()));
        }
        Ok(JwtKey::Secret(secret.to_owned()))
    }

    /// A public key in PEM.
    pub fn public_key(pem: &str) -> Result<Self, Unfit> {
        if PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_ok() {
            return Err(Unfit::PrivateKey);
        }
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| Unfit::NoPublicKey)?;
        let algorithm = sequence(&key).and_then(sequence).ok_or(Unfit::NoPublicKey)?;
        let known = [alg_id::RSA_ENCRYPTION, alg_id::ECDSA_P256, alg_id::ED25519];
        if !known.iter().any(|known| known.as_ref() == algorithm) {
            return Err(Unfit::OtherKind);
        }
        Ok(JwtKey::Pem(pem.to_owned()))
    }

    /// The file of a JSON Web Key Set that holds `content` now.
    pub fn key_set(path: PathBuf, content: &str) -> Result<Self, Unfit> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Member>,
        }
        #[derive(Deserialize)]
        struct Member {
            kty: String,
            crv: Option<String>,
        }
        if path.to_str().is_none() {
            return Err(Unfit::OddName);
        }
        let set: Set = serde_json::from_str(content).map_err(Unfit::NoKeySet)?;
        let known = |member: &Member| match member.kty.as_str() {
            "RSA" => true,
            "EC" => member.crv.as_deref() == Some("P-256"),
            "OKP" => member.crv.as_deref() == Some("Ed25519"),
            _ => false,
        };
        set.keys.iter().any(known).then_some(JwtKey::Jwks(path)).ok_or(Unfit::EmptyKeySet)
    }
}

/// What is in the DER sequence that `der` begins with.
fn sequence(der: &[u8]) -> Option<&[u8]> {
    const TAG: u8 = 0x30;
    let (&[TAG, length], rest) = der.split_first_chunk()? else {
        return None;
    };
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first_chunk().map(|(&[length], rest)| (usize::from(length), rest))?,
        0x82 => rest.split_first_chunk().map(|(&length, rest)| (u16::from_be_bytes(length).into(), rest))?,
        _ => return None,
    };
    rest.get(..length)
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

    // Made by openssl; the private halves were thrown away.
    const RSA: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvypfT//za7cZzwoFHymT\n\
Al/a4EZkHTFtpMb65BVSshIUrhmb4I7d+bgkZMiHlb4NNmWX94cf0IGIfNVytYe5\n\
EOv8+SsWG12AYrKXRP7nQFndOWLZCcDxPG4Y50Xcu9Hv35hRrxgbugdUEACrTOCc\n\
L7+BpO04ATKYWRSKy/JaI052H8UcdmyMsdMUiq46krqS60NOOULj+HV2gEgNnnn/\n\
5xLqbWrwEjtueC2u4rMywvbjkvT7cIQRfilCP5vmoaYjSRmKqBJiK8DgJwqo4gL3\n\
vutjKoMX/XQIwOfrglBlOf0WpWiG+wGbGs7OJQjgTVRUWHryD/Fv6pOiqhHxS74/\n\
VQIDAQAB\n\
-----END PUBLIC KEY-----\n";
    const EC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVRtKXWJW3bnN3H7v36rJL7vGm5ln\n\
MhTTpc0dSG3sJC/f0BR60CFRr+pSD/4viadJBtqNYy76KZEU5rAau2LRgw==\n\
-----END PUBLIC KEY-----\n";
    const P384: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEZLPQnmXw2WH2TdRyktRRpe8cW7blUo0o\n\
KC7cx4wTfccRlFDXxGBuhyJuXRjHn8AQ5/DOriU3G0tBbU7NyB2jRprxalP/tqse\n\
Z+AquQk4IL55za8c5MLivCDzRh++Dcl8\n\
-----END PUBLIC KEY-----\n";
    const ED25519: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAeb8K6nF66YXul1GpeEvdxTZlUuAWipxLatXo6CLyMZc=\n\
-----END PUBLIC KEY-----\n";
    // A private key that is used for nothing else.
    const PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIPqVKlSZv3fcR9xdap5kZFqJExsv2rzk6Z/+LUPT8cZz\n\
-----END PRIVATE KEY-----\n";

    #[test]
    fn a_secret_is_taken_without_the_newline_of_its_file() {
        let secret = "0123456789abcdef0123456789abcdef";
        for text in [secret.to_owned(), format!("{secret}\n"), format!("{secret}\r\n")] {
            assert_eq!(JwtKey::secret(&text).unwrap(), JwtKey::Secret(secret.to_owned()));
        }
        // 31 bytes and a newline are no 32.
        for short in ["", "\n", &format!("{}\n", &secret[1..])] {
            assert!(matches!(JwtKey::secret(short), Err(Unfit::ShortSecret(..32))), "{short:?}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let key = JwtKey::secret("0123456789abcdef0123456789abcdef").unwrap();
        let auth = Auth::Jwt { verify: key };
        assert!(!format!("{auth:?}").contains("0123"));
    }

    #[test]
    fn public_keys_of_the_three_kinds_are_taken() {
        for pem in [RSA, EC, ED25519] {
            assert!(matches!(JwtKey::public_key(pem), Ok(JwtKey::Pem(_))), "{pem}");
            // openssl puts text in front of keys that it prints.
            assert!(JwtKey::public_key(&format!("A comment.\n{pem}")).is_ok());
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_its_reason() {
        assert!(matches!(JwtKey::public_key(PRIVATE), Err(Unfit::PrivateKey)));
        assert!(matches!(JwtKey::public_key(&format!("{EC}{PRIVATE}")), Err(Unfit::PrivateKey)));
        assert!(matches!(JwtKey::public_key(P384), Err(Unfit::OtherKind)));
        let cut = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n";
        for text in ["", "secret", cut] {
            assert!(matches!(JwtKey::public_key(text), Err(Unfit::NoPublicKey)), "{text}");
        }
    }

    #[test]
    fn a_key_set_has_a_key_that_can_be_used() {
        let of = |content: &str| JwtKey::key_set(PathBuf::from("/keys.json"), content);
        for content in [
            r#"{"keys":[{"kty":"RSA","n":"0","e":"AQAB"}]}"#,
            r#"{"keys":[{"kty":"oct"},{"kty":"EC","crv":"P-256"}],"more":1}"#,
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519"}]}"#,
        ] {
            assert_eq!(of(content).unwrap(), JwtKey::Jwks(PathBuf::from("/keys.json")));
        }
        for content in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[{"crv":"P-256"}]}"#] {
            assert!(matches!(of(content), Err(Unfit::NoKeySet(_))), "{content}");
        }
        for content in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct"},{"kty":"EC","crv":"P-521"}]}"#] {
            assert!(matches!(of(content), Err(Unfit::EmptyKeySet)), "{content}");
        }
    }

    #[test]
    fn a_webhook_has_a_url_without_a_password() {
        for url in ["http://localhost:3000/auth?app=1", "https://example.org", "https://[::1]/x"] {
            assert_eq!(Auth::webhook(url).unwrap(), Auth::Webhook { url: url.to_owned() });
        }
        for url in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https:///x",
            "https://a b",
            "http://u:p@a/",
            "http://:80/",
        ] {
            assert!(matches!(Auth::webhook(url), Err(Unfit::NoUrl)), "{url}");
        }
    }
}
