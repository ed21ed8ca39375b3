//! A TLS port as a client sees it.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls_pki_types::CertificateDer;
use testkit::tls::trusting_everybody;
use testkit::wait::wait_for;
use x509_parser::parse_x509_certificate;

use crate::http_client::connect;

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
    wait_for("a new certificate", || {
        let (certificate, issuer) = shown(address);
        (issuer.contains("Pebble") && Some(&certificate) != old).then_some(certificate)
    })
}

/// True if a handshake for a protocol works, as a validator would make one.
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
