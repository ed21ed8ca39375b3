//! Responses for the validators of the ACME server, which come to the HTTP port or to the TLS port.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::failure::{ChallengeKind, Failure};
use crate::Certificates;
use peerbroker_config::AcmeName;

/// The responses to challenges under way.
pub(super) struct ChallengeResponses {
    /// The challenges that can be answered, best first.
    pub(super) kinds: &'static [ChallengeKind],
    /// Key authorizations by token.
    files: RefCell<HashMap<String, String>>,
    certificates: Arc<Certificates>,
}

/// A response. The drop takes it back.
pub(super) struct ChallengeResponse {
    responses: Rc<ChallengeResponses>,
    kind: ChallengeKind,
    /// The token of the file, or the name of the certificate.
    name: String,
}

impl ChallengeResponses {
    pub(super) fn new(kinds: &'static [ChallengeKind], certificates: Arc<Certificates>) -> Rc<Self> {
        Rc::new(ChallengeResponses { kinds, files: RefCell::default(), certificates })
    }

    /// Answers a challenge until the returned value is dropped.
    pub(super) fn give(
        self: &Rc<Self>,
        kind: ChallengeKind,
        name: &AcmeName,
        token: &str,
        authorization: &KeyAuthorization,
    ) -> Result<ChallengeResponse, Failure> {
        let name = match kind {
            ChallengeKind::Http01 => {
                self.files.borrow_mut().insert(token.to_owned(), authorization.as_str().to_owned());
                token.to_owned()
            }
            ChallengeKind::TlsAlpn01 => {
                let sent = name_in_handshake(name);
                let certificate = validation(name, authorization.digest().as_ref());
                self.certificates.add_validation(&sent, certificate.map_err(Failure::Unusable)?);
                sent
            }
        };
        Ok(ChallengeResponse { responses: Rc::clone(self), kind, name })
    }

    /// The content of the file for a token.
    pub(super) fn file(&self, token: &str) -> Option<String> {
        self.files.borrow().get(token).cloned()
    }
}

impl Drop for ChallengeResponse {
    fn drop(&mut self) {
        match self.kind {
            ChallengeKind::Http01 => drop(self.responses.files.borrow_mut().remove(&self.name)),
            ChallengeKind::TlsAlpn01 => self.responses.certificates.remove_validation(&self.name),
        }
    }
}

/// The name that a validator sends. TLS has no addresses as names, so it sends their names of reverse DNS
/// (RFC 8738, section 6).
fn name_in_handshake(name: &AcmeName) -> String {
    match name {
        AcmeName::Host(name) => name.clone(),
        AcmeName::Ip(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        AcmeName::Ip(IpAddr::V6(ip)) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

/// The certificate that answers TLS-ALPN-01 (RFC 8737, section 3).
fn validation(name: &AcmeName, digest: &[u8]) -> Result<CertifiedKey, String> {
    let mut params = params(std::slice::from_ref(name)).map_err(|error| error.to_string())?;
    if digest.len() != 32 {
        return Err("a digest of another length".to_owned());
    }
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let (chain, key) = self_signed(&params).map_err(|error| error.to_string())?;
    // Its extension is critical and unknown to webpki, which therefore cannot check that the key fits.
    let key = any_supported_type(&key).map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(chain, key))
}

/// An untrusted certificate that is shown until there is another one.
pub(super) fn provisional(names: &[AcmeName]) -> Result<CertifiedKey, String> {
    let (chain, key) =
        params(names).and_then(|params| self_signed(&params)).map_err(|error| error.to_string())?;
    crate::certified_key(chain, key).map_err(|error| error.to_string())
}

/// A certificate for these names, without a subject.
fn params(names: &[AcmeName]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(AcmeName::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn self_signed(params: &CertificateParams) -> Result<Pair, rcgen::Error> {
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    Ok((chain, PrivateKeyDer::Pkcs8(key.serialize_der().into())))
}

#[cfg(test)]
mod tests {
    use x509_parser::parse_x509_certificate;

    use super::*;

    #[test]
    fn addresses_are_sent_as_names_of_reverse_dns() {
        for (name, sent) in [
            ("example.org", "example.org"),
            ("192.0.2.7", "7.2.0.192.in-addr.arpa"),
            ("2001:db8::7", "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ] {
            assert_eq!(name_in_handshake(&AcmeName::parse(name).unwrap()), sent);
        }
    }

    #[test]
    fn a_validation_has_the_digest_in_a_critical_extension() {
        let certified = validation(&AcmeName::parse("example.org").unwrap(), &[7; 32]).unwrap();
        let (_, certificate) = parse_x509_certificate(&certified.cert[0]).unwrap();
        let acme = |oid: &str| oid == "1.3.6.1.5.5.7.1.31";
        let extension = certificate.extensions().iter().find(|extension| acme(&extension.oid.to_id_string()));
        let extension = extension.unwrap();
        // RFC 8737, section 3: an OCTET STRING of 32 bytes.
        assert!(extension.critical);
        assert_eq!(extension.value, [&[4, 32][..], &[7; 32]].concat());
        assert!(validation(&AcmeName::parse("example.org").unwrap(), &[7; 31]).is_err());
    }
}
