//! The server: binds its ports, serves, and drains.

mod drain;
mod secure;
mod turn_over_https;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request, h1};
use actix_service::{Service as _, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config};
use actix_tls::accept::rustls_0_23::{Acceptor, AcceptorService, TlsStream};
use actix_tls::accept::{TlsError as TlsAcceptError, max_concurrent_tls_connect};
use actix_web::App;
use actix_web::dev::AppConfig;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

use crate::acme::AcmeError;
use crate::app::Parts;
use crate::config::{AcmeName, BadStaticDir, DEFAULT_HOST, Listen};
use crate::embed::PeerBroker;
use crate::events::{Event, Mistake};
use crate::http::upgrade::{refuse_connection, upgrade};
use crate::http::{self, Mounted, endpoint};
use crate::lan::lan_address;
use crate::limits::{ConnectionPermit, LimitExceeded};
use crate::ops::{self, ClientPort, Ops};
use crate::tls::TlsError;
use crate::transport::connection::{Connection, REQUEST_TIMEOUT};
use crate::transport::connection_state::handle;
use crate::transport::tls_port::TlsPort;
use drain::drain;
use secure::{CertificateError, Secure, Upkeep};

/// Size of the kernel's send buffer. The kernel reports progress when a third of it is free. With a buffer of megabytes,
/// a download over a slow network would look stuck for minutes.
const SEND_BUFFER: usize = 256 << 10;
/// The names of the listeners in the log lines of actix-server.
const NAME: &str = "peerbroker";
const OPS_NAME: &str = "peerbroker's API";
/// Most connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Most HTTP connections of a worker. WebSockets do not count.
const MAX_HTTP_CONNECTIONS: usize = 25_000;

/// Most concurrent TLS handshakes of a worker. Each may take 3 s, so with the default of 256 a few hundred silent
/// connections would block all other clients.
const MAX_TLS_HANDSHAKES: usize = 10_000;

/// The reason why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There can be no certificate by ACME.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The directory of static files cannot be used.
    #[error(transparent)]
    StaticDir(#[from] BadStaticDir),
    /// The host cannot be resolved or bound.
    #[error(
        "cannot listen on --{flag} {host}: {error}. Give an address of this machine{}, or leave --{flag} out",
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
    /// Ports below 1024 need a privilege.
    #[error(
        "no permission to listen on port {0}: choose a --{1} of 1024 or more, or allow it with 'setcap cap_net_bind_service=+ep'"
    )]
    NoPermission(u16, &'static str),
    /// Any other error of the system.
    #[error("cannot start the server: {0}")]
    Io(#[from] io::Error),
}

impl From<CertificateError> for StartError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Files(error) => StartError::Tls(error),
            CertificateError::Acme(error) => StartError::Acme(error),
        }
    }
}

// A macro, because no common type can be written for the services over TCP and over TLS.
macro_rules! http_service {
    ($io:ty, $mounted:ident) => {{
        let (sockets, pages) = (Arc::clone(&$mounted), Arc::clone(&$mounted));
        let upgrade = move |(request, framed): (Request, Framed<$io, h1::Codec>)| {
            let mounted = Arc::clone(&sockets);
            async move {
                upgrade(mounted, request, framed).await;
                Ok::<_, actix_web::Error>(())
            }
        };
        let app = App::new()
            .configure(|app| http::configure(app, Arc::clone(&pages)))
            .default_service(http::handler(pages));
        http_over!($io, app, upgrade(fn_service(upgrade)))
    }};
}

macro_rules! http_over {
    ($io:ty, $app:expr $(, $more:ident($with:expr))?) => {
        HttpService::build()
            .on_connect_ext(|connection: &$io, data| drop(data.insert(connection.state())))
            .keep_alive(KeepAlive::Timeout(REQUEST_TIMEOUT))
            .client_request_timeout(REQUEST_TIMEOUT)
            .client_disconnect_timeout(REQUEST_TIMEOUT)
            $(.$more($with))?
            .h1(apply_fn_factory(map_config($app, |()| AppConfig::default()), handle))
    };
}

/// An accepted connection.
struct NewConnection {
    address: Option<SocketAddr>,
    permit: Option<ConnectionPermit>,
}

impl NewConnection {
    fn of(io: &TcpStream, parts: &Parts) -> Result<Self, LimitExceeded> {
        // Answers are written whole, so waiting for more data only delays them.
        if let Err(error) = io.set_nodelay(true) {
            log::debug!("cannot set TCP_NODELAY: {error}");
        }
        if let Err(error) = SockRef::from(io).set_send_buffer_size(SEND_BUFFER) {
            log::debug!("cannot set SO_SNDBUF: {error}");
        }
        let address = io.peer_addr().ok();
        Ok(NewConnection { address, permit: endpoint::count_connection(parts, address)? })
    }

