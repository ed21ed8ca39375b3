//! The server: binds its ports, serves, and drains.

mod drain;
mod error;
mod handshakes;
mod inherited;
mod listener;
mod secure;
mod turn_over_https;
mod worker_lag;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request, h1};
use actix_service::{Service as _, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config};
use actix_tls::accept::rustls_0_23::{Acceptor, AcceptorService, TlsStream};
use actix_tls::accept::{TlsError as TlsAcceptError, max_concurrent_tls_connect};
use actix_web::App;
use actix_web::dev::AppConfig;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::app::Parts;
use crate::config::{AcmeName, Listen};
use crate::embed::PeerBroker;
use crate::events::{Event, Mistake};
use crate::http::upgrade::{refuse_connection, upgrade};
use crate::http::{self, Mounted, endpoint};
use crate::lan::lan_address;
use crate::limits::{ConnectionPermit, LimitExceeded};
use crate::ops::{self, ClientPort, Ops};
use crate::transport::connection::{Connection, REQUEST_TIMEOUT};
use crate::transport::connection_state::handle;
use crate::transport::tls_port::TlsPort;
use drain::{Serving, drain};
pub use error::StartError;
pub use inherited::{BadSocket, InheritedSockets};
use listener::{ACME_HTTP, Listener, MAIN, OPS, resolve};
use secure::{Secure, Upkeep};

/// Size of the kernel's send buffer. The kernel reports progress when a third of it is free. With a buffer of megabytes,
/// a download over a slow network would look stuck for minutes.
const SEND_BUFFER: usize = 256 << 10;
/// The names of the listeners in the log lines of actix-server.
const NAME: &str = "peerbroker";
const OPS_NAME: &str = "peerbroker's API";
/// Most HTTP connections of a worker. WebSockets do not count.
const MAX_HTTP_CONNECTIONS: usize = 25_000;

/// Most concurrent TLS handshakes of a worker. Each may take 3 s, so with the default of 256 a few hundred silent
/// connections would block all other clients.
const MAX_TLS_HANDSHAKES: usize = 10_000;

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
    listener: Listener,
    address: SocketAddr,
    mounted: Arc<Mounted>,
    workers: usize,
    tls: Option<Secure>,
    ops: Option<(Listener, Arc<Ops>)>,
    drain_timeout: Option<Duration>,
}

impl Server {
    /// Checks the hosts and the TLS files without binding a port.
    pub fn check(listen: &Listen) -> Result<(), StartError> {
        check_reuse_port(listen)?;
        secure::check(listen)?;
        if let Some(ops) = &listen.ops {
            resolve(&ops.host, ops.port, OPS)?;
        }
        resolve(&listen.host, listen.port, MAIN).map(drop)
    }

    /// Checks the directory of static files, reads the TLS files, and binds the ports.
    pub fn bind(broker: &PeerBroker, listen: &Listen) -> Result<Self, StartError> {
        Self::bind_with(broker, listen, InheritedSockets::default())
    }

    /// The same with sockets that are open already, instead of those that `listen` names.
    pub fn bind_with(
        broker: &PeerBroker,
        listen: &Listen,
        sockets: InheritedSockets,
    ) -> Result<Self, StartError> {
        broker.config().check()?;
        check_reuse_port(listen)?;
        let listener = |socket, host: &str, port, flags| match socket {
            Some(socket) => Ok(Listener::inherited(socket)?),
            None => Listener::bind(host, port, listen.reuse_port, flags),
        };
        let http = |port| listener(sockets.http, &listen.host, port, ACME_HTTP).map(Listener::into_socket);
        let tls = Secure::open(listen, broker.events(), http)?;
        if sockets.ops.is_some() && listen.ops.is_none() {
            log::warn!(
                "the service manager passes a socket for the API, but there is no --ops_port, and so no API"
            );
        }
        let main = listener(sockets.main, &listen.host, listen.port, MAIN)?;
        let address = main.address()?;
        let ops = listen.ops.as_ref().map(|ops| {
            let listener = listener(sockets.ops, &ops.host, ops.port, OPS)?;
            Ok::<_, StartError>((listener, broker.ops(ops.token.clone(), client_port(listen, address))))
        });
        let lan_host = lan_address().filter(|_| !address.ip().is_loopback());
        let mounted = broker.mounted(tls.is_some(), lan_host);
        if let Some(tls) = &tls {
            // An error says that the broker has another server, whose certificate is shown.
            let _ = mounted.parts.certificates.set(Arc::clone(&tls.certificates));
            mounted.parts.serve_turn_over_tls(&tls.config);
        }
        let (workers, drain_timeout) = (listen.workers, listen.drain_timeout);
        Ok(Server { address, listener: main, mounted, workers, tls, ops: ops.transpose()?, drain_timeout })
    }

