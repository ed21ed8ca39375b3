//! The server: binds its ports, serves, and drains.

mod accept;
mod error;
mod inherited;
mod listener;
mod secure;
mod sockets;
mod turns;
#[cfg(unix)]
mod unix_socket;
#[cfg(windows)]
#[path = "server/no_unix_socket.rs"]
mod unix_socket;
mod workers;

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::{HttpService, KeepAlive, Request, h1};
use actix_service::{ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use rustls::ServerConfig;
use tokio::time::{Instant, sleep_until};

use crate::embed::PeerBroker;
use crate::http::admin::{self, AdminState, ClientPort};
use crate::http::edge;
use crate::http::public::handshake::upgrade;
use crate::http::public::{self, Mounted};
use crate::runtime::Runtime;
use accept::{accept_plain, accept_tls};
pub use error::StartError;
pub use inherited::{BadSocket, InheritedSockets};
use listener::{ACME_HTTP, Listener, MAIN, OPS, Origin, Serving, drain, resolve};
use peerbroker_config::Listen;
use peerbroker_events::Event;
use peerbroker_system::lan::lan_address;
use peerbroker_system::threads::OnWake;
use peerbroker_tls::{CertificateSource, RenewalContext};
use peerbroker_transport::client_stream::ClientStream;
use peerbroker_transport::connection::{Connection, REQUEST_TIMEOUT};
use peerbroker_transport::tls_stream::TlsStream;
use sockets::{BoundSocket, ListeningSocket};
use turns::HandshakeTurns;
use workers::{ACCEPTS_PER_TURN, Stops, Workers};

/// The name of the threads that serve clients, and of the one that serves the API.
const WORKER: &str = "worker";
const API: &str = "api";

/// New connections that a worker serves before the others get their turn: some 120 µs of work.
const PLAIN_PER_TURN: usize = 4;
const TLS_PER_TURN: usize = 1;
const _: () = assert!(PLAIN_PER_TURN < ACCEPTS_PER_TURN && TLS_PER_TURN < ACCEPTS_PER_TURN);

/// Time between two measurements of a worker. A block that is longer is never missed. Each wakes an idle
/// worker, which costs some 70 µs.
const LAG_INTERVAL: Duration = Duration::from_millis(500);

// A macro, because no common type can be written for the services over TCP and over TLS.
macro_rules! http_service {
    ($io:ty, $mounted:ident) => {{
        let sockets = Arc::clone(&$mounted);
        let pages = Arc::clone(&$mounted);
        let runtime = Arc::clone(&$mounted.runtime);
        let upgrade = move |(request, framed): (Request, Framed<$io, h1::Codec>)| {
            let mounted = Arc::clone(&sockets);
            async move {
                upgrade(mounted, request, framed).await;
                Ok::<_, actix_web::Error>(())
            }
        };
        let app = App::new()
            .configure(|app| public::configure(app, Arc::clone(&pages)))
            .default_service(public::handler(pages));
        http_over!($io, app, runtime, upgrade(fn_service(upgrade)))
    }};
}

macro_rules! http_over {
    ($io:ty, $app:expr, $runtime:ident $(, $more:ident($with:expr))?) => {
        HttpService::build()
            .on_connect_ext(|connection: &$io, data| drop(data.insert(connection.state())))
            // `Connection` ends those that are idle.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(REQUEST_TIMEOUT)
            .client_disconnect_timeout(REQUEST_TIMEOUT)
            $(.$more($with))?
            .h1(apply_fn_factory(map_config($app, |()| AppConfig::default()), move |request, service: &_| {
                edge::handle(&$runtime, request, service)
            }))
    };
}

/// A server that has bound its ports and does not serve yet.
pub struct Server {
    listener: Listener,
    others: Vec<BoundSocket>,
    listen: Listen,
    /// Ready when it may begin beside another server at the port.
    may_begin: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    address: SocketAddr,
    mounted: Arc<Mounted>,
    tls: Option<(ServerConfig, CertificateSource)>,
    ops: Option<(Listener, Arc<AdminState>)>,
}

impl Server {
    /// Checks the hosts and the TLS files without binding a port.
    pub fn check(listen: &Listen) -> Result<(), StartError> {
        check_reuse_port(listen)?;
        secure::check(listen)?;
        BoundSocket::check_all(listen)?;
        if let Some(ops) = &listen.ops {
            resolve(&ops.host, ops.port, OPS)?;
        }
        resolve(&listen.host, listen.port, MAIN).map(drop)
    }

    /// Checks the directory of static files, reads the TLS files, and binds the ports.
    pub fn bind(broker: &PeerBroker, listen: &Listen) -> Result<Self, StartError> {
        Self::bind_with(broker, listen, InheritedSockets::default())
    }

    /// Works as [`bind`](Self::bind), with sockets that are open already, instead of those of `listen`.
    pub fn bind_with(
        broker: &PeerBroker,
        listen: &Listen,
        sockets: InheritedSockets,
    ) -> Result<Self, StartError> {
        broker.config().check()?;
        check_reuse_port(listen)?;
        let reuse_port = listen.reuse_port;
        let backlog = Some(listen.backlog);
        let listener = |socket, host: &str, port, backlog, flags| match socket {
            Some(socket) => Ok(Listener::inherited(socket)?),
            None => Listener::bind(host, port, reuse_port, backlog, flags),
        };
        if sockets.http.is_some() && listen.acme.is_none() {
            log::warn!(
                "the service manager passes a socket for HTTP-01, but there is no --acme, so nobody answers there: \
                 `systemctl disable --now peerbroker-http.socket`, or set --acme"
            );
        }
        let http = |port| {
            let listener = listener(sockets.http, &listen.host, port, backlog, ACME_HTTP);
            listener.map(|listener| listener.socket)
        };
        let tls = secure::open(listen, broker.events(), http)?;
        if sockets.ops.is_some() && listen.ops.is_none() {
            log::warn!(
                "the service manager passes a socket for the API, but there is no --ops_port, and so no API"
            );
        }
        let at_once = backlog.filter(|_| !reuse_port);
        let main = listener(sockets.main, &listen.host, listen.port, at_once, MAIN)?;
        let address = main.socket.local_addr()?;
        let others = BoundSocket::bind_all(listen)?;
        let ops = listen.ops.as_ref().map(|ops| {
            let listener = listener(sockets.ops, &ops.host, ops.port, Some(listen.backlog), OPS)?;
            let name = listen.acme.as_ref().and_then(|acme| Some(acme.names.first()?.in_url()));
            let is_secure = listen.is_secure();
            let is_api_secure = is_secure && ops.tls;
            let clients = ClientPort { name, port: address.port(), is_secure, is_api_secure };
            Ok::<_, StartError>((listener, broker.ops(ops.tokens.clone(), clients)))
        });
        let lan_host = lan_address().filter(|_| !address.ip().is_loopback());
        let mounted = broker.mounted(tls.is_some(), lan_host);
        if let Some((config, source)) = &tls {
            // An error means that the broker has another server, whose certificate is shown.
            let _ = mounted.runtime.certificates.set(Arc::clone(&source.certificates));
            mounted.runtime.serve_turn_over_tls(config);
        }
        mounted.runtime.relay_at(address);
        if let Some(membership) = mounted.runtime.node.membership() {
            membership.reachable_at(listen.node_url.clone().unwrap_or_else(|| {
                let scheme = if tls.is_some() { "https" } else { "http" };
                let host = if address.ip().is_unspecified() { lan_host } else { Some(address.ip()) };
                let host = host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                format!("{scheme}://{}{}", SocketAddr::new(host, address.port()), mounted.path.as_str())
            }));
        }
        Ok(Server {
            listener: main,
            others,
            listen: listen.clone(),
            may_begin: None,
            address,
            mounted,
            tls,
            ops: ops.transpose()?,
        })
    }

    /// The bound address. With port 0, it has the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bound address of the operator's API, if it is enabled.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().and_then(|(listener, _)| listener.socket.local_addr().ok())
    }

    /// Leaves all clients to the server before this one until `ready`, or until that one accepts no more,
    /// with [`Listen::reuse_port`] or an [inherited socket](InheritedSockets). For a server whose relay waits
    /// for the ports of that one: none of its clients is without a relay then.
    pub fn begin_when(self, ready: impl Future<Output = ()> + Send + 'static) -> Self {
        Server { may_begin: Some(Box::pin(ready)), ..self }
    }

    /// Serves until `stop` is ready. Then it closes every client with 1001, and returns when relayed calls
    /// are over: [`Listen::drain_timeout`] and [`Listen::relay_drain_timeout`] say how long both take. It
    /// does so too if the broker [has failed](PeerBroker::failed), but then ends calls at once, and returns
    /// that as an error.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mounted = Arc::clone(&self.mounted);
        let runtime = &mounted.runtime;
        let events = &mounted.runtime.events;
        let address = self.address;
        let ops_address = self.ops_address();
        let drain_timeout = self.listen.drain_timeout;
        let relay_drain = self.listen.relay_drain();
        let is_single = runtime.node.membership().is_none();
        let api = self.start_api()?;
        let started = || Event::Started { address, ops_address };
        let ready = self.may_begin.take().filter(|_| self.listener.may_have_predecessor());
        let mut main = None;
        let serve = async {
            match ready {
                None => {
                    let is_beside_other = is_single && self.listener.has_predecessor();
                    main = Some(self.start()?);
                    events.emit(started);
                    if is_beside_other {
                        log::warn!(
                            "another server takes clients at port {} too: clients of one do not find those of the other, so stop one",
                            address.port()
                        );
                    }
                }
                Some(ready) => {
                    // Before, because this tells the operator to stop the other server.
                    events.emit(started);
                    self.listener.until_ready_or_alone(ready).await;
                    main = Some(self.start()?);
                }
            }
            Ok::<_, io::Error>(runtime.receive_ended_calls(address).await)
        };
        let failure = tokio::select! {
            biased;
            Err(error) = serve => return Err(error),
            // A failure counts even if the server is stopped in the same moment.
            why = events.threads().failed() => Some(why),
            () = stop => None,
        };
        runtime.begin_drain();
        // A server that has failed may not relay either.
        let relay_drain = if failure.is_some() { Duration::ZERO } else { relay_drain };
        // Before this one takes no more clients: the next server begins then.
        runtime.leave_media_ports(relay_drain).await;
        let (main, renewal) = main.unzip();
        let close = async {
            if let Some(main) = &main {
                drain(runtime, main, api.as_ref(), drain_timeout).await;
            }
            runtime.leave().await;
            // The next server renews the certificate.
            drop(renewal);
        };
        tokio::join!(runtime.drain_calls(relay_drain, address), close);
        // Only now, because calls at this port are connections of the workers.
        for serving in main.into_iter().chain(api) {
            serving.workers.end().await;
        }
        events.emit(|| Event::Stopped);
        failure.map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    /// Starts the server of the API, a separate one, so that it can report the other one's end.
    fn start_api(&mut self) -> io::Result<Option<Serving>> {
        let Some((listener, ops)) = self.ops.take() else { return Ok(None) };
        let kept = listener.try_clone()?;
        let runtime = Arc::clone(&self.mounted.runtime);
        let threads = runtime.events.threads().clone();
        let sockets = vec![ListeningSocket::Tcp(listener.socket)];
        let is_secure = self.listen.ops.as_ref().is_some_and(|ops| ops.tls);
        let tls = self.tls.as_ref().filter(|_| is_secure).map(|(config, _)| Arc::new(config.clone()));
        let workers = match tls {
            None => Workers::start(&threads, API, 1, sockets, None, move |_| {
                let runtime = Arc::clone(&runtime);
                let turns = HandshakeTurns::of(PLAIN_PER_TURN);
                let accepting = Arc::clone(&runtime);
                let plain = move |io| accept_plain(io, Arc::clone(&accepting), turns.clone(), false);
                let app = admin::app(Arc::clone(&ops));
                fn_service(plain).and_then(http_over!(Connection<ClientStream>, app, runtime))
            })?,
            Some(tls) => Workers::start(&threads, API, 1, sockets, None, move |_| {
                let tls = Arc::clone(&tls);
                let runtime = Arc::clone(&runtime);
                let turns = HandshakeTurns::of(TLS_PER_TURN);
                let accepting = Arc::clone(&runtime);
                let secure =
                    move |io| accept_tls(io, Arc::clone(&tls), Arc::clone(&accepting), turns.clone(), false);
                let app = admin::app(Arc::clone(&ops));
                fn_service(secure).and_then(http_over!(
                    Connection<Box<TlsStream<ClientStream>>>,
                    app,
                    runtime
                ))
            })?,
        };
        Ok(Some(Serving { listeners: vec![kept], names: Vec::new(), workers }))
    }

    fn start(self) -> io::Result<(Serving, Option<Renewal>)> {
        let Server { listener, others, listen, mounted, tls, address, .. } = self;
        if listener.origin == Origin::Shared {
            listener.listen(listen.backlog)?;
        }
        let kept = listener.try_clone()?;
        let runtime = &mounted.runtime;
        let mut sockets = vec![ListeningSocket::Tcp(listener.socket)];
        let mut names = Vec::new();
        for other in others {
            let (socket, name) = other.publish()?;
            sockets.push(socket);
            names.push(name);
        }
        let (tls, source) = tls.unzip();
        let events = runtime.events.clone();
        let clock = runtime.node.clock().clone();
        let renewal =
            source.map(|source| (source.renew)(RenewalContext { events, clock, port: address.port() }));
        let renewal = renewal.transpose()?;
        let threads = runtime.events.threads().clone();
        let count = NonZeroUsize::new(listen.workers).map_or_else(available_parallelism, Ok);
        let count = count.map_or(2, NonZeroUsize::get);
        let on_wake = runtime.node.membership().map(|membership| {
            let membership = Arc::clone(membership);
            Arc::new(move || membership.wait_until_sure()) as OnWake
        });
        let workers = match tls {
            None => Workers::start(&threads, WORKER, count, sockets, on_wake.as_ref(), move |stops| {
                watch_lag(&mounted.runtime, stops);
                let runtime = Arc::clone(&mounted.runtime);
                let turns = HandshakeTurns::of(PLAIN_PER_TURN);
                let plain = move |io| accept_plain(io, Arc::clone(&runtime), turns.clone(), true);
                fn_service(plain).and_then(http_service!(Connection<ClientStream>, mounted))
            })?,
            Some(tls) => {
                let tls = Arc::new(tls);
                Workers::start(&threads, WORKER, count, sockets, on_wake.as_ref(), move |stops| {
                    watch_lag(&mounted.runtime, stops);
                    let tls = Arc::clone(&tls);
                    let runtime = Arc::clone(&mounted.runtime);
                    let turns = HandshakeTurns::of(TLS_PER_TURN);
                    let secure =
                        move |io| accept_tls(io, Arc::clone(&tls), Arc::clone(&runtime), turns.clone(), true);
                    let http = http_service!(Connection<Box<TlsStream<ClientStream>>>, mounted);
                    fn_service(secure).and_then(http)
                })?
            }
        };
        Ok((Serving { listeners: vec![kept], names, workers }, renewal))
    }
}

/// Keeps the certificate valid until the drop.
type Renewal = Box<dyn Any>;

/// Measures how late the timers of the worker that calls this fire, until it ends. A worker that is busy or
/// blocked is late with everything else too.
fn watch_lag(runtime: &Arc<Runtime>, stops: Stops) {
    let runtime = Arc::clone(runtime);
    actix_web::rt::spawn(async move {
        let lag = &runtime.events.counters().worker_lag;
        let worker = lag.add();
        let watch = async {
            loop {
                let due = Instant::now() + LAG_INTERVAL;
                sleep_until(due).await;
                worker.record(lag, due.elapsed());
            }
        };
        tokio::select! {
            () = stops.until_ended() => {}
            () = watch => {}
        }
    });
}

fn check_reuse_port(listen: &Listen) -> Result<(), StartError> {
    let is_possible = !listen.reuse_port || cfg!(target_os = "linux");
    is_possible.then_some(()).ok_or(StartError::NoReusePort)
}

#[cfg(test)]
mod tests;
