//! Lists of peers, for discovery and for the operator.

use std::net::IpAddr;

use super::realm::Realm;
use super::state::ConnectionInfo;
use crate::wire::{CloseReason, ConnId, Link, PeerId, Token};

/// Messages and bytes that wait in memory at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait for absent peers.
    pub queued: usize,
    /// How long the oldest of them has waited, in milliseconds.
    pub oldest: u64,
    /// Bytes in the outboxes of clients that read slowly, with what it costs to keep them.
    pub outboxes: usize,
}

impl Backlog {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Backlog {
            queued: self.queued + other.queued,
            oldest: self.oldest.max(other.oldest),
            outboxes: self.outboxes + other.outboxes,
        }
    }
}

/// A connection that holds an id.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The id.
    pub id: PeerId,
    /// The connection.
    pub connection: ConnId,
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
        let (connection, link, info) = (conn.id, conn.link, conn.info.clone());
        Some(PeerInfo { id: slot.id.clone(), connection, link, info, messages: slot.messages() })
    }

    /// What waits here. Locks only the slots that say so.
    pub fn backlog(&self) -> Backlog {
        let now = self.now();
        let of_slot = |slot: &std::sync::Arc<super::slot::Slot>| {
            let state = slot.lock();
            let outbox = state.conn.as_ref().map(|conn| &conn.outbox);
            slot.set_backlog(outbox.is_some_and(|outbox| outbox.is_blocked()));
            let outboxes = outbox.map_or(0, |outbox| outbox.held());
            self.shared.counters().largest_outbox().note(outboxes as u64);
            Backlog {
                queued: state.queue.as_ref().map_or(0, |queue| queue.len()),
                oldest: slot.waiting_since().map_or(0, |since| now.saturating_sub(since)),
                outboxes,
            }
        };
        let waiting = self.slots_that(|slot| slot.has_backlog());
        waiting.iter().map(of_slot).fold(Backlog::default(), Backlog::plus)
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

    /// Ends the connection that holds an id, if one does, and says which; its client is told why.
    pub fn dismiss_id(&self, id: &str, why: CloseReason) -> Option<ConnId> {
        let slot = self.find(id)?;
        self.with(&slot, |guard| {
            let held = guard.conn.as_ref().map(|conn| conn.id);
            guard.dismiss(why);
            held
        })
    }
}

/// A connection that holds an id, for the directory of all nodes.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The id.
    pub id: PeerId,
    /// The connection.
    pub connection: ConnId,
    /// The token of its client.
    pub token: Token,
    /// Its kind.
    pub link: Link,
    /// How long it has had the id, in milliseconds.
    pub age: u64,
    /// Of its claim; 0 if it has none.
    pub fence: u64,
}

impl Realm {
    /// All connections that hold an id.
    pub fn holders(&self) -> Vec<Holder> {
        let now = self.now();
        let holder = |slot: &std::sync::Arc<super::slot::Slot>| {
            let state = slot.lock();
            let conn = state.conn.as_ref()?;
            let (id, connection, token, link) = (slot.id.clone(), conn.id, conn.token.clone(), conn.link);
            Some(Holder {
                id,
                connection,
                token,
                link,
                age: now.saturating_sub(conn.opened),
                fence: conn.fence,
            })
        };
        self.slots_that(|slot| slot.is_held()).iter().filter_map(holder).collect()
    }

    /// Whether a connection holds the id, or the id is reserved for its client.
    pub fn is_held_by(&self, id: &PeerId, connection: ConnId) -> bool {
        let slot = self.find(id.as_str());
        slot.is_some_and(|slot| slot.is_held_by(connection) || slot.lock().is_reserved_by(connection))
    }

    /// True if an id is reserved for its owner, except from clients of this address.
    pub fn is_open_to(&self, id: &PeerId, address: Option<IpAddr>) -> bool {
        self.find(id.as_str()).is_some_and(|slot| {
            let state = slot.lock();
            state.conn.is_none() && state.is_open_to(address)
        })
    }

    /// Notes the fence of a connection's claim, which it got after it was opened.
    pub fn set_fence(&self, id: &PeerId, connection: ConnId, fence: u64) {
        if let Some(slot) = self.find(id.as_str())
            && let Some(conn) = slot.lock().conn.as_mut().filter(|conn| conn.id == connection)
        {
            conn.fence = fence;
        }
    }

    /// Gives an id up: another node's connection owns it now. Ends this connection if it still holds the id.
    pub fn yield_id(&self, id: &PeerId, connection: ConnId, why: CloseReason) {
        if let Some(slot) = self.find(id.as_str()) {
            self.with(&slot, |guard| guard.yield_id(connection, why));
        }
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
