//! Builds the parts once, binds the listener, starts and drains.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request, h1};
use actix_server::ServerHandle;
use actix_service::{Service as _, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config};
use actix_tls::accept::rustls_0_23::{Acceptor, AcceptorService, TlsStream};
use actix_tls::accept::{TlsError as TlsAcceptError, max_concurrent_tls_connect};
use actix_web::App;
use actix_web::dev::AppConfig;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::app::Parts;
use crate::config::{BadStaticDir, DEFAULT_HOST, Listen, TlsFiles};
use crate::embed::PeerBroker;
use crate::events::Event;
use crate::http::upgrade::{turn_away, upgrade};
use crate::http::{self, Mounted, endpoint};
use crate::lan::lan_address;
use crate::limits::{ConnectionPermit, LimitExceeded};
use crate::ops::{self, Ops};
use crate::tls::{self, TlsError};
use crate::transport::connection::{Connection, REQUEST_TIMEOUT};
use crate::transport::connection_state::handle;

/// How long clients may take to answer their close frames when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// Bytes of answers that the kernel keeps. It says that there is room again when a third is free: with a buffer
/// that grows to megabytes a download over a slow network would seem stuck for minutes.
const SEND_BUFFER: usize = 256 << 10;
/// What actix-server calls the listeners in its log lines.
const NAME: &str = "peerbroker";
const OPS_NAME: &str = "peerbroker's API";
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Connections of one worker that are in HTTP; those of peers are not counted.
const MAX_HTTP_CONNECTIONS: usize = 25_000;

