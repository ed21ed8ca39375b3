use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::broker::{Broker, Clock, Goodbye, PeerId, Realm, Tenant};
use crate::config::Config;
use crate::dialect::peerjs::{self, Kind};

/// All that sessions and HTTP handlers share. Built once, before any worker starts.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) broker: Broker,
    pub(crate) hooks: Hooks,
    default: Arc<Tenant>,
    sessions: AtomicUsize,
}

/// A WebSocket or stream that is served, registered or not.
pub(crate) struct Session(Arc<Service>);

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
pub(crate) type OnDisconnect = Box<dyn Fn(Client<'_>, Goodbye) + Send + Sync>;
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
    pub(crate) fn start(config: Config, hooks: Hooks, clock: Clock) -> Arc<Self> {
        let sweeps = !clock.is_manual();
        let broker = Broker::new(config.limits.clone(), clock);
        let default = broker.add_tenant(config.key.clone(), peerjs::expire);
        broker.add_tenant(config.root_key().clone(), peerjs::expire);
        let service = Arc::new(Service { config, broker, hooks, default, sessions: AtomicUsize::new(0) });
        if sweeps {
            sweep_in_background(&service);
        }
        service
    }

    /// The PeerJS clients of the built-in key.
    pub(crate) fn default_realm(&self) -> &Realm {
        &self.default.peers
    }

    /// Counts a WebSocket, or a stream, for as long as it is served.
    pub(crate) fn begin_session(self: &Arc<Self>) -> Session {
        self.sessions.fetch_add(1, Ordering::SeqCst);
        Session(Arc::clone(self))
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

    /// What belongs to a key, if clients may use it.
    pub(crate) fn tenant(&self, key: &str) -> Option<Arc<Tenant>> {
        self.broker.tenant(key)
    }
}

impl Deref for Session {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}

// A thread rather than a task: it belongs to no worker, and works in whatever runtime a broker is
// embedded. It ends with the service.
fn sweep_in_background(service: &Arc<Service>) {
    let every = service.broker.limits().sweep_interval();
    let service: Weak<Service> = Arc::downgrade(service);
    let sweeper = move || {
        loop {
            thread::sleep(every);
            match service.upgrade() {
                Some(service) => service.broker.sweep(),
                None => return,
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("sweeper".to_owned()).spawn(sweeper) {
        log::error!("cannot start the sweeper, so nothing will expire: {error}");
    }
}
