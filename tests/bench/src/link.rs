//! A client's connection: plain, or TLS through rustls.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use socket2::{Domain, Protocol, Socket, Type};
use testkit::tls::believing_everything;

/// A non-blocking connection.
pub struct Link {
    pub stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// `EINPROGRESS` on Linux.
const IN_PROGRESS: i32 = 115;

impl Link {
    /// Starts to connect, from a given loopback address: the ports of one address are not enough for many
    /// rounds of many connections. `name` keeps the TLS sessions of clients apart.
    pub fn connect(
        to: SocketAddr,
        from: SocketAddr,
        name: &str,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))
            .context("cannot make a socket: is the limit of open files reached?")?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&from.into())?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error.into()),
            _ => {}
        }
        let server = ServerName::try_from(format!("{name}.test"))?;
        let session = |tls| ClientConnection::new(Arc::clone(tls), server);
        let tls = tls.map(session).transpose()?.map(Box::new);
        Ok(Link { stream: TcpStream::from_std(socket.into()), tls })
    }

    /// True if its TLS session is an earlier one.
    pub fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// True if a read that did not fill its buffer has read all available input.
    pub fn short_read_is_last(&self) -> bool {
        self.tls.is_none()
    }

    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(into),
            None => self.stream.read(into),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write(bytes),
            None => self.stream.write(bytes),
        }
    }

    /// Sends the buffered output of TLS.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).flush(),
            None => Ok(()),
        }
    }
}

/// A TLS client that believes every server.
pub fn tls(resumption: Resumption) -> Arc<ClientConfig> {
    let mut config = (*believing_everything()).clone();
    config.resumption = resumption;
    Arc::new(config)
}
