use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::broker::{Broker, ClientQuota, ExpireNotice, Realm};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::directory::{CallAliases, Rooms};
use crate::wire::{ApiKey, CloseReason, ConnId, PeerId, RealmKind};

/// The realms of one key: its clients share a limit and never meet those of another key.
///
/// A key without clients has no realm: each comes into being with its first client and is dropped by the sweeper after
/// the last one. So very many keys cost almost nothing.
pub struct Tenant {
    key: ApiKey,
    shared: Arc<Shared>,
    /// Those that the sweeper visits. Weak, because they hold this tenant.
    active: Weak<ActiveTenants>,
    quota: Arc<ClientQuota>,
    expire_notice: ExpireNotice,
    realms: Mutex<Realms>,
}

/// The tenants that have a realm.
pub(super) type ActiveTenants = Mutex<Vec<Arc<Tenant>>>;

/// State that all tenants of a node share.
pub(super) struct Shared {
    pub(super) config: LiveConfig,
    pub(super) clock: Clock,
    pub(super) broker: Broker,
}

#[derive(Default)]
struct Realms {
    peers: Option<Arc<Realm>>,
    guests: Option<Arc<Guests>>,
    /// Whether the tenant is among the active ones.
    is_active: bool,
}

/// The clients of room codes and calls. The broker chooses their ids.
pub struct Guests {
    /// Their realm.
    pub realm: Arc<Realm>,
    /// Their rooms.
    pub rooms: Arc<Rooms>,
    /// The ids under which they can be called.
    pub aliases: Arc<CallAliases>,
}

impl Tenant {
    pub(super) fn new(
        key: ApiKey,
        limit: usize,
        shared: Arc<Shared>,
        active: Weak<ActiveTenants>,
        expire_notice: ExpireNotice,
    ) -> Self {
        let quota = Arc::new(ClientQuota::new(limit));
        Tenant { key, shared, active, quota, expire_notice, realms: Mutex::default() }
    }

    /// The key.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// The realm of PeerJS clients, for one that wants to get in.
    pub fn peers(self: &Arc<Self>) -> Arc<Realm> {
        let mut realms = self.realms();
        let peers = realms.peers.get_or_insert_with(|| self.realm(RealmKind::PeerJs));
        let peers = Arc::clone(peers);
        self.activate(&mut realms);
        peers
    }

    /// Where clients of room codes and calls are, for one that wants to get in.
    pub fn guests(self: &Arc<Self>) -> Arc<Guests> {
        let mut realms = self.realms();
        let guests = realms.guests.get_or_insert_with(|| {
            let rooms = Rooms::new(self.shared.config.clone(), self.shared.clock.clone());
            let realm = self.realm(RealmKind::Guests);
            Arc::new(Guests { realm, rooms: Arc::new(rooms), aliases: Arc::default() })
        });
        let guests = Arc::clone(guests);
        self.activate(&mut realms);
        guests
    }

    /// The guests, if there are any or were a moment ago.
    pub(super) fn existing_guests(&self) -> Option<Arc<Guests>> {
        self.realms().guests.clone()
    }

    /// The realm of a kind, if it has or had clients a moment ago.
    pub fn existing(&self, kind: RealmKind) -> Option<Arc<Realm>> {
        let realms = self.realms();
        match kind {
            RealmKind::PeerJs => realms.peers.clone(),
            RealmKind::Guests => realms.guests.as_ref().map(|guests| Arc::clone(&guests.realm)),
        }
    }

    /// Changes the most clients at a time. Those that are here stay.
    pub fn set_limit(&self, limit: usize) {
        self.quota.set_limit(limit);
    }

    /// How many clients are registered now, in both realms.
    pub fn len(&self) -> usize {
        self.quota.taken()
    }

    /// Whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the PeerJS client of an id is here.
    pub fn has_peer(&self, id: &str) -> bool {
        self.existing(RealmKind::PeerJs).is_some_and(|peers| peers.contains(id))
    }

    /// Ids of clients of both kinds, as [`Realm::page`] gives those of one.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<PeerId> {
        let mut ids: Vec<PeerId> =
            self.existing_realms().flat_map(|realm| realm.page(after, limit)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(limit);
        ids
    }

    /// Ends the connections of clients with this id, with [`CloseReason::Kicked`]; gives these, with their
    /// realms.
    pub fn kick(&self, id: &str) -> Vec<(RealmKind, ConnId)> {
        let kick = |realm: Arc<Realm>| Some((realm.kind(), realm.dismiss_id(id, CloseReason::Kicked)?));
        self.existing_realms().filter_map(kick).collect()
    }

    /// Dismisses everybody, and admits nobody any more.
    pub(super) fn revoke(&self) {
        self.quota.revoke();
        for realm in self.existing_realms() {
            realm.close(CloseReason::KeyRevoked);
            realm.empty();
        }
    }

    /// Dismisses every client.
    pub(super) fn close(&self, why: CloseReason) {
        self.existing_realms().for_each(|realm| realm.close(why));
    }

    /// Does what is due by the clock. Drops the realms that have nothing in them, and with the last one leaves the
    /// active tenants.
    pub(super) fn sweep(self: &Arc<Self>) {
        self.existing_realms().for_each(|realm| realm.sweep());
        let rooms = self.realms().guests.as_ref().map(|guests| Arc::clone(&guests.rooms));
        rooms.into_iter().for_each(|rooms| rooms.sweep());
        let mut realms = self.realms();
        // Under the lock that leads to them: a client that has no reference yet cannot get one meanwhile.
        let unused = |realm: &Arc<Realm>| Arc::strong_count(realm) == 1 && realm.is_vacant();
        drop(realms.peers.take_if(|peers| unused(peers)));
        let unused_guests = |guests: &Arc<Guests>| {
            Arc::strong_count(guests) == 1 && unused(&guests.realm) && guests.rooms.is_empty()
        };
        drop(realms.guests.take_if(|guests| unused_guests(guests)));
        if realms.peers.is_none() && realms.guests.is_none() {
            realms.is_active = false;
            if let Some(active) = self.active.upgrade() {
                lock(&active).retain(|tenant| !Arc::ptr_eq(tenant, self));
            }
        }
    }

    fn realm(&self, kind: RealmKind) -> Arc<Realm> {
        self.shared.broker.realm(self.key.clone(), kind, Arc::clone(&self.quota), self.expire_notice)
    }

    /// Has the sweeper visit this tenant.
    fn activate(self: &Arc<Self>, realms: &mut Realms) {
        if !std::mem::replace(&mut realms.is_active, true)
            && let Some(active) = self.active.upgrade()
        {
            lock(&active).push(Arc::clone(self));
        }
    }

    pub(super) fn existing_realms(&self) -> impl Iterator<Item = Arc<Realm>> + use<> {
        let realms = [RealmKind::PeerJs, RealmKind::Guests].map(|kind| self.existing(kind));
        realms.into_iter().flatten()
    }

    fn realms(&self) -> MutexGuard<'_, Realms> {
        lock(&self.realms)
    }
}

/// A panic while such a lock was held left the data whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
