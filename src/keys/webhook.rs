//! Where events are sent to, and the secrets that sign them. `crate::webhooks` checks and sends them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The beginning of a secret as text (Standard Webhooks 1.0).
const PREFIX: &str = "whsec_";
/// The sizes of a secret that Standard Webhooks allows.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where events are sent to. By default nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// An `https` URL; empty means that no events are sent.
    pub url: String,
    /// Secrets that sign the events: `whsec_` and 24 to 64 bytes in base64. Several while one replaces another. Responses
    /// never contain them.
    #[schema(value_type = Vec<String>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<WebhookSecret>,
}

/// A secret that signs events.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookSecret(Vec<u8>);

/// Why a text cannot be a secret. Does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook's secret is whsec_ and 24 to 64 bytes in base64: `echo whsec_$(openssl rand -base64 32)` makes one"
)]
pub struct InvalidWebhookSecret;

impl WebhookSecret {
    /// Parses a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidWebhookSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidWebhookSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidWebhookSecret)?;
        if SECRET_BYTES.contains(&bytes.len()) { Ok(WebhookSecret(bytes)) } else { Err(InvalidWebhookSecret) }
    }

    /// Parses secrets between blanks or line breaks.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidWebhookSecret> {
        text.split_whitespace().map(WebhookSecret::parse).collect()
    }

    /// The key of the signature.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for WebhookSecret {
    type Error = InvalidWebhookSecret;

    fn try_from(text: String) -> Result<Self, InvalidWebhookSecret> {
        WebhookSecret::parse(&text)
    }
}

impl From<WebhookSecret> for String {
    fn from(WebhookSecret(bytes): WebhookSecret) -> Self {
        format!("{PREFIX}{}", STANDARD.encode(bytes))
    }
}

/// Never shows the secret.
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_prefix_and_24_to_64_bytes() {
        let text = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (bytes, fits) in [(23, false), (24, true), (64, true), (65, false)] {
            let parsed = WebhookSecret::parse(&text(bytes));
            assert_eq!(parsed.is_ok(), fits, "{bytes}");
            assert!(parsed.is_err() || String::from(parsed.unwrap()) == text(bytes));
        }
        for bad in ["", "whsec_", "whsec_####", &text(32)[1..], &text(32)["whsec_".len()..]] {
            assert_eq!(WebhookSecret::parse(bad), Err(InvalidWebhookSecret), "{bad:?}");
        }
        let two = WebhookSecret::parse_all(&format!("{}\n {}\n", text(24), text(32))).unwrap();
        assert_eq!(two.len(), 2);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = WebhookSecret::parse("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0").unwrap();
        assert!(!format!("{secret:?}").contains("c2Vj") && !format!("{secret:?}").contains("115"));
    }
}
