//! A certificate as it is stored.

use instant_acme::CertificateIdentifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use webpki::EndEntityCert;

use crate::Validity;
use peerbroker_config::AcmeName;

/// A certificate as it is stored: its key and its chain in one PEM text.
pub(super) struct Certificate {
    pub(super) certified: CertifiedKey,
    pub(super) validity: Validity,
}

impl Certificate {
    pub(super) fn parse(pem: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("its key: {error}"))?;
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("its chain: {error}"))?;
        let first = chain.first().ok_or_else(|| "it has no certificate".to_owned())?;
        let validity = Validity::of(first).ok_or_else(|| "its dates cannot be read".to_owned())?;
        let certified = crate::certified_key(chain, key).map_err(|error| error.to_string())?;
        Ok(Certificate { certified, validity })
    }

    /// The first of these names that the certificate is not for.
    pub(super) fn lacks<'a>(&self, names: &'a [AcmeName]) -> Option<&'a AcmeName> {
        let certificate = self.certified.cert.first().and_then(|first| EndEntityCert::try_from(first).ok());
        let covers =
            |name: &AcmeName| certificate.as_ref().is_some_and(|it| crate::covers(it, &name.to_string()));
        names.iter().find(|name| !covers(name))
    }

    /// The name of the certificate for ARI (RFC 9773, section 4.1).
    pub(super) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let identifier = CertificateIdentifier::try_from(self.certified.cert.first()?).ok()?;
        Some(identifier.into_owned())
    }
}
