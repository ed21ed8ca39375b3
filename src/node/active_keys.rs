//! The keys in force, in memory: those of the flags and of the store.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::{Node, Tenant};
use crate::auth::{Claimant, Verifier};
use crate::dialect::peerjs;
use crate::keys::{Key, RelayMode, unix_time};
use crate::wire::{ApiKey, PeerId, Token};

/// Precision of the time of the last use, in seconds.
const USED_PRECISION: u64 = 60;

/// A token is not valid.
pub(crate) struct NotValid;

/// All keys that clients may use. Only `Admin` changes them, one change at a time.
#[derive(Default)]
pub(crate) struct ActiveKeys {
    keys: DashMap<ApiKey, Arc<ActiveKey>>,
}

/// A key in force. A change of its settings makes a new one with the same tenant, so clients stay connected.
pub(crate) struct ActiveKey {
    pub(crate) key: Key,
    pub(crate) tenant: Arc<Tenant>,
    /// `None` if its key, file or URL cannot be used: then nobody is admitted.
    verifier: Option<Verifier>,
    /// As in [`Key::used`]; 0 means not since the process started.
    used: AtomicU64,
}

impl ActiveKeys {
    /// The key of this text, if clients may use it.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<ActiveKey>> {
        self.keys.get(key).map(|active| Arc::clone(&active))
    }

    /// Puts a key in force. If it is disabled, takes it out of force and dismisses its clients. Reads files, so do not call
    /// it on a worker's thread.
    pub(crate) fn put(&self, key: Key, node: &Node) {
        if !key.settings.enabled {
            return self.remove(&key.key, node);
        }
        let old = self.get(key.key.as_str());
        if old.as_ref().is_some_and(|old| old.key.settings == key.settings && old.key.name == key.name) {
            return;
        }
        self.activate(key, node);
    }

    /// Takes the place of the key of this text, if there is one: it is never missing meanwhile.
    fn activate(&self, key: Key, node: &Node) {
        let tenant = node.add_tenant(key.key.clone(), key.settings.concurrent_limit, peerjs::expire);
        let old = self.get(key.key.as_str());
        let used = AtomicU64::new(old.map_or(0, |old| old.used.load(Ordering::Relaxed)));
        let verifier = Verifier::new(&key.settings.auth)
            .inspect_err(|error| log::error!("nobody can use the key {:?}: {error}", key.key))
            .ok()
            .filter(|_| node.relay().is_some() || key.settings.relay != RelayMode::Always);
        if key.settings.relay == RelayMode::Always && node.relay().is_none() {
            log::error!(
                "nobody can use the key {:?}: its calls are always relayed, and this server has no relay",
                key.key
            );
        }
        self.keys.insert(key.key.clone(), Arc::new(ActiveKey { key, tenant, verifier, used }));
    }

    /// Looks again at the keys that nobody can use: a relay has begun.
    pub(crate) fn try_unusable(&self, node: &Node) {
        let unusable = self.keys.iter().filter(|active| active.verifier.is_none());
        let unusable: Vec<Key> = unusable.map(|active| active.key.clone()).collect();
        unusable.into_iter().for_each(|key| self.activate(key, node));
    }

    /// Takes a key out of force. Its clients are dismissed.
    pub(crate) fn remove(&self, key: &ApiKey, node: &Node) {
        self.keys.remove(key);
        node.remove_tenant(key.as_str());
    }

    /// Puts exactly these keys in force. Clients of other keys are dismissed. Reads files, so do not call it on a worker's
    /// thread.
    pub(crate) fn replace(&self, keys: Vec<Key>, node: &Node) {
        let wanted: HashSet<ApiKey> = keys.iter().map(|key| key.key.clone()).collect();
        let known: Vec<ApiKey> = self.keys.iter().map(|active| active.key.key.clone()).collect();
        for gone in known.iter().filter(|key| !wanted.contains(*key)) {
            self.remove(gone, node);
        }
        keys.into_iter().for_each(|key| self.put(key, node));
    }

    /// The keys that were used since the last call, and when. A key with clients counts as used now.
    pub(crate) fn take_used(&self) -> Vec<(ApiKey, u64)> {
        let used = self.keys.iter().filter_map(|active| {
            let came = active.used.swap(0, Ordering::Relaxed);
            let when = if active.tenant.is_empty() { came } else { unix_time() };
            (when != 0).then(|| (active.key.key.clone(), when))
        });
        used.collect()
    }

    /// Adds the last use, if the store does not have it yet.
    pub(crate) fn complete(&self, key: &mut Key) {
        let came = self.get(key.key.as_str()).map_or(0, |active| active.used.load(Ordering::Relaxed));
        if came != 0 {
            key.used = key.used.max(Some(came));
        }
    }
}

impl ActiveKey {
    /// The token under which the broker registers the id, if the client may have it. A denial is logged.
    pub(crate) async fn verify(&self, claimant: &Claimant<'_>) -> Option<Token> {
        let verified = self.verifier.as_ref()?.verify(claimant).await;
        let Claimant { key, id, .. } = claimant;
        verified.inspect_err(|denied| log::debug!("key {key:?}: {id:?} is denied: {denied}")).ok()
    }

    /// The id in a token; `None` if tokens of this key name none, `Err` if the token is not valid.
    pub(crate) async fn id_of(&self, token: &str) -> Result<Option<PeerId>, NotValid> {
        let verifier = self.verifier.as_ref().ok_or(NotValid)?;
        let id = verifier.id_of(&self.key.key, token).await;
        id.inspect_err(|denied| log::debug!("key {:?}: a token is denied: {denied}", self.key.key))
            .map_err(|_| NotValid)
    }

    /// Notes that a client uses this key.
    pub(crate) fn note_use(&self) {
        let now = unix_time();
        if now.saturating_sub(self.used.load(Ordering::Relaxed)) >= USED_PRECISION {
            self.used.store(now, Ordering::Relaxed);
        }
    }
}
