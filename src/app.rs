//! The parts of one broker, put together: what may change while it runs, and what all workers share.

mod background;
mod cluster;
mod key_watch;
mod log_events;
mod mistakes;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::Guard;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{ClusterConfig, Config, LiveConfig, OwnIceServers, TurnSecret};
use crate::events::{ClientMistake, Event, Events, Mistake};
use crate::keys::{KeyError, KeyStore};
use crate::limits::ConnectionLimiter;
use crate::node::{ActiveKeys, Membership, Node};
use crate::relay::BoundRelay;
use crate::session::{OnMessage, Sessions, take_posts_of_others};
use crate::tls::Certificates;
use crate::turn::{BoundTurn, Turn, TurnUrls};
use crate::wire::Limit;
use key_watch::KeyWatch;
use mistakes::Mistakes;

pub(crate) use background::repeat;
pub(crate) use mistakes::RecentMistake;

/// Makes an id for a client of a key.
pub(crate) type GenerateId = Box<dyn Fn(&str) -> String + Send + Sync>;

/// The parts of a broker. Built once, before any worker starts.
pub(crate) struct Parts {
    pub(crate) config: LiveConfig,
    pub(crate) events: Events,
    pub(crate) node: Arc<Node>,
    pub(crate) keys: Arc<ActiveKeys>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) admin: Admin,
    pub(crate) addresses: Arc<ConnectionLimiter>,
    own_ice: OwnIceServers,
    /// The TURN server, if there is one.
    pub(crate) turn: Option<Turn>,
    mistakes: Arc<Mistakes>,
    /// An embedding program's own ids.
    pub(crate) generate_id: Option<GenerateId>,
    /// Done when the log has said that a trusted proxy names no clients.
    pub(crate) silent_proxy: Once,
    /// Done when the log has said that the `X-Forwarded-For` of an untrusted address is ignored.
    pub(crate) ignored_proxy: Once,
    /// The certificates of the TLS port, if a server has one.
    pub(crate) certificates: OnceLock<Arc<Certificates>>,
    /// Set when the server begins to stop.
    stopping: AtomicBool,
    started: Instant,
}

/// What a broker may have, or not.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) on_message: Vec<OnMessage>,
    pub(crate) cluster: Option<ClusterConfig>,
    pub(crate) relay: Option<BoundRelay>,
    pub(crate) own_ice: OwnIceServers,
    pub(crate) turn: Option<BoundTurn>,
    pub(crate) generate_id: Option<GenerateId>,
}

