//! When the ACME server wants a certificate to be renewed (ARI, RFC 9773).

use std::ops::Range;

use instant_acme::{Account, CertificateIdentifier, Error};

/// The shortest and the longest time between two questions, and the time after a failed one.
const MIN_INTERVAL: u64 = 3600;
const MAX_INTERVAL: u64 = 24 * 3600;

/// An answer, and how many seconds it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The time in which to renew, in seconds since 1970.
    Window(Range<u64>, u64),
    /// The server has no opinion.
    Nothing(u64),
    /// It could not be asked: what it has said before holds.
    Failed(u64),
}

impl Asked {
    /// Without an account: only an order makes one.
    pub(super) const NOBODY: Asked = Asked::Nothing(MAX_INTERVAL);
    pub(super) const FAILED: Asked = Asked::Failed(MIN_INTERVAL);
}

pub(super) async fn ask(account: &Account, certificate: &CertificateIdentifier<'_>) -> Asked {
    match account.renewal_info(certificate).await {
        Ok((info, pause)) => {
            let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
            let window = info.suggested_window;
            let window = seconds(window.start.unix_timestamp())..seconds(window.end.unix_timestamp());
            Asked::Window(window, pause.as_secs().clamp(MIN_INTERVAL, MAX_INTERVAL))
        }
        Err(Error::Unsupported(_)) => Asked::Nothing(MAX_INTERVAL),
        Err(error) => {
            log::debug!("the ACME server does not say when to renew the certificate: {error}");
            Asked::FAILED
        }
    }
}
