//! The bans that operators set while the server runs, and those of the configuration.

use std::sync::Arc;

use parking_lot::Mutex;

use super::ControlError;
use peerbroker_config::Ban;
use peerbroker_events::{Actor, Event};
use peerbroker_keys::{KeyError, KeyStore, unix_time};
use peerbroker_node::Node;

/// Most bans that operators can set.
pub(super) const MAX_BANS: usize = 10_000;

/// The bans that operators set. Each change is an event.
pub(crate) struct OperatorBans {
    node: Arc<Node>,
    /// The store that all nodes of the cluster share. Without a cluster, the store of the keys.
    store: Arc<dyn KeyStore>,
    are_shared: bool,
    known: Mutex<KnownBans>,
}

/// The bans as this process knows them.
#[derive(Default)]
struct KnownBans {
    /// Bans that operators have set.
    set: Vec<Ban>,
    /// Bans that operators have set, but the store could not keep.
    unkept: Vec<Ban>,
    /// All bans, with those of the configuration.
    active: Vec<Ban>,
}

impl OperatorBans {
    pub(super) fn new(
        node: Arc<Node>,
        of_keys: &Arc<dyn KeyStore>,
        shared: Option<Arc<dyn KeyStore>>,
    ) -> Self {
        let are_shared = shared.is_some();
        let store = shared.unwrap_or_else(|| Arc::clone(of_keys));
        OperatorBans { node, store, are_shared, known: Mutex::default() }
    }

    /// Bans the clients of a network, on all nodes, in place of an earlier ban of the same network and key.
    /// Closes those that are connected to this node; the others notice within a second. It is active here
    /// even if the store cannot keep it.
    pub(crate) fn add(&self, by: Actor, ban: Ban) -> Result<(), ControlError> {
        let mut known = self.known.lock();
        let place = ban.place();
        let others = || known.set.iter().filter(|known| known.place() != place);
        if others().count() >= MAX_BANS {
            return Err(ControlError::TooManyBans);
        }
        let kept = self.store.put_ban(&ban);
        known.set = others().cloned().chain([ban.clone()]).collect();
        known.unkept.retain(|known| known.place() != place);
        self.activate_known(&mut known);
        self.node.events().emit(|| Event::Ban { ban: ban.to_string(), by, is_over: false });
        kept.map_err(|why| {
            known.unkept.push(ban);
            ControlError::NotKept("the ban is active", why)
        })
    }

    /// Ends a ban, on all nodes.
    pub(crate) fn end(&self, by: Actor, ban: &Ban) -> Result<(), ControlError> {
        let mut known = self.known.lock();
        let place = ban.place();
        if !known.set.iter().any(|known| known.place() == place) {
            let is_configured = self.node.config().load().bans.iter().any(|known| known.place() == place);
            let is_wider = |other: &&Ban| {
                let is_for_key = other.key.is_none() || other.key == ban.key;
                is_for_key && other.network.contains(&ban.network)
            };
            let wider = || ControlError::NoBan(known.active.iter().find(is_wider).cloned());
            return Err(if is_configured { ControlError::ConfiguredBan } else { wider() });
        }
        let removed = self.store.remove_ban(ban);
        if known.unkept.iter().all(|known| known.place() != place) {
            removed?;
        }
        known.unkept.retain(|known| known.place() != place);
        known.set.retain(|known| known.place() != place);
        self.activate_known(&mut known);
        self.node.events().emit(|| Event::Ban { ban: place, by, is_over: true });
        Ok(())
    }

    /// The bans of the configuration, and those that operators have set. None is over.
    pub(crate) fn all(&self) -> (Vec<Ban>, Vec<Ban>) {
        let mut configured = self.node.config().load().bans.clone();
        let mut set = self.known.lock().set.clone();
        let now = unix_time();
        for bans in [&mut configured, &mut set] {
            bans.retain(|ban| !ban.is_over(now));
        }
        (configured, set)
    }

    /// True if a thread has to follow the bans: the store of the keys does not have them.
    pub(crate) fn are_shared(&self) -> bool {
        self.are_shared
    }

    /// Reads the bans of the store and activates them.
    pub(crate) fn read(&self) -> Result<(), KeyError> {
        let mut known = self.known.lock();
        let stored = self.store.bans()?;
        let unkept = known.unkept.clone();
        let is_kept = |ban: &Ban| unkept.iter().all(|other| other.place() != ban.place());
        known.set = stored.into_iter().filter(is_kept).collect();
        known.set.extend(unkept);
        self.activate_known(&mut known);
        Ok(())
    }

    /// Activates the bans of the configuration, and those of operators that are known.
    pub(super) fn activate(&self) {
        self.activate_known(&mut self.known.lock());
    }

    fn activate_known(&self, known: &mut KnownBans) {
        let all: Vec<Ban> = self.node.config().load().bans.iter().chain(&known.set).cloned().collect();
        // Closing the banned clients means looking at all.
        if known.active != all {
            self.node.set_bans(all.clone());
            known.active = all;
        }
    }

    /// Stores bans that could not be kept.
    pub(super) fn keep(&self) -> Result<(), KeyError> {
        let mut known = self.known.lock();
        while let Some(ban) = known.unkept.last() {
            self.store.put_ban(ban)?;
            known.unkept.pop();
        }
        Ok(())
    }

    /// Forgets bans that are over.
    pub(super) fn remove_old(&self) -> Result<(), KeyError> {
        let mut known = self.known.lock();
        let now = unix_time();
        let (over, set): (Vec<Ban>, Vec<Ban>) = known.set.iter().cloned().partition(|ban| ban.is_over(now));
        for ban in over {
            self.store.remove_ban(&ban)?;
        }
        known.set = set;
        self.activate_known(&mut known);
        Ok(())
    }
}
