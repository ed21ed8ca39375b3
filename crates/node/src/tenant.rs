//! A key in use: the state of its clients, and what needs IO.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};

use peerbroker_core::vocabulary::{CloseReason, Frame, MessageKind, PeerId, RealmKind};
use peerbroker_keys::{Key, Policy, unix_time};
use peerbroker_protocols::key_state::{Common, KeyState};
use peerbroker_protocols::root::Guests;
use peerbroker_router::{PeerHandle, Realm, Routed};

/// Precision of the time of the last use, in seconds.
const USED_PRECISION: u64 = 60;

/// A key that clients may use. To the [state](KeyState) of its clients, which it dereferences to, it adds
/// the policy that admits them, and the time of its last use for the store.
pub struct Tenant {
    policy: ArcSwap<Policy>,
    /// The time at which a client came last, in seconds since 1970; 0 if none came since that was stored.
    used: AtomicU64,
    state: Arc<KeyState>,
}

impl Deref for Tenant {
    type Target = Arc<KeyState>;

    fn deref(&self) -> &Arc<KeyState> {
        &self.state
    }
}

impl Tenant {
    pub(super) fn new(policy: Arc<Policy>, common: &Arc<Common>) -> Self {
        let state = KeyState::new(Arc::clone(policy.key()), common);
        Tenant { policy: ArcSwap::from(policy), used: AtomicU64::new(0), state }
    }

    /// The active policy. Cheap enough for each request; do not keep it across an await.
    pub fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// The active policy, to keep for longer.
    pub fn policy_full(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Replaces the policy. Clients that are here stay.
    pub(super) fn set_policy(&self, policy: Arc<Policy>) {
        self.state.set_data(Arc::clone(policy.key()));
        self.policy.store(policy);
    }

    /// Notes that a client uses the key.
    pub fn record_use(&self) {
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
    pub fn peers(&self) -> Arc<Realm> {
        self.state.realm(RealmKind::PeerJs)
    }

    /// The clients at the root, and what they share, created if there is nothing.
    pub fn guests(&self) -> Arc<Guests> {
        self.state.part()
    }

    /// True if the PeerJS client of an id is here.
    pub fn has_peer(&self, id: &str) -> bool {
        self.existing(RealmKind::PeerJs).is_some_and(|peers| peers.contains(id))
    }

    /// Sends a text to the PeerJS client of an id, as it is, as a message of the app's server. False if that
    /// client is not here, or too much waits for it.
    pub fn send(&self, id: &PeerId, text: &str) -> bool {
        let peers = self.state.existing(RealmKind::PeerJs).filter(|peers| peers.contains(id.as_str()));
        peers.is_some_and(|peers| matches!(send(&peers, id, text).flushed(), Routed::Delivered(_)))
    }

    /// As [`send`](Self::send), to one connection: a text for one that has lost its id is dropped.
    pub fn send_to_connection(&self, id: &str, connection: u64, text: &str) -> bool {
        let sent = self
            .connection(id, connection)
            .and_then(|peer| peer.deliver_here(&PeerId::server(), MessageKind::Server, Frame::of_text(text)));
        matches!(sent.map(Routed::flushed), Some(Routed::Delivered(_)))
    }

    /// Ends a connection of a PeerJS client, but not its successor.
    pub fn kick_connection(&self, id: &str, connection: u64) {
        if let Some(peer) = self.connection(id, connection) {
            peer.dismiss(CloseReason::Kicked);
        }
    }

    fn connection(&self, id: &str, connection: u64) -> Option<PeerHandle> {
        PeerHandle::of_connection(&self.state.existing(RealmKind::PeerJs)?, id, connection)
    }

    /// Sends a text to all PeerJS clients that are here. Returns their number.
    pub fn send_to_all(&self, text: &str) -> usize {
        self.state.existing(RealmKind::PeerJs).map_or(0, |peers| peers.broadcast(Frame::of_text(text)))
    }
}

/// Sends a text of the app's server to a peer, wherever that is. It waits if the peer is absent.
pub(super) fn send(peers: &Realm, id: &PeerId, text: &str) -> Routed {
    peers.route(&PeerId::server(), id.as_str(), MessageKind::Server, Frame::of_text(text))
}
