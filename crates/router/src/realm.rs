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
use peerbroker_config::key::Settings;
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
    pub(super) limits: Arc<ClientLimits>,
}

impl Realm {
    /// An empty realm.
    pub fn new(key: ApiKey, kind: RealmKind, router: Arc<Router>, limits: Arc<ClientLimits>) -> Self {
        let budget = QueueBudget::new(&router.queued, &router.sought, router.cluster.is_some());
        let registered = AtomicUsize::default();
        Realm { key, kind, router, slots: DashMap::new(), registered, budget, limits }
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

    /// The limits of the clients of the key.
    pub fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// Time limit for the answer of a holder to a probe.
    pub fn probe_timeout(&self) -> Duration {
        self.router.config().limits.probe_timeout
    }

    /// Time for which a message waits for an absent peer.
    pub fn expire_timeout(&self) -> Duration {
        match self.limits.expire_timeout.load(Ordering::Relaxed) {
            0 => self.router.config().limits.expire_timeout,
            own => Duration::from_millis(own),
        }
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

    /// Counts one client more, if the key's limit allows. `last` is the place that it takes of the last
    /// tenth, if it has to.
    pub(super) fn acquire(&self, address: Option<IpAddr>, last: &mut Option<LastPlace>) -> bool {
        if last.is_none() && self.limits.taken() >= self.limits.limit_before_last() {
            *last = self.limits.last_place(address);
            if last.is_none() {
                return false;
            }
        }
        let Some((taken, limit)) = self.limits.acquire() else { return false };
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
        self.limits.taken.fetch_sub(1, Ordering::SeqCst);
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

/// The limits of the clients of a key, in all its realms, and their number. An address may take all places
/// but the last tenth, of which it gets a tenth.
pub struct ClientLimits {
    taken: AtomicUsize,
    limit: AtomicUsize,
    revoked: AtomicBool,
    /// The places of the last tenth on this node.
    last: Arc<Places<AddressPrefix>>,
    /// The time for which messages wait for absent peers, in milliseconds; 0 is that of the server.
    expire_timeout: AtomicU64,
}

impl ClientLimits {
    /// No clients yet.
    pub fn new(limit: usize) -> Self {
        let (taken, revoked, last, expire_timeout) = Default::default();
        ClientLimits { limit: limit.into(), taken, revoked, last, expire_timeout }
    }

    /// Changes the limits, also for messages that wait already. Clients that are here stay.
    pub fn set(&self, settings: &Settings) {
        self.limit.store(settings.concurrent_limit, Ordering::SeqCst);
        let own = settings.expire_timeout.map_or(0, |own| millis(own.get()));
        self.expire_timeout.store(own, Ordering::Relaxed);
    }

    /// Admits no more clients.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }

    /// The most clients.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::SeqCst)
    }

    /// The most clients before the last tenth of their places.
    pub fn limit_before_last(&self) -> usize {
        let limit = self.limit();
        limit - limit / 10
    }

    /// A place of the last tenth, for a client with this address.
    pub fn last_place(&self, address: Option<IpAddr>) -> Option<LastPlace> {
        let few = (self.limit() / 100).max(1);
        self.last.take_one_of_few(AddressPrefix::of_remote(address), few).map(Box::new)
    }

    /// The number of clients on this node that have an id.
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
