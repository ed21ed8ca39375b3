//! Offers that wait for their answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::parties::Parties;
use crate::events::PeerAddress;
use crate::wire::{ApiKey, IceCredentials, RealmKind};

/// Milliseconds after which an offer is not answered any more. A person may have to be asked first.
const PATIENCE: u64 = 120_000;

/// Most offers of one client.
const MAX_PER_CLIENT: usize = 64;

/// Longest id of a connection. Those of PeerJS have some 20 bytes.
const MAX_CONNECTION: usize = 128;

/// Most offers in all, of some 200 bytes each.
const MAX: usize = 100_000;

/// Offers, by the client that made them.
#[derive(Default)]
pub(super) struct Offers {
    by_client: DashMap<Client, Vec<Offer>>,
    count: AtomicUsize,
}

type Client = (ApiKey, RealmKind, Box<str>);

/// What is remembered of an offer.
pub(super) struct Offer {
    answerer: Box<str>,
    connection: Option<Box<str>>,
    ufrag: Box<str>,
    pwd: Box<str>,
    at: u64,
}

impl Offer {
    pub(super) fn credentials(&self) -> IceCredentials<'_> {
        IceCredentials { ufrag: &self.ufrag, pwd: &self.pwd }
    }

    fn is_for(&self, parties: Parties<'_>) -> bool {
        *self.answerer == *parties.answerer && self.connection.as_deref() == parties.connection
    }
}

impl Offers {
    /// Remembers an offer, in place of an earlier one of the same call. False if there are too many, or it is too long.
    pub(super) fn note(&self, parties: Parties<'_>, credentials: IceCredentials<'_>, now: u64) -> bool {
        if parties.connection.is_some_and(|connection| connection.len() > MAX_CONNECTION) {
            return false;
        }
        let offer = Offer {
            answerer: parties.answerer.into(),
            connection: parties.connection.map(Box::from),
            ufrag: credentials.ufrag.into(),
            pwd: credentials.pwd.into(),
            at: now,
        };
        let mut offers = self.by_client.entry(client(parties)).or_default();
        if let Some(earlier) = offers.iter_mut().find(|earlier| earlier.is_for(parties)) {
            *earlier = offer;
            return true;
        }
        let has_room = offers.len() < MAX_PER_CLIENT && self.count.load(Ordering::Relaxed) < MAX;
        if has_room {
            offers.push(offer);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// The offer of a call, which is answered once.
    pub(super) fn take(&self, parties: Parties<'_>) -> Option<Offer> {
        let client = client(parties);
        let mut offers = self.by_client.get_mut(&client)?;
        // On another node, a guest may be known by an alias. It seldom calls several at once.
        let by_alias = || (parties.realm == RealmKind::Guests && offers.len() == 1).then_some(0);
        let at = offers.iter().position(|offer| offer.is_for(parties)).or_else(by_alias)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        let offer = offers.swap_remove(at);
        drop(offers);
        self.by_client.remove_if(&client, |_, offers| offers.is_empty());
        Some(offer)
    }

    /// Whether a client has made an offer that is not answered.
    pub(super) fn has(&self, PeerAddress { key, realm, id }: &PeerAddress) -> bool {
        self.by_client
            .get(&(key.clone(), *realm, id.as_str().into()))
            .is_some_and(|offers| !offers.is_empty())
    }

    /// Forgets what is not answered any more.
    pub(super) fn sweep(&self, now: u64) {
        let mut forgotten = 0;
        self.by_client.retain(|_, offers| {
            let before = offers.len();
            offers.retain(|offer| now.saturating_sub(offer.at) <= PATIENCE);
            forgotten += before - offers.len();
            !offers.is_empty()
        });
        self.count.fetch_sub(forgotten, Ordering::Relaxed);
    }
}

fn client(parties: Parties<'_>) -> Client {
    (parties.key.clone(), parties.realm, parties.offerer.into())
}