    /// The connection as the HTTP service takes it.
    fn for_http<T>(self, io: T) -> (Connection<T>, Option<SocketAddr>) {
        (Connection::new(io, self.permit), self.address)
    }
}

/// Counts a connection over plain TCP, or refuses it.
async fn accept_plain(
    io: TcpStream,
    parts: Arc<Parts>,
) -> Result<(Connection<TcpStream>, Option<SocketAddr>), DispatchError> {
    match NewConnection::of(&io, &parts) {
        Ok(connection) => {
            let on_tls = mistake_of(&io, &parts, Mistake::TlsOnPlainPort);
            let (connection, address) = connection.for_http(io);
            Ok((connection.watching_for_tls(on_tls), address))
        }
        Err(too_many) => {
            refuse_connection(&io, too_many).await;
            Err(refused().into())
        }
    }
}

/// Tells of a client that speaks the wrong protocol to the port of this connection.
fn mistake_of(io: &TcpStream, parts: &Arc<Parts>, mistake: fn(u16) -> Mistake) -> impl FnOnce() + use<> {
    let (port, address) = (io.local_addr().map_or(0, |local| local.port()), io.peer_addr().ok());
    let parts = Arc::clone(parts);
    move || parts.client_mistake(mistake(port), None, address.map(|address| address.ip().to_canonical()))
}

fn refused() -> io::Error {
    io::ErrorKind::QuotaExceeded.into()
}

/// A server that has bound its ports and does not serve yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    mounted: Arc<Mounted>,
    workers: usize,
    tls: Option<Secure>,
    ops: Option<(TcpListener, Arc<Ops>)>,
}

/// The flags of a listener, for errors.
#[derive(Clone, Copy)]
struct Flags {
    host: &'static str,
    port: &'static str,
}

const MAIN: Flags = Flags { host: "host", port: "port" };
const ACME_HTTP: Flags = Flags { host: "host", port: "acme_http_port" };
const OPS: Flags = Flags { host: "ops_host", port: "ops_port" };

impl Server {
    /// Checks the hosts and the TLS files without binding a port.
    pub fn check(listen: &Listen) -> Result<(), StartError> {
        secure::check(listen)?;
        if let Some(ops) = &listen.ops {
            resolve(&ops.host, ops.port, OPS)?;
        }
        resolve(&listen.host, listen.port, MAIN).map(drop)
    }

    /// Checks the directory of static files, reads the TLS files, and binds the ports.
    pub fn bind(broker: &PeerBroker, listen: &Listen) -> Result<Self, StartError> {
        broker.config().check()?;
        let tls = Secure::open(listen, broker.events(), |port| bind(&listen.host, port, ACME_HTTP))?;
        let listener = bind(&listen.host, listen.port, MAIN)?;
        let address = listener.local_addr()?;
        let ops = listen.ops.as_ref().map(|ops| {
            let listener = bind(&ops.host, ops.port, OPS)?;
            Ok::<_, StartError>((listener, broker.ops(ops.token.clone(), client_port(listen, address))))
        });
        if let (Some(tls), Some(turn)) = (&tls, broker.turn()) {
            turn.serve_tls(Arc::new(tls.config.clone()));
        }
        let lan_host = lan_address().filter(|_| !address.ip().is_loopback());
        let mounted = broker.mounted(tls.is_some(), lan_host);
        if let Some(tls) = &tls {
            // An error says that the broker has another server, whose certificate is shown.
            let _ = mounted.parts.certificates.set(Arc::clone(&tls.certificates));
        }
        Ok(Server { address, listener, mounted, workers: listen.workers, tls, ops: ops.transpose()? })
    }

