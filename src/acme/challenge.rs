use std::fmt;

use instant_acme::ChallengeType;

/// How the ACME server validates a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChallengeKind {
    /// It gets a file over HTTP from port 80 (RFC 8555, section 8.3).
    Http01,
    /// It looks at the certificate of port 443 (RFC 8737).
    TlsAlpn01,
}

impl ChallengeKind {
    pub(super) fn wire(self) -> ChallengeType {
        match self {
            ChallengeKind::Http01 => ChallengeType::Http01,
            ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChallengeKind::Http01 => "HTTP-01",
            ChallengeKind::TlsAlpn01 => "TLS-ALPN-01",
        })
    }
}
