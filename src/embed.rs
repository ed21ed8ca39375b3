//! The front of the library: an app builds a broker and mounts it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::ServiceConfig;
use peerbroker_media_api::TurnUrls;

use crate::backplanes::{BadBackplane, check_backplane};
use crate::http::admin::{AdminState, ClientPort};
use crate::http::public::{self, Mounted};
use crate::runtime::control::LogControl;
use crate::runtime::{Components, Runtime};
use peerbroker_config::{ApiTokens, ClusterConfig, Config, InvalidPath, MountPath, OwnIceServers, TlsFiles};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{CloseReason, ConnId};
use peerbroker_events::{Event, Events, Notice};
use peerbroker_keys::{KeyError, KeyStore, unix_time};
use peerbroker_node::media::{BoundRelay, BoundTurn, Turn};
use peerbroker_node::{Client, Message, Node};
use peerbroker_system::lan::lan_address;
use peerbroker_system::threads::caught;
use peerbroker_tls::{self as tls, TlsError};
use peerbroker_webhooks::{AppMessage, WebhookTotals};

/// A running broker, to be mounted in an actix-web app or served by a
/// [`Server`](crate::Server). Clones are the same broker.
///
/// Build it once, outside the app's factory, so that all workers share it.
#[derive(Clone)]
pub struct PeerBroker {
    runtime: Arc<Runtime>,
}

/// Builds a [`PeerBroker`].
#[derive(Default)]
pub struct Builder(Components);

impl PeerBroker {
    /// A broker with the default configuration and no hooks.
    pub fn new() -> Self {
        Builder::default().build()
    }

