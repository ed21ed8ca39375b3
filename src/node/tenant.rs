//! One key in use: its policy, and its realms.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use crate::keys::{Key, Policy, RelayMode, unix_time};
use peerbroker_broker::protocols::guests::Guests;
use peerbroker_broker::protocols::matchbox::Groups;
use peerbroker_broker::protocols::matchbox::MatchboxRooms;
use peerbroker_broker::protocols::peerjs::rooms::PeerJsRooms;
use peerbroker_broker::protocols::room_codes::RoomCodes;
use peerbroker_broker::protocols::rxdb::RxDbRooms;
use peerbroker_broker::protocols::topics::Topics;
use peerbroker_broker::protocols::tracker::Swarms;
use peerbroker_broker::rooms::{OtherNodes, RoomDialect, Rooms};
use peerbroker_broker::router::{ClientQuota, PeerHandle, Realm, Routed, Router};
use peerbroker_core::wire::{ApiKey, CloseReason, ConnId, Frame, MessageKind, PeerId, RealmKind};

/// Precision of the time of the last use, in seconds.
const USED_PRECISION: u64 = 60;

/// A key that clients may use: its policy, and its realms. Its clients share a limit and never meet those of another key.
///
/// A key without clients has no realm: each comes into being with its first client and is dropped by the sweeper after
/// the last one. So very many keys cost almost nothing.
pub struct Tenant {
    key: ApiKey,
    policy: ArcSwap<Policy>,
    /// Of the policy, for each read of a client.
    withholds_addresses: AtomicBool,
    /// The time at which a client came last, in seconds since 1970; 0 if none came since that was stored.
    used: AtomicU64,
    router: Arc<Router>,
    /// Those that the sweeper visits. Weak, because they hold this tenant.
    active: Weak<ActiveTenants>,
    /// The other nodes, for its rooms.
    others: Option<Arc<dyn OtherNodes>>,
    quota: Arc<ClientQuota>,
    realms: Mutex<Realms>,
}

/// The tenants that have a realm.
pub(super) type ActiveTenants = Mutex<Vec<Arc<Tenant>>>;

#[derive(Default)]
struct Realms {
    /// At most one of each kind.
    realms: Vec<Arc<Realm>>,
    /// At most one of each realm.
    hubs: Vec<Arc<Rooms>>,
    guests: Option<Arc<Guests>>,
    /// Those that have a place in one keep them.
    groups: Weak<Groups>,
    /// True if the tenant is among the active ones.
    is_active: bool,
}

impl Tenant {
    pub(super) fn new(
        policy: Arc<Policy>,
        router: Arc<Router>,
        active: Weak<ActiveTenants>,
        others: Option<Arc<dyn OtherNodes>>,
    ) -> Self {
        let key = policy.key().key.clone();
        let quota = Arc::new(ClientQuota::new(policy.settings().concurrent_limit));
        let withholds_addresses = AtomicBool::new(withholds_addresses(&policy));
        let policy = ArcSwap::from(policy);
        let (used, realms) = (AtomicU64::new(0), Mutex::default());
        Tenant { key, policy, withholds_addresses, used, router, active, others, quota, realms }
    }

