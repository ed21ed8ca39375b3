#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

mod app;
mod asks;
pub mod descriptions;
mod everywhere;
mod listings;
mod lookout;
pub mod media;
pub mod session;
mod tenant;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::{DashMap, Entry};
use peerbroker_media_api::{CandidateNudge, EndedCalls};

use crate::media::{Relay, Turn};
use app::AppMessages;
use listings::Listings;
use lookout::Lookout;
use peerbroker_cluster::packet::{NodeAnswer, Question};
use peerbroker_cluster::{LocalNode, Membership};
use peerbroker_config::{Ban, LiveConfig};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{
    ApiKey, AppRefusal, CloseReason, ConnId, Frame, MessageKind, NameKind, NodeId, PeerId, RealmKind, Refusal,
};
use peerbroker_events::{Counters, Events, PeerAddress};
use peerbroker_keys::{Key, Policy, RelayMode};
use peerbroker_limits::{Bans, Quota};
use peerbroker_protocols::key_state::{Common, KeyState};
use peerbroker_protocols::names::Names;
use peerbroker_protocols::peerjs::{self, Kind};
use peerbroker_protocols::pipes::{PipeReport, Pipes};
use peerbroker_protocols::root::Guests;
use peerbroker_protocols::{names_of, room_frames};
use peerbroker_rooms::{CarriedFrame, MessageNews, News, OtherNodes, Replicated, Rooms};
use peerbroker_router::{Backlog, Flushes, PeerHandle, Realm, RemotePeers, Routed, Router};
use peerbroker_webhooks::AskApp;

pub use asks::Awaited;
pub use everywhere::is_of_connection;
pub use everywhere::{NodeCounts, NodeReport, PeerReport, ReportedConnection, Sent};
pub use tenant::Tenant;

/// The state of one broker in one process, which all sessions share: the keys that clients may use, each with
/// its clients, and the ways to other nodes and to the relay.
pub struct Node {
    common: Arc<Common>,
    /// Only the operator's side changes them, one change at a time.
    tenants: DashMap<ApiKey, Arc<Tenant>>,
    /// The number of those that take call reports: each page asks, and there may be very many.
    reporting: AtomicUsize,
    membership: Option<Arc<Membership>>,
    listings: Listings,
    relay: OnceLock<Relay>,
    /// A ban ends its allocations.
    pub turn: OnceLock<Turn>,
    on_message: Vec<OnMessage>,
    on_text: Vec<OnText>,
    app: OnceLock<AppMessages>,
    lookout: OnceLock<Arc<Lookout>>,
    /// True until the keys of the store were read once.
    awaits_keys: AtomicBool,
    /// The addresses whose clients are refused.
    pub bans: Bans,
    /// Bytes of unfinished messages of all connections.
    pub unfinished: Arc<Quota>,
    /// WebSockets and streams that are served, including those that are closing.
    pub sessions: AtomicUsize,
}

/// The keys that clients may use next. Those whose settings are active already have their text only: a server
/// may have very many.
#[derive(Default)]
pub struct NextKeys {
    enabled: HashSet<ApiKey>,
    changed: Vec<Arc<Policy>>,
}

/// A peer, as hooks see it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The key of its realm.
    pub key: &'a str,
    /// Its id.
    pub id: &'a PeerId,
}

/// A message that is forwarded, as hooks see it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its type.
    pub kind: Kind,
    /// The id of the recipient.
    pub dst: &'a str,
    /// Its payload, as the sender's JSON text.
    pub payload: Option<&'a str>,
}

/// Called by the sender's own session with no lock held. Waiting in it delays the other sessions of that
/// worker; in a cluster, for a message that a client has posted on another node, the other messages that were
/// posted there.
pub type OnMessage = Box<dyn Fn(Client<'_>, Message<'_>) + Send + Sync>;

