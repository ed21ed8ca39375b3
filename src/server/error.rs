//! Errors of a server's start.

use std::io;
use std::path::PathBuf;

use super::inherited::BadSocket;
use crate::acme::AcmeError;
use peerbroker_config::BadStaticDir;
use peerbroker_tls::TlsError;

/// The reason why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// ACME can give no certificate.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The directory of static files cannot be used.
    #[error(transparent)]
    StaticDir(#[from] BadStaticDir),
    /// The host cannot be resolved or bound.
    #[error(
        "cannot listen on --{flag} {host}: {error}. {}Give an address of this machine{}, or leave --{flag} out",
        misread(host, flag),
        if host.contains(':') { " (without IPv6, 0.0.0.0 or one like 192.168.1.20)" } else { "" }
    )]
    Host {
        /// The flag that named the host: `host` or `ops_host`.
        flag: &'static str,
        /// The value of the flag.
        host: String,
        /// The error of the system.
        error: io::Error,
    },
    /// Another program listens on the port.
    #[error("port {0} is in use: stop the program that listens there, or choose another --{1}")]
    PortInUse(u16, &'static str),
    /// Another program listens on the port, and does not share it.
    #[error(
        "port {0} is in use, and the program there does not share it: a server shares it only if it was started with \
         --reuse_port too, by the same user. Stop it this once, or choose another --{1}"
    )]
    PortNotShared(u16, &'static str),
    /// Ports below 1024 need a privilege.
    #[error(
        "no permission to listen on port {0}: choose a --{1} of 1024 or more, or allow it with 'setcap cap_net_bind_service=+ep'"
    )]
    NoPermission(u16, &'static str),
    /// The Unix socket cannot be made.
    #[error("cannot listen on --unix_socket {}: {error}", path.display())]
    UnixSocket {
        /// The path of the Unix socket.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// A file of another kind is at the path of the Unix socket.
    #[error("--unix_socket {} exists and is no socket: give a path at which the server may make one", .0.display())]
    NoSocket(PathBuf),
    /// Another program listens at the Unix socket.
    #[error("another program listens on --unix_socket {}: stop it, or give another path", .0.display())]
    UnixSocketInUse(PathBuf),
    /// The system has no Unix sockets.
    #[error("--unix_socket works on Unix only: leave it out")]
    NoUnixSockets,
    /// The sockets of a service manager cannot be used.
    #[error(transparent)]
    Inherited(#[from] BadSocket),
    /// Other systems do not share a port between two servers as Linux does.
    #[error("--reuse_port works on Linux only: leave it out")]
    NoReusePort,
    /// Any other error of the system.
    #[error("cannot start the server: {0}")]
    Io(#[from] io::Error),
}

/// The part of a host that is none.
fn misread(host: &str, flag: &str) -> String {
    let port_flag = if flag == "ops_host" { "ops_port" } else { "port" };
    if host.contains("://") {
        return format!("It is a URL: --{flag} is its host alone, and --{port_flag} its port. ");
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => {
            format!("The port belongs into --{port_flag}: --{flag} {name} --{port_flag} {port}. ")
        }
        _ => String::new(),
    }
}
