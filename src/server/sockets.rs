//! Listening sockets of each kind, and their connections on the way from the thread that accepts them to the
//! one that serves them.

#[cfg(not(unix))]
use std::convert::Infallible;
use std::io;
use std::net;
#[cfg(unix)]
use std::os::unix;
use std::task::{Context, Poll};

use super::error::StartError;
use super::unix_socket::{SocketName, UnixSocket};
use peerbroker_config::Listen;
use peerbroker_transport::client_stream::ClientStream;

/// A socket besides the port. It is bound, and no client finds it yet. Another kind is a variant.
pub(super) enum BoundSocket {
    Unix(UnixSocket),
}

/// A listening socket that no thread uses yet.
pub(super) enum ListeningSocket {
    Tcp(net::TcpListener),
    #[cfg(unix)]
    Unix(unix::net::UnixListener),
}

/// A listening socket of this thread.
pub(super) enum Acceptor {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

/// A connection for another thread.
pub(super) enum PassedStream {
    Tcp(net::TcpStream),
    #[cfg(unix)]
    Unix(unix::net::UnixStream),
}

impl BoundSocket {
    /// Checks the sockets that are wanted besides the port, without a change.
    pub(super) fn check_all(listen: &Listen) -> Result<(), StartError> {
        listen.unix_socket.iter().try_for_each(|path| UnixSocket::check(path, listen.reuse_port))
    }

    /// Binds them.
    pub(super) fn bind_all(listen: &Listen) -> Result<Vec<Self>, StartError> {
        let unix = listen.unix_socket.iter().map(|path| UnixSocket::bind(path, listen.reuse_port));
        unix.map(|bound| bound.map(BoundSocket::Unix)).collect()
    }

    /// Lets clients find it. The name is removed when the server ends.
    pub(super) fn publish(self) -> io::Result<(ListeningSocket, SocketName)> {
        match self {
            BoundSocket::Unix(socket) => {
                let (socket, name) = socket.publish()?;
                Ok((socket.into(), name))
            }
        }
    }
}

#[cfg(unix)]
impl From<unix::net::UnixListener> for ListeningSocket {
    fn from(socket: unix::net::UnixListener) -> Self {
        ListeningSocket::Unix(socket)
    }
}

#[cfg(not(unix))]
impl From<Infallible> for ListeningSocket {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl ListeningSocket {
    /// Registers it with the runtime of this thread.
    pub(super) fn register(self) -> io::Result<Acceptor> {
        Ok(match self {
            ListeningSocket::Tcp(socket) => Acceptor::Tcp(tokio::net::TcpListener::from_std(socket)?),
            #[cfg(unix)]
            ListeningSocket::Unix(socket) => Acceptor::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }
}

impl Acceptor {
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<ClientStream>> {
        match self {
            Acceptor::Tcp(socket) => {
                socket.poll_accept(cx).map_ok(|(connection, _)| ClientStream::Tcp(connection))
            }
            #[cfg(unix)]
            Acceptor::Unix(socket) => {
                socket.poll_accept(cx).map_ok(|(connection, _)| ClientStream::Unix(connection))
            }
        }
    }
}

impl PassedStream {
    /// Takes a connection out of the runtime of this thread.
    pub(super) fn of(connection: ClientStream) -> io::Result<Self> {
        Ok(match connection {
            ClientStream::Tcp(connection) => PassedStream::Tcp(connection.into_std()?),
            #[cfg(unix)]
            ClientStream::Unix(connection) => PassedStream::Unix(connection.into_std()?),
        })
    }

    /// Registers it with the runtime of this thread.
    pub(super) fn register(self) -> io::Result<ClientStream> {
        Ok(match self {
            PassedStream::Tcp(connection) => ClientStream::Tcp(tokio::net::TcpStream::from_std(connection)?),
            #[cfg(unix)]
            PassedStream::Unix(connection) => {
                ClientStream::Unix(tokio::net::UnixStream::from_std(connection)?)
            }
        })
    }
}
