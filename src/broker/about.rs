use std::fmt;
use std::net::IpAddr;

use super::realm::Realm;
use super::types::{Goodbye, Link, PeerId};

/// What an operator wants to know about a connection, and its session alone can tell.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// When it was opened, in seconds since 1970.
    pub since: u64,
    /// Where its client is.
    pub address: Option<IpAddr>,
    /// Of what version its client says it is.
    pub version: Option<Version>,
}

/// A version as a client names it. Kept in place, because very many connections have one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version {
    len: u8,
    bytes: [u8; Version::MAX_BYTES],
}

/// A connection that holds an id.
#[derive(Clone, Debug)]
pub struct Present {
    /// The id.
    pub id: PeerId,
    /// What it is made of.
    pub link: Link,
    /// What its session told.
    pub about: About,
    /// How many messages it has sent.
    pub messages: u64,
}

impl Version {
    /// Most bytes of a version.
    pub const MAX_BYTES: usize = 14;

    /// Takes printable ASCII without spaces; `None` is anything else, or longer.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        let fine = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        bytes.get_mut(..text.len()).filter(|_| fine)?.copy_from_slice(text.as_bytes());
        Some(Version { len: u8::try_from(text.len()).ok()?, bytes })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len.into()).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Realm {
    /// The connection that holds an id, if one does.
    pub fn present(&self, id: &str) -> Option<Present> {
        let place = self.find(id)?;
        let state = place.lock();
        let conn = state.conn.as_ref()?;
        let (link, about) = (conn.link, conn.about.clone());
        Some(Present { id: place.id.clone(), link, about, messages: place.messages() })
    }

    /// Ids of registered peers in the order of their bytes: the first `limit` of those behind `after`. The
    /// last of one page is the `after` of the next, also if it has left meanwhile.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<PeerId> {
        let is_behind = |id: &PeerId| after.is_none_or(|after| id.as_str() > after);
        let held = self.places.iter().filter(|place| place.is_held() && is_behind(&place.id));
        first(held.map(|place| place.id.clone()).collect(), limit)
    }

    /// Ends the connection that holds an id; its client is told why. Says whether there was one.
    pub fn dismiss_id(&self, id: &str, why: Goodbye) -> bool {
        let Some(place) = self.find(id) else { return false };
        let holder = place.lock().conn.as_ref().map(|conn| conn.id);
        holder.inspect(|holder| self.dismiss_peer(&place, *holder, why)).is_some()
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
