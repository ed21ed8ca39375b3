use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use super::budget::Room;
use super::quota::ClientQuota;
use super::shared::Shared;
use super::slot::Slot;
use crate::events::{Event, KeyEvent, PeerAddress};
use crate::wire::{ApiKey, ConnId, Frame, PeerId, RealmKind};

/// Writes the notice that a sender gets when what it sent to an absent peer is lost, from the absent peer's id and the
/// sender's.
pub type ExpireNotice = fn(&str, &str) -> Frame;

/// Peers that can reach each other, and nobody else.
pub struct Realm {
    key: ApiKey,
    kind: RealmKind,
    pub(super) shared: Arc<Shared>,
    pub(super) slots: DashMap<PeerId, Arc<Slot>>,
    registered: AtomicUsize,
    pub(super) room: Room,
    /// Shared by all realms of the key.
    pub(super) quota: Arc<ClientQuota>,
    pub(super) expire_notice: ExpireNotice,
}

impl Realm {
    pub(super) fn new(
        key: ApiKey,
        kind: RealmKind,
        shared: Arc<Shared>,
        quota: Arc<ClientQuota>,
        expire_notice: ExpireNotice,
    ) -> Self {
        Realm {
            key,
            kind,
            room: Room::new(&shared.queued, &shared.sought, shared.cluster.is_shared()),
            shared,
            slots: DashMap::new(),
            registered: AtomicUsize::new(0),
            quota,
            expire_notice,
        }
    }

    /// The key that its clients use.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// Which realm of the key it is.
    pub fn kind(&self) -> RealmKind {
        self.kind
    }

    /// A peer of this realm, as others know it.
    pub fn address(&self, id: &PeerId) -> PeerAddress {
        PeerAddress { key: self.key.clone(), realm: self.kind, id: id.clone() }
    }

    /// The number of a connection that is going to be registered.
    pub fn next_connection(&self) -> ConnId {
        self.shared.next_connection()
    }

    /// The most clients of the key.
    pub fn limit(&self) -> usize {
        self.quota.limit()
    }

    /// How many clients the key has here, in all its realms.
    pub fn clients(&self) -> usize {
        self.quota.taken()
    }

    /// How long a holder may take to answer a probe.
    pub fn probe_timeout(&self) -> Duration {
        self.shared.config().limits.probe_timeout
    }

    /// Whether the id is registered now.
    pub fn contains(&self, id: &str) -> bool {
        self.find(id).is_some_and(|slot| slot.is_held())
    }

    /// How many peers are registered now.
    pub fn len(&self) -> usize {
        self.registered.load(Ordering::SeqCst)
    }

    /// Whether no peer is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is known of any id: nobody is here, and nothing waits.
    pub fn is_vacant(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Counts one client more, if the key's limit allows.
    pub(super) fn acquire(&self) -> bool {
        let Some(acquired) = self.quota.acquire() else { return false };
        self.registered.fetch_add(1, Ordering::SeqCst);
        if let Some(limit) = acquired.used_up {
            let key = || Event::Key { key: self.key.clone(), what: KeyEvent::UsedUp(limit) };
            self.shared.events.emit(key);
        }
        true
    }

    /// Counts one client less.
    pub(super) fn release(&self) {
        self.registered.fetch_sub(1, Ordering::SeqCst);
        self.quota.release();
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Slot>> {
        self.slots.get(id).map(|slot| Arc::clone(&slot))
    }

    pub(super) fn find_or_create(&self, id: &PeerId) -> Arc<Slot> {
        self.find(id.as_str()).unwrap_or_else(|| {
            let slot = self.slots.entry(id.clone());
            Arc::clone(&slot.or_insert_with(|| Arc::new(Slot::new(id.clone()))))
        })
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
