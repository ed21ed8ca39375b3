//! The listening sockets of a server: their source, and their end when it drains.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::Duration;

use peerbroker_system::ports;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::error::StartError;
use super::unix_socket::SocketName;
use super::workers::Workers;
use crate::runtime::Runtime;
use peerbroker_config::DEFAULT_HOST;
use peerbroker_events::counted;
use peerbroker_system as system;

/// Time limit for a TCP handshake that has begun when the server leaves its port. Less than the second after
/// which clients try again (RFC 6298, section 2).
const HANDSHAKE: Duration = Duration::from_millis(800);

/// Interval at which a server that waits looks for the one before it.
const LOOK: Duration = Duration::from_millis(100);

/// Looks in a row that find a connection in the socket of a service manager, after which nobody else is said
/// to take it: far more than a busy server needs.
const VAIN_LOOKS: u32 = 20;

/// Time limit for the next server at the port to accept a connection of this machine.
const ANSWER: Duration = Duration::from_secs(1);

/// Time limit for clients to answer their close frames when the server stops.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// Time over which clients are closed that can go to another server at once.
const DEFAULT_SPREAD: Duration = Duration::from_secs(10);

/// Time over which clients are closed that wait until the next server starts: as long as accepted connections
/// may take to open.
const INHERITED_SPREAD: Duration = Duration::from_secs(1);

/// Size of the kernel's send buffer of each connection. The kernel reports progress when a third of it is
/// free. With a buffer of megabytes, a download over a slow network would look stuck for minutes.
const SEND_BUFFER: usize = 256 << 10;

/// Maximum unsent bytes in the kernel's send buffer (tcp(7), `TCP_NOTSENT_LOWAT`). Nothing can overtake them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT: u32 = 16 << 10;

/// A listening socket. Its methods do all that depends on its kind or its [`Origin`], from bind to close.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) origin: Origin,
}

/// The source of a listening socket, which decides who may have it next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The server has bound it, and no other process can.
    Own,
    /// The server has bound it with `SO_REUSEPORT`: the next server has another socket at the same port.
    Shared,
    /// The server was started with it: the next server gets the same socket.
    Inherited,
}

/// The flags of a listener, for errors.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    pub(super) host: &'static str,
    pub(super) port: &'static str,
}

pub(super) const MAIN: Flags = Flags { host: "host", port: "port" };
pub(super) const ACME_HTTP: Flags = Flags { host: "host", port: "acme_http_port" };
pub(super) const OPS: Flags = Flags { host: "ops_host", port: "ops_port" };

