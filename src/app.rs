mod background;

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Config;
use crate::dialect::peerjs::Kind;
use crate::keys::KeyStore;
use crate::limits::{Addresses, ConnectionPermit, DailyQuota, GuessLimiter, Quota};
use crate::node::{ActiveKey, ActiveKeys};
use crate::wire::{CloseReason, PeerId};

/// All that sessions and HTTP handlers share. Built once, before any worker starts.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) broker: Broker,
    pub(crate) hooks: Hooks,
    pub(crate) keys: ActiveKeys,
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) addresses: Arc<Addresses>,
    /// Bytes of unfinished messages.
    pub(crate) unfinished: Arc<Quota>,
    pub(crate) wrong_codes: GuessLimiter,
    /// Who has registered keys.
    pub(crate) registrations: DailyQuota,
    pub(crate) wrong_tokens: GuessLimiter,
    /// Done when the log has said that a trusted proxy names no clients.
    pub(crate) silent_proxy: Once,
    /// Held while a key is registered: what was counted has to be true when one is added.
    pub(crate) registering: Mutex<()>,
    sessions: AtomicUsize,
    /// Held while keys are put in force: what was read last has to be what stays.
    pub(crate) reading: Mutex<()>,
    started: Instant,
}

/// A WebSocket or stream that is served, registered or not.
pub(crate) struct Session {
    service: Arc<Service>,
    _counted: Option<ConnectionPermit>,
}

/// A peer, as hooks see it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The key of its realm.
    pub key: &'a str,
    /// Its id.
    pub id: &'a PeerId,
}

/// A message that is relayed, as hooks see it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// The id that it goes to.
    pub dst: &'a str,
    /// Its payload, as the sender's JSON text.
    pub payload: Option<&'a str>,
}

pub(crate) type OnConnect = Box<dyn Fn(Client<'_>) + Send + Sync>;
pub(crate) type OnDisconnect = Box<dyn Fn(Client<'_>, CloseReason) + Send + Sync>;
pub(crate) type OnMessage = Box<dyn Fn(Client<'_>, Message<'_>) + Send + Sync>;

/// What the owner of the broker wants to be told. Called by the client's own session with no lock
/// held; a hook that waits delays the other sessions of that worker.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) connect: Option<OnConnect>,
    pub(crate) disconnect: Option<OnDisconnect>,
    pub(crate) message: Option<OnMessage>,
}

impl Service {
    pub(crate) fn start(config: Config, hooks: Hooks, clock: Clock, store: Arc<dyn KeyStore>) -> Arc<Self> {
        let is_live = !clock.is_manual();
        let broker = Broker::new(config.limits.clone(), clock);
        let addresses = Addresses::new(config.address_limits);
        let unfinished = Quota::new(config.unfinished_total_bytes);
        let registrations = DailyQuota::new(config.registration.per_day);
        let (keys, sessions) = (ActiveKeys::default(), AtomicUsize::new(0));
        let service = Arc::new(Service {
            config,
            broker,
            hooks,
            keys,
            store,
            addresses,
            unfinished,
            wrong_codes: GuessLimiter::default(),
            registrations,
            wrong_tokens: GuessLimiter::default(),
            silent_proxy: Once::new(),
            registering: Mutex::new(()),
            sessions,
            reading: Mutex::new(()),
            started: Instant::now(),
        });
        if let Err(error) = service.read_keys() {
            log::error!("{error}");
        }
        if is_live {
            background::start(&service);
        }
        service
    }

    /// Does what is due by the clock.
    pub(crate) fn sweep(&self) {
        self.broker.sweep();
        self.addresses.sweep(self.now());
        self.wrong_codes.sweep(self.now());
        self.registrations.sweep(self.now());
        self.wrong_tokens.sweep(self.now());
    }

    /// Milliseconds by the broker's clock.
    pub(crate) fn now(&self) -> u64 {
        self.broker.clock().now()
    }

    /// Counts a WebSocket, or a stream, for as long as it is served.
    pub(crate) fn begin_session(self: &Arc<Self>, counted: Option<ConnectionPermit>) -> Session {
        self.sessions.fetch_add(1, Ordering::SeqCst);
        Session { service: Arc::clone(self), _counted: counted }
    }

    /// Waits, by the broker's clock, from the first poll on.
    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        let clock = self.broker.clock().clone();
        async move {
            match clock.advanced(duration) {
                Some(advanced) => advanced.await,
                None => tokio::time::sleep(duration).await,
            }
        }
    }

    /// How many WebSockets and streams are served, those that say goodbye included.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::SeqCst)
    }

    /// How long this process has served.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A key, if clients may use it.
    pub(crate) fn key(&self, key: &str) -> Option<Arc<ActiveKey>> {
        self.keys.get(key)
    }
}

impl Deref for Session {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.service.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}