    /// The bound address. With port 0, it has the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bound address of the operator's API, if it is enabled.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `stop` is ready. Then it closes every client with 1001 and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mounted = Arc::clone(&self.mounted);
        let (address, ops_address) = (self.address, self.ops_address());
        let listening = self.listener.try_clone()?;
        let (server, _upkeep) = self.start()?;
        let events = &mounted.parts.events;
        events.emit(|| Event::Started { address, ops_address });
        let handle = server.handle();
        let mut serving = actix_web::rt::spawn(server);
        tokio::select! {
            ended = &mut serving => return ended.unwrap_or_else(|error| Err(io::Error::other(error))),
            () = stop => {}
        }
        drain(&mounted, &handle, listening).await;
        mounted.parts.leave().await;
        // Not graceful: all sessions have ended, and idle keep-alive connections need no wait.
        handle.stop(false).await;
        let served = serving.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        events.emit(|| Event::Stopped);
        served
    }

    fn start(self) -> io::Result<(actix_server::Server, Option<Upkeep>)> {
        let Server { listener, mounted, workers, tls, ops, address } = self;
        let mut builder =
            actix_server::Server::build().disable_signals().max_concurrent_connections(MAX_HTTP_CONNECTIONS);
        if workers > 0 {
            builder = builder.workers(workers);
        }
        let parts = &mounted.parts;
        let plain = |parts: &Arc<Parts>| {
            let parts = Arc::clone(parts);
            fn_service(move |io: TcpStream| accept_plain(io, Arc::clone(&parts)))
        };
        if let Some((listener, ops)) = ops {
            let plain = plain(parts);
            builder = builder.listen(OPS_NAME, listener, move || {
                plain.clone().and_then(http_over!(Connection<TcpStream>, ops::app(Arc::clone(&ops))))
            })?;
        }
        let tls_config = tls.as_ref().map(|tls| tls.config.clone());
        let upkeep = tls
            .map(|tls| tls.keep_fresh(&parts.events, parts.node.clock().clone(), address.port()))
            .transpose()?;
        let builder = match tls_config {
            None => {
                let plain = plain(parts);
                builder.listen(NAME, listener, move || {
                    plain.clone().and_then(http_service!(Connection<TcpStream>, mounted))
                })?
            }
            Some(tls) => {
                max_concurrent_tls_connect(MAX_TLS_HANDSHAKES);
                builder.listen(NAME, listener, move || {
                    let http = http_service!(Connection<TlsStream<TlsPort<TcpStream>>>, mounted);
                    let parts = Arc::clone(&mounted.parts);
                    // Counted before the TLS handshake, which costs the most CPU.
                    let accept = move |io: TcpStream, acceptor: &AcceptorService| {
                        let connection = NewConnection::of(&io, &parts);
                        let (on_http, parts) =
                            (mistake_of(&io, &parts, Mistake::HttpOnTlsPort), Arc::clone(&parts));
                        let accepted = connection
                            .map(|connection| (connection, acceptor.call(TlsPort::new(io, on_http))));
                        async move {
                            let (connection, accepting) =
                                accepted.map_err(|_| TlsAcceptError::Tls(refused()))?;
                            let io = turn_over_https::take(
                                accepting.await?,
                                connection.address,
                                connection,
                                &parts,
                            )
                            .await;
                            let (io, connection) = io.ok_or(TlsAcceptError::Tls(refused()))?;
                            Ok(connection.for_http(io))
                        }
                    };
                    apply_fn_factory::<_, _, _, _, _, TcpStream, _, _>(Acceptor::new(tls.clone()), accept)
                        .map_err(TlsAcceptError::into_service_error)
                        .map_init_err(drop)
                        .and_then(http.map_err(TlsAcceptError::Service))
                })?
            }
        };
        Ok((builder.run(), upkeep))
    }
}

fn bind(host: &str, port: u16, flags: Flags) -> Result<TcpListener, StartError> {
    let mut host = host;
    match listen(resolve(host, port, flags)?) {
        // The machine has no IPv6.
        Err(error) if host == DEFAULT_HOST && !in_use_or_forbidden(&error) => {
            log::info!("cannot listen on ::, so the server listens on 0.0.0.0, for IPv4 only: {error}");
            host = "0.0.0.0";
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        bound => bound,
    }
    .map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse(port, flags.port),
        io::ErrorKind::PermissionDenied => StartError::NoPermission(port, flags.port),
        _ => StartError::Host { flag: flags.host, host: host.to_owned(), error },
    })
}

fn client_port(listen: &Listen, address: SocketAddr) -> ClientPort {
    let name = listen.acme.as_ref().and_then(|acme| acme.names.first()).map(|name| match name {
        AcmeName::Host(name) => name.clone(),
        AcmeName::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        AcmeName::Ip(ip) => ip.to_string(),
    });
    ClientPort { name, port: address.port(), is_secure: listen.is_secure() }
}

fn resolve(host: &str, port: u16, flags: Flags) -> Result<SocketAddr, StartError> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    (name, port)
        .to_socket_addrs()
        .and_then(|mut addresses| addresses.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| StartError::Host { flag: flags.host, host: host.to_owned(), error })
}

fn in_use_or_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Accepts IPv4 clients too, if the address is `::`.
        socket.set_only_v6(false)?;
    }
    // A restart does not wait until the kernel has forgotten the old connections.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