    /// A builder with the default configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Mounts the broker at a path, for [`App::configure`](actix_web::App::configure).
    ///
    /// ```
    /// use actix_web::{App, test};
    /// use peerbroker::PeerBroker;
    ///
    /// # #[actix_web::main]
    /// # async fn main() {
    /// let broker = PeerBroker::new();
    /// let app = test::init_service(App::new().configure(broker.mount("/myapp"))).await;
    ///
    /// let request = test::TestRequest::get().uri("/myapp/peerjs/id").to_request();
    /// let id = test::call_and_read_body(&app, request).await;
    /// assert_eq!(id.len(), 36);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// On an invalid path; use [`try_mount`](Self::try_mount) for paths from user input.
    pub fn mount(&self, path: &str) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        #[expect(clippy::expect_used, reason = "documented, and meant for paths in code")]
        self.try_mount(path).expect("a mount path")
    }

    /// Mounts the broker at a path from user input.
    pub fn try_mount(
        &self,
        path: &str,
    ) -> Result<impl FnOnce(&mut ServiceConfig) + Clone + use<>, InvalidPath> {
        let runtime = Arc::clone(&self.runtime);
        let path = MountPath::parse(path)?;
        let mounted = Arc::new(Mounted { runtime, path, secure: false, lan_host: lan_address() });
        Ok(move |app: &mut ServiceConfig| public::configure(app, mounted))
    }

    /// The clients of all keys, and the messages that wait for them.
    pub fn node(&self) -> &Node {
        &self.runtime.node
    }

    /// The events of the broker, to subscribe to, and its counters.
    pub fn events(&self) -> &Events {
        &self.runtime.events
    }

    /// Closes every client with 1001 and admits no more. For an app that stops:
    /// [`Server::run`](crate::Server::run) does it itself.
    pub fn close(&self) {
        self.runtime.close();
    }

    /// Leaves the cluster after [`close`](Self::close), so that the ids of this node are free at once, and
    /// sends the last events to webhooks. For an app that stops: [`Server::run`](crate::Server::run) does it
    /// itself. Takes 3 s at most, and 10 s more if a webhook does not answer.
    pub async fn leave(&self) {
        self.runtime.leave().await;
    }

    /// Ready with the reason when a background thread has ended by a panic and cannot be restarted, so the
    /// broker no longer does all of its work. An app should end then, so that it is started again:
    /// [`Server::run`](crate::Server::run) does.
    pub async fn failed(&self) -> String {
        self.events().threads().failed().await
    }

    /// Starts a thread of the program beside those of the broker: it is restarted after a panic, and after
    /// many [`failed`](Self::failed) is ready.
    pub fn keep_thread(&self, name: &str, work: impl FnMut() + Send + 'static) -> io::Result<()> {
        self.events().threads().keep(name, work)
    }

    /// Activates changes of the [store of keys](Builder::keys) at once. It reads the whole store and blocks,
    /// so do not call it on a worker's thread.
    pub fn read_keys(&self) -> Result<(), KeyError> {
        self.runtime.control.read_keys()
    }

    /// The active configuration.
    pub fn config(&self) -> Arc<Config> {
        self.runtime.config.load_full()
    }

    /// Replaces the configuration while clients are connected: limits, timeouts, origins, pages, dialects and
    /// the built-in keys change at once. A connection keeps the rate limit, the largest message and the
    /// outbox that it began with, and a mounted broker stays where it is, whatever [`Config::path`] says. It
    /// reads the store of keys and blocks, so do not call it on a worker's thread.
    pub fn reconfigure(&self, config: Config) -> Result<(), KeyError> {
        self.runtime.config.update(|old| {
            let mut config = config.clone();
            // Credentials that the broker has given stay valid unless the operator has set another secret.
            config.ice.turn_secret = config.ice.turn_secret.or_else(|| old.ice.turn_secret.clone());
            config
        });
        self.read_keys()
    }

    /// Relays calls from now on, if the broker has not begun with [a relay](Builder::relay). For a port that
    /// was not free at the start. It reads files and blocks, so do not call it on a worker's thread.
    pub fn begin_relaying(&self, relay: BoundRelay) {
        self.runtime.begin_relaying(relay);
        self.runtime.control.try_unusable_keys();
    }

    /// Installs a TURN server, if the broker has not begun with [one](Builder::turn). Call it before
    /// [`begin_relaying`](Self::begin_relaying), whose ports serve TURN too.
    pub fn begin_turn(&self, turn: BoundTurn) {
        self.runtime.begin_turn(turn);
    }

    /// Says that a relay [begins](Self::begin_relaying) later, for `peerbroker doctor`: another program has
    /// its port.
    pub fn expect_relay(&self) {
        self.runtime.expects_relay.store(true, Ordering::Relaxed);
    }

    /// Tells clients other addresses of the relay and of the TURN server from now on, each in place of that
    /// of its family: see [`RelayConfig::public`](peerbroker_config::RelayConfig::public). `private` is
    /// [`RelayConfig::private`](peerbroker_config::RelayConfig::private) from now on.
    pub fn set_media_addresses(&self, public: &[IpAddr], private: bool) {
        self.runtime.set_media_addresses(public, private);
    }

    /// The URLs of the TURN server, or the STUN server, that clients are told, if there is one.
    pub fn turn_urls(&self) -> Option<TurnUrls> {
        self.runtime.turn().map(Turn::urls)
    }

    /// The totals of events for webhooks.
    pub fn webhook_totals(&self) -> WebhookTotals {
        self.runtime.webhooks.totals()
    }

    /// Replaces the bearer tokens of the API.
    pub fn set_api_tokens(&self, tokens: ApiTokens) {
        self.runtime.api_tokens.store(Arc::new(tokens));
    }

    /// Reads the certificate of the [`Server`](crate::Server) again and shows it to new connections. The
    /// server does this itself when the files change.
    pub fn reread_certificate(&self, files: &TlsFiles) -> Result<(), TlsError> {
        let Some(certificates) = self.runtime.certificates.get() else { return Ok(()) };
        if tls::reread(files, certificates)? {
            let path = files.cert.display().to_string();
            self.events().emit(|| Event::CertificateLoaded { path });
        }
        Ok(())
    }

    /// Tells the log, the statistics and all followers of events that the program has read its configuration
    /// again. `changed` lists the differences, and `pending` those that are not active.
    pub fn reloaded(&self, changed: Vec<String>, pending: Vec<String>) {
        let mut reloads = self.runtime.reloads.lock();
        reloads.reloaded = Some(unix_time());
        reloads.error = None;
        drop(reloads);
        self.events().emit(|| Event::Reloaded { changed, pending });
    }

    /// Tells them that the program has read a wrong configuration, so the previous one stays active.
    pub fn reload_failed(&self, why: String) {
        let mut reloads = self.runtime.reloads.lock();
        reloads.failed = Some(unix_time());
        reloads.error = Some(why.clone());
        drop(reloads);
        self.events().emit(|| Event::ReloadFailed { why });
    }

    /// The state of the operator's API.
    pub(crate) fn ops(&self, tokens: ApiTokens, clients: ClientPort) -> Arc<AdminState> {
        self.set_api_tokens(tokens);
        AdminState::start(Arc::clone(&self.runtime), clients)
    }

    /// The broker at its configured path, in a separate server.
    pub(crate) fn mounted(&self, secure: bool, lan_host: Option<IpAddr>) -> Arc<Mounted> {
        let path = self.runtime.config().path.clone();
        Arc::new(Mounted { runtime: Arc::clone(&self.runtime), path, secure, lan_host })
    }
}

