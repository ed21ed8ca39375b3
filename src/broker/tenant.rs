use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::Shared;
use super::callers::Callers;
use super::realm::Realm;
use super::rooms::Rooms;
use super::types::ApiKey;
use crate::frame::Frame;

/// What belongs to one key: its clients share a limit and never meet those of another key.
pub struct Tenant {
    /// The ids that clients choose, or take from us: those of PeerJS.
    pub peers: Arc<Realm>,
    /// The ids that clients are given: those of rooms and calls. The two never meet.
    pub guests: Arc<Realm>,
    /// The rooms of the guests.
    pub rooms: Arc<Rooms>,
    /// The guests that can be called.
    pub callers: Arc<Callers>,
}

impl Tenant {
    pub(super) fn new(key: ApiKey, shared: &Arc<Shared>, expired: fn(&str, &str) -> Frame) -> Self {
        let seats = Arc::<AtomicUsize>::default();
        let realm = |key| Arc::new(Realm::new(key, Arc::clone(shared), Arc::clone(&seats), expired));
        Tenant {
            peers: realm(key.clone()),
            guests: realm(key),
            rooms: Arc::new(Rooms::new(Arc::clone(shared))),
            callers: Arc::default(),
        }
    }

    pub(super) fn realms(&self) -> [&Arc<Realm>; 2] {
        [&self.peers, &self.guests]
    }
}
