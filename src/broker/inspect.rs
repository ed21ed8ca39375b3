use std::net::IpAddr;

use super::realm::Realm;
use crate::wire::{ClientVersion, CloseReason, Link, PeerId};

/// What an operator wants to know about a connection, and its session alone can tell.
#[derive(Clone, Debug, Default)]
pub struct ConnectionInfo {
    /// When it was opened, in seconds since 1970.
    pub since: u64,
    /// Where its client is.
    pub address: Option<IpAddr>,
    /// Of what version its client says it is.
    pub version: Option<ClientVersion>,
}

/// A connection that holds an id.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The id.
    pub id: PeerId,
    /// What it is made of.
    pub link: Link,
    /// What its session told.
    pub about: ConnectionInfo,
    /// How many messages it has sent.
    pub messages: u64,
}

impl Realm {
    /// The connection that holds an id, if one does.
    pub fn present(&self, id: &str) -> Option<PeerInfo> {
        let slot = self.find(id)?;
        let state = slot.lock();
        let conn = state.conn.as_ref()?;
        let (link, about) = (conn.link, conn.about.clone());
        Some(PeerInfo { id: slot.id.clone(), link, about, messages: slot.messages() })
    }

    /// Ids of registered peers in the order of their bytes: the first `limit` of those behind `after`. The
    /// last of one page is the `after` of the next, also if it has left meanwhile.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<PeerId> {
        let is_behind = |id: &PeerId| after.is_none_or(|after| id.as_str() > after);
        let held = self.slots.iter().filter(|slot| slot.is_held() && is_behind(&slot.id));
        first(held.map(|slot| slot.id.clone()).collect(), limit)
    }

    /// Ends the connection that holds an id; its client is told why. Says whether there was one.
    pub fn dismiss_id(&self, id: &str, why: CloseReason) -> bool {
        let Some(slot) = self.find(id) else { return false };
        let holder = slot.lock().conn.as_ref().map(|conn| conn.id);
        holder.inspect(|holder| self.dismiss_peer(&slot, *holder, why)).is_some()
    }
}

/// The first so many, in order. Only they are sorted: of very many ids one page is asked for.
fn first(mut ids: Vec<PeerId>, limit: usize) -> Vec<PeerId> {
    if limit < ids.len() {
        ids.select_nth_unstable(limit);
        ids.truncate(limit);
    }
    ids.sort_unstable();
    ids
}
