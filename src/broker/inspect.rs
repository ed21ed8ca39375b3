//! Lists of peers, for discovery and for the operator.

use super::realm::Realm;
use super::state::ConnectionInfo;
use crate::wire::{CloseReason, Link, PeerId};

/// A connection that holds an id.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The id.
    pub id: PeerId,
    /// The kind of its connection.
    pub link: Link,
    /// Details from its session.
    pub info: ConnectionInfo,
    /// How many messages it has sent.
    pub messages: u64,
}

impl Realm {
    /// The connection that holds an id, if one does.
    pub fn present(&self, id: &str) -> Option<PeerInfo> {
        let slot = self.find(id)?;
        let state = slot.lock();
        let conn = state.conn.as_ref()?;
        let (link, info) = (conn.link, conn.info.clone());
        Some(PeerInfo { id: slot.id.clone(), link, info, messages: slot.messages() })
    }

    /// One page of registered ids, sorted by their bytes: the first `limit` ids after `after`. The last id of a page is
    /// the `after` of the next one, even if that peer has left meanwhile.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<PeerId> {
        let is_behind = |id: &PeerId| after.is_none_or(|after| id.as_str() > after);
        let held = self.slots.iter().filter(|slot| slot.is_held() && is_behind(&slot.id));
        smallest(held.map(|slot| slot.id.clone()).collect(), limit)
    }

    /// Ids of all registered peers, in order of their first registration.
    pub fn ids(&self) -> Vec<PeerId> {
        let rank = |slot: &std::sync::Arc<super::slot::Slot>| {
            let since = slot.lock().conn.as_ref()?.since;
            Some((since, slot.id.clone()))
        };
        let held = self.slots_that(|slot| slot.is_held());
        let mut ids: Vec<(u64, PeerId)> = held.iter().filter_map(rank).collect();
        ids.sort_unstable_by_key(|(since, _)| *since);
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Ends the connection that holds an id; its client is told why. Says whether there was one.
    pub fn dismiss_id(&self, id: &str, why: CloseReason) -> bool {
        let Some(slot) = self.find(id) else { return false };
        self.with(&slot, |guard| {
            let held = guard.conn.is_some();
            guard.dismiss(why);
            held
        })
    }
}

/// The `limit` smallest ids, sorted. Only they are sorted: a page is a small part of very many ids.
fn smallest(mut ids: Vec<PeerId>, limit: usize) -> Vec<PeerId> {
    if limit < ids.len() {
        ids.select_nth_unstable(limit);
        ids.truncate(limit);
    }
    ids.sort_unstable();
    ids
}
