//! A client's connection: plain, or TLS through rustls.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
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

/// A TLS client that trusts only the certificate in a PEM file.
pub fn trust(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(certificate)
        .with_context(|| format!("cannot read {}", certificate.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
