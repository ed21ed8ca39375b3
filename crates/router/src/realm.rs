//! A realm: the slots of its peers, and what they share, such as the limit of clients of the key.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::queue::QueueBudget;
use super::shared::Router;
use super::slot::Slot;
use super::state::LastPlace;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, DashMap};
use peerbroker_core::clock::millis;
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, ConnId, PeerId, RealmKind};
use peerbroker_events::{Event, KeyEvent, PeerAddress};
use peerbroker_limits::Places;

/// Peers that can reach each other, and no others.
pub struct Realm {
    pub(super) key: ApiKey,
    pub(super) kind: RealmKind,
    pub(super) router: Arc<Router>,
    slots: DashMap<PeerId, Arc<Slot>>,
    registered: AtomicUsize,
    pub(super) budget: QueueBudget,
    /// Shared by all realms of the key.
    pub(super) quota: Arc<ClientQuota>,
    /// As well.
    patience: Arc<Patience>,
}

impl Realm {
    /// An empty realm, whose clients count for `quota`, and wait for each other for `patience`.
    pub fn new(
        key: ApiKey,
        kind: RealmKind,
        router: Arc<Router>,
        quota: Arc<ClientQuota>,
        patience: Arc<Patience>,
    ) -> Self {
        let budget = QueueBudget::new(&router.queued, &router.sought, router.cluster.is_some());
        let registered = AtomicUsize::default();
        Realm { key, kind, router, slots: DashMap::new(), registered, budget, quota, patience }
    }

    /// The key that its clients use.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// The kind of the realm.
    pub fn kind(&self) -> RealmKind {
        self.kind
    }

    /// A peer of this realm, as others know it.
    pub fn address(&self, id: &PeerId) -> PeerAddress {
        PeerAddress { key: self.key.clone(), realm: self.kind, id: id.clone() }
    }

    /// The number of a connection that will be registered.
    pub fn next_connection(&self) -> ConnId {
        self.router.next_connection()
    }

    /// The most clients of the key.
    pub fn limit(&self) -> usize {
        self.quota.limit()
    }

    /// The number of clients of the key here, in all its realms.
    pub fn clients(&self) -> usize {
        self.quota.taken()
    }

    /// Time limit for the answer of a holder to a probe.
    pub fn probe_timeout(&self) -> Duration {
        self.router.config().limits.probe_timeout
    }

    /// Time for which a message waits for an absent peer.
    pub fn expire_timeout(&self) -> Duration {
        self.patience.or(self.router.config().limits.expire_timeout)
    }

    /// True if the id is registered now.
    pub fn contains(&self, id: &str) -> bool {
        self.find(id).is_some_and(|slot| slot.is_held())
    }

    /// The number of peers that are registered now.
    pub fn len(&self) -> usize {
        self.registered.load(Ordering::SeqCst)
    }

    /// True if no peer is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if nothing is known of any id: nobody is here, and nothing waits.
    pub fn is_vacant(&self) -> bool {
        self.slots.is_empty()
    }

    /// The most clients of the key before the last tenth of their places.
    pub fn limit_before_last(&self) -> usize {
        self.quota.limit_before_last()
    }

    /// One of the last tenth of places, for a client with this address.
    pub fn last_place(&self, address: Option<IpAddr>) -> Option<LastPlace> {
        self.quota.last_place(address)
    }

    /// Counts one client more, if the key's limit allows. `last` is the place that it takes of the last
    /// tenth, if it has to.
    pub(super) fn acquire(&self, address: Option<IpAddr>, last: &mut Option<LastPlace>) -> bool {
        if last.is_none() && self.quota.taken() >= self.quota.limit_before_last() {
            *last = self.quota.last_place(address);
            if last.is_none() {
                return false;
            }
        }
        let Some((taken, limit)) = self.quota.acquire() else { return false };
        self.registered.fetch_add(1, Ordering::SeqCst);
        if taken == limit {
            let what = KeyEvent::UsedUp(limit);
            self.router.events.emit(|| Event::Key { key: self.key.clone(), what });
        }
        true
    }

    /// Counts one client less.
    pub(super) fn release(&self) {
        self.registered.fetch_sub(1, Ordering::SeqCst);
        self.quota.taken.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Slot>> {
        self.slots.get(id).map(|slot| Arc::clone(&slot))
    }

    pub(super) fn find_or_create(&self, id: &PeerId) -> Arc<Slot> {
        self.find(id.as_str()).unwrap_or_else(|| {
            let new = || Arc::new(Slot::new(id.clone()));
            Arc::clone(&self.slots.entry(id.clone()).or_insert_with(new))
        })
    }

    /// The source to which messages of a sender are charged while they wait. `None` if the sender has gone,
    /// or is on another node.
    pub(super) fn source(&self, from: &PeerId) -> Option<u64> {
        match from.of_client() {
            "" => Some(0),
            id => self.find(id).map(|slot| slot.source()),
        }
    }

    /// Takes a slot that is retired out of the map.
    pub(super) fn remove(&self, slot: &Arc<Slot>) {
        self.slots.remove_if(slot.id.as_str(), |_, there| Arc::ptr_eq(there, slot));
    }

    // Collected first: no map guard is held while a slot is locked.
    pub(super) fn slots_that(&self, fits: impl Fn(&Slot) -> bool) -> Vec<Arc<Slot>> {
        self.slots.iter().filter(|slot| fits(slot)).map(|slot| Arc::clone(&slot)).collect()
    }
}

/// The time for which messages wait for absent peers, in all realms of a key.
#[derive(Debug, Default)]
pub struct Patience {
    /// In milliseconds; 0 is the time of the server.
    own: AtomicU64,
}

impl Patience {
    /// Changes it, also for messages that wait already. `None` is the time of the server.
    pub fn set(&self, own: Option<Duration>) {
        self.own.store(own.map_or(0, millis), Ordering::Relaxed);
    }

    /// It, or that of the server.
    fn or(&self, of_server: Duration) -> Duration {
        match self.own.load(Ordering::Relaxed) {
            0 => of_server,
            own => Duration::from_millis(own),
        }
    }
}

/// The clients of a key, and their limit, in all its realms. An address may take all places but the last
/// tenth, of which it gets a tenth.
pub struct ClientQuota {
    taken: AtomicUsize,
    limit: AtomicUsize,
    revoked: AtomicBool,
    /// The places of the last tenth on this node.
    last: Arc<Places<AddressPrefix>>,
}

impl ClientQuota {
    /// No clients yet.
    pub fn new(limit: usize) -> Self {
        let (taken, revoked, last) = Default::default();
        ClientQuota { limit: limit.into(), taken, revoked, last }
    }

    /// Changes the limit. Clients that are here stay.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    /// Admits no more clients.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }

    /// The most clients.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::SeqCst)
    }

    fn limit_before_last(&self) -> usize {
        let limit = self.limit();
        limit - limit / 10
    }

    fn last_place(&self, address: Option<IpAddr>) -> Option<LastPlace> {
        let few = (self.limit() / 100).max(1);
        self.last.take_one_of_few(AddressPrefix::of_remote(address), few).map(Box::new)
    }

    /// The number of clients that have an id.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// True if no more clients are admitted.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// Counts one client more. Returns the number of clients and their limit; `None` if it does not fit.
    fn acquire(&self) -> Option<(usize, usize)> {
        let limit = self.limit();
        let fits = |taken: usize| (taken < limit).then_some(taken + 1);
        let before = self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).ok()?;
        Some((before + 1, limit))
    }
}