    /// The key.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// The active policy. Cheap enough for each message; do not keep it across an await.
    pub fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// The same, to keep for longer.
    pub(crate) fn policy_full(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// True if texts of clients are read without addresses: all calls of the key are relayed.
    pub(crate) fn withholds_addresses(&self) -> bool {
        self.withholds_addresses.load(Ordering::Relaxed)
    }

    /// Replaces the policy. Clients that are here stay.
    pub(super) fn set_policy(&self, policy: Arc<Policy>) {
        self.quota.set_limit(policy.settings().concurrent_limit);
        self.withholds_addresses.store(withholds_addresses(&policy), Ordering::Relaxed);
        self.policy.store(policy);
    }

    /// Notes that a client uses the key.
    pub(crate) fn note_use(&self) {
        let now = unix_time();
        if now.saturating_sub(self.used.load(Ordering::Relaxed)) >= USED_PRECISION {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    /// The time of the last use, if there was one since the last call. A key with clients counts as used now.
    pub(super) fn take_used(&self) -> Option<u64> {
        let came = self.used.swap(0, Ordering::Relaxed);
        let when = if self.is_empty() { came } else { unix_time() };
        (when != 0).then_some(when)
    }

    /// Adds the last use to a stored key, if the store does not have it yet.
    pub(super) fn complete(&self, key: &mut Key) {
        let came = self.used.load(Ordering::Relaxed);
        if came != 0 {
            key.used = key.used.max(Some(came));
        }
    }

    /// The realm of PeerJS clients, created if there is none.
    pub fn peers(self: &Arc<Self>) -> Arc<Realm> {
        self.realm(&mut self.realms.lock(), RealmKind::PeerJs)
    }

    /// The rooms of PeerJS clients, or what another realm has in their place, created if there are none.
    pub fn hub(self: &Arc<Self>, kind: RealmKind) -> Arc<Rooms> {
        let realms = &mut *self.realms.lock();
        let realm = self.realm(realms, kind);
        let known = realms.hubs.iter().find(|hub| hub.realm().kind() == kind);
        known.map(Arc::clone).unwrap_or_else(|| {
            let dialect: &'static dyn RoomDialect = match kind {
                RealmKind::PeerJs => &PeerJsRooms,
                RealmKind::Guests => &Topics,
                RealmKind::RxDb => &RxDbRooms,
                RealmKind::Matchbox => &MatchboxRooms,
            };
            let hub = Arc::new(Rooms::new(dialect, realm, Arc::clone(&self.router), self.others.clone()));
            realms.hubs.push(Arc::clone(&hub));
            hub
        })
    }

    /// As [`hub`](Self::hub), if there is one or was a moment ago.
    pub fn existing_hub(&self, kind: RealmKind) -> Option<Arc<Rooms>> {
        self.realms.lock().hubs.iter().find(|hub| hub.realm().kind() == kind).cloned()
    }

    /// The rooms of PeerJS clients, created if there are none.
    pub fn rooms(self: &Arc<Self>) -> Arc<Rooms> {
        self.hub(RealmKind::PeerJs)
    }

    /// The rooms of PeerJS clients, if there are any or were a moment ago.
    pub fn existing_rooms(&self) -> Option<Arc<Rooms>> {
        self.existing_hub(RealmKind::PeerJs)
    }

    /// All hubs that are there or were a moment ago.
    pub(super) fn existing_hubs(&self) -> impl Iterator<Item = Arc<Rooms>> + use<> {
        of_all_kinds(&self.realms.lock().hubs)
    }

    /// The realm, room codes and aliases of guests, created if there are none.
    pub fn guests(self: &Arc<Self>) -> Arc<Guests> {
        let realms = &mut *self.realms.lock();
        let realm = self.realm(realms, RealmKind::Guests);
        Arc::clone(realms.guests.get_or_insert_with(|| {
            let room_codes = RoomCodes::new(self.router.live_config().clone(), self.router.clock().clone());
            Arc::new(Guests {
                realm,
                room_codes: Arc::new(room_codes),
                aliases: Arc::default(),
                swarms: Arc::new(Swarms::new(self.key.clone(), self.others.clone())),
            })
        }))
    }

    /// The guests, if there are any or were a moment ago.
    pub(super) fn existing_guests(&self) -> Option<Arc<Guests>> {
        self.realms.lock().guests.clone()
    }

    /// The groups of Matchbox that are on this node, created if there are none.
    pub(super) fn groups(&self) -> Arc<Groups> {
        let known = &mut self.realms.lock().groups;
        known.upgrade().unwrap_or_else(|| {
            let groups = Arc::default();
            *known = Arc::downgrade(&groups);
            groups
        })
    }

    /// The same, if there are any.
    pub(super) fn existing_groups(&self) -> Option<Arc<Groups>> {
        self.realms.lock().groups.upgrade()
    }

    /// The realm of a kind, if it has clients, or had some a moment ago.
    pub fn existing(&self, kind: RealmKind) -> Option<Arc<Realm>> {
        self.realms.lock().realms.iter().find(|realm| realm.kind() == kind).cloned()
    }

    /// The number of clients that are registered now, in all realms.
    pub fn len(&self) -> usize {
        self.quota.taken()
    }

    /// True if nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the PeerJS client of an id is here.
    pub fn has_peer(&self, id: &str) -> bool {
        self.existing(RealmKind::PeerJs).is_some_and(|peers| peers.contains(id))
    }

    /// Ends the connections of clients with this id, with [`CloseReason::Kicked`]; returns them, with their realms.
    pub fn kick(&self, id: &str) -> Vec<(RealmKind, ConnId)> {
        let kick = |realm: Arc<Realm>| Some((realm.kind(), realm.dismiss_id(id, CloseReason::Kicked)?));
        self.existing_realms().filter_map(kick).collect()
    }

    /// Sends a text to the PeerJS client of an id, as it is, as a message of the app's server. False if that client is not here,
    /// or too much waits for it.
    pub fn send(&self, id: &PeerId, text: &str) -> bool {
        let peers = self.existing(RealmKind::PeerJs).filter(|peers| peers.contains(id.as_str()));
        peers.is_some_and(|peers| matches!(send(&peers, id, text), Routed::Delivered(_)))
    }

    /// As [`send`](Self::send), to one connection: a text for one that has lost its id is dropped.
    pub fn send_to_connection(&self, id: &str, connection: u64, text: &str) -> bool {
        let sent = self
            .connection(id, connection)
            .and_then(|peer| peer.deliver_here(&PeerId::server(), MessageKind::Server, Frame::of_text(text)));
        matches!(sent, Some(Routed::Delivered(_)))
    }

    /// Ends a connection of a PeerJS client, but not its successor.
    pub fn kick_connection(&self, id: &str, connection: u64) {
        if let Some(peer) = self.connection(id, connection) {
            peer.dismiss(CloseReason::Kicked);
        }
    }

    fn connection(&self, id: &str, connection: u64) -> Option<PeerHandle> {
        PeerHandle::of_connection(&self.existing(RealmKind::PeerJs)?, id, connection)
    }

    /// Sends a text to all PeerJS clients that are here. Returns their number.
    pub fn send_to_all(&self, text: &str) -> usize {
        self.existing(RealmKind::PeerJs).map_or(0, |peers| peers.broadcast(Frame::of_text(text)))
    }

    /// Dismisses all clients, and admits no more.
    pub(super) fn revoke(&self) {
        self.quota.revoke();
        self.existing_realms().for_each(|realm| realm.revoke());
    }

    /// Does all timed work that is due. Drops vacant realms, and leaves the active tenants with the last one.
    pub(super) fn sweep(self: &Arc<Self>) {
        self.existing_realms().for_each(|realm| realm.sweep());
        self.existing_hubs().for_each(|hub| hub.sweep());
        if let Some(guests) = self.existing_guests() {
            guests.room_codes.sweep();
            guests.swarms.sweep(self.router.clock().now());
        }
        let realms = &mut *self.realms.lock();
        // Under the lock of the realms: a client without a reference cannot get one in between.
        realms.hubs.retain(|hub| Arc::strong_count(hub) > 1 || !hub.is_empty());
        let has_others = |guests: &Arc<Guests>| {
            Arc::strong_count(guests) > 1 || !guests.room_codes.is_empty() || !guests.swarms.is_empty()
        };
        drop(realms.guests.take_if(|guests| !has_others(guests) && guests.realm.is_vacant()));
        // Hubs and guests keep their realm.
        realms.realms.retain(|realm| Arc::strong_count(realm) > 1 || !realm.is_vacant());
        if realms.realms.is_empty() {
            realms.is_active = false;
            if let Some(active) = self.active.upgrade() {
                active.lock().retain(|tenant| !Arc::ptr_eq(tenant, self));
            }
        }
    }

    /// The realm of a kind, created if there is none. The sweeper visits its tenant then.
    fn realm(self: &Arc<Self>, realms: &mut Realms, kind: RealmKind) -> Arc<Realm> {
        if !std::mem::replace(&mut realms.is_active, true)
            && let Some(active) = self.active.upgrade()
        {
            active.lock().push(Arc::clone(self));
        }
        let known = realms.realms.iter().find(|realm| realm.kind() == kind);
        known.map(Arc::clone).unwrap_or_else(|| {
            let (key, router, quota) = (self.key.clone(), Arc::clone(&self.router), Arc::clone(&self.quota));
            let realm = Arc::new(Realm::new(key, kind, router, quota));
            realms.realms.push(Arc::clone(&realm));
            realm
        })
    }

    pub(super) fn existing_realms(&self) -> impl Iterator<Item = Arc<Realm>> + use<> {
        of_all_kinds(&self.realms.lock().realms)
    }
}

fn withholds_addresses(policy: &Policy) -> bool {
    policy.settings().relay == RelayMode::Always
}

/// The same, without the lock and without an allocation: there is at most one of each kind.
fn of_all_kinds<T>(list: &[Arc<T>]) -> impl Iterator<Item = Arc<T>> + use<T> {
    let mut list = list.iter().cloned();
    RealmKind::ALL.map(|_| list.next()).into_iter().flatten()
}

/// Sends a text of the app's server to a peer, wherever that is. It waits if the peer is absent.
pub(super) fn send(peers: &Realm, id: &PeerId, text: &str) -> Routed {
    peers.route(&PeerId::server(), id.as_str(), MessageKind::Server, Frame::of_text(text))
}
