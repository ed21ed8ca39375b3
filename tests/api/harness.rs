//! A real server on a free port, and clients that send exactly what the test says.

mod clients;
pub mod guests;
pub mod keys;
pub mod legacy;
pub mod ops;
pub mod receiver;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once, PoisonError, mpsc};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use actix_web::rt::System;
use actix_web::{App, HttpServer};
use peerbroker::{BoundRelay, Builder, Config, Listen, PeerBroker, Server, TurnUrls};
use peerbroker_config::ClusterConfig;
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::{Connected, Disconnected, Event, Notice, Subscription};
use peerbroker_keys::KeyStore;
use peerbroker_node::Node;
use peerbroker_router::Realm;
use tokio::sync::oneshot;

pub use testkit::raw_client::RawClient;
pub use testkit::wait::wait_until;
pub use testkit::{api, http_client, messages, raw_client, relay_client, turn_client, wire};

/// Threads of a server that serve connections.
const WORKERS: usize = 2;

/// The WebSocket implementation of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The server's own, which takes connections over from HTTP.
    Own,
    /// actix-ws, in an actix-web app that embeds the broker.
    Actix,
}

impl Transport {
    pub const ALL: [Transport; 2] = [Transport::Own, Transport::Actix];
}

/// The events of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Connected(String),
    Disconnected(String, CloseReason),
}

/// A server in its own thread. The drop stops it. Its clock stands still until
/// [`advance`](Self::advance).
pub struct TestServer {
    pub transport: Transport,
    pub address: SocketAddr,
    /// Of the operator's API, if there is one.
    pub ops: Option<SocketAddr>,
    broker: PeerBroker,
    clock: Clock,
    events: Mutex<(Subscription, Vec<Told>)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    threads: Threads,
}

/// The threads that serve connections of one server.
struct Threads {
    /// The id of its actix system.
    system: usize,
    main: ThreadId,
}

/// Runs a test on both transports: what they can spoil, which is frames, close codes, backpressure, limits
/// and ends. The rest is the same code behind them, and runs on the server's own.
pub fn on_both(test: impl Fn(&TestServer)) {
    on_both_with(|_| {}, test);
}

/// Runs a test on both transports with a changed configuration.
pub fn on_both_with(configure: impl Fn(&mut Config), test: impl Fn(&TestServer)) {
    for transport in Transport::ALL {
        eprintln!("on the transport {transport:?}:");
        test(&TestServer::start(transport, &configure));
    }
}

/// Runs a test on the server's own transport.
pub fn on_own(test: impl Fn(&TestServer)) {
    on_own_with(|_| {}, test);
}

/// The same with a changed configuration.
pub fn on_own_with(configure: impl Fn(&mut Config), test: impl Fn(&TestServer)) {
    test(&TestServer::start(Transport::Own, configure));
}

impl TestServer {
    pub fn start(transport: Transport, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_listening(transport, configure, Listen::default())
    }

    /// The same with other `listen` settings, but always on a free port.
    pub fn start_listening(
        transport: Transport,
        configure: impl FnOnce(&mut Config),
        listen: Listen,
    ) -> Self {
        Self::start_with(transport, configure, listen, None)
    }

    fn start_with(
        transport: Transport,
        configure: impl FnOnce(&mut Config),
        listen: Listen,
        keys: Option<Arc<dyn KeyStore>>,
    ) -> Self {
        let builder = PeerBroker::builder();
        let builder = match keys {
            Some(keys) => builder.keys(keys),
            None => builder,
        };
        Self::start_at(transport, builder, listen, configure)
    }

    /// A server with a relay.
    pub fn start_with_relay(relay: BoundRelay, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_built(PeerBroker::builder().relay(relay), configure)
    }

    /// A server of a builder, with the default configuration changed.
    pub fn start_built(builder: Builder, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_built_on(builder, Listen::default(), configure)
    }

    /// The same with its own ports and TLS.
    pub fn start_built_on(builder: Builder, listen: Listen, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(Transport::Own, builder, listen, configure)
    }

    /// The same on one of the transports.
    pub fn start_at(
        transport: Transport,
        builder: Builder,
        listen: Listen,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        // The clock stands still, so a client above its rate limit would wait forever.
        let mut config = Config::default();
        config.key_settings.messages_per_second = 0;
        configure(&mut config);
        let clock = Clock::manual();
        let broker = builder.config(config).clock(clock.clone()).build();
        Self::serve(broker, clock, transport, listen)
    }

    /// A node of a cluster. Its clock is the system's.
    pub fn start_node(cluster: ClusterConfig, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        configure(&mut config);
        Self::start_node_of(PeerBroker::builder().config(config), cluster)
    }

    pub fn start_node_of(builder: Builder, cluster: ClusterConfig) -> Self {
        Self::start_node_on(Transport::Own, builder, cluster)
    }

    pub fn start_node_on(transport: Transport, builder: Builder, cluster: ClusterConfig) -> Self {
        let clock = Clock::system();
        let broker = builder.clock(clock.clone()).cluster(cluster).build();
        Self::serve(broker, clock, transport, Listen::default())
    }

    pub fn turn_urls(&self) -> Option<TurnUrls> {
        self.broker.turn_urls()
    }

