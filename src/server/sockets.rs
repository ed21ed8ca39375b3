//! Listening sockets of each kind, and their connections on the way from the thread that accepts them to the one that serves them.

use std::io;
use std::net;
#[cfg(unix)]
use std::os::unix;
use std::task::{Context, Poll};

use crate::transport::client_stream::ClientStream;

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
