//! The parts of one broker, put together: the changeable settings, and the state that all workers share.

mod background;
mod call_drain;
pub(crate) mod call_reports;
pub(crate) mod control;
#[cfg_attr(not(target_os = "linux"), path = "runtime/no_ended_calls.rs")]
mod ended_calls;
mod log_events;
mod mistakes;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use peerbroker_media_api::{
    CallFailure, Carried, KeyLimits, MediaContext, MediaHost, Parties, Permit, TurnRefusal, TurnUrls,
};
use rand::seq::SliceRandom as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::backplanes;
use crate::runtime::control::{Control, LogControl};
use call_reports::CallReports;
use mistakes::{KnownKeys, Mistakes, may_be_mistake};
use peerbroker_cluster::Membership;
use peerbroker_config::{ApiTokens, ClusterConfig, Config, LiveConfig, OwnIceServers, TurnSecret};
use peerbroker_core::clock::{self, Clock, millis};
use peerbroker_core::vocabulary::{CloseReason, PeerId, RealmKind};
use peerbroker_events::{CallPeers, ClientMistake, Event, Events, Mistake};
use peerbroker_keys::KeyStore;
use peerbroker_keys::memory::MemoryKeys;
use peerbroker_limits::ConnectionLimiter;
use peerbroker_node::media::{BoundRelay, BoundTurn, Turn};
use peerbroker_node::session::take_posts_of_others;
use peerbroker_node::{Node, OnMessage, OnText};
use peerbroker_system::threads::caught;
use peerbroker_tls::Certificates;
use peerbroker_webhooks::{AskApp, WebhookContext, Webhooks};

pub(crate) use background::repeat;
pub(crate) use mistakes::{RecentMistake, mistake_words};

/// Said wherever somebody would otherwise hear that there is no such key.
pub(crate) const KEYS_UNREAD: &str = "the keys could not be read yet; the log says why";

/// Makes an id for a client of a key.
pub(crate) type GenerateId = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Interval at which some clients are closed.
const STEP: Duration = Duration::from_millis(50);

/// Time limit for a client to open its WebSocket after its connection is accepted: some round trips.
const OPENING: Duration = Duration::from_secs(1);

/// A shorter gap of the clock is not in the log: a machine with too much to do has some.
const LONG_GAP: Duration = Duration::from_secs(3);

/// The parts of a broker. Built once, before any worker starts.
pub(crate) struct Runtime {
    pub(crate) config: LiveConfig,
    pub(crate) events: Events,
    pub(crate) node: Arc<Node>,
    pub(crate) control: Control,
    pub(crate) addresses: Arc<ConnectionLimiter>,
    own_ice: OwnIceServers,
    /// The TLS of the server, for TURN.
    tls: OnceLock<Arc<rustls::ServerConfig>>,
    /// The server's port, if connections to it may be for the relay.
    relay_at: OnceLock<SocketAddr>,
    /// A relay begins once its port is free.
    pub(crate) expects_relay: AtomicBool,
    pub(crate) mistakes: Mistakes,
    pub(crate) call_reports: CallReports,
    pub(crate) webhooks: Webhooks,
    /// An embedding program's own ids.
    pub(crate) generate_id: Option<GenerateId>,
    /// Done when the log has said that a trusted proxy names no clients.
    pub(crate) silent_proxy: Once,
    /// Done when the log has said that the `X-Forwarded-For` of an untrusted address is ignored.
    pub(crate) ignored_proxy: Once,
    /// Done when the operator was told that a proxy cuts the path of PeerJS clients.
    pub(crate) cut_path: Once,
    /// The certificates of the TLS port, if a server has one.
    pub(crate) certificates: OnceLock<Arc<Certificates>>,
    /// The bearer tokens of the API.
    pub(crate) api_tokens: ArcSwap<ApiTokens>,
    pub(crate) reloads: Mutex<ConfigurationStats>,
    /// Set when the server begins to stop.
    stopping: AtomicBool,
    pub(crate) started: Instant,
}

/// The last reloads of the configuration, in seconds since 1970.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ConfigurationStats {
    /// The time of the last reload; `null` if there was none.
    pub(crate) reloaded: Option<u64>,
    /// The time of the last failed reload; `null` if none failed.
    pub(crate) failed: Option<u64>,
    /// The error of the last reload; `null` if it worked.
    pub(crate) error: Option<String>,
}

