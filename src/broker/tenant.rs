use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Shared;
use super::call_aliases::CallAliases;
use super::realm::Realm;
use super::rooms::Rooms;
use crate::wire::Frame;
use crate::wire::{ApiKey, CloseReason, PeerId};

/// What belongs to one key: its clients share a limit and never meet those of another key.
pub struct Tenant {
    /// The ids that clients choose, or take from us: those of PeerJS.
    pub peers: Arc<Realm>,
    /// The ids that clients are given: those of rooms and calls. The two never meet.
    pub guests: Arc<Realm>,
    /// The rooms of the guests.
    pub rooms: Arc<Rooms>,
    /// The guests that can be called.
    pub callers: Arc<CallAliases>,
    quota: Arc<ClientQuota>,
}

/// The places that the realms of a key share.
pub(super) struct ClientQuota {
    taken: AtomicUsize,
    limit: AtomicUsize,
    revoked: AtomicBool,
}

impl Tenant {
    pub(super) fn new(key: ApiKey, shared: &Arc<Shared>, expired: fn(&str, &str) -> Frame) -> Self {
        let quota = Arc::new(ClientQuota {
            taken: AtomicUsize::new(0),
            limit: AtomicUsize::new(shared.limits.concurrent_limit),
            revoked: AtomicBool::new(false),
        });
        let realm = |key| Arc::new(Realm::new(key, Arc::clone(shared), Arc::clone(&quota), expired));
        Tenant {
            peers: realm(key.clone()),
            guests: realm(key),
            rooms: Arc::new(Rooms::new(Arc::clone(shared))),
            callers: Arc::default(),
            quota,
        }
    }

    /// Sets the most clients at a time. Who is here stays.
    pub fn set_limit(&self, limit: usize) {
        self.quota.limit.store(limit, Ordering::SeqCst);
    }

    /// How many clients are registered now, in both realms.
    pub fn len(&self) -> usize {
        self.quota.taken.load(Ordering::SeqCst)
    }

    /// Whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ids of clients of both kinds, as [`Realm::page`] gives those of one.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<PeerId> {
        let mut ids: Vec<PeerId> = self.realms().iter().flat_map(|realm| realm.page(after, limit)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(limit);
        ids
    }

    /// Ends the connections of clients of both kinds with this id, with [`CloseReason::Kicked`]. Says whether
    /// there was one.
    pub fn kick(&self, id: &str) -> bool {
        let kicked = self.realms().map(|realm| realm.dismiss_id(id, CloseReason::Kicked));
        kicked.contains(&true)
    }

    pub(super) fn realms(&self) -> [&Arc<Realm>; 2] {
        [&self.peers, &self.guests]
    }

    /// Dismisses everybody, and admits nobody any more.
    pub(super) fn revoke(&self) {
        self.quota.revoked.store(true, Ordering::SeqCst);
        for realm in self.realms() {
            realm.close(CloseReason::KeyRevoked);
            realm.empty();
        }
    }
}

impl ClientQuota {
    pub(super) fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| (count < limit).then_some(count + 1))
            .is_ok()
    }

    pub(super) fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }
}
