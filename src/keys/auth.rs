//! The setting of a key that says how clients prove that they own an id. `crate::auth` validates it, because it
//! verifies the clients.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How clients prove that they own an id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SerializedAuth", into = "SerializedAuth")]
pub enum Auth {
    /// No proof: the first client to claim an id owns it while it is connected.
    #[default]
    None,
    /// A JSON Web Token whose subject is the id.
    Jwt {
        /// The key that verifies the signature.
        verify: JwtKey,
    },
    /// The broker asks a server of the key's owner.
    Webhook {
        /// An `http` or `https` URL.
        url: String,
    },
}

/// A key that verifies JSON Web Tokens. Its kind pins the algorithm.
#[derive(Clone, PartialEq, Eq)]
pub enum JwtKey {
    /// A secret for HS256.
    Secret(String),
    /// A public key in PEM, for RS256, ES256 or EdDSA, depending on its type.
    Pem(String),
    /// A file with a JSON Web Key Set, read again when it changes.
    Jwks(PathBuf),
}

/// [`Auth`] as stored in the database and sent through the API.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Auth)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum SerializedAuth {
    /// No proof: the first client to claim an id owns it while it is connected.
    None,
    /// A JSON Web Token whose subject is the id.
    Jwt {
        /// The kind of `value`.
        kind: JwtKind,
        /// The secret, the public key in PEM, or the path of the key set on the server. Responses never contain a
        /// secret.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The broker asks a server of the key's owner.
    Webhook {
        /// An `http` or `https` URL.
        url: String,
    },
}

/// The kind of key that verifies a signature.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JwtKind {
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

impl TryFrom<SerializedAuth> for Auth {
    type Error = NoValue;

    fn try_from(written: SerializedAuth) -> Result<Self, NoValue> {
        Ok(match written {
            SerializedAuth::None => Auth::None,
            SerializedAuth::Webhook { url } => Auth::Webhook { url },
            SerializedAuth::Jwt { value: None, .. } => return Err(NoValue),
            SerializedAuth::Jwt { kind, value: Some(value) } => Auth::Jwt {
                verify: match kind {
                    JwtKind::Secret => JwtKey::secret(value),
                    JwtKind::Pem => JwtKey::Pem(value),
                    JwtKind::Jwks => JwtKey::Jwks(value.into()),
                },
            },
        })
    }
}

impl From<Auth> for SerializedAuth {
    fn from(auth: Auth) -> Self {
        let verify = match auth {
            Auth::None => return SerializedAuth::None,
            Auth::Webhook { url } => return SerializedAuth::Webhook { url },
            Auth::Jwt { verify } => verify,
        };
        let (kind, value) = match verify {
            JwtKey::Secret(secret) => (JwtKind::Secret, secret),
            JwtKey::Pem(pem) => (JwtKind::Pem, pem),
            // The verifier refuses paths that are not UTF-8.
            JwtKey::Jwks(path) => (JwtKind::Jwks, path.to_string_lossy().into_owned()),
        };
        SerializedAuth::Jwt { kind, value: Some(value) }
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
