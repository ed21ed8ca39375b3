//! The proxies in front of the broker whose headers are believed.

use ipnet::IpNet;
use subtle::ConstantTimeEq as _;

use super::secret::{Hidden, InvalidSecret, STRONG};

/// Loopback and private networks, where an operator's own proxy usually is.
const TRUSTED: &[&str] =
    &["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"];

#[expect(clippy::expect_used, reason = "a table that each start reads")]
pub(super) fn trusted_by_default() -> Vec<IpNet> {
    TRUSTED.iter().map(|network| network.parse().expect("a network")).collect()
}

/// The secret by which the nearest proxy proves that a request comes from it, in the header `X-Proxy-Secret`.
/// Never shown, not even by `Debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySecret(Hidden<String>);

impl ProxySecret {
    /// Accepts texts that fit into a header and are long enough not to be guessed.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        Hidden::parse(text, "secret", STRONG).map(ProxySecret)
    }

    /// The secret.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }

    /// True if this is the secret. It takes the same time for each wrong one.
    pub fn is(&self, given: &[u8]) -> bool {
        given.ct_eq(self.as_str().as_bytes()).into()
    }
}
