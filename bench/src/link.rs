//! A client's connection: plain, or TLS through rustls.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned,
};
use socket2::{Domain, Protocol, Socket, Type};

/// A non-blocking connection.
pub enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    /// Starts to connect, from a given loopback address: the ports of one address are not enough for many
    /// rounds of many connections.
    pub fn connect(to: SocketAddr, from: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))
            .context("cannot make a socket: is the limit of open files reached?")?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&from.into())?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error.into()),
            _ => {}
        }
        let stream = TcpStream::from_std(socket.into());
        let Some(config) = tls else { return Ok(Link::Plain(stream)) };
        let session = ClientConnection::new(Arc::clone(config), ServerName::from(to.ip()))?;
        Ok(Link::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        match self {
            Link::Plain(stream) => stream,
            Link::Tls(tls) => &mut tls.sock,
        }
    }

    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.read(into),
            Link::Tls(tls) => tls.read(into),
        }
    }

    /// True if its TLS session is an earlier one.
    pub fn is_resumed(&self) -> bool {
        matches!(self, Link::Tls(tls) if tls.conn.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// True if a read that did not fill its buffer has read all available input.
    pub fn short_read_is_last(&self) -> bool {
        matches!(self, Link::Plain(_))
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.write(bytes),
            Link::Tls(tls) => tls.write(bytes),
        }
    }

    /// Sends the buffered output of TLS.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(_) => Ok(()),
            Link::Tls(tls) => tls.flush(),
        }
    }
}

/// `EINPROGRESS` on Linux.
const IN_PROGRESS: i32 = 115;

/// A TLS client without sessions that believes every server: a verification would cost the load generator more than the
/// handshake costs the server.
pub fn tls() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(default_provider());
    let credulous = Arc::new(Credulous(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(credulous)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Credulous(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
