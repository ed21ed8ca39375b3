//! How a client proves that an id is its own: what a key's settings say about it. Whether that can work is
//! decided by the code that verifies, in `auth`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

impl TryFrom<WrittenAuth> for Auth {
    type Error = NoValue;

    fn try_from(written: WrittenAuth) -> Result<Self, NoValue> {
        Ok(match written {
            WrittenAuth::None => Auth::None,
            WrittenAuth::Webhook { url } => Auth::Webhook { url },
            WrittenAuth::Jwt { value: None, .. } => return Err(NoValue),
            WrittenAuth::Jwt { kind, value: Some(value) } => Auth::Jwt {
                verify: match kind {
                    JwtKind::Secret => JwtKey::secret(value),
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
            // The verifier refuses a name that is not UTF-8.
            JwtKey::Jwks(path) => (JwtKind::Jwks, path.to_string_lossy().into_owned()),
        };
        WrittenAuth::Jwt { kind, value: Some(value) }
    }
}

impl JwtKey {
    /// A secret for HS256; the newline at the end of a file is not part of it.
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
    fn a_secret_is_never_shown() {
        let auth = Auth::Jwt { verify: JwtKey::Secret(SECRET.to_owned()) };
        assert!(!format!("{auth:?}").contains("0123"));
    }
}
