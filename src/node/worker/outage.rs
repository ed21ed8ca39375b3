//! An outage of the backplane, and how this node comes out of it.

use super::Worker;
use super::life::RENEWALS;
use crate::cluster::Backplane;
use crate::config::Degraded;
use crate::events::ClusterEvent;

/// For how many intervals of renewal the other nodes may register what they have, after this one has lost its life and before
/// it claims ids. If no id may be given twice, it waits after each outage, and for a lease: by then each node has registered, or
/// others may have its ids.
const SETTLING: u32 = 2;

impl<B: Backplane> Worker<B> {
    pub(super) fn note_outage(&self, error: &str) {
        if self.shared.config.degraded == Degraded::Refuse {
            self.settled_from.set(None);
        }
        if !self.begin_outage() {
            self.tell(|| ClusterEvent::Unreachable { why: error.to_owned() });
        }
    }

    /// True if it was one already.
    pub(super) fn begin_outage(&self) -> bool {
        let was_out = {
            let mut state = self.shared.state();
            state.is_up = false;
            std::mem::replace(&mut state.is_out, true)
        };
        self.renewed.notify_waiters();
        was_out
    }

    /// True if the other nodes have had the time to register what they have.
    pub(super) fn is_settled(&self) -> bool {
        let now = self.shared.now();
        let from = self.settled_from.get().unwrap_or_else(|| {
            now + match self.shared.config.degraded {
                Degraded::Allow => self.shared.lease() * u64::from(SETTLING) / u64::from(RENEWALS),
                Degraded::Refuse => self.shared.lease(),
            }
        });
        self.settled_from.set(Some(from));
        now >= from
    }

    /// Another store may lack what the last one had, until each node has registered what it has.
    pub(super) fn check_store(&self) {
        let store = self.backplane.store();
        if self.store.replace(store) != store {
            self.note_outage(
                "Redis was restarted, or another server has taken its place, or its user may not use INFO",
            );
            // Not at the next turn: clients wait.
            self.suspected.notify_one();
        }
    }

    pub(super) fn note_up(&self) {
        let was_out = {
            let mut state = self.shared.state();
            state.is_up = true;
            std::mem::take(&mut state.is_out)
        };
        if was_out {
            self.tell(|| ClusterEvent::Reachable);
        }
        self.renewed.notify_waiters();
    }
}