    fn serve(broker: PeerBroker, clock: Clock, transport: Transport, listen: Listen) -> Self {
        notice_panics();
        let events = Mutex::new((broker.events().subscribe(), Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let (started, address) = mpsc::channel();
        let (system, system_of) = mpsc::channel();
        let served = broker.clone();
        let thread = thread::Builder::new().spawn(move || {
            System::new().block_on(async move {
                system.send(System::current().id()).unwrap();
                match transport {
                    Transport::Own => serve_own(&served, listen, &started, stopped).await,
                    Transport::Actix => serve_embedded(&served, &started, stopped).await,
                }
            })
        });
        let thread = thread.unwrap();
        let threads = Threads { system: system_of.recv().expect("a system"), main: thread.thread().id() };
        let (address, ops) = address.recv().expect("a server that starts");
        TestServer {
            transport,
            address,
            ops,
            broker,
            clock,
            events,
            stop: Some(stop),
            thread: Some(thread),
            threads,
        }
    }

    /// Changes the configuration while the server runs.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        let mut config = Config::clone(&self.broker.config());
        change(&mut config);
        self.broker.reconfigure(config).unwrap();
    }

    /// Advances the clock and does everything that is due.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.node().sweep();
    }

    pub fn node(&self) -> &Node {
        self.broker.node()
    }

    pub fn realm(&self) -> Arc<Realm> {
        let tenant = self.node().tenant(self.broker.config().key.as_str()).expect("the built-in key");
        tenant.peers()
    }

    /// The events of one peer so far.
    pub fn told_about(&self, id: &str) -> Vec<Told> {
        let (subscription, told) = &mut *self.events.lock().unwrap();
        while let Some(notice) = subscription.try_next() {
            let Notice::Event(event) = notice else { panic!("{notice:?}") };
            match &*event {
                Event::PeerConnected(Connected { peer, .. }) => {
                    told.push(Told::Connected(peer.id.as_str().to_owned()))
                }
                Event::PeerDisconnected(Disconnected { peer, reason, .. }) => {
                    told.push(Told::Disconnected(peer.id.as_str().to_owned(), *reason));
                }
                _ => {}
            }
        }
        let is_about =
            |told: &&Told| matches!(told, Told::Connected(of) | Told::Disconnected(of, _) if of == id);
        told.iter().filter(is_about).cloned().collect()
    }

    pub fn wait_until_gone(&self, id: &str) {
        wait_until(&format!("{id} to be gone"), || !self.realm().contains(id));
    }

    pub fn wait_for_peers(&self, count: usize) {
        wait_until(&format!("{count} peers"), || self.realm().len() == count);
    }

    /// Stops the server like a signal. Returns at once; [`join`](Self::join) waits.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has ended, and moves the clock meanwhile: relayed calls that nobody hangs up
    /// take some seconds.
    pub fn join_while_time_passes(&mut self) {
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            self.clock.advance(Duration::from_millis(100));
            thread::sleep(Duration::from_millis(1));
        }
        self.join();
    }

    /// Waits until the server has ended.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a server that does not panic").expect("a server that ends well");
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.begin_stop();
        if thread::panicking() {
            return;
        }
        self.join_while_time_passes();
        assert_eq!(self.threads.panics(), Vec::<String>::new(), "no panic in the server");
    }
}

pub fn token_of(id: &str) -> String {
    format!("token-of-{id}")
}

async fn serve_own(
    broker: &PeerBroker,
    listen: Listen,
    started: &mpsc::Sender<(SocketAddr, Option<SocketAddr>)>,
    stopped: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, workers: WORKERS, ..listen };
    let server = Server::bind(broker, &listen).expect("a free port");
    started.send((server.address(), server.ops_address())).unwrap();
    server.run(async { drop(stopped.await) }).await
}

async fn serve_embedded(
    broker: &PeerBroker,
    started: &mpsc::Sender<(SocketAddr, Option<SocketAddr>)>,
    stopped: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let mount = broker.mount(broker.config().path.as_str());
    let server = HttpServer::new(move || App::new().configure(mount.clone()))
        .workers(WORKERS)
        .disable_signals()
        .bind(("127.0.0.1", 0))?;
    started.send((server.addrs()[0], None)).unwrap();
    let serving = server.run();
    let handle = serving.handle();
    actix_web::rt::spawn(async move {
        drop(stopped.await);
        handle.stop(false).await;
    });
    serving.await
}

/// The threads that have panicked, of all servers of this process.
static PANICKED: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());

impl Threads {
    /// The names of those that have panicked. A panic ends one connection and would go unnoticed.
    fn panics(&self) -> Vec<String> {
        // As actix-rt names its arbiters.
        let arbiters = format!("actix-rt|system:{}|", self.system);
        let panicked = PANICKED.lock().unwrap();
        let own = panicked.iter().filter(|(id, name)| *id == self.main || name.starts_with(&arbiters));
        own.map(|(_, name)| name.clone()).collect()
    }
}

fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = env_logger::try_init();
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = thread::current();
            let name = thread.name().unwrap_or_default().to_owned();
            PANICKED.lock().unwrap_or_else(PoisonError::into_inner).push((thread.id(), name));
            print(info);
        }));
    });
}
