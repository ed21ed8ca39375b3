//! Failed orders of certificates, in words that say what to do.

use instant_acme::{ChallengeType, Error, Problem};

use super::schedule::FailureKind;
use super::store::StoreError;
use crate::outbound::with_sources;
use peerbroker_config::{AcmeConfig, AcmeName};
use peerbroker_core::vocabulary::labels;

/// Most characters of a text of the ACME server in the log.
const MAX_TEXT: usize = 500;

/// The prefix of error types (RFC 8555, section 6.7).
const PREFIX: &str = "urn:ietf:params:acme:error:";

labels! {
    /// A method by which the ACME server validates a name. In the order in which they are tried.
    pub(super) enum ChallengeKind {
        /// The ACME server gets a file over HTTP from port 80 (RFC 8555, section 8.3).
        Http01 = "HTTP-01",
        /// The ACME server reads the certificate of port 443 (RFC 8737).
        TlsAlpn01 = "TLS-ALPN-01",
    }
}

impl ChallengeKind {
    pub(super) fn wire(self) -> ChallengeType {
        match self {
            ChallengeKind::Http01 => ChallengeType::Http01,
            ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }
}

/// The reason for a failed order.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The ACME server cannot be reached, or its answer cannot be read.
    #[error("cannot talk to the ACME server {url}: {why}. {todo}")]
    Unreachable { url: String, why: String, todo: &'static str },
    /// The ACME server did not answer in time.
    #[error(
        "the ACME server {0} did not end the order in time. It is tried again; if that does not help, look at the status page of its operator"
    )]
    TooSlow(String),
    /// The ACME server refused something.
    #[error("the ACME server refuses {what}: {why}. {todo}")]
    Refused { what: &'static str, kind: String, why: String, todo: String },
    /// The ACME server could not validate a name.
    #[error("the ACME server could not validate {name} by {kind}: {why}. {todo}")]
    NotValidated { name: String, kind: ChallengeKind, why: String, todo: String },
    /// The ACME server offers none of the challenges that can be answered.
    #[error("the ACME server does not offer {kind} for {name}. {todo}")]
    NoChallenge { name: String, kind: ChallengeKind, todo: &'static str },
    /// The certificate does not fit the order.
    #[error(
        "the certificate from the ACME server cannot be used: {0}. It is tried again; tell the operator of the ACME server if that does not help"
    )]
    Unusable(String),
    /// The certificate cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Failure::Unreachable { .. } | Failure::Store(_) => FailureKind::Outage,
            // Faults of the server are not counted against this account. A nonce is bad if the server has
            // restarted.
            Failure::Refused { kind, .. } if matches!(&**kind, "serverInternal" | "badNonce") => {
                FailureKind::Outage
            }
            _ => FailureKind::Refused,
        }
    }

    /// True if the other challenge may work.
    pub(super) fn is_about_challenge(&self) -> bool {
        matches!(self, Failure::NotValidated { .. } | Failure::NoChallenge { .. })
    }

    /// True if the ACME server does not know the account, so another one is needed.
    pub(super) fn is_about_account(&self) -> bool {
        matches!(self, Failure::Refused { kind, .. } if kind == "accountDoesNotExist")
    }

    /// An error while doing `what`, such as "the order".
    pub(super) fn of(error: Error, what: &'static str, config: &AcmeConfig) -> Self {
        match error {
            Error::Api(problem) => Failure::refused(&problem, what, config),
            Error::Timeout(_) => Failure::TooSlow(config.directory.clone()),
            Error::Json(_) => Failure::Unreachable {
                url: config.directory.clone(),
                why: "its answer is not that of an ACME server".to_owned(),
                todo: "--acme_directory takes the whole URL of the directory, as in https://acme-v02.api.letsencrypt.org/directory",
            },
            error => {
                let why = plain(&with_sources(&error));
                let todo = todo(&why, config.ca.is_some());
                Failure::Unreachable { url: config.directory.clone(), why, todo }
            }
        }
    }

    fn refused(problem: &Problem, what: &'static str, config: &AcmeConfig) -> Self {
        let kind = kind(problem);
        let todo = match &*kind {
            "rateLimited" => {
                "Its limits count orders and failures: it is tried again later. To try things out, give the staging \
                 server in --acme_directory"
                    .to_owned()
            }
            "rejectedIdentifier" | "unsupportedIdentifier" | "malformed" => {
                format!("Check the names in --acme ({}): they must be public", names(config))
            }
            "externalAccountRequired" => {
                "It wants accounts that are made on its web site, which this server does not support: choose another \
                 --acme_directory"
                    .to_owned()
            }
            "caa" => format!("A CAA record of {} allows other authorities only: change it", names(config)),
            "dns" => {
                format!("Make an A or AAAA record of {} that leads to this machine", names(config))
            }
            "userActionRequired" => "Follow the link in its answer".to_owned(),
            _ => "It is tried again".to_owned(),
        };
        Failure::Refused { what, kind, why: text(problem), todo }
    }

    /// A challenge that failed, as its authorization reports.
    pub(super) fn not_validated(
        name: &AcmeName,
        kind: ChallengeKind,
        problem: Option<&Problem>,
        config: &AcmeConfig,
    ) -> Self {
        let why = problem.map_or_else(|| "it gives no reason".to_owned(), text);
        let todo = match problem.map(self::kind).as_deref() {
            Some("dns") => format!("Make an A or AAAA record of {name} that leads to this machine"),
            Some("caa") => format!("A CAA record of {name} allows other authorities only: change it"),
            Some("rateLimited") => "It is tried again later".to_owned(),
            _ => match kind {
                ChallengeKind::Http01 => format!(
                    "It must reach http://{name}/.well-known/acme-challenge/…: let port 80 of {name} through, to \
                     --acme_http_port {} of this machine",
                    config.http_port.unwrap_or_default()
                ),
                ChallengeKind::TlsAlpn01 => format!(
                    "It must reach this server on port 443 of {name}: let that port through to --port of this machine, \
                     past every proxy that ends TLS"
                ),
            },
        };
        Failure::NotValidated { name: name.to_string(), kind, why, todo }
    }
}

