//! The tenants of all keys in one process, and the keys in force.

mod active_keys;
mod elsewhere;
mod errand;
mod everywhere;
mod listings;
mod media;
mod membership;
mod tenant;
mod turns;
mod worker;

use std::sync::{Arc, OnceLock};

use dashmap::DashMap;

use crate::broker::{Alone, Backlog, Broker, Cluster, ExpireNotice, Realm};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::events::{Counters, Events};
use crate::relay::Relay;
use crate::wire::{ApiKey, CloseReason, PeerId};
use listings::Listings;
use tenant::{ActiveTenants, Shared, lock};

pub(crate) use active_keys::{ActiveKey, ActiveKeys};
pub use elsewhere::{HeldName, JoinRequest, Joined, RemoteSeat};
pub use errand::{Holding, OnPost, Posted, Whereabouts};
pub use everywhere::{NodeCounts, NodeReport, PeerReport, ReportedKind, ReportedLink};
pub(crate) use media::{MediaMessage, Relayed};
pub use membership::{ClaimedName, ClusterView, Membership, OpenRequest, Opening};
pub use tenant::{Guests, Tenant};

/// The tenants of one process, by key.
pub struct Node {
    shared: Arc<Shared>,
    tenants: DashMap<ApiKey, Arc<Tenant>>,
    active: Arc<ActiveTenants>,
    events: Events,
    membership: Option<Arc<Membership>>,
    listings: Listings,
    relay: OnceLock<Relay>,
}

impl Node {
    /// No tenant yet. With a membership it is a node of a cluster, and somebody has to [run](Membership::run) that.
    pub fn new(
        config: impl Into<LiveConfig>,
        clock: Clock,
        events: Events,
        membership: Option<Arc<Membership>>,
    ) -> Self {
        let config = config.into();
        let cluster: Arc<dyn Cluster> = match &membership {
            Some(membership) => Arc::clone(membership) as _,
            None => Arc::new(Alone),
        };
        let broker = Broker::new(config.clone(), clock.clone(), events.clone(), cluster);
        let shared = Arc::new(Shared { config, clock, broker });
        Node {
            shared,
            tenants: DashMap::new(),
            active: Arc::default(),
            events,
            membership,
            listings: Listings::default(),
            relay: OnceLock::new(),
        }
    }

    /// Has a relay from now on, for calls that cannot go directly. A second one ends at once.
    pub(crate) fn begin_relaying(&self, relay: Relay) {
        drop(self.relay.set(relay));
    }

    /// The relay, if there is one.
    pub(crate) fn relay(&self) -> Option<&Relay> {
        self.relay.get()
    }

    /// This node's part in a cluster, if it is in one.
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        self.membership.as_ref()
    }

    /// All realms that have or had clients a moment ago.
    pub(crate) fn realms(&self) -> Vec<Arc<Realm>> {
        self.active_tenants().iter().flat_map(|tenant| tenant.existing_realms()).collect()
    }

    /// Adds the tenant of `key`, or gives the existing one, and sets its limit of clients.
    ///
    /// `expire_notice` writes the notice that a sender gets when what it sent to an absent peer is lost.
    pub fn add_tenant(&self, key: ApiKey, limit: usize, expire_notice: ExpireNotice) -> Arc<Tenant> {
        let (shared, active) = (Arc::clone(&self.shared), Arc::downgrade(&self.active));
        let new = |key| Arc::new(Tenant::new(key, limit, shared, active, expire_notice));
        let tenant = Arc::clone(&self.tenants.entry(key.clone()).or_insert_with(|| new(key)));
        tenant.set_limit(limit);
        tenant
    }

    /// Removes a key: its clients are dismissed with [`CloseReason::KeyRevoked`], and nobody comes in any more.
    pub fn remove_tenant(&self, key: &str) {
        if let Some((_, tenant)) = self.tenants.remove(key) {
            tenant.revoke();
        }
    }

    /// The tenant of a key, if there is such a key.
    pub fn tenant(&self, key: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(key).map(|tenant| Arc::clone(&tenant))
    }

    /// The configuration in force.
    pub fn config(&self) -> &LiveConfig {
        &self.shared.config
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The events and counters.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The counters of messages and connections.
    pub fn counters(&self) -> &Counters {
        self.events.counters()
    }

    /// Bytes of the messages that wait for absent peers, with what it costs to keep them.
    pub fn queued_bytes(&self) -> usize {
        self.shared.broker.queued_bytes()
    }

    /// What waits in memory, of all keys.
    pub(crate) fn backlog(&self) -> Backlog {
        self.realms().iter().map(|realm| realm.backlog()).fold(Backlog::default(), Backlog::plus)
    }

    /// Clients that have an id, of all keys.
    pub fn peers(&self) -> usize {
        self.active_tenants().iter().map(|tenant| tenant.len()).sum()
    }

    /// How many clients each key has that has any, or had some a moment ago.
    pub(crate) fn clients_by_key(&self) -> Vec<(String, usize)> {
        self.active_tenants().iter().map(|tenant| (tenant.key().to_string(), tenant.len())).collect()
    }

    /// Keys with clients, now or a moment ago. Only these cost more than their settings.
    pub fn active_keys(&self) -> usize {
        lock(&self.active).len()
    }

    /// Does all that is due by the clock: pings the silent, drops the dead, expires what has waited too long, ends
    /// probes, and removes idle rooms and calls that are over. Visits only keys that have clients.
    pub fn sweep(&self) {
        self.shared.broker.note_sweep();
        self.active_tenants().iter().for_each(Tenant::sweep);
        if let Some(relay) = self.relay() {
            relay.sweep(|key, realm, id| {
                let realm = self.tenant(key.as_str()).and_then(|tenant| tenant.existing(realm));
                realm.is_some_and(|realm| realm.contains(id))
            });
        }
        self.counters().sweep(self.clock().now());
    }

    /// Every registered client of every key, and its realm.
    pub(crate) fn clients(&self) -> Vec<(Arc<Realm>, PeerId)> {
        let realms = self.active_tenants().into_iter().flat_map(|tenant| tenant.existing_realms());
        let of_realm = |realm: Arc<Realm>| realm.ids().into_iter().map(move |id| (Arc::clone(&realm), id));
        realms.flat_map(of_realm).collect()
    }

    /// Dismisses every peer with [`CloseReason::Shutdown`] and admits nobody any more.
    pub fn close(&self) {
        self.shared.broker.close();
        for tenant in self.active_tenants() {
            tenant.close(CloseReason::Shutdown);
        }
    }

    // Collected first: no lock is held while a tenant works.
    fn active_tenants(&self) -> Vec<Arc<Tenant>> {
        lock(&self.active).clone()
    }
}
