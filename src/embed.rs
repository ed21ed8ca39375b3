use std::net::IpAddr;
use std::sync::Arc;

use actix_web::web::ServiceConfig;

use crate::app::{Client, Hooks, Message, Service};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{AdminToken, Config, InvalidPath, MountPath};
use crate::http::{self, Mounted};
use crate::keys::memory::MemoryKeys;
use crate::keys::{KeyError, KeyStore};
use crate::lan::lan_address;
use crate::ops::Ops;
use crate::wire::CloseReason;

/// A running broker, to be mounted in an actix-web app or served by a
/// [`Server`](crate::Server). Clones are the same broker.
///
/// Build it once, outside the app's factory, so that all workers share it.
#[derive(Clone)]
pub struct PeerBroker {
    service: Arc<Service>,
}

/// Collects what a [`PeerBroker`] needs.
#[derive(Default)]
pub struct Builder {
    config: Config,
    hooks: Hooks,
    clock: Option<Clock>,
    keys: Option<Arc<dyn KeyStore>>,
}

impl PeerBroker {
    /// A broker with the default configuration and no hooks.
    pub fn new() -> Self {
        Builder::default().build()
    }

    /// Starts with the default configuration.
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
    /// If the path is no path of a URL; see [`try_mount`](Self::try_mount).
    pub fn mount(&self, path: &str) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        #[expect(clippy::expect_used, reason = "documented, and for paths that are written in code")]
        self.try_mount(path).expect("a mount path")
    }

    /// The same for a path that comes from outside.
    pub fn try_mount(
        &self,
        path: &str,
    ) -> Result<impl FnOnce(&mut ServiceConfig) + Clone + use<>, InvalidPath> {
        let (service, path) = (Arc::clone(&self.service), MountPath::parse(path)?);
        let mounted = Arc::new(Mounted { service, path, secure: false, lan_host: lan_address() });
        Ok(move |app: &mut ServiceConfig| http::configure(app, mounted))
    }

    /// Who is here, and what waits for whom.
    pub fn broker(&self) -> &Broker {
        &self.service.broker
    }

    /// Puts what has changed in the [store of keys](Builder::keys) in force at once. Reads it all, so not
    /// for a worker's thread.
    pub fn read_keys(&self) -> Result<(), KeyError> {
        self.service.read_keys()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.service.config
    }

    /// What the operator's API works on.
    pub(crate) fn ops(&self, token: Option<AdminToken>) -> Arc<Ops> {
        Arc::new(Ops::new(Arc::clone(&self.service), token))
    }

    /// The broker at its configured path, in a server of its own.
    pub(crate) fn mounted(&self, secure: bool, lan_host: Option<IpAddr>) -> Arc<Mounted> {
        let path = self.service.config.path.clone();
        Arc::new(Mounted { service: Arc::clone(&self.service), path, secure, lan_host })
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

    /// Called when a peer has registered, and again when it does so on a new connection.
    ///
    /// Hooks run in the session of the peer: what they wait for, its worker waits for.
    pub fn on_connect(mut self, hook: impl Fn(Client<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.connect = Some(Box::new(hook));
        self
    }

    /// Called once for each connection that was registered and is over. With
    /// [`CloseReason::Replaced`] the peer is still here, on a newer connection.
    pub fn on_disconnect(mut self, hook: impl Fn(Client<'_>, CloseReason) + Send + Sync + 'static) -> Self {
        self.hooks.disconnect = Some(Box::new(hook));
        self
    }

    /// Called for each message that a peer sends to another, before it is delivered.
    pub fn on_message(mut self, hook: impl Fn(Client<'_>, Message<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.message = Some(Box::new(hook));
        self
    }

    /// Adds the keys of a store to the built-in one. What changes there is in force within a second.
    pub fn keys(mut self, store: Arc<dyn KeyStore>) -> Self {
        self.keys = Some(store);
        self
    }

    /// Takes the time from somewhere else. With a [manual](Clock::manual) clock nothing happens by
    /// itself: call [`Broker::sweep`] after each step.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Starts the broker.
    pub fn build(self) -> PeerBroker {
        let clock = self.clock.unwrap_or_else(Clock::system);
        let keys = self.keys.unwrap_or_else(|| Arc::new(MemoryKeys::new()));
        PeerBroker { service: Service::start(self.config, self.hooks, clock, keys) }
    }
}
