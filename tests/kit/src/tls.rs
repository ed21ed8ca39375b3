//! Configurations of TLS clients.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tools::fixture;

/// Trusts only the root of the test certificates.
pub fn trust() -> Arc<ClientConfig> {
    trust_by(rustls::crypto::ring::default_provider())
}

/// The same, with the cipher suites of this provider.
pub fn trust_by(provider: CryptoProvider) -> Arc<ClientConfig> {
    let root = CertificateDer::from_pem_file(fixture("root.pem")).expect("a certificate");
    trusting_by(provider, root)
}

/// Trusts only this root.
pub fn trusting(root: CertificateDer<'_>) -> Arc<ClientConfig> {
    trusting_by(rustls::crypto::ring::default_provider(), root)
}

fn trusting_by(provider: CryptoProvider, root: CertificateDer<'_>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a root");
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    Arc::new(builder.expect("versions").with_root_certificates(roots).with_no_client_auth())
}

/// Accepts every certificate.
#[derive(Debug)]
struct Anybody {
    provider: CryptoProvider,
    /// True if signatures need not be right either.
    believes: bool,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.believes {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.believes {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

pub fn trusting_everybody() -> Arc<ClientConfig> {
    accepting(false)
}

/// For the benchmark: a check of a signature would cost its load generator more than a handshake costs the
/// server.
pub fn believing_everything() -> Arc<ClientConfig> {
    accepting(true)
}

fn accepting(believes: bool) -> Arc<ClientConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider.clone()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let anybody = Arc::new(Anybody { provider, believes });
    Arc::new(builder.with_custom_certificate_verifier(anybody).with_no_client_auth())
}