/// The parts of a broker that the program chooses.
#[derive(Default)]
pub(crate) struct Components {
    pub(crate) config: Config,
    pub(crate) events: Events,
    /// The clock of the system if there is none.
    pub(crate) clock: Option<Clock>,
    /// The store of keys: one in memory if there is none.
    pub(crate) keys: Option<Arc<dyn KeyStore>>,
    pub(crate) on_message: Vec<OnMessage>,
    pub(crate) on_text: Vec<OnText>,
    pub(crate) on_app_message: Option<AskApp>,
    pub(crate) cluster: Option<ClusterConfig>,
    pub(crate) relay: Option<BoundRelay>,
    pub(crate) own_ice: OwnIceServers,
    pub(crate) turn: Option<BoundTurn>,
    pub(crate) generate_id: Option<GenerateId>,
    pub(crate) log: Option<Arc<dyn LogControl>>,
}

impl Runtime {
    pub(crate) fn start(components: Components) -> Arc<Self> {
        let clock = components.clock.unwrap_or_else(Clock::system);
        let store = components.keys.unwrap_or_else(|| Arc::new(MemoryKeys::new()));
        let is_live = !clock.is_manual();
        let config = LiveConfig::from(components.config);
        let events = components.events;
        let shared = components.cluster.as_ref().and_then(|cluster| shared_store(&store, cluster));
        let membership = components.cluster.map(|cluster| Membership::new(cluster, clock.clone()));
        let addresses = ConnectionLimiter::new(config.clone());
        let node = Node::new(config.clone(), clock, events.clone(), membership)
            .with_hooks(components.on_message, components.on_text);
        let node = Arc::new(node);
        let control = Control::new(Arc::clone(&node), store, shared, components.log);
        if let Err(error) = log_events::start(&events) {
            log::error!("cannot start the thread that logs, so what operators do is not logged: {error}");
        }
        let weak = Arc::downgrade(&node);
        let webhooks = Webhooks::start(WebhookContext {
            config: config.clone(),
            events: events.clone(),
            clock: node.clock().clone(),
            node: node.membership().map(|membership| membership.config().node_name.clone()),
            policy_of: Box::new(move |key| Some(weak.upgrade()?.tenant(key.as_str())?.policy_full())),
        });
        node.serve_app(components.on_app_message.unwrap_or_else(|| webhooks.app()));
        let runtime = Arc::new(Runtime {
            config,
            events,
            node,
            control,
            addresses,
            own_ice: components.own_ice,
            tls: OnceLock::new(),
            relay_at: OnceLock::new(),
            expects_relay: AtomicBool::new(false),
            mistakes: Mistakes::default(),
            call_reports: CallReports::default(),
            webhooks,
            generate_id: components.generate_id,
            silent_proxy: Once::new(),
            ignored_proxy: Once::new(),
            cut_path: Once::new(),
            certificates: OnceLock::new(),
            api_tokens: ArcSwap::default(),
            reloads: Mutex::default(),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
        });
        if let Err(error) = runtime.log_mistakes() {
            log::error!("cannot start the thread that logs mistakes of clients: {error}");
        }
        if let Some(turn) = components.turn {
            runtime.begin_turn(turn);
        }
        // After TURN, which also uses the ports of the relay.
        if let Some(relay) = components.relay {
            runtime.begin_relaying(relay);
        }
        if let Err(error) = runtime.control.read_keys() {
            log::error!("{error}");
        }
        if let Some(membership) = runtime.node.membership() {
            take_posts_of_others(&runtime.node);
            let node: Weak<Node> = Arc::downgrade(&runtime.node);
            if let Err(error) = backplanes::join_cluster(membership, node, runtime.events.threads()) {
                log::error!("this node is in no cluster: {error}");
                membership.end();
            }
        }
        if is_live {
            let threads = runtime.events.threads();
            let interval = |runtime: &Runtime| runtime.config().limits.sweep_interval();
            background::repeat(threads, "sweeper", &runtime, interval, Runtime::sweep);
            background::watch_keys(&runtime);
            if runtime.control.bans.are_shared() {
                background::watch_bans(&runtime);
            }
        }
        runtime
    }

