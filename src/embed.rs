use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::web::ServiceConfig;

use crate::admin::LogControl;
use crate::app::{Extras, Parts};
use crate::clock::Clock;
use crate::config::{
    AdminToken, BadRedis, ClusterConfig, Config, InvalidPath, MountPath, OwnIceServers, TlsFiles,
};
use crate::events::{Event, Events, Notice};
use crate::http::{self, Mounted};
use crate::keys::memory::MemoryKeys;
use crate::keys::{KeyError, KeyStore};
use crate::lan::lan_address;
use crate::node::Node;
use crate::ops::{ClientPort, Ops};
use crate::relay::BoundRelay;
use crate::session::{Client, Message};
use crate::threads::caught;
use crate::tls::{self, TlsError};
use crate::turn::{BoundTurn, Turn, TurnUrls};
use crate::webhooks::WebhookTotals;
use crate::wire::CloseReason;

/// A running broker, to be mounted in an actix-web app or served by a
/// [`Server`](crate::Server). Clones are the same broker.
///
/// Build it once, outside the app's factory, so that all workers share it.
#[derive(Clone)]
pub struct PeerBroker {
    parts: Arc<Parts>,
}

type OnEvent = Box<dyn FnMut(&Notice) + Send>;

/// Builds a [`PeerBroker`].
#[derive(Default)]
pub struct Builder {
    config: Config,
    on_event: Vec<OnEvent>,
    clock: Option<Clock>,
    keys: Option<Arc<dyn KeyStore>>,
    extras: Extras,
}

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
        let (parts, path) = (Arc::clone(&self.parts), MountPath::parse(path)?);
        let mounted = Arc::new(Mounted { parts, path, secure: false, lan_host: lan_address() });
        Ok(move |app: &mut ServiceConfig| http::configure(app, mounted))
    }

    /// The clients of all keys, and the messages that wait for them.
    pub fn node(&self) -> &Node {
        &self.parts.node
    }

    /// The events of the broker, to subscribe to, and its counters.
    pub fn events(&self) -> &Events {
        &self.parts.events
    }

    /// Closes every client with 1001 and admits nobody any more. For an app that stops:
    /// [`Server::run`](crate::Server::run) does it itself.
    pub fn close(&self) {
        self.parts.close();
    }

    /// Leaves the cluster after [`close`](Self::close), so that the ids of this node are free at once, and sends the last
    /// events to webhooks. For an app that stops: [`Server::run`](crate::Server::run) does it itself. Takes 3 s at most, and
    /// 10 s more if a webhook does not answer.
    pub async fn leave(&self) {
        self.parts.leave().await;
    }

    /// Ready with the reason when a background thread has ended by a panic and cannot be restarted, so the broker no longer does
    /// all of its work. An app should end then, so that it is started again: [`Server::run`](crate::Server::run) does.
    pub async fn failed(&self) -> String {
        self.events().threads().failed().await
    }

    /// Starts a thread of the program beside those of the broker: it is restarted after a panic, and after many
    /// [`failed`](Self::failed) is ready.
    pub fn keep_thread(&self, name: &str, work: impl FnMut() + Send + 'static) -> io::Result<()> {
        self.events().threads().keep(name, work)
    }

    /// Puts changes of the [store of keys](Builder::keys) in force at once. It reads the whole store and blocks, so do not
    /// call it on a worker's thread.
    pub fn read_keys(&self) -> Result<(), KeyError> {
        self.parts.admin.read_keys()
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.parts.config.load_full()
    }

    /// Replaces the configuration while clients are connected: limits, timeouts, origins, pages, dialects and the
    /// built-in keys change at once. A connection keeps the rate limit, the largest message and the outbox that it began
    /// with, and a mounted broker stays where it is, whatever [`Config::path`] says. It reads the store of keys and blocks,
    /// so do not call it on a worker's thread.
    pub fn reconfigure(&self, config: Config) -> Result<(), KeyError> {
        self.parts.reconfigure(config)
    }

    /// Relays calls from now on, if the broker has not begun with [a relay](Builder::relay). For a port that was not free at the start. It
    /// reads files and blocks, so do not call it on a worker's thread.
    pub fn begin_relaying(&self, relay: BoundRelay) {
        self.parts.begin_relaying(relay);
        self.parts.admin.try_unusable_keys();
    }

    /// Has a TURN server from now on, if the broker has not begun with [one](Builder::turn). Call it before
    /// [`begin_relaying`](Self::begin_relaying), whose ports serve TURN too.
    pub fn begin_turn(&self, turn: BoundTurn) {
        self.parts.begin_turn(turn);
    }

    /// What clients are told about the TURN server, or the STUN server, if there is one.
    pub fn turn_urls(&self) -> Option<TurnUrls> {
        self.turn().map(Turn::urls)
    }

    /// What became of the events for webhooks.
    pub fn webhook_totals(&self) -> WebhookTotals {
        self.parts.webhooks.totals()
    }

    /// The TURN server, if there is one.
    pub(crate) fn turn(&self) -> Option<&Turn> {
        self.parts.turn()
    }

    /// Replaces the bearer token of the API. Without a token, only local programs may use the API.
    pub fn set_admin_token(&self, token: Option<AdminToken>) {
        self.parts.admin_token.store(token.map(Arc::new));
    }

    /// Reads the certificate of the [`Server`](crate::Server) again and shows it to new connections. The server does this
    /// by itself when the files change.
    pub fn reread_certificate(&self, files: &TlsFiles) -> Result<(), TlsError> {
        let Some(certificates) = self.parts.certificates.get() else { return Ok(()) };
        if tls::reread(files, certificates)? {
            let path = files.cert.display().to_string();
            self.events().emit(|| Event::CertificateLoaded { path });
        }
        Ok(())
    }

    /// Tells the log, the statistics and all that follow events that the program has read its configuration again. `changed`
    /// says what is different, and `pending` what needs a restart.
    pub fn reloaded(&self, changed: Vec<String>, pending: Vec<String>) {
        self.parts.reloads.succeeded(self.events(), changed, pending);
    }

    /// Tells them that the program has read a configuration that is wrong, so the previous one stays in force.
    pub fn reload_failed(&self, why: String) {
        self.parts.reloads.failed(self.events(), why);
    }

    /// The state of the operator's API.
    pub(crate) fn ops(&self, token: Option<AdminToken>, clients: ClientPort) -> Arc<Ops> {
        self.set_admin_token(token);
        Ops::start(Arc::clone(&self.parts), clients)
    }

    /// The broker at its configured path, in a server of its own.
    pub(crate) fn mounted(&self, secure: bool, lan_host: Option<IpAddr>) -> Arc<Mounted> {
        let path = self.parts.config().path.clone();
        Arc::new(Mounted { parts: Arc::clone(&self.parts), path, secure, lan_host })
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
        self.config = config;
        self
    }

    /// Adds a hook that is called for each event, in order, on its own thread. A hook never delays clients. If it lags by
    /// thousands of events, it loses the oldest ones and gets [`Notice::Missed`]. You may add any number of hooks.
    pub fn on_event(mut self, hook: impl FnMut(&Notice) + Send + 'static) -> Self {
        self.on_event.push(Box::new(hook));
        self
    }

    /// Adds a hook that is called when a peer has registered, and again when it registers on a new connection. A shorthand
    /// for [`on_event`](Self::on_event).
    pub fn on_connect(self, hook: impl Fn(Client<'_>) + Send + 'static) -> Self {
        self.on_event(move |notice| {
            if let Notice::Event(event) = notice
                && let Event::PeerConnected(connected) = &**event
            {
                hook(Client { key: connected.peer.key.as_str(), id: &connected.peer.id });
            }
        })
    }

    /// Adds a hook that is called once for each registered connection that ends. After [`CloseReason::Replaced`], the peer
    /// is still connected, on a newer connection. A shorthand for [`on_event`](Self::on_event).
    pub fn on_disconnect(self, hook: impl Fn(Client<'_>, CloseReason) + Send + 'static) -> Self {
        self.on_event(move |notice| {
            if let Notice::Event(event) = notice
                && let Event::PeerDisconnected(disconnected) = &**event
            {
                let peer = &disconnected.peer;
                hook(Client { key: peer.key.as_str(), id: &peer.id }, disconnected.reason);
            }
        })
    }

    /// Adds a hook that is called for each message from a peer to another, before its delivery. It runs in the session of
    /// the sender: if the hook blocks, all clients of that worker wait. You may add any number of hooks.
    pub fn on_message(mut self, hook: impl Fn(Client<'_>, Message<'_>) + Send + Sync + 'static) -> Self {
        self.extras.on_message.push(Box::new(move |client, message| {
            if let Err(panic) = caught(|| hook(client, message)) {
                log::error!("a hook for messages has {panic}");
            }
        }));
        self
    }

    /// Makes the ids that the server gives to clients without one, instead of [`Config::id_style`]; it gets the key. It
    /// is called again if a peer has the id, or if the text is not a valid id, and must not block. After a hundred calls
    /// the client gets a UUID.
    pub fn generate_id(mut self, generate: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.extras.generate_id = Some(Box::new(generate));
        self
    }

    /// Adds the keys of a store to the built-in key. Changes in the store are in force within a second.
    pub fn keys(mut self, store: Arc<dyn KeyStore>) -> Self {
        self.keys = Some(store);
        self
    }

    /// Makes the broker a node of a cluster: all nodes that share a Redis or Valkey are one broker. Call
    /// [`PeerBroker::leave`] when the program stops.
    pub fn cluster(mut self, cluster: ClusterConfig) -> Self {
        self.extras.cluster = Some(cluster);
        self
    }

    /// Relays calls that cannot go directly. Clients need nothing for it.
    pub fn relay(mut self, relay: BoundRelay) -> Self {
        self.extras.relay = Some(relay);
        self
    }

    /// Tells clients of STUN and TURN servers that this program runs itself, before those of [`Config::ice`].
    pub fn own_ice_servers(mut self, own: OwnIceServers) -> Self {
        self.extras.own_ice = own;
        self
    }

    /// Relays for clients that ask for a TURN server, or answers STUN. If [`IceConfig::turn_secret`](crate::config::IceConfig)
    /// is not set, the broker makes one.
    pub fn turn(mut self, turn: BoundTurn) -> Self {
        self.extras.turn = Some(turn);
        self
    }

    /// Lets the operator's API change the log of this program. Without it, `/api/log` answers 501.
    pub fn log(mut self, log: Arc<dyn LogControl>) -> Self {
        self.extras.log = Some(log);
        self
    }

    /// Replaces the clock. With a [manual](Clock::manual) clock, no timeout happens by itself: call [`Node::sweep`] after each
    /// step.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Starts the broker, unless no connection to the Redis of its [cluster](Self::cluster) can be made from its address.
    pub fn try_build(self) -> Result<PeerBroker, BadRedis> {
        self.extras.cluster.as_ref().map_or(Ok(()), |cluster| cluster.redis.check())?;
        Ok(self.build())
    }

    /// Starts the broker. Errors of the [cluster](Self::cluster) are in the log: its node is by itself then, and not ready.
    pub fn build(self) -> PeerBroker {
        let clock = self.clock.unwrap_or_else(Clock::system);
        let keys = self.keys.unwrap_or_else(|| Arc::new(MemoryKeys::new()));
        let events = Events::default();
        for mut hook in self.on_event {
            let followed = events.follow("hook", move |notices| {
                for notice in notices {
                    if let Err(panic) = caught(|| hook(notice)) {
                        log::error!("a hook for events has {panic}; it is called again for the next one");
                    }
                }
            });
            if let Err(error) = followed {
                log::error!("cannot start the thread of a hook, so the hook is never called: {error}");
            }
        }
        PeerBroker { parts: Parts::start(self.config, events, clock, keys, self.extras) }
    }
}
