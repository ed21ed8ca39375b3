//! Clients that have given their way up, and are needed there.

use super::parties::Parties;
use super::session::End;
use crate::wire::{ApiKey, RealmKind};

/// Most that wait to be told.
pub(super) const MAX_WAITING: usize = 1024;

/// A client has to be told a new candidate: the other one checks this way, and waits for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wake {
    /// The key of both.
    pub(crate) key: ApiKey,
    /// The client that has to come.
    pub(crate) whom: Box<str>,
    /// The client that waits.
    pub(crate) other: Box<str>,
    /// The id of their connection, as JSON text.
    pub(crate) connection: Box<str>,
    /// How often the client was told, this time included.
    pub(crate) times: u8,
}

/// The two clients of a call, as far as they can be told a candidate. Room codes have no message for it.
pub(super) struct Named {
    key: ApiKey,
    /// The ids of the offerer, of the answerer and of the connection, one behind the other: there are many calls.
    ids: Box<str>,
    /// Where the second and the third begin.
    cuts: [u16; 2],
}

impl Named {
    pub(super) fn new(Parties { key, realm, offerer, answerer, connection }: Parties<'_>) -> Option<Self> {
        let connection = connection.filter(|_| realm == RealmKind::PeerJs)?;
        let [first, second] = [offerer.len(), offerer.len() + answerer.len()].map(u16::try_from);
        let ids = [offerer, answerer, connection].concat().into();
        Some(Named { key: key.clone(), ids, cuts: [first.ok()?, second.ok()?] })
    }

    pub(super) fn wake(&self, whom: End, times: u8) -> Wake {
        let [first, second] = self.cuts.map(usize::from);
        let part = |range: std::ops::Range<usize>| self.ids.get(range).unwrap_or_default().into();
        let (offerer, answerer) = (part(0..first), part(first..second));
        let (whom, other) = match whom {
            End::Offerer => (offerer, answerer),
            End::Answerer => (answerer, offerer),
        };
        let connection = part(second..self.ids.len());
        Wake { key: self.key.clone(), whom, other, connection, times }
    }
}