    /// The active configuration.
    pub(crate) fn config(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// Logs mistakes of clients until the broker is gone.
    fn log_mistakes(self: &Arc<Self>) -> io::Result<()> {
        let runtime = Arc::downgrade(self);
        self.events.follow_some("mistakes", may_be_mistake, move |notices| {
            let Some(runtime) = runtime.upgrade() else { return };
            // The store may be an embedding program's.
            let store = &runtime.control.store;
            let are_of_one_node =
                runtime.node.membership().is_some() && store.is_shared() && store.shared().is_none();
            let known = |keys| KnownKeys { keys, are_of_one_node };
            let keys = || caught(|| runtime.control.all_keys()).ok().and_then(Result::ok).map(known);
            runtime.mistakes.log(notices, runtime.now(), runtime.node.awaits_keys(), keys);
        })
    }

    /// Does all timed work that is due.
    pub(crate) fn sweep(&self) {
        let now = self.now();
        if let Some(gap) = self.node.clock().take_gap().filter(|gap| *gap >= LONG_GAP) {
            log::warn!(
                "this process did not run for {:.1} s: it was stopped, or its machine was suspended or overloaded. No timeout of clients \
                 counts this time",
                gap.as_secs_f64()
            );
        }
        // Until it is sure whose its ids are, it says nothing to their clients.
        if self.node.membership().is_none_or(|membership| membership.is_sure()) {
            self.node.sweep();
        }
        if let Some(turn) = self.turn() {
            turn.sweep();
        }
        self.addresses.sweep(now);
        if !self.is_stopping() {
            // The next server may use the same store of keys.
            self.control.sweep(now);
        }
        self.mistakes.sweep(now);
        self.call_reports.sweep(now);
    }

    /// Marks the server as stopping. Clients stay, and accepted connections still get in.
    pub(crate) fn begin_drain(&self) {
        if !self.stopping.swap(true, Ordering::Relaxed) {
            let connections = self.connections();
            self.events.emit(|| Event::Draining { connections });
        }
    }

    /// Marks the server as stopping, dismisses every client, and admits no more.
    pub(crate) fn close(&self) {
        self.begin_drain();
        self.node.close();
    }

    /// True if the server has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The reasons why no client should be sent here now; empty if clients may come.
    pub(crate) fn unready(&self) -> Vec<String> {
        let mut reasons = self.events.threads().unready();
        if self.is_stopping() {
            reasons.push("the server is stopping".to_owned());
        }
        if self.node.awaits_keys() {
            reasons.push(KEYS_UNREAD.to_owned());
        }
        reasons.extend(self.control.lost.load().iter().map(|why| String::clone(why)));
        if let Some(view) = self.node.membership().map(|membership| membership.view())
            && !view.is_up
        {
            reasons.push(format!("the node {} cannot reach the other nodes of its cluster", view.name));
        }
        reasons
    }

    /// Leaves the cluster, so that its nodes notice at once, and sends the last events to webhooks. Ready
    /// when that is done, or takes too long.
    pub(crate) async fn leave(&self) {
        if let Some(membership) = self.node.membership() {
            membership.close();
            membership.left().await;
        }
        self.webhooks.flush().await;
    }

    /// Emits an event: a client has made a mistake.
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
    pub(crate) fn now(&self) -> clock::Instant {
        self.node.clock().now()
    }

    /// The number of WebSockets and streams that are served, including those that are closing.
    pub(crate) fn connections(&self) -> usize {
        self.node.sessions.load(Ordering::SeqCst)
    }

    /// The TURN server, if there is one.
    pub(crate) fn turn(&self) -> Option<&Turn> {
        self.node.turn.get()
    }

    /// Installs the TURN server; a second one is dropped, and one that comes when the server stops.
    pub(crate) fn begin_turn(&self, turn: BoundTurn) {
        if self.is_stopping() {
            return;
        }
        self.config.update(|config| {
            let mut config = config.clone();
            config.ice.turn_secret.get_or_insert_with(TurnSecret::random);
            config
        });
        let Some(turn) = turn.start(self.media_context()) else { return };
        if let Some(tls) = self.tls.get() {
            turn.serve_tls(Arc::clone(tls));
        }
        let _ = self.node.turn.set(turn);
    }

    /// Serves TURN over TLS too, also in a TURN server that begins later.
    pub(crate) fn serve_turn_over_tls(&self, tls: &rustls::ServerConfig) {
        let tls = self.tls.get_or_init(|| Arc::new(tls.clone()));
        if let Some(turn) = self.turn() {
            turn.serve_tls(Arc::clone(tls));
        }
    }

    /// Installs the relay; a second one is dropped, and one that comes when the server stops.
    pub(crate) fn begin_relaying(&self, relay: BoundRelay) {
        if self.is_stopping() {
            return;
        }
        let Some((relay, nudges)) = relay.start(self.media_context(), self.turn()) else { return };
        let node = Arc::downgrade(&self.node);
        background::start(self.events.threads(), "relay-nudges", move || {
            for nudge in &nudges {
                let Some(node) = node.upgrade() else { return };
                node.nudge(&nudge);
            }
        });
        self.node.begin_relaying(relay);
        self.name_relay_at();
    }

    /// Tells clients other addresses of the relay and of the TURN server.
    pub(crate) fn set_media_addresses(&self, public: &[IpAddr], private: bool) {
        if let Some(relay) = self.node.relay() {
            relay.set_addresses(public, private);
        }
        if let Some(turn) = self.turn() {
            turn.set_addresses(public);
        }
    }

    /// A server at this address gives the relay its connections, also a relay that begins later. Clients are
    /// told the address, unless they go through a proxy of HTTP, which passes on nothing else.
    pub(crate) fn relay_at(&self, server: SocketAddr) {
        if !self.config().proxied {
            // A second server has another broker.
            let _ = self.relay_at.set(server);
        }
        self.name_relay_at();
    }

    /// True if a relay begins once its port is free.
    pub(crate) fn waits_for_relay(&self) -> bool {
        self.expects_relay.load(Ordering::Relaxed) && self.node.relay().is_none()
    }

    fn name_relay_at(&self) {
        if let (Some(relay), Some(server)) = (self.node.relay(), self.relay_at.get()) {
            relay.name_broker(*server);
        }
    }

    /// The parts of this broker that a relay and a TURN server use.
    fn media_context(&self) -> MediaContext {
        let host = Clients { node: Arc::downgrade(&self.node), addresses: Arc::clone(&self.addresses) };
        MediaContext {
            host: Arc::new(host),
            limits: self.config.media_limits().clone(),
            clock: self.node.clock().clone(),
            threads: self.events.threads().clone(),
        }
    }

    /// Dismisses all clients that are here now, spread evenly over `window` and in random order. Ends early
    /// when nobody is connected. Clients that come meanwhile are left for [`Runtime::close`].
    pub(crate) async fn spread(&self, window: Duration) {
        let mut clients = self.node.clients();
        clients.shuffle(&mut rand::rng());
        let began = self.now();
        let count = clients.len();
        let window = millis(window);
        loop {
            let passed = self.now().millis_since(began);
            let is_empty = self.connections() == 0 && passed >= millis(OPENING);
            if passed >= window || is_empty {
                return;
            }
            for (realm, id) in clients.drain(clients.len().min(remaining(count, passed, window))..) {
                realm.dismiss_id(id.as_str(), CloseReason::Shutdown);
            }
            self.node.clock().sleep(STEP).await;
        }
    }
}

/// Answers what the media plane asks about clients.
struct Clients {
    /// Weak, because the node holds the relay, which holds this.
    node: Weak<Node>,
    addresses: Arc<ConnectionLimiter>,
}

impl Clients {
    /// Emits an event about a call.
    fn emit(&self, call: Parties<'_>, event: impl FnOnce(CallPeers) -> Event) {
        // An offer that was refused may name anything.
        let ids = (PeerId::parse(call.offerer), PeerId::parse(call.answerer));
        let (Ok(caller), Ok(callee)) = ids else { return };
        if let (Some(node), Some(realm)) = (self.node.upgrade(), RealmKind::of_number(call.realm.number)) {
            node.events().emit(|| event(CallPeers { key: call.key.clone(), realm, caller, callee }));
        }
    }
}

impl MediaHost for Clients {
    fn admit_connection(&self, address: IpAddr) -> Option<Permit> {
        if self.node.upgrade()?.bans.has(Some(address), None) {
            return None;
        }
        let permit = self.addresses.connect(Some(address)).ok()?;
        Some(Box::new(permit))
    }

