//! Listening sockets that the process was started with.

use std::env;
use std::io;
use std::net::TcpListener;

use peerbroker_system as system;

/// Listening sockets that a service manager has opened: the socket activation of systemd. They stay open
/// between two servers, so clients that connect in between wait.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// The socket for clients, instead of [`Listen::port`](crate::Listen).
    pub main: Option<TcpListener>,
    /// The socket for the operator's API, instead of the port of [`ListenOps`](peerbroker_config::ListenOps).
    pub ops: Option<TcpListener>,
    /// The socket for HTTP-01, instead of the port of [`AcmeConfig`](peerbroker_config::AcmeConfig).
    pub http: Option<TcpListener>,
}

/// The reason why the sockets of a service manager cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSocket {
    /// The system has no such sockets.
    #[error(
        "LISTEN_FDS is set, but programs on this system inherit no sockets: remove the variable, and use --port"
    )]
    Unsupported,
    /// The name says nothing.
    #[error(
        "the service manager passes {count} sockets, and one is named {name:?}: name them with FileDescriptorName=, main, ops or http"
    )]
    Name {
        /// The number of sockets.
        count: usize,
        /// The name of a socket.
        name: String,
    },
    /// Two sockets have the same name.
    #[error("the service manager passes two sockets named {0:?}: a server has one of each")]
    Twice(&'static str),
    /// The socket is the connection of a client.
    #[error(
        "the socket {0:?} of the service manager is a connection, and does not listen: take Accept=yes out of the socket unit"
    )]
    Connection(String),
    /// The socket does not accept connections.
    #[error("the socket {name:?} of the service manager cannot be used: {error}")]
    Unusable {
        /// The name of the socket.
        name: String,
        /// The error of the system.
        error: io::Error,
    },
}

impl InheritedSockets {
    /// Takes the sockets that `LISTEN_FDS` and `LISTEN_FDNAMES` describe (`sd_listen_fds(3)`), if
    /// `LISTEN_PID` is this process. Call it once, before other threads run: it removes variables. A single
    /// socket is that for clients, whatever its name.
    pub fn from_environment() -> Result<Self, BadSocket> {
        let given = system::inherited_sockets().ok_or(BadSocket::Unsupported)?;
        let count = given.len();
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = InheritedSockets::default();
        for socket in given {
            let name = names.next().unwrap_or_default().to_owned();
            let (place, known) = match &*name {
                "ops" => (&mut sockets.ops, "ops"),
                "http" => (&mut sockets.http, "http"),
                "main" => (&mut sockets.main, "main"),
                _ if count == 1 => (&mut sockets.main, "main"),
                _ => return Err(BadSocket::Name { count, name }),
            };
            let socket = match socket {
                Ok(socket) if system::is_connected(&socket) => return Err(BadSocket::Connection(name)),
                Ok(socket) => socket,
                Err(error) => return Err(BadSocket::Unusable { name, error }),
            };
            if place.is_some() {
                return Err(BadSocket::Twice(known));
            }
            *place = Some(socket);
        }
        Ok(sockets)
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.main.is_none() && self.ops.is_none() && self.http.is_none()
    }
}
