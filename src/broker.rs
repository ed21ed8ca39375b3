//! The holders of ids, and the messages for them.
//!
//! Plain Rust: no runtime, no HTTP, no JSON. A session registers a peer in a [`Realm`], routes ready-made frames to ids,
//! and is told what happened. Time comes from a [`Clock`] and passes only in [`Realm::sweep`], so tests drive both.
//!
//! Layers, from low to high: `outgoing` and `budget`; `queue` and `outbox`; `state`, `slot`; `shared`, `realm`; `guard` and
//! what it can do (`waiting`, `holder`); `access`; `delivery`, `lease`, `register`, `stream`, `sweep`, `inspect`.

mod access;
mod budget;
mod cluster;
mod delivery;
mod guard;
mod holder;
mod inspect;
mod lease;
mod outbox;
mod outgoing;
mod place;
mod queue;
mod quota;
mod realm;
mod register;
mod remote;
mod shared;
mod slot;
mod state;
mod stream;
mod sweep;
mod waiting;

use std::sync::Arc;

use shared::Shared;

use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::events::Events;
use crate::wire::{ApiKey, RealmKind};

pub use cluster::{Alone, Cluster};
pub use delivery::Routed;
pub use holder::Flush;
pub use inspect::{Backlog, Holder, PeerInfo};
pub use lease::{Departure, IdLease, Peer};
pub use outbox::{Outbox, Writer};
pub use outgoing::{HandOver, Outgoing, Receipt};
pub use quota::ClientQuota;
pub use realm::{ExpireNotice, Realm};
pub use register::{Probe, RegisterOutcome};
pub use remote::Located;
pub use state::{ClaimedId, ConnectionInfo, RegisterRequest, Usage};
pub use stream::{PendingRegistration, PostPermit};

/// Makes realms, which share their limits, their clock, and the budget of their queues.
pub struct Broker {
    shared: Arc<Shared>,
}

impl Broker {
    /// No realm yet. `cluster` knows the peers of other nodes.
    pub fn new(config: LiveConfig, clock: Clock, events: Events, cluster: Arc<dyn Cluster>) -> Self {
        Broker { shared: Arc::new(Shared::new(config, clock, events, cluster)) }
    }

    /// An empty realm, whose clients count for `quota`.
    pub fn realm(
        &self,
        key: ApiKey,
        kind: RealmKind,
        quota: Arc<ClientQuota>,
        expire_notice: ExpireNotice,
    ) -> Arc<Realm> {
        Arc::new(Realm::new(key, kind, Arc::clone(&self.shared), quota, expire_notice))
    }

    /// A sweep of all realms begins.
    pub fn note_sweep(&self) {
        self.shared.note_sweep();
    }

    /// Bytes of the messages that wait for absent peers, with what it costs to keep them.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued.used() + self.shared.sought.used()
    }

    /// Admits nobody any more. Clients that are here stay until [`Realm::close`].
    pub fn close(&self) {
        self.shared.close();
    }
}