/// TLS handshakes of one worker at a time. Each may take 3 s, and at the default of 256 a few hundred
/// silent connections would keep everybody else waiting.
const MAX_TLS_HANDSHAKES: usize = 10_000;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TLS files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The directory of files.
    #[error(transparent)]
    StaticDir(#[from] BadStaticDir),
    /// No such host.
    #[error("cannot listen on --{flag} {host}: {error}")]
    Host {
        /// The flag that said so: `host` or `ops_host`.
        flag: &'static str,
        /// The host that was asked for.
        host: String,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody else listens there.
    #[error("port {0} is in use: stop the program that listens there, or choose another --{1}")]
    PortInUse(u16, &'static str),
    /// Low ports are for the privileged.
    #[error(
        "no permission to listen on port {0}: choose a --{1} of 1024 or more, or allow it with 'setcap cap_net_bind_service=+ep'"
    )]
    NoPermission(u16, &'static str),
    /// Something else.
    #[error("cannot start the server: {0}")]
    Io(#[from] io::Error),
}

// A macro, because the type of a service over TCP and that over TLS have nothing in common that
// could be written down.
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

/// A connection that has just come.
struct Arrival {
    address: Option<SocketAddr>,
    counted: Option<ConnectionPermit>,
}

impl Arrival {
    /// What is written is on its way at once: there is no more to come that would be worth waiting for.
    fn of(io: &TcpStream, service: &Parts) -> Result<Self, LimitExceeded> {
        if let Err(error) = io.set_nodelay(true) {
            log::debug!("cannot set TCP_NODELAY: {error}");
        }
        if let Err(error) = SockRef::from(io).set_send_buffer_size(SEND_BUFFER) {
            log::debug!("cannot set SO_SNDBUF: {error}");
        }
        let address = io.peer_addr().ok();
        Ok(Arrival { address, counted: endpoint::connect(service, address)? })
    }

    /// As HTTP gets it.
    fn below_http<T>(self, io: T) -> (Connection<T>, Option<SocketAddr>) {
        (Connection::new(io, self.counted), self.address)
    }
}

/// What HTTP gets over plain TCP.
async fn plain(
    io: TcpStream,
    service: Arc<Parts>,
) -> Result<(Connection<TcpStream>, Option<SocketAddr>), DispatchError> {
    match Arrival::of(&io, &service) {
        Ok(arrival) => Ok(arrival.below_http(io)),
        Err(too_many) => {
            turn_away(&io, too_many).await;
            Err(turned_away().into())
        }
    }
}

fn turned_away() -> io::Error {
    io::ErrorKind::QuotaExceeded.into()
}

/// A server that is bound and not yet serving.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    mounted: Arc<Mounted>,
    workers: usize,
    tls: Option<rustls::ServerConfig>,
    ops: Option<(TcpListener, Arc<Ops>)>,
}

/// The flags that say where to listen, for errors.
#[derive(Clone, Copy)]
struct Flags {
    host: &'static str,
    port: &'static str,
}

const MAIN: Flags = Flags { host: "host", port: "port" };
const OPS: Flags = Flags { host: "ops_host", port: "ops_port" };

impl Server {
    /// Looks up the host and reads the TLS files, without taking the port.
    pub fn check(listen: &Listen) -> Result<(), StartError> {
        listen.tls.as_ref().map(tls::load).transpose()?;
        if let Some(ops) = &listen.ops {
            resolve(&ops.host, ops.port, OPS)?;
        }
        resolve(&listen.host, listen.port, MAIN).map(drop)
    }

    /// Reads the TLS files, looks for the directory of files, and takes the ports.
    pub fn bind(broker: &PeerBroker, listen: &Listen) -> Result<Self, StartError> {
        broker.config().check()?;
        let tls = listen.tls.as_ref().map(tls::load).transpose()?;
        if let Some(TlsFiles { cert, .. }) = &listen.tls {
            broker.events().emit(|| Event::CertificateLoaded { path: cert.display().to_string() });
        }
        let listener = bind(&listen.host, listen.port, MAIN)?;
        let ops = listen.ops.as_ref().map(|ops| {
            let listener = bind(&ops.host, ops.port, OPS)?;
            Ok::<_, StartError>((listener, broker.ops(ops.token.clone())))
        });
        let address = listener.local_addr()?;
        let lan_host = lan_address().filter(|_| !address.ip().is_loopback());
        Ok(Server {
            address,
            listener,
            mounted: broker.mounted(tls.is_some(), lan_host),
            workers: listen.workers,
            tls,
            ops: ops.transpose()?,
        })
    }

    /// Where it listens: with port 0, the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the operator's API listens, if it does.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `stop` is ready; then closes every client with 1001 and ends.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mounted = Arc::clone(&self.mounted);
        let (address, ops_address) = (self.address, self.ops_address());
        let server = self.start()?;
        let events = &mounted.service.events;
        events.emit(|| Event::Started { address, ops_address });
        let handle = server.handle();
        let mut serving = actix_web::rt::spawn(server);
        tokio::select! {
            ended = &mut serving => return ended.unwrap_or_else(|error| Err(io::Error::other(error))),
            () = stop => {}
        }
        drain(&mounted, &handle).await;
        // Not graceful: sessions are over, and idle keep-alive connections are not worth waiting for.
        handle.stop(false).await;
        let served = serving.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        events.emit(|| Event::Stopped);
        served
    }

    fn start(self) -> io::Result<actix_server::Server> {
        let Server { listener, mounted, workers, tls, ops, .. } = self;
        let mut builder =
            actix_server::Server::build().disable_signals().max_concurrent_connections(MAX_HTTP_CONNECTIONS);
        if workers > 0 {
            builder = builder.workers(workers);
        }
        let service = &mounted.service;
        let plain = |service: &Arc<Parts>| {
            let service = Arc::clone(service);
            fn_service(move |io: TcpStream| plain(io, Arc::clone(&service)))
        };
        if let Some((listener, ops)) = ops {
            let plain = plain(service);
            builder = builder.listen(OPS_NAME, listener, move || {
                plain.clone().and_then(http_over!(Connection<TcpStream>, ops::app(Arc::clone(&ops))))
            })?;
        }
        let builder = match tls {
            None => {
                let plain = plain(service);
                builder.listen(NAME, listener, move || {
                    plain.clone().and_then(http_service!(Connection<TcpStream>, mounted))
                })?
            }
            Some(tls) => {
                max_concurrent_tls_connect(MAX_TLS_HANDSHAKES);
                builder.listen(NAME, listener, move || {
                    let http = http_service!(Connection<TlsStream<TcpStream>>, mounted);
                    let service = Arc::clone(&mounted.service);
                    // ConnectionPermit before its handshake, which costs more than all else.
                    let accept = move |io: TcpStream, acceptor: &AcceptorService| {
                        let arrival = Arrival::of(&io, &service);
                        let accepted = arrival.map(|arrival| (arrival, acceptor.call(io)));
                        async move {
                            let (arrival, accepting) =
                                accepted.map_err(|_| TlsAcceptError::Tls(turned_away()))?;
                            Ok(arrival.below_http(accepting.await?))
                        }
                    };
                    apply_fn_factory::<_, _, _, _, _, TcpStream, _, _>(Acceptor::new(tls.clone()), accept)
                        .map_err(TlsAcceptError::into_service_error)
                        .map_init_err(drop)
                        .and_then(http.map_err(TlsAcceptError::Service))
                })?
            }
        };
        Ok(builder.run())
    }
}

/// Stops accepting, dismisses every client, and waits for their goodbyes, within bounds.
async fn drain(mounted: &Mounted, handle: &ServerHandle) {
    let service = &mounted.service;
    handle.pause().await;
    service.close();
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    while service.sessions.len() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    match service.sessions.len() {
        0 => {}
        left => log::warn!("{left} clients did not answer their close frame and are cut off"),
    }
}

fn bind(host: &str, port: u16, flags: Flags) -> Result<TcpListener, StartError> {
    match listen(resolve(host, port, flags)?) {
        // A machine without IPv6.
        Err(error) if host == DEFAULT_HOST && !in_use_or_forbidden(&error) => {
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
        // IPv4 clients as well, if the address is the unspecified one.
        socket.set_only_v6(false)?;
    }
    // A restart need not wait for the kernel to forget the old connections.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