    fn call_relayed(&self, call: Parties<'_>) {
        self.emit(call, Event::CallRelayed);
    }

    fn relayed_call_ended(&self, call: Parties<'_>, Carried { over, duration, bytes }: Carried) {
        if let Some(node) = self.node.upgrade() {
            node.counters().relayed_calls.record(duration);
        }
        self.emit(call, |call| Event::RelayedCallEnded { call, over, duration, bytes });
    }

    fn call_failed(&self, call: Parties<'_>, why: CallFailure) {
        self.emit(call, |call| Event::CallFailed { call, why });
    }

    fn limits_of(&self, key: &str) -> KeyLimits {
        let tenant = self.node.upgrade().and_then(|node| node.tenant(key));
        tenant.map_or_else(KeyLimits::default, |tenant| tenant.policy().settings().relay_limits())
    }

    fn may_use_turn(&self, username: &str, key: &str, address: IpAddr) -> bool {
        // The switch is for pages, whose usernames `/ice` makes. Others' are the secret's, or `--turn_users`.
        let is_of_page = username.split_once(':').is_some_and(|(_, user)| user == key);
        let tenant = self.node.upgrade().and_then(|node| node.tenant(key));
        tenant.is_some_and(|tenant| !is_of_page || tenant.policy().settings().ice_servers)
            && !self.is_banned(key, address)
    }

