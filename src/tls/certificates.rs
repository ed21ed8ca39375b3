//! The certificate that the TLS port shows. It can be swapped at any time: connections that are open stay.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

use super::handshakes::Handshakes;

/// The protocol of TLS-ALPN-01 (RFC 8737, section 6.2).
pub(crate) const ACME_ALPN: &[u8] = b"acme-tls/1";

/// The certificates of a TLS port.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(super) current: ArcSwap<CertifiedKey>,
    /// Certificates for validators of an ACME server, by the name that they send (RFC 8737, section 3).
    validations: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    /// Why the certificate could not be replaced the last time.
    problem: Mutex<Option<String>>,
    /// How the handshakes of the port end.
    pub(crate) handshakes: Handshakes,
}

/// When a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Certificates {
    pub(crate) fn new(certificate: CertifiedKey) -> Arc<Self> {
        Arc::new(Certificates {
            current: ArcSwap::from_pointee(certificate),
            validations: Mutex::default(),
            problem: Mutex::default(),
            handshakes: Handshakes::default(),
        })
    }

    /// Shows another certificate from now on. False if it is the one that is shown already.
    pub(crate) fn swap(&self, certificate: CertifiedKey) -> bool {
        self.set_problem(None);
        // A certificate has one key, so the same chain has the same key.
        let is_new = self.current.load().cert != certificate.cert;
        if is_new {
            self.current.store(Arc::new(certificate));
        }
        is_new
    }

    /// Shows this certificate to the validators that name the host.
    pub(crate) fn add_validation(&self, name: &str, certificate: CertifiedKey) {
        self.validations().insert(name.to_owned(), Arc::new(certificate));
    }

    pub(crate) fn remove_validation(&self, name: &str) {
        self.validations().remove(name);
    }

    /// When the certificate is valid; nothing if it cannot be read.
    pub(crate) fn validity(&self) -> Option<Validity> {
        Validity::of(self.current.load().cert.first()?)
    }

    /// Why the certificate could not be replaced the last time, if it could not.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps why the certificate could not be replaced. True if that is another reason than before.
    pub(crate) fn set_problem(&self, why: Option<String>) -> bool {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *problem != why;
        *problem = why;
        is_new
    }

    fn validations(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.validations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_validator = hello.alpn().is_some_and(|mut protocols| protocols.any(|name| name == ACME_ALPN));
        if is_validator {
            // Without a validation of this name, the handshake must fail.
            return self.validations().get(hello.server_name()?).map(Arc::clone);
        }
        Some(self.current.load_full())
    }
}

impl Validity {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        // Dates before 1970 count as 1970.
        let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
        Some(Validity {
            from: seconds(validity.not_before.timestamp()),
            to: seconds(validity.not_after.timestamp()),
        })
    }
}
