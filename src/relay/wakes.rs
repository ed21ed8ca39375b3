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
    offerer: Box<str>,
    answerer: Box<str>,
    connection: Box<str>,
}

impl Named {
    pub(super) fn new(Parties { key, realm, offerer, answerer, connection }: Parties<'_>) -> Option<Self> {
        let connection = connection.filter(|_| realm == RealmKind::PeerJs)?.into();
        Some(Named { key: key.clone(), offerer: offerer.into(), answerer: answerer.into(), connection })
    }

    pub(super) fn wake(&self, whom: End, times: u8) -> Wake {
        let (whom, other) = match whom {
            End::Offerer => (&self.offerer, &self.answerer),
            End::Answerer => (&self.answerer, &self.offerer),
        };
        let (key, connection) = (self.key.clone(), self.connection.clone());
        Wake { key, whom: whom.clone(), other: other.clone(), connection, times }
    }
}