    fn is_banned(&self, key: &str, address: IpAddr) -> bool {
        self.node.upgrade().is_some_and(|node| node.bans.has(Some(address), Some(key)))
    }

    fn turn_key(&self, user: &str) -> String {
        let root_key = self.node.upgrade().filter(|node| node.tenant(user).is_none()).and_then(|node| {
            // Only if it is set: otherwise credentials of a disabled key would go on as those of --key.
            node.config().load().root_key.as_ref().map(|key| key.as_str().to_owned())
        });
        root_key.unwrap_or_else(|| user.to_owned())
    }

    fn turn_password(&self, username: &str) -> Option<String> {
        let node = self.node.upgrade()?;
        let config = node.config().load();
        config.ice.turn_secret.as_ref().map(|secret| secret.credential(username))
    }

    fn turn_user(&self, name: &str) -> Option<(String, String)> {
        let node = self.node.upgrade()?;
        let config = node.config().load();
        let user = config.ice.turn_users.iter().find(|user| user.name == name)?;
        let key = config.root_key.as_ref().unwrap_or(&config.key);
        Some((key.as_str().to_owned(), user.password().to_owned()))
    }

    fn turn_refused(&self, why: TurnRefusal, key: &str, address: IpAddr) {
        use TurnRefusal::{AddressQuota, Capacity, Credentials, Expired, Key, KeyQuota};
        let Some(node) = self.node.upgrade() else { return };
        if matches!(why, Credentials | Expired | Key | KeyQuota | AddressQuota | Capacity) {
            let mistake = Mistake::TurnRefused { why, key: key.to_owned() };
            let mistake = ClientMistake { mistake, origin: None, address: Some(address) };
            node.events().emit(|| Event::ClientMistake(Box::new(mistake)));
        }
    }
}

/// The store that all nodes of a cluster share, which is that of the keys if these are there.
fn shared_store(keys: &Arc<dyn KeyStore>, cluster: &ClusterConfig) -> Option<Arc<dyn KeyStore>> {
    if keys.shared().is_some() {
        return Some(Arc::clone(keys));
    }
    backplanes::shared_keys(&cluster.backplane)
}

/// The number of `count` clients that stay when `passed` of `window` milliseconds have passed.
fn remaining(count: usize, passed: u64, window: u64) -> usize {
    let left = u128::from(window.saturating_sub(passed));
    let remaining = (count as u128 * left).div_ceil(u128::from(window.max(1)));
    usize::try_from(remaining).unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_stays_falls_evenly() {
        let at = |passed| remaining(1000, passed, 10_000);
        assert_eq!([0, 1000, 5000, 9999, 10_000, 20_000].map(at), [1000, 900, 500, 1, 0, 0]);
        assert_eq!(remaining(0, 1, 10), 0);
        assert_eq!(remaining(usize::MAX, 0, u64::MAX), usize::MAX);
    }
}