impl Listener {
    /// Binds an address. Programs of the same user can bind it too if all of them say `reuse_port`. Without a
    /// `backlog`, it waits for [`listen`](Self::listen).
    pub(super) fn bind(
        host: &str,
        port: u16,
        reuse_port: bool,
        backlog: Option<u16>,
        flags: Flags,
    ) -> Result<Self, StartError> {
        use io::ErrorKind::{AddrInUse, PermissionDenied};
        let mut host = host;
        let open = |address| {
            let socket = bind(address, reuse_port)?;
            backlog.map_or(Ok(()), |backlog| socket.listen(backlog.into())).map(|()| socket)
        };
        let bound = match open(resolve(host, port, flags)?) {
            // The machine has no IPv6.
            Err(error) if host == DEFAULT_HOST && !matches!(error.kind(), AddrInUse | PermissionDenied) => {
                log::info!("cannot listen on ::, so the server listens on 0.0.0.0, for IPv4 only: {error}");
                host = "0.0.0.0";
                open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            bound => bound,
        };
        let socket = bound.map_err(|error| match error.kind() {
            AddrInUse if reuse_port => StartError::PortNotShared(port, flags.port),
            AddrInUse => StartError::PortInUse(port, flags.port),
            PermissionDenied => StartError::NoPermission(port, flags.port),
            _ => StartError::Host { flag: flags.host, host: host.to_owned(), error },
        })?;
        Ok(Listener::new(socket.into(), if reuse_port { Origin::Shared } else { Origin::Own }))
    }

    /// Sets options that each accepted connection inherits, so that it costs no system call.
    fn new(socket: TcpListener, origin: Origin) -> Self {
        let options = SockRef::from(&socket);
        // Answers are written whole, so waiting for more data only delays them.
        let set = options.set_tcp_nodelay(true).and_then(|()| options.set_send_buffer_size(SEND_BUFFER));
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let set = set.and_then(|()| options.set_tcp_notsent_lowat(NOT_SENT));
        if let Err(error) = set {
            log::debug!("cannot set the options of a listener: {error}");
        }
        Listener { socket, origin }
    }

    /// A listener with a socket that the server was started with.
    pub(super) fn inherited(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Listener::new(socket, Origin::Inherited))
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Listener { socket: self.socket.try_clone()?, origin: self.origin })
    }

    /// Begins to accept connections. Until then, the kernel gives all of them to other servers at the port.
    pub(super) fn listen(&self, backlog: u16) -> io::Result<()> {
        SockRef::from(&self.socket).listen(backlog.into())
    }

    /// Waits until `ready`, or until no other server accepts connections at this port.
    pub(super) async fn until_ready_or_alone(&self, ready: impl Future<Output = ()>) {
        tokio::select! {
            () = ready => {}
            () = self.until_alone() => {}
        }
        log::info!("this server accepts clients now");
    }

    async fn until_alone(&self) {
        let mut vain_looks = 0;
        while self.may_have_predecessor() && vain_looks < VAIN_LOOKS {
            sleep(LOOK).await;
            let is_vain = self.origin == Origin::Inherited && system::has_connections(&self.socket);
            vain_looks = if is_vain { vain_looks + 1 } else { 0 };
        }
    }

    /// True if another server accepts connections at this port, or if nothing tells. Call it before
    /// [`listen`](Self::listen).
    pub(super) fn may_have_predecessor(&self) -> bool {
        self.origin == Origin::Inherited || self.has_predecessor()
    }

    /// True if another server surely accepts connections at this port. Call it before
    /// [`listen`](Self::listen).
    pub(super) fn has_predecessor(&self) -> bool {
        // Without SO_REUSEPORT, the kernel refuses the port only while a socket listens at it.
        self.origin == Origin::Shared
            && self.socket.local_addr().is_ok_and(|address| bind(address, false).is_err())
    }

    /// Lets clients that connect from now on wait for the next server. True if they do: then the connections
    /// that the kernel has begun for this one need [`HANDSHAKE`].
    fn postpone_clients(&self) -> bool {
        self.origin == Origin::Shared
            && ignore_new_connections(&self.socket)
                .inspect_err(|error| log::warn!("the next server may lose a connection: {error}"))
                .is_ok()
    }

    /// Takes no more connections. The kernel would continue to accept them. Clients that reconnect at once
    /// find another server if they are refused. Only Linux can do that.
    fn close(&self) {
        if self.origin != Origin::Inherited {
            let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
        }
    }

    /// True if another server accepts connections at this address.
    async fn has_successor(&self) -> bool {
        let Ok(mut address) = self.socket.local_addr() else { return false };
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::from(Ipv4Addr::LOCALHOST));
        }
        matches!(timeout(ANSWER, TcpStream::connect(address)).await, Ok(Ok(_)))
    }
}

/// Has the kernel drop the first packet of each new connection, so that its queue empties: closing the socket
/// resets the connections in it. The client sends that packet again after a second, and the next server at
/// the port gets it.
///
/// `net.ipv4.tcp_migrate_req` does the same without the delay, but is off by default and belongs to the
/// machine. A program that steers the kernel's choice (`SO_ATTACH_REUSEPORT_CBPF`) would need unsafe code.
#[cfg(target_os = "linux")]
fn ignore_new_connections(socket: &TcpListener) -> io::Result<()> {
    use socket2::SockFilter;
    /// Offset of the flags in the header of TCP, and two of them (RFC 9293, section 3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 2;
    const ACK: u32 = 16;
    // Opcodes of BPF (linux/bpf_common.h): load a byte, and, jump if equal, return how much of the packet
    // stays.
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS),
        SockFilter::new(0x54, 0, 0, SYN | ACK),
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn ignore_new_connections(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn resolve(host: &str, port: u16, flags: Flags) -> Result<SocketAddr, StartError> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    (name, port)
        .to_socket_addrs()
        .and_then(|mut addresses| addresses.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| StartError::Host { flag: flags.host, host: host.to_owned(), error })
}

fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Accepts IPv4 clients too, if the address is `::`.
        socket.set_only_v6(false)?;
    }
    ports::reuse_address(&socket)?;
    if reuse_port {
        ports::share(&socket)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The workers that serve, and the listeners from which they accept.
pub(super) struct Serving {
    pub(super) listeners: Vec<Listener>,
    /// The names of its other sockets.
    pub(super) names: Vec<SocketName>,
    pub(super) workers: Workers,
}

impl Serving {
    /// Takes no more connections. The server still gets those that the kernel has accepted for it, or the
    /// next server gets them.
    async fn leave(&self) {
        // `any` would leave the others out.
        let postponed = self.listeners.iter().filter(|listener| listener.postpone_clients()).count();
        if postponed > 0 {
            sleep(HANDSHAKE).await;
        }
        self.workers.leave().await;
        self.names.iter().for_each(SocketName::remove);
        self.listeners.iter().for_each(Listener::close);
    }

    /// True if the next server may take clients at a listener before this server has ended.
    fn may_have_successor(&self) -> bool {
        self.listeners.iter().any(|listener| listener.origin != Origin::Own)
    }

    /// Time over which clients are closed if no flag sets it: the longest of its listeners.
    async fn spread(&self, runtime: &Runtime) -> Duration {
        let mut longest = Duration::ZERO;
        for listener in &self.listeners {
            longest = longest.max(suitable(runtime, listener).await);
        }
        longest
    }
}

/// Stops accepting, closes all clients within `given` or the default for the port, and waits up to
/// [`ANSWERED_WITHIN`] for their close frames.
pub(super) async fn drain(runtime: &Runtime, main: &Serving, ops: Option<&Serving>, given: Option<Duration>) {
    // The next server answers for the API. Without one, this one answers until its end that it is not ready.
    let leave_api = async {
        if let Some(ops) = ops.filter(|ops| ops.may_have_successor()) {
            ops.leave().await;
        }
    };
    tokio::join!(main.leave(), leave_api);
    let window = match given {
        Some(given) => given,
        None => main.spread(runtime).await,
    };
    if !window.is_zero() {
        let clients = counted(runtime.connections() as u64, "client", "clients");
        log::info!("the server stops and closes {clients} within {window:?}");
        runtime.spread(window).await;
    }
    runtime.close();
    let deadline = Instant::now() + ANSWERED_WITHIN;
    while runtime.connections() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    match runtime.connections() {
        0 => {}
        left => log::warn!(
            "{} without an answer to the close frame: disconnected",
            counted(left as u64, "client", "clients")
        ),
    }
}

/// Time over which clients of a listener are closed. A client that is closed early gains something only if it
/// finds another server. Without one, all are closed at once, so that the next server can start sooner.
async fn suitable(runtime: &Runtime, listener: &Listener) -> Duration {
    match listener.origin {
        Origin::Inherited => INHERITED_SPREAD,
        _ if runtime.node.membership().is_some_and(|membership| membership.has_others()) => DEFAULT_SPREAD,
        Origin::Shared if listener.has_successor().await => DEFAULT_SPREAD,
        Origin::Shared | Origin::Own => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn connections_inherit_the_options_of_their_listener() {
        let listener = Listener::bind("127.0.0.1", 0, false, Some(8), MAIN).unwrap();
        listener.socket.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.socket.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.socket.accept().unwrap();
        assert!(connection.nodelay().unwrap());
        let inherited = SockRef::from(&connection);
        let set = SockRef::from(&listener.socket);
        assert_eq!(inherited.send_buffer_size().unwrap(), set.send_buffer_size().unwrap());
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert_eq!(inherited.tcp_notsent_lowat().unwrap(), NOT_SENT);
    }
}