impl Default for PeerBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Replaces the configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.0.config = config;
        self
    }

    /// Adds a hook that is called for each event, in order, on its own thread. A hook never delays clients.
    /// If it lags by thousands of events, it loses the oldest ones and gets [`Notice::Missed`]. You may add
    /// any number of hooks.
    pub fn on_event(self, mut hook: impl FnMut(&Notice) + Send + 'static) -> Self {
        let followed = self.0.events.follow("hook", move |notices| {
            for notice in notices {
                if let Err(panic) = caught(|| hook(notice)) {
                    log::error!("a hook for events has {panic}; it is called again for the next one");
                }
            }
        });
        if let Err(error) = followed {
            log::error!("cannot start the thread of a hook, so the hook is never called: {error}");
        }
        self
    }

    /// Adds a hook that is called when a peer has registered, and again when it registers on a new
    /// connection. A shorthand for [`on_event`](Self::on_event).
    pub fn on_connect(self, hook: impl Fn(Client<'_>) + Send + 'static) -> Self {
        self.on_event(move |notice| {
            if let Some(Event::PeerConnected(connected)) = notice.event() {
                hook(Client { key: connected.peer.key.as_str(), id: &connected.peer.id });
            }
        })
    }

    /// Adds a hook that is called once for each registered connection that ends. After
    /// [`CloseReason::Replaced`], the peer is still connected, on a newer connection. A shorthand for
    /// [`on_event`](Self::on_event).
    pub fn on_disconnect(self, hook: impl Fn(Client<'_>, CloseReason) + Send + 'static) -> Self {
        self.on_event(move |notice| {
            if let Some(Event::PeerDisconnected(disconnected)) = notice.event() {
                let peer = &disconnected.peer;
                hook(Client { key: peer.key.as_str(), id: &peer.id }, disconnected.reason);
            }
        })
    }

    /// Adds a hook that is called when a peer joins a room; it gets the name of the room. A client that comes
    /// back within the reclaim timeout has never left. A shorthand for [`on_event`](Self::on_event).
    pub fn on_room_joined(self, hook: impl Fn(Client<'_>, &str) + Send + 'static) -> Self {
        self.on_event(move |notice| {
            if let Some(Event::RoomJoined { peer, room }) = notice.event() {
                hook(Client { key: peer.key.as_str(), id: &peer.id }, room.as_str());
            }
        })
    }

    /// Adds a hook that is called when a peer is not in a room any more; it gets the name of the room. A
    /// shorthand for [`on_event`](Self::on_event).
    pub fn on_room_left(self, hook: impl Fn(Client<'_>, &str) + Send + 'static) -> Self {
        self.on_event(move |notice| {
            if let Some(Event::RoomLeft { peer, room }) = notice.event() {
                hook(Client { key: peer.key.as_str(), id: &peer.id }, room.as_str());
            }
        })
    }

    /// Adds a hook that is called for each message from a peer to another, before its delivery. It runs in
    /// the session of the sender: if the hook blocks, all clients of that worker wait. You may add any number
    /// of hooks.
    pub fn on_message(mut self, hook: impl Fn(Client<'_>, Message<'_>) + Send + Sync + 'static) -> Self {
        self.0.on_message.push(Box::new(move |client, message| {
            if let Err(panic) = caught(|| hook(client, message)) {
                log::error!("a hook for messages has {panic}");
            }
        }));
        self
    }

    /// Adds a hook that is called for each text that a PeerJS client sends on its connection, before it is
    /// read: heartbeats, and texts that the broker ignores, are among them. As for
    /// [`on_message`](Self::on_message), it must not block.
    pub fn on_text(mut self, hook: impl Fn(Client<'_>, ConnId, &str) + Send + Sync + 'static) -> Self {
        self.0.on_text.push(Box::new(move |client, connection, text| {
            if let Err(panic) = caught(|| hook(client, connection, text)) {
                log::error!("a hook for texts has {panic}");
            }
        }));
        self
    }

    /// Sets the hook that gets the messages of clients to the app, and may answer with JSON text. It replaces
    /// the webhooks for them. The messages of one client come one after another. It runs on a thread of its
    /// own: if it blocks, other messages wait.
    pub fn on_app_message<F>(mut self, hook: impl Fn(AppMessage) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        let hook = Arc::new(hook);
        self.0.on_app_message = Some(Box::new(move |message| {
            let hook = Arc::clone(&hook);
            Some(Box::pin(async move { Ok(hook(message).await) }))
        }));
        self
    }

    /// Makes the ids that the server gives to clients without one, instead of
    /// [`Settings::id_style`](peerbroker_keys::Settings::id_style); it gets the key. It is called again if a
    /// peer has the id, or if the text is not a valid id, and must not block. After a hundred calls the
    /// client gets a UUID.
    pub fn generate_id(mut self, generate: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.0.generate_id = Some(Box::new(generate));
        self
    }

    /// Adds the keys of a store to the built-in key. Changes in the store become active within a second.
    pub fn keys(mut self, store: Arc<dyn KeyStore>) -> Self {
        self.0.keys = Some(store);
        self
    }

    /// Makes the broker a node of a cluster: all nodes that share a Redis or Valkey are one broker. Call
    /// [`PeerBroker::leave`] when the program stops.
    pub fn cluster(mut self, cluster: ClusterConfig) -> Self {
        self.0.cluster = Some(cluster);
        self
    }

    /// Relays calls that cannot go directly. Clients need no changes.
    pub fn relay(mut self, relay: BoundRelay) -> Self {
        self.0.relay = Some(relay);
        self
    }

    /// Tells clients of STUN and TURN servers that this program runs itself, before those of [`Config::ice`].
    pub fn own_ice_servers(mut self, own: OwnIceServers) -> Self {
        self.0.own_ice = own;
        self
    }

    /// Relays for clients that ask for a TURN server, or answers STUN. If
    /// [`IceConfig::turn_secret`](peerbroker_config::IceConfig) is not set, the broker makes one.
    pub fn turn(mut self, turn: BoundTurn) -> Self {
        self.0.turn = Some(turn);
        self
    }

    /// Lets the operator's API change the log of this program. Without it, `/api/log` answers 501.
    pub fn log(mut self, log: Arc<dyn LogControl>) -> Self {
        self.0.log = Some(log);
        self
    }

    /// Replaces the clock. A [manual](Clock::manual) clock moves only when the program moves it: call
    /// [`Node::sweep`] after each step.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.0.clock = Some(clock);
        self
    }

    /// Starts the broker, unless no connection to the store of its [cluster](Self::cluster) can be made from
    /// its address.
    pub fn try_build(self) -> Result<PeerBroker, BadBackplane> {
        if let Some(cluster) = &self.0.cluster {
            check_backplane(&cluster.backplane)?;
        }
        Ok(self.build())
    }

    /// Starts the broker. Errors of the [cluster](Self::cluster) are logged: its node is not ready, and
    /// serves local clients only.
    pub fn build(self) -> PeerBroker {
        PeerBroker { runtime: Runtime::start(self.0) }
    }
}
