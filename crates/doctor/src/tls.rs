//! A TLS handshake that accepts every certificate: it is judged afterwards.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::report::Finding;
use super::target::{AGENT, TIMEOUT, Target};

/// The protocols of a connection for HTTP. No server chooses the second one, which only names this program.
pub(super) const OF_HTTP: &[&str] = &["http/1.1", AGENT];

/// Connects, and makes a handshake.
pub(super) async fn connect(
    address: SocketAddr,
    host: &str,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let provider = default_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider.clone()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?.dangerous();
    let mut config =
        builder.with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

/// The certificate of a server, and those behind it.
pub(super) fn chain(stream: &TlsStream<TcpStream>) -> Vec<CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.iter().map(|certificate| certificate.clone().into_owned()).collect()
}

/// Makes a handshake as a browser does for a WebSocket. The error is `None` if the server answers in another
/// protocol, or closes the connection as a server of another protocol does.
pub(super) async fn examine(
    target: &Target,
    address: SocketAddr,
) -> Result<(Finding, Vec<CertificateDer<'static>>), Option<Finding>> {
    let handshake = timeout(TIMEOUT, connect(address, &target.host, OF_HTTP)).await.map_err(|_| {
        failed!("port {} does not answer a handshake of TLS within {} s", target.port, TIMEOUT.as_secs() =>
            "Check that this is the port of the broker. If it is, look at the machine: the program may hang, or a firewall may let \
             only the connection through.")
    })?;
    let stream = handshake.map_err(|error| explained(target, &error))?;
    let version = match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    Ok((ok!("the server speaks {version}"), chain(&stream)))
}

fn explained(target: &Target, error: &io::Error) -> Option<Finding> {
    Some(match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(_)) => return None,
        Some(Error::PeerIncompatible(_) | Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
            failed!(
            "the server speaks only TLS 1.1 or older, which browsers refuse" =>
            "Switch TLS 1.2 and 1.3 on in the proxy in front of the broker (nginx: ssl_protocols TLSv1.2 TLSv1.3). The broker itself \
             speaks both.")
        }
        Some(Error::AlertReceived(AlertDescription::UnrecognisedName)) => failed!(
            "the server has no certificate for {}", target.host =>
            "Add the name to the site of the proxy in front of the broker, or to --acme."),
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => failed!(
            "the server does not speak HTTP/1.1 over TLS, which WebSockets need" =>
            "Allow HTTP/1.1 in the proxy in front of the broker."),
        Some(error) => failed!(
            "the handshake of TLS failed ({error})" =>
            "Look at the log of the program that ends TLS: the broker, or the proxy in front of it."),
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            return None;
        }
        None => {
            failed!("the handshake of TLS failed ({error})" => "Check that this is the port of the broker.")
        }
    })
}

/// Accepts every certificate, but checks that the server has its key.
#[derive(Debug)]
struct Anybody(CryptoProvider);

type Verified = Result<HandshakeSignatureValid, Error>;
type Signed = DigitallySignedStruct;

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

    fn verify_tls12_signature(&self, text: &[u8], of: &CertificateDer<'_>, signed: &Signed) -> Verified {
        verify_tls12_signature(text, of, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, text: &[u8], of: &CertificateDer<'_>, signed: &Signed) -> Verified {
        verify_tls13_signature(text, of, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
