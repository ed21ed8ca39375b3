mod keyring;

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::broker::{Broker, Clock, Goodbye, PeerId};
use crate::config::Config;
use crate::dialect::peerjs::Kind;
use crate::keys::{Key, KeyError, KeyStore};
use crate::limits::{Addresses, Counted};

pub(crate) use keyring::{Active, Keyring};

/// All that sessions and HTTP handlers share. Built once, before any worker starts.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) broker: Broker,
    pub(crate) hooks: Hooks,
    pub(crate) keyring: Keyring,
    pub(crate) store: Option<Arc<dyn KeyStore>>,
    pub(crate) addresses: Arc<Addresses>,
    sessions: AtomicUsize,
    /// Held while keys are put in force: what was read last has to be what stays.
    reading: Mutex<()>,
}

/// A WebSocket or stream that is served, registered or not.
pub(crate) struct Session {
    service: Arc<Service>,
    _counted: Option<Counted>,
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
    pub(crate) fn start(
        config: Config,
        hooks: Hooks,
        clock: Clock,
        store: Option<Arc<dyn KeyStore>>,
    ) -> Arc<Self> {
        let is_live = !clock.is_manual();
        let broker = Broker::new(config.limits.clone(), clock);
        let addresses = Addresses::new(config.address_limits);
        let (keyring, sessions) = (Keyring::default(), AtomicUsize::new(0));
        let service = Arc::new(Service {
            config,
            broker,
            hooks,
            keyring,
            store,
            addresses,
            sessions,
            reading: Mutex::new(()),
        });
        if let Err(error) = service.read_keys() {
            log::error!("{error}");
        }
        if is_live {
            in_background("sweeper", &service, service.broker.limits().sweep_interval(), Service::sweep);
            if service.store.is_some() {
                let mut watch = KeyWatch::default();
                in_background("keys", &service, KEY_WATCH_INTERVAL, move |service| watch.look(service));
            }
        }
        service
    }

    /// Does what is due by the clock.
    pub(crate) fn sweep(&self) {
        self.broker.sweep();
        self.addresses.sweep(self.now());
    }

    /// Puts the keys in force that the flags and the store say.
    pub(crate) fn read_keys(&self) -> Result<(), KeyError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = self.store.as_ref().map_or_else(|| Ok(Vec::new()), |store| store.all())?;
        let is_stored = |key: &Key| stored.iter().any(|stored| stored.key == key.key);
        let mut keys = self.config.built_in_keys();
        // Who stores a key that is built in wants to say what it may do.
        keys.retain(|key| !is_stored(key));
        keys.extend(stored);
        self.keyring.put_in_force(keys, &self.broker);
        Ok(())
    }

    /// Milliseconds by the broker's clock.
    pub(crate) fn now(&self) -> u64 {
        self.broker.clock().now()
    }

    /// Counts a WebSocket, or a stream, for as long as it is served.
    pub(crate) fn begin_session(self: &Arc<Self>, counted: Option<Counted>) -> Session {
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

    /// A key, if clients may use it.
    pub(crate) fn key(&self, key: &str) -> Option<Arc<Active>> {
        self.keyring.get(key)
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

/// How often somebody looks whether keys have changed.
const KEY_WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is noted which keys were used.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// Sees what other processes do to the keys, and tells them which were used.
#[derive(Default)]
struct KeyWatch {
    version: Option<u64>,
    unnoted: Duration,
}

impl KeyWatch {
    fn look(&mut self, service: &Service) {
        let Some(store) = &service.store else { return };
        self.unnoted += KEY_WATCH_INTERVAL;
        let looked = self.look_at(service, &**store);
        if let Err(error) = looked {
            log::error!("{error}");
        }
    }

    fn look_at(&mut self, service: &Service, store: &dyn KeyStore) -> Result<(), KeyError> {
        if self.unnoted >= NOTE_INTERVAL {
            self.unnoted = Duration::ZERO;
            store.note_used(&service.keyring.take_used())?;
        }
        let version = Some(store.version()?);
        if version != self.version {
            service.read_keys()?;
            self.version = version;
        }
        Ok(())
    }
}

// A thread rather than a task: it belongs to no worker, and works in whatever runtime a broker is
// embedded. It ends with the service.
fn in_background(
    name: &str,
    service: &Arc<Service>,
    every: Duration,
    mut work: impl FnMut(&Service) + Send + 'static,
) {
    let service: Weak<Service> = Arc::downgrade(service);
    let worker = move || {
        loop {
            thread::sleep(every);
            match service.upgrade() {
                Some(service) => work(&service),
                None => return,
            }
        }
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(worker) {
        log::error!("cannot start the thread {name:?}, so what it does is not done: {error}");
    }
}