impl Parts {
    pub(crate) fn start(
        mut config: Config,
        events: Events,
        clock: Clock,
        store: Arc<dyn KeyStore>,
        Extras { on_message, cluster, relay, turn, own_ice, generate_id }: Extras,
    ) -> Arc<Self> {
        let is_live = !clock.is_manual();
        if turn.is_some() {
            config.ice.turn_secret.get_or_insert_with(TurnSecret::random);
        }
        let config = LiveConfig::new(config);
        let membership = cluster.map(|cluster| Membership::new(cluster, clock.clone()));
        let (addresses, keys) = (ConnectionLimiter::new(config.clone()), Arc::new(ActiveKeys::default()));
        let admits = Box::new({
            let keys = Arc::clone(&keys);
            move |key: &str| keys.get(key).is_some_and(|active| active.key.settings.ice_servers)
        });
        let turn =
            turn.and_then(|turn| turn.start(config.clone(), clock.clone(), admits, Arc::clone(&addresses)));
        let shared = turn.as_ref().and_then(Turn::port);
        let relay = relay.and_then(|relay| {
            relay.start(config.clone(), clock.clone(), events.clone(), Arc::clone(&addresses), shared)
        });
        let (relay, wakes) = relay.unzip();
        let node = Node::new(config.clone(), clock, events.clone(), membership);
        let node = Arc::new(node.with_relay(relay));
        if let Some(wakes) = wakes {
            let work = |node: &Node, wake| node.wake(&wake);
            background::take("relay-wakes", &node, wakes, work);
        }
        let sessions = Sessions::new(Arc::clone(&node), Arc::clone(&keys), on_message);
        let admin = Admin::new(Arc::clone(&node), Arc::clone(&keys), store);
        if let Err(error) = log_events::start(&events) {
            log::error!("cannot start the thread that logs, so what operators do is not logged: {error}");
        }
        let mistakes = Arc::default();
        let parts = Arc::new(Parts {
            config,
            events,
            node,
            keys,
            sessions,
            admin,
            addresses,
            own_ice,
            turn,
            mistakes,
            generate_id,
            silent_proxy: Once::new(),
            ignored_proxy: Once::new(),
            certificates: OnceLock::new(),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
        });
        parts.log_mistakes();
        if let Err(error) = parts.admin.read_keys() {
            log::error!("{error}");
        }
        if let Some(membership) = parts.node.membership() {
            take_posts_of_others(&parts.sessions);
            cluster::start(membership, Arc::downgrade(&parts.node));
        }
        if is_live {
            background::repeat(
                "sweeper",
                &parts,
                |parts| parts.config().limits.sweep_interval(),
                Parts::sweep,
            );
            let mut watch = KeyWatch::default();
            background::repeat("keys", &parts, |_| KeyWatch::INTERVAL, move |parts| watch.look(&parts.admin));
        }
        parts
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// Replaces the configuration while clients are connected. The built-in keys change with it.
    pub(crate) fn reconfigure(&self, mut config: Config) -> Result<(), KeyError> {
        // Credentials that the broker has given stay valid if nobody has chosen another secret.
        if config.ice.turn_secret.is_none() {
            config.ice.turn_secret = self.config().ice.turn_secret.clone();
        }
        self.config.replace(config);
        self.admin.read_keys()
    }

    fn log_mistakes(self: &Arc<Self>) {
        let parts = Arc::downgrade(self);
        let keys = move || parts.upgrade().and_then(|parts| parts.admin.all_keys().ok()).unwrap_or_default();
        let clock = self.node.clock().clone();
        if let Err(error) = mistakes::start(&self.events, &self.mistakes, clock, keys) {
            log::error!("cannot start the thread that logs mistakes of clients: {error}");
        }
    }

    /// Does what is due by the clock.
    pub(crate) fn sweep(&self) {
        let now = self.now();
        self.node.sweep();
        if let Some(turn) = &self.turn {
            turn.sweep();
        }
        self.addresses.sweep(now);
        self.sessions.sweep(now);
        self.admin.sweep(now);
        self.mistakes.sweep(now);
    }

    /// Says that the server stops, dismisses every client, and admits nobody any more.
    pub(crate) fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let connections = self.sessions.len();
        self.events.emit(|| Event::Draining { connections });
        self.node.close();
    }

    /// Whether the server has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The mistakes that clients made within the last hour, the latest first.
    pub(crate) fn recent_mistakes(&self) -> Vec<RecentMistake> {
        self.mistakes.recent()
    }

    /// Why no client should be sent here now; nothing if one may.
    pub(crate) fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.is_stopping() {
            reasons.push("the server is stopping".to_owned());
        }
        if !self.admin.has_read_keys() {
            reasons.push("the keys could not be read yet; the log says why".to_owned());
        }
        if let Some(view) = self.node.membership().map(|membership| membership.view())
            && !view.is_up
        {
            reasons.push(format!("the node {} cannot reach the other nodes of its cluster", view.name));
        }
        reasons
    }

    /// Leaves the cluster, so that its nodes need not find out. Ready when that is done, or takes too long.
    pub(crate) async fn leave(&self) {
        if let Some(membership) = self.node.membership() {
            membership.close();
            membership.left().await;
        }
    }

    /// Tells that an address has reached a limit.
    pub(crate) fn limit_hit(&self, limit: Limit, address: Option<IpAddr>) {
        self.events.emit(|| Event::LimitHit { limit, key: None, address });
    }

    /// Tells that a client asked in a way that cannot work.
    pub(crate) fn client_mistake(&self, mistake: Mistake, origin: Option<String>, address: Option<IpAddr>) {
        self.events.emit(|| Event::ClientMistake(Box::new(ClientMistake { mistake, origin, address })));
    }

    /// The STUN and TURN servers of this program.
    pub(crate) fn own_ice(&self) -> OwnIceServers {
        let mut own = self.own_ice.clone();
        if let Some(turn) = &self.turn {
            let TurnUrls { stun, turn, tls_port } = turn.urls();
            own.stun_urls.extend(stun);
            own.turn_urls.extend(turn);
            own.tls_port = own.tls_port.or(tls_port);
            own.tls_at_broker |= tls_port.is_some();
        }
        own
    }

    /// Milliseconds by the broker's clock.
    pub(crate) fn now(&self) -> u64 {
        self.node.clock().now()
    }

    /// How long this process has served.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
