//! The certificate that the TLS port shows. It can be swapped at any time: connections that are open stay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

use super::handshakes::Handshakes;

/// The protocol of TLS-ALPN-01 (RFC 8737, section 6.2).
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// The certificates of a TLS port.
#[derive(Debug)]
pub struct Certificates {
    pub(super) current: ArcSwap<CertifiedKey>,
    /// Certificates for validators of an ACME server, by the name that they send (RFC 8737, section 3).
    validations: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    /// The error of the last attempt to replace the certificate.
    problem: ArcSwapOption<String>,
    /// The counts of TLS handshakes at the port, by outcome.
    pub handshakes: Handshakes,
}

/// The validity of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: u64,
    /// The last second.
    pub to: u64,
}

impl Certificates {
    /// Shows this certificate.
    pub fn new(certificate: CertifiedKey) -> Arc<Self> {
        Arc::new(Certificates {
            current: ArcSwap::from_pointee(certificate),
            validations: Mutex::default(),
            problem: ArcSwapOption::empty(),
            handshakes: Handshakes::default(),
        })
    }

    /// Shows another certificate from now on. False if it is shown already.
    pub fn swap(&self, certificate: CertifiedKey) -> bool {
        self.set_problem(None);
        // A certificate has one key, so the same chain has the same key.
        let is_new = self.current.load().cert != certificate.cert;
        if is_new {
            self.current.store(Arc::new(certificate));
        }
        is_new
    }

    /// Shows this certificate to the validators that name the host.
    pub fn add_validation(&self, name: &str, certificate: CertifiedKey) {
        self.validations.lock().insert(name.to_owned(), Arc::new(certificate));
    }

    /// Ends [`add_validation`](Self::add_validation).
    pub fn remove_validation(&self, name: &str) {
        self.validations.lock().remove(name);
    }

    /// The validity of the certificate; nothing if it cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        Validity::of(self.current.load().cert.first()?)
    }

    /// The error of the last attempt to replace the certificate, if it failed.
    pub fn problem(&self) -> Option<String> {
        self.problem.load_full().map(Arc::unwrap_or_clone)
    }

    /// Stores why the certificate could not be replaced. True if that is another reason than before.
    pub fn set_problem(&self, why: Option<String>) -> bool {
        let why = why.map(Arc::new);
        self.problem.swap(why.clone()) != why
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_validator = hello.alpn().is_some_and(|mut protocols| protocols.any(|name| name == ACME_ALPN));
        if is_validator {
            // Without a validation of this name, the handshake must fail.
            return self.validations.lock().get(hello.server_name()?).map(Arc::clone);
        }
        Some(self.current.load_full())
    }
}

impl Validity {
    /// `None` if the dates cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        // webpki checks the dates first, and tells them only in these errors.
        let check = |time| {
            let time = UnixTime::since_unix_epoch(time);
            let usage = KeyUsage::server_auth();
            certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &[], &[], time, usage, None, None).err()
        };
        let Some(Error::CertExpired { not_after, .. }) = check(Duration::MAX) else { return None };
        let from = match check(Duration::ZERO) {
            Some(Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
            _ => 0,
        };
        Some(Validity { from, to: not_after.as_secs() })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn dates_are_read_in_both_forms_and_nothing_else_is() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        for (years, from, to) in [
            ((1970, 2049), 0, 2_493_072_000),
            // Later ones have another form.
            ((2026, 4096), 1_767_225_600, 67_090_118_400),
            ((1999, 2000), 915_148_800, 946_684_800),
        ] {
            params.not_before = date_time_ymd(years.0, 1, 1);
            params.not_after = date_time_ymd(years.1, 1, 1);
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(Validity::of(certificate.der()), Some(Validity { from, to }));
            for end in 0..certificate.der().len() {
                assert_eq!(Validity::of(&CertificateDer::from(&certificate.der()[..end])), None);
            }
        }
    }
}