    /// The bound address. With port 0, it has the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bound address of the operator's API, if it is enabled.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().and_then(|(listener, _)| listener.address().ok())
    }

    /// Serves until `stop` is ready. Then it closes every client with 1001 and returns. [`Listen::drain_timeout`] says how. It
    /// does so too if the broker [has failed](PeerBroker::failed), and returns that as an error.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mounted = Arc::clone(&self.mounted);
        let (address, ops_address, drain_timeout) = (self.address, self.ops_address(), self.drain_timeout);
        let main = self.listener.try_clone()?;
        let api = self.ops.as_ref().map(|(listener, _)| listener.try_clone()).transpose()?;
        let Started { server, ops, _upkeep } = self.start()?;
        let events = &mounted.parts.events;
        events.emit(|| Event::Started { address, ops_address });
        let main = Serving { listener: main, handle: server.handle() };
        let api = api.zip(ops.as_ref()).map(|(listener, ops)| Serving { listener, handle: ops.handle() });
        let mut serving = actix_web::rt::spawn(server);
        let serving_ops = ops.map(actix_web::rt::spawn);
        let failure = tokio::select! {
            ended = &mut serving => return ended.unwrap_or_else(|error| Err(io::Error::other(error))),
            () = stop => None,
            why = events.threads().failed() => Some(why),
        };
        drain(&mounted.parts, &main, api.as_ref(), drain_timeout).await;
        mounted.parts.leave().await;
        // Not graceful: all sessions have ended, and idle keep-alive connections need no wait.
        main.handle.stop(false).await;
        let served = serving.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let (Some(api), Some(serving_ops)) = (api, serving_ops) {
            api.handle.stop(false).await;
            let _ = serving_ops.await;
        }
        events.emit(|| Event::Stopped);
        failure.map_or(served, |why| Err(io::Error::other(why)))
    }

    fn start(self) -> io::Result<Started> {
        let Server { listener, mounted, workers, tls, ops, address, .. } = self;
        let mut builder = actix_builder();
        if workers > 0 {
            builder = builder.workers(workers);
        }
        let parts = &mounted.parts;
        let plain = |parts: &Arc<Parts>| {
            let parts = Arc::clone(parts);
            fn_service(move |io: TcpStream| accept_plain(io, Arc::clone(&parts)))
        };
        let ops = ops.map(|(listener, ops)| {
            let plain = plain(parts);
            // A server of its own, so that it can tell of the other one's end.
            let builder = actix_builder().workers(1).listen(OPS_NAME, listener.into_socket(), move || {
                plain.clone().and_then(http_over!(Connection<TcpStream>, ops::app(Arc::clone(&ops))))
            })?;
            Ok::<_, io::Error>(builder.run())
        });
        let ops = ops.transpose()?;
        let listener = listener.into_socket();
        let tls_config = tls.as_ref().map(|tls| tls.config.clone());
        let upkeep = tls
            .map(|tls| tls.keep_fresh(&parts.events, parts.node.clock().clone(), address.port()))
            .transpose()?;
        let builder = match tls_config {
            None => {
                let plain = plain(parts);
                builder.listen(NAME, listener, move || {
                    worker_lag::watch(&mounted.parts);
                    plain.clone().and_then(http_service!(Connection<TcpStream>, mounted))
                })?
            }
            Some(tls) => {
                max_concurrent_tls_connect(MAX_TLS_HANDSHAKES);
                builder.listen(NAME, listener, move || {
                    worker_lag::watch(&mounted.parts);
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
                                handshakes::counted(accepting.await, &parts)?,
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
        Ok(Started { server: builder.run(), ops, _upkeep: upkeep })
    }
}

/// What runs.
struct Started {
    server: actix_server::Server,
    ops: Option<actix_server::Server>,
    _upkeep: Option<Upkeep>,
}

fn actix_builder() -> actix_server::ServerBuilder {
    actix_server::Server::build().disable_signals().max_concurrent_connections(MAX_HTTP_CONNECTIONS)
}

/// Where clients find the server, for the dashboard.
fn client_port(listen: &Listen, address: SocketAddr) -> ClientPort {
    let name = listen.acme.as_ref().and_then(|acme| acme.names.first()).map(|name| match name {
        AcmeName::Host(name) => name.clone(),
        AcmeName::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        AcmeName::Ip(ip) => ip.to_string(),
    });
    ClientPort { name, port: address.port(), is_secure: listen.is_secure() }
}

fn check_reuse_port(listen: &Listen) -> Result<(), StartError> {
    let is_possible = !listen.reuse_port || cfg!(target_os = "linux");
    is_possible.then_some(()).ok_or(StartError::NoReusePort)
}

#[cfg(test)]
mod tests;