/// The advice if the ACME server cannot be reached.
fn todo(why: &str, has_ca: bool) -> &'static str {
    match has_ca {
        _ if ["certificate not valid yet", "certificate expired"].iter().any(|words| why.contains(words)) => {
            "If the clock of this machine is wrong, as the time of this line shows, set it: timedatectl set-ntp true"
        }
        true if ["UnknownIssuer", "CaUsedAsEndEntity"].iter().any(|words| why.contains(words)) => {
            "--acme_ca must name the authority that has certified the server, and not the server's own certificate"
        }
        false if why.contains("UnknownIssuer") => {
            "If the server has a private authority, name its certificate in --acme_ca"
        }
        _ => "Check --acme_directory, and let this machine connect to that server",
    }
}

/// A time for people.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3600),
    }
}

pub(super) fn names(config: &AcmeConfig) -> String {
    config.names.iter().map(AcmeName::to_string).collect::<Vec<_>>().join(", ")
}

fn kind(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    plain(kind.strip_prefix(PREFIX).unwrap_or(kind))
}

/// The texts of a problem.
fn text(problem: &Problem) -> String {
    let mut texts = vec![problem.detail.clone().unwrap_or_else(|| kind(problem))];
    texts.extend(problem.subproblems.iter().filter_map(|problem| problem.detail.clone()));
    plain(&texts.join("; "))
}

/// A text of another machine: short, in one line, and without a full stop.
fn plain(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect();
    clean.trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError::{ExpiredContext, NotValidYetContext};
    use rustls_pki_types::UnixTime;

    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_named_and_not_the_network() {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let early = NotValidYetContext { time: at(200_000_000), not_before: at(1_700_000_000) };
        let late = ExpiredContext { time: at(4_000_000_000), not_after: at(1_800_000_000) };
        for why in [early, late] {
            let advice = todo(&rustls::Error::from(why).to_string(), false);
            assert!(advice.contains("the clock of this machine"), "{advice}");
        }
        assert!(todo("connection refused", false).contains("let this machine connect"));
        assert!(todo("invalid peer certificate: Other(CaUsedAsEndEntity)", true).contains("own certificate"));
    }
}
