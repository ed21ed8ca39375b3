//! The parts of one broker, put together: what may change while it runs, and what all workers share.

mod background;
mod cluster;
mod key_watch;
mod log_events;
mod mistakes;
mod relays;
mod reloads;
mod spread;
mod webhooks;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};

use crate::admin::{Admin, LogControl};
use crate::clock::Clock;
use crate::config::{AdminToken, ClusterConfig, Config, LiveConfig, OwnIceServers};
use crate::events::{ClientMistake, Event, Events, Mistake};
use crate::keys::{KeyError, KeyStore};
use crate::limits::ConnectionLimiter;
use crate::node::{ActiveKeys, Membership, Node};
use crate::relay::BoundRelay;
use crate::session::{OnMessage, Sessions, take_posts_of_others};
use crate::threads::caught;
use crate::tls::Certificates;
use crate::turn::{BoundTurn, Turn, TurnUrls};
use crate::webhooks::Webhooks;
use crate::wire::Limit;
use key_watch::KeyWatch;
use mistakes::Mistakes;
pub(crate) use reloads::LastReloads;
use reloads::Reloads;

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
    turn: OnceLock<Turn>,
    /// The TLS of the server, for TURN.
    tls: OnceLock<Arc<rustls::ServerConfig>>,
    mistakes: Arc<Mistakes>,
    pub(crate) webhooks: Webhooks,
    /// An embedding program's own ids.
    pub(crate) generate_id: Option<GenerateId>,
    /// Done when the log has said that a trusted proxy names no clients.
    pub(crate) silent_proxy: Once,
    /// Done when the log has said that the `X-Forwarded-For` of an untrusted address is ignored.
    pub(crate) ignored_proxy: Once,
    /// The certificates of the TLS port, if a server has one.
    pub(crate) certificates: OnceLock<Arc<Certificates>>,
    /// The bearer token of the API, if there is one.
    pub(crate) admin_token: ArcSwapOption<AdminToken>,
    pub(crate) reloads: Reloads,
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
    pub(crate) log: Option<Arc<dyn LogControl>>,
}

impl Parts {
    pub(crate) fn start(
        config: Config,
        events: Events,
        clock: Clock,
        store: Arc<dyn KeyStore>,
        Extras { on_message, cluster, relay, turn, own_ice, generate_id, log }: Extras,
    ) -> Arc<Self> {
        let is_live = !clock.is_manual();
        let config = LiveConfig::new(config);
        let membership = cluster.map(|cluster| Membership::new(cluster, clock.clone()));
        let (addresses, keys) = (ConnectionLimiter::new(config.clone()), Arc::new(ActiveKeys::default()));
        let node = Arc::new(Node::new(config.clone(), clock, events.clone(), membership));
        let sessions = Sessions::new(Arc::clone(&node), Arc::clone(&keys), on_message);
        let admin = Admin::new(Arc::clone(&node), Arc::clone(&keys), store, log);
        if let Err(error) = log_events::start(&events) {
            log::error!("cannot start the thread that logs, so what operators do is not logged: {error}");
        }
        let webhooks = webhooks::start(&node, &keys);
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
            turn: OnceLock::new(),
            tls: OnceLock::new(),
            mistakes,
            webhooks,
            generate_id,
            silent_proxy: Once::new(),
            ignored_proxy: Once::new(),
            certificates: OnceLock::new(),
            admin_token: ArcSwapOption::empty(),
            reloads: Reloads::default(),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
        });
        parts.log_mistakes();
        if let Some(turn) = turn {
            parts.begin_turn(turn);
        }
        // After TURN, which the ports of the relay serve too.
        if let Some(relay) = relay {
            parts.begin_relaying(relay);
        }
        if let Err(error) = parts.admin.read_keys() {
            log::error!("{error}");
        }
        if let Some(membership) = parts.node.membership() {
            take_posts_of_others(&parts.sessions);
            cluster::start(membership, Arc::downgrade(&parts.node), parts.events.threads());
        }
        if is_live {
            let threads = parts.events.threads();
            background::repeat(
                threads,
                "sweeper",
                &parts,
                |parts| parts.config().limits.sweep_interval(),
                Parts::sweep,
            );
            let mut watch = KeyWatch::default();
            background::repeat(
                threads,
                "key-watch",
                &parts,
                |_| KeyWatch::INTERVAL,
                move |parts| watch.look(&parts.admin),
            );
        }
        parts
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// Replaces the configuration while clients are connected. The built-in keys change with it.
    pub(crate) fn reconfigure(&self, config: Config) -> Result<(), KeyError> {
        self.config.update(|old| {
            let mut config = config.clone();
            // Credentials that the broker has given stay valid if nobody has chosen another secret.
            config.ice.turn_secret = config.ice.turn_secret.or_else(|| old.ice.turn_secret.clone());
            config
        });
        self.admin.read_keys()
    }

    fn log_mistakes(self: &Arc<Self>) {
        let parts = Arc::downgrade(self);
        // The store may be an embedding program's.
        let keys = move || {
            let parts = parts.upgrade()?;
            caught(|| parts.admin.all_keys()).ok()?.ok()
        };
        let keys = move || keys().unwrap_or_default();
        let clock = self.node.clock().clone();
        if let Err(error) = mistakes::start(&self.events, &self.mistakes, clock, keys) {
            log::error!("cannot start the thread that logs mistakes of clients: {error}");
        }
    }

    /// Does what is due by the clock.
    pub(crate) fn sweep(&self) {
        let now = self.now();
        self.node.sweep();
        if let Some(turn) = self.turn() {
            turn.sweep();
        }
        self.addresses.sweep(now);
        self.sessions.sweep(now);
        self.admin.sweep(now);
        self.mistakes.sweep(now);
    }

    /// Says that the server stops. Clients stay, and those whose connections are accepted still get in.
    pub(crate) fn begin_drain(&self) {
        if !self.stopping.swap(true, Ordering::Relaxed) {
            let connections = self.sessions.len();
            self.events.emit(|| Event::Draining { connections });
        }
    }

    /// Says that the server stops, dismisses every client, and admits nobody any more.
    pub(crate) fn close(&self) {
        self.begin_drain();
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
        let mut reasons = self.events.threads().unready();
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

    /// Leaves the cluster, so that its nodes need not find out, and sends the last events to webhooks. Ready when that is done,
    /// or takes too long.
    pub(crate) async fn leave(&self) {
        if let Some(membership) = self.node.membership() {
            membership.close();
            membership.left().await;
        }
        self.webhooks.flush().await;
    }

    /// Tells that an address has reached a limit.
    pub(crate) fn limit_hit(&self, limit: Limit, address: Option<IpAddr>) {
        self.events.limit_hit(limit, || None, address);
    }

    /// Tells that a client asked in a way that cannot work.
    pub(crate) fn client_mistake(&self, mistake: Mistake, origin: Option<String>, address: Option<IpAddr>) {
        self.events.emit(|| Event::ClientMistake(Box::new(ClientMistake { mistake, origin, address })));
    }

    /// The STUN and TURN servers of this program.
    pub(crate) fn own_ice(&self) -> OwnIceServers {
        let mut own = self.own_ice.clone();
        if let Some(turn) = self.turn() {
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
