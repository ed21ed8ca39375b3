//! What a client sees of a TLS port.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::parse_x509_certificate;

use crate::http_client::{PATIENCE, connect};

/// Accepts every certificate.
#[derive(Debug)]
struct Anybody(CryptoProvider);

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
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub fn trusting_everybody() -> Arc<ClientConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider.clone()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    Arc::new(builder.with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth())
}

/// The certificate that a port shows, and its issuer.
pub fn shown(address: SocketAddr) -> (CertificateDer<'static>, String) {
    let mut tcp = connect(address);
    let mut tls = ClientConnection::new(trusting_everybody(), "broker.test".try_into().unwrap()).unwrap();
    tls.complete_io(&mut tcp).unwrap();
    let certificate = tls.peer_certificates().unwrap()[0].clone().into_owned();
    let issuer = parse_x509_certificate(&certificate).unwrap().1.issuer().to_string();
    (certificate, issuer)
}

/// Waits until a port shows a certificate of pebble that is not this one.
pub fn wait_for_new(address: SocketAddr, old: Option<&CertificateDer<'_>>) -> CertificateDer<'static> {
    let deadline = Instant::now() + PATIENCE * 3;
    loop {
        let (certificate, issuer) = shown(address);
        if issuer.contains("Pebble") && Some(&certificate) != old {
            return certificate;
        }
        assert!(Instant::now() < deadline, "no new certificate: {issuer}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Whether a handshake for a protocol works, as a validator would make one.
pub fn accepts(address: SocketAddr, name: &str, protocol: &[u8]) -> bool {
    let mut config = Arc::unwrap_or_clone(trusting_everybody());
    config.alpn_protocols = vec![protocol.to_vec()];
    let mut tcp = connect(address);
    let mut tls = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
    tls.complete_io(&mut tcp).is_ok() && tls.alpn_protocol() == Some(protocol)
}

/// An answer over plain HTTP, with its head.
pub fn plain(address: SocketAddr, request: &str) -> String {
    let mut tcp = connect(address);
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}