/// Called as [`OnMessage`], for every text on a connection of a PeerJS client.
pub type OnText = Box<dyn Fn(Client<'_>, ConnId, &str) + Send + Sync>;

impl Node {
    /// No key yet. With a membership it is a node of a cluster, and somebody has to [run](Membership::run)
    /// that.
    pub fn new(
        config: impl Into<LiveConfig>,
        clock: Clock,
        events: Events,
        membership: Option<Arc<Membership>>,
    ) -> Self {
        let config = config.into();
        let cluster = membership.clone().map(|membership| membership as Arc<dyn RemotePeers>);
        Node {
            unfinished: Quota::of_unfinished(config.clone()),
            common: Common::new(
                Arc::new(Router::new(config, clock, events, cluster, peerjs::expire)),
                membership.clone().map(|membership| membership as Arc<dyn OtherNodes>),
                room_frames,
            ),
            tenants: DashMap::new(),
            reporting: AtomicUsize::new(0),
            membership,
            listings: Listings::default(),
            relay: OnceLock::new(),
            turn: OnceLock::new(),
            on_message: Vec::new(),
            on_text: Vec::new(),
            app: OnceLock::new(),
            lookout: OnceLock::new(),
            awaits_keys: AtomicBool::new(false),
            bans: Bans::default(),
            sessions: AtomicUsize::new(0),
        }
    }

    /// The bytes of all messages that are unfinished or wait, without the first 16 KiB of each.
    pub fn unfinished_bytes(&self) -> usize {
        self.unfinished.used()
    }

    /// Calls these hooks for each message from a peer to another, and for each text of a PeerJS client.
    pub fn with_hooks(self, on_message: Vec<OnMessage>, on_text: Vec<OnText>) -> Self {
        Node { on_message, on_text, ..self }
    }

    /// True if a message of a client may wait for the app.
    pub fn has_hooks(&self) -> bool {
        !self.on_message.is_empty() || !self.on_text.is_empty()
    }

    /// Passes a message to the hooks before it is delivered.
    pub fn record_message(&self, client: Client<'_>, message: Message<'_>) {
        self.on_message.iter().for_each(|hook| hook(client, message));
    }

    /// Passes a text of a PeerJS client to the hooks before it is read.
    pub fn record_text(&self, peer: &PeerHandle, text: &str) {
        let client = Client { key: peer.key(), id: peer.id() };
        self.on_text.iter().for_each(|hook| hook(client, peer.connection(), text));
    }

    /// Hands messages of clients to the app over to this server of it; ignored if there is one.
    pub fn serve_app(&self, ask: AskApp) {
        let _ = self.app.set(AppMessages::new(ask, self.clock().clone(), self.events().clone()));
    }

    /// Hands a message of a client over to the app's server. Its payload and its id are JSON text.
    pub fn send_to_app(
        &self,
        peer: &PeerHandle,
        payload: Option<&str>,
        request: Option<&str>,
    ) -> Result<(), AppRefusal> {
        self.app.get().ok_or(AppRefusal::Off)?.take(peer, payload, request)
    }

    /// Starts to use a relay for calls that cannot go directly; ignored if there is one.
    pub fn begin_relaying(&self, relay: Relay) {
        let _ = self.relay.set(relay);
    }

    /// The relay, if there is one.
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.get()
    }

    /// The ways in which the calls of a key are relayed. `None` if none is.
    pub fn relay_mode(&self, key: &str) -> Option<RelayMode> {
        let mode = self.tenant(key)?.policy().settings().relay;
        (mode != RelayMode::Off).then_some(mode)
    }

    /// Sends a client of this or another node the new candidates of the relay.
    pub fn nudge(&self, nudge: &CandidateNudge) {
        let realm = self.realm(nudge.key.as_str(), RealmKind::PeerJs);
        let (Some(relay), Some(realm), Ok(from)) = (self.relay(), realm, PeerId::parse(&nudge.other)) else {
            return;
        };
        for frame in descriptions::candidates(relay, nudge) {
            send_at_once(&realm, &from, &nudge.whom, frame);
        }
    }

    /// Tells two clients that their calls have ended. False if one of them is not here.
    pub fn send_end_of_calls(&self, EndedCalls { key, clients: [one, other] }: &EndedCalls) -> bool {
        let Some(realm) = self.realm(key.as_str(), RealmKind::PeerJs) else { return false };
        let told = [(one, other), (other, one)].map(|(from, whom)| {
            PeerId::parse(from).is_ok_and(|id| send_at_once(&realm, &id, whom, descriptions::end(from, whom)))
        });
        told == [true; 2]
    }

    /// The part of this node in a cluster, if it is in one.
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        self.membership.as_ref()
    }

    /// Lets clients use a key, or changes what it allows; clients that are here stay. A disabled key is
    /// removed. Reads files, so do not call it on a worker's thread.
    pub fn put_key(&self, key: Key) {
        if !key.settings.enabled {
            return self.remove_key(key.key.as_str());
        }
        if self.tenant(key.key.as_str()).is_none_or(|tenant| !tenant.policy().is_of(&key)) {
            self.set_policy(self.policy_of(key));
        }
    }

    /// The policy of a key. It may read files.
    fn policy_of(&self, key: Key) -> Arc<Policy> {
        if let Err(why) = self.config().load().limits.check_key(&key.settings) {
            log::warn!("the room_members of the key {:?} are too many: {why}", key.key);
        }
        Arc::new(Policy::new(key, self.relay().is_some()))
    }

    fn set_policy(&self, policy: Arc<Policy>) {
        let takes_reports = policy.settings().call_reports;
        // Under the lock of the entry, so that each change is counted once.
        let entry = self.tenants.entry(policy.key().key.clone());
        self.reporting.fetch_add(takes_reports.into(), Ordering::Relaxed);
        match entry {
            Entry::Occupied(known) => {
                let took = known.get().policy().settings().call_reports;
                self.reporting.fetch_sub(took.into(), Ordering::Relaxed);
                known.get().set_policy(policy);
            }
            Entry::Vacant(new) => {
                new.insert(Arc::new(Tenant::new(policy, &self.common)));
            }
        }
    }

    /// Adds a key to those that [`replace_keys`](Self::replace_keys) gets. Reads files, so do not call it on
    /// a worker's thread.
    pub fn prepare_key(&self, next: &mut NextKeys, key: Key) {
        if !key.settings.enabled {
            return;
        }
        match self.tenant(key.key.as_str()) {
            Some(tenant) if tenant.policy().is_of(&key) => {
                next.enabled.insert(tenant.key().clone());
            }
            _ => {
                next.enabled.insert(key.key.clone());
                next.changed.push(self.policy_of(key));
            }
        }
    }

    /// Lets clients use exactly these keys. Clients of other keys are dismissed.
    pub fn replace_keys(&self, NextKeys { enabled, changed }: NextKeys) {
        let known: Vec<ApiKey> = self.tenants.iter().map(|tenant| tenant.key().clone()).collect();
        for gone in known.iter().filter(|key| !enabled.contains(*key)) {
            self.remove_key(gone.as_str());
        }
        for policy in changed {
            self.set_policy(policy);
        }
        self.awaits_keys.store(false, Ordering::Relaxed);
    }

    /// Clients of unknown keys are told to come back, until [`replace_keys`](Self::replace_keys).
    pub fn await_keys(&self) {
        self.awaits_keys.store(true, Ordering::Relaxed);
    }

    /// True if the keys of the store could not be read yet.
    pub fn awaits_keys(&self) -> bool {
        self.awaits_keys.load(Ordering::Relaxed)
    }

    /// Replaces all bans. Closes the connections of clients that are banned now, and ends their relayed calls
    /// and allocations.
    pub fn set_bans(&self, bans: Vec<Ban>) {
        self.bans.replace(bans);
        if self.bans.is_empty() {
            return;
        }
        for realm in self.realms() {
            for holder in realm.holders() {
                if self.bans.has(holder.info.address, Some(realm.key().as_str()))
                    && let Some(peer) =
                        PeerHandle::of_connection(&realm, holder.id.as_str(), holder.connection.get())
                {
                    peer.dismiss(CloseReason::Banned);
                }
            }
        }
        for key in self.common.active() {
            let is_banned = |address| self.bans.has(address, Some(key.key().as_str()));
            key.dismiss_parts(&is_banned, CloseReason::Banned);
        }
        if let Some(relay) = self.relay() {
            relay.calls().end_banned();
        }
        if let Some(turn) = self.turn.get() {
            turn.sweep();
        }
    }

    /// Tries keys again that nobody can use, because a relay has started.
    pub fn try_unusable_keys(&self) {
        let policies = self.tenants.iter().map(|tenant| tenant.policy_full());
        let unusable: Vec<_> = policies.filter(|policy| !policy.is_usable()).collect();
        for policy in unusable {
            self.set_policy(self.policy_of(Key::clone(policy.key())));
        }
    }

    /// Removes a key: its clients are dismissed with [`CloseReason::KeyRevoked`], and further clients are
    /// refused.
    pub fn remove_key(&self, key: &str) {
        if let Some((_, tenant)) = self.tenants.remove(key) {
            self.reporting.fetch_sub(tenant.policy().settings().call_reports.into(), Ordering::Relaxed);
            tenant.revoke();
        }
    }

    /// The keys that were used since the last call, each with the time in seconds since 1970.
    pub fn take_used_keys(&self) -> Vec<(ApiKey, u64)> {
        self.tenants.iter().filter_map(|tenant| Some((tenant.key().clone(), tenant.take_used()?))).collect()
    }

    /// Adds the last use to a stored key, if the store does not have it yet.
    pub fn complete_key(&self, key: &mut Key) {
        if let Some(tenant) = self.tenant(key.key.as_str()) {
            tenant.complete(key);
        }
    }

    /// The tenant of a key, if there is such a key.
    pub fn tenant(&self, key: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(key).map(|tenant| Arc::clone(&tenant))
    }

    /// The tenant of a key that a client names. If there is none, the store is looked at again first: if that
    /// fails, nobody knows whether there is such a key.
    pub async fn tenant_of_client(&self, key: &str, address: Option<IpAddr>) -> Result<Arc<Tenant>, Refusal> {
        if self.bans.has(address, Some(key)) {
            return Err(Refusal::Banned);
        }
        if let Some(tenant) = self.tenant(key) {
            return Ok(tenant);
        }
        let has_looked = match self.lookout.get() {
            // Boxed, so that the future of a client with a known key stays small.
            Some(lookout) => Box::pin(lookout.wait_for_next()).await,
            None => true,
        };
        let is_known = has_looked && !self.awaits_keys();
        self.tenant(key).ok_or(if is_known { Refusal::InvalidKey } else { Refusal::Unavailable })
    }

    /// Lets clients with unknown keys wait for looks at the store, which the caller makes from now on.
    pub fn look_out(&self) -> Arc<Lookout> {
        Arc::clone(self.lookout.get_or_init(Arc::default))
    }

    /// The active configuration.
    pub fn config(&self) -> &LiveConfig {
        self.common.router.live_config()
    }

    /// The source of time.
    pub fn clock(&self) -> &Clock {
        self.common.router.clock()
    }

    /// The events and counters.
    pub fn events(&self) -> &Events {
        self.common.router.events()
    }

    /// The counters of messages and connections.
    pub fn counters(&self) -> &Counters {
        self.events().counters()
    }

    /// Bytes of the messages that wait for absent peers, overhead included.
    pub fn queued_bytes(&self) -> usize {
        self.common.router.queued_bytes()
    }

    /// The waiting messages in memory, of all keys.
    pub fn backlog(&self) -> Backlog {
        self.realms().iter().map(|realm| realm.backlog()).fold(Backlog::default(), Backlog::plus)
    }

    /// Clients that have an id, of all keys.
    pub fn peers(&self) -> usize {
        self.common.active().iter().map(|tenant| tenant.len()).sum()
    }

    /// True if any key takes call reports.
    pub fn takes_reports(&self) -> bool {
        self.reporting.load(Ordering::Relaxed) > 0
    }

    /// The number of clients of each key that has any, or had some a moment ago.
    pub fn clients_by_key(&self) -> Vec<(String, usize)> {
        self.common.active().iter().map(|tenant| (tenant.key().as_str().to_owned(), tenant.len())).collect()
    }

    /// Pipes of all keys, those whose other end has not come included.
    pub fn pipes(&self) -> usize {
        self.common.pipes.open()
    }

    /// The pipes that have carried the most bytes, at most so many, each with its key.
    pub fn largest_pipes(&self, most: usize) -> Vec<(String, PipeReport)> {
        let of_key = |key: &Arc<KeyState>| {
            let reports = key.existing_part::<Pipes>().map(|pipes| pipes.reports(most)).unwrap_or_default();
            reports.into_iter().map(|report| (key.key().as_str().to_owned(), report)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.common.active().iter().flat_map(of_key).collect();
        all.sort_by_key(|(_, report)| Reverse(report.bytes));
        all.truncate(most);
        all
    }

    /// Keys with clients, now or a moment ago. Only these cost more than their settings.
    pub fn active_keys(&self) -> usize {
        self.common.active().len()
    }

    fn all_rooms(&self) -> Vec<Arc<Rooms>> {
        self.common.active().iter().flat_map(|tenant| tenant.all_rooms()).collect()
    }

    /// Rooms of all keys, or topics: those whose members do not hear of each other; and the memberships of
    /// this node's clients.
    pub fn rooms_and_members(&self, of_topics: bool) -> (usize, usize) {
        let mut all = self.all_rooms();
        all.retain(|rooms| rooms.are_topics() == of_topics);
        (all.iter().map(|rooms| rooms.len()).sum(), all.iter().map(|rooms| rooms.own_members()).sum())
    }

    /// Swarms of the tracker of all keys, and the memberships of this node's clients.
    pub fn swarms_and_members(&self) -> (usize, usize) {
        let guests = self.common.active().into_iter().filter_map(|key| key.existing_part::<Guests>());
        let sizes = guests.map(|guests| (guests.swarms.len(), guests.swarms.memberships()));
        sizes.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// Does all timed work that is due: pings silent peers, drops dead ones, expires old messages, ends
    /// probes, and removes idle rooms and calls that are over. Visits only keys that have clients.
    pub fn sweep(&self) {
        self.common.router.record_sweep();
        self.common.active().iter().for_each(KeyState::sweep);
        if let Some(relay) = self.relay() {
            relay.calls().sweep(|key, realm, id| {
                let kind = RealmKind::of_number(realm.number);
                kind.and_then(|kind| self.realm(key.as_str(), kind)).is_some_and(|realm| realm.contains(id))
            });
        }
        let now = self.clock().now();
        self.common.wrong_codes.sweep(now);
        self.counters().sweep(now);
    }

    /// Every registered client of every key, and its realm.
    pub fn clients(&self) -> Vec<(Arc<Realm>, PeerId)> {
        let of_realm = |realm: Arc<Realm>| realm.ids().into_iter().map(move |id| (Arc::clone(&realm), id));
        self.realms().into_iter().flat_map(of_realm).collect()
    }

    /// Dismisses every peer with [`CloseReason::Shutdown`] and admits no more.
    pub fn close(&self) {
        self.common.router.close();
        self.realms().iter().for_each(|realm| realm.close(CloseReason::Shutdown));
        for key in self.common.active() {
            key.dismiss_parts(&|_| true, CloseReason::Shutdown);
        }
    }
}

/// Sends a client something about its call with another one. As LEAVE, it does not wait for an absent client
/// and its loss is not reported: no client has sent it. False if the client is not here.
fn send_at_once(realm: &Realm, from: &PeerId, whom: &str, frame: Frame) -> bool {
    matches!(realm.route(from, whom, MessageKind::Leave, frame).flushed(), Routed::Delivered(_))
}

impl LocalNode for Node {
    fn router(&self) -> &Router {
        &self.common.router
    }

    fn realms(&self) -> Vec<Arc<Realm>> {
        self.common.active().iter().flat_map(|tenant| tenant.existing_realms()).collect()
    }

    fn realm(&self, key: &str, kind: RealmKind) -> Option<Arc<Realm>> {
        self.tenant(key)?.existing(kind)
    }

    fn rooms(&self, key: &str, realm: RealmKind) -> Option<Arc<Rooms>> {
        Some(self.tenant(key)?.rooms(realm))
    }

    fn replicated(&self) -> Vec<Arc<dyn Replicated>> {
        let guests = self.common.active().into_iter().filter_map(|key| key.existing_part::<Guests>());
        let swarms = guests.map(|guests| Arc::clone(&guests.swarms) as Arc<dyn Replicated>);
        let rooms = self.all_rooms().into_iter().map(|rooms| rooms as Arc<dyn Replicated>);
        rooms.chain(swarms).collect()
    }

    fn receive(
        &self,
        from: NodeId,
        (key, realm): (&str, RealmKind),
        news: &News<'_>,
        flushes: &mut Flushes,
    ) -> bool {
        let Some(tenant) = self.tenant(key) else { return false };
        match news {
            News::Swarm(news) => tenant.guests().swarms.receive(from, news),
            News::Message(published) => {
                let rooms = tenant.rooms(realm);
                // Most servers have no relay, and the rest costs time.
                let relayed = self.relay().and_then(|relay| {
                    descriptions::relayed_publication(relay, &rooms, self.relay_mode(key)?, published)
                });
                let relayed = relayed.map(|text| Frame::of_text(&text));
                let frame = relayed.as_ref().map_or(published.frame, CarriedFrame::from);
                rooms.receive(from, &News::Message(MessageNews { frame, ..published.clone() }), flushes);
            }
            _ => tenant.rooms(realm).receive(from, news, flushes),
        }
        true
    }

    fn names(&self, key: &str, kind: NameKind) -> Option<Arc<dyn Names>> {
        names_of(&*self.tenant(key)?, kind)
    }

    fn all_names(&self) -> Vec<Arc<dyn Names>> {
        let of_key =
            |key: &Arc<KeyState>| NameKind::ALL.map(|kind| names_of(key, kind)).into_iter().flatten();
        self.common.active().iter().flat_map(of_key).collect()
    }

    fn answer(&self, question: Question) -> NodeAnswer {
        self.answer(question)
    }

    fn relayed_answer(
        &self,
        from: &PeerId,
        to: &PeerAddress,
        kind: MessageKind,
        frame: CarriedFrame<'_>,
    ) -> Option<String> {
        let relay = self.relay()?;
        let mode = self.relay_mode(to.key.as_str())?;
        descriptions::relayed_answer(relay, from, to, kind, mode, frame.text()?)
    }
}
