//! Offers that wait for their answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::load::{Load, Loads, Most, Owner, Ranking};
use super::parties::Parties;
use crate::wire::{ApiKey, IceCredentials, RealmKind};

/// Milliseconds after which an offer is not answered any more. A person may have to be asked first.
const PATIENCE: u64 = 120_000;

/// Milliseconds that the offers of a client stay after it has left. As long as an answer waits for it by default.
const ABSENT: u64 = 5_000;

/// The most offers of a client: it may join a room of a hundred, with data and media for each. And of an address: a school.
const MOST: Most = Most { of_client: 256, of_address: 10_000 };

/// Longest id of a connection. Those of PeerJS have some 20 bytes.
const MAX_CONNECTION: usize = 128;

/// Most offers in all, of some 250 bytes each.
const MAX: usize = 100_000;

/// All offers.
#[derive(Default)]
pub(super) struct Offers {
    waiting: Mutex<Waiting>,
    loads: Loads,
}

#[derive(Default)]
struct Waiting {
    /// By the digest of the client that made them.
    by_client: HashMap<u64, OfClient>,
    count: usize,
    next_number: u64,
    /// By number and client.
    ranking: Ranking<(u64, u64)>,
}

struct OfClient {
    key: ApiKey,
    realm: RealmKind,
    id: Box<str>,
    offers: Vec<Offer>,
    /// Since when the client is not here.
    absent: Option<u64>,
}

/// What is remembered of an offer.
pub(super) struct Offer {
    pub(super) owner: Owner,
    number: u64,
    answerer: Box<str>,
    connection: Option<Box<str>>,
    ufrag: Box<str>,
    pwd: Box<str>,
    at: u64,
    load: Load,
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
    /// Remembers an offer, in place of an earlier one of the same call. False if its client or its address has too many, or if
    /// there is no room and nobody has more.
    pub(super) fn note(
        &self,
        owner: Owner,
        parties: Parties<'_>,
        credentials: IceCredentials<'_>,
        now: u64,
    ) -> bool {
        if parties.connection.is_some_and(|connection| connection.len() > MAX_CONNECTION) {
            return false;
        }
        let mut waiting = self.lock();
        let of_client = waiting.by_client.get_mut(&owner.client);
        let earlier =
            of_client.and_then(|known| known.offers.iter_mut().find(|earlier| earlier.is_for(parties)));
        if let Some(earlier) = earlier {
            (earlier.ufrag, earlier.pwd) = (credentials.ufrag.into(), credentials.pwd.into());
            earlier.at = now;
            return true;
        }
        let Some(load) = self.loads.add(owner, MOST) else { return false };
        let weight = load.weight();
        if waiting.count >= MAX && !waiting.make_room(weight) {
            return false;
        }
        let number = waiting.next_number;
        waiting.next_number += 1;
        waiting.count += 1;
        waiting.ranking.add(weight, (number, owner.client));
        let of_client = waiting.by_client.entry(owner.client).or_insert_with(|| OfClient {
            key: parties.key.clone(),
            realm: parties.realm,
            id: parties.offerer.into(),
            offers: Vec::new(),
            absent: None,
        });
        of_client.offers.push(Offer {
            owner,
            number,
            answerer: parties.answerer.into(),
            connection: parties.connection.map(Box::from),
            ufrag: credentials.ufrag.into(),
            pwd: credentials.pwd.into(),
            at: now,
            load,
        });
        true
    }

    /// The offer of a call, which is answered once. A guest whose answer comes from another node may be known here by an alias.
    pub(super) fn take(&self, client: u64, parties: Parties<'_>, may_be_alias: bool) -> Option<Offer> {
        let mut waiting = self.lock();
        let offers = &waiting.by_client.get(&client)?.offers;
        // It seldom calls several at once.
        let by_alias =
            || (may_be_alias && parties.realm == RealmKind::Guests && offers.len() == 1).then_some(0);
        let at = offers.iter().position(|offer| offer.is_for(parties)).or_else(by_alias)?;
        waiting.remove(client, at)
    }

    /// Whether a client has made an offer that is not answered.
    pub(super) fn has(&self, client: u64) -> bool {
        self.lock().by_client.contains_key(&client)
    }

    /// Forgets what is not answered any more, and offers of clients that have left.
    pub(super) fn sweep(&self, now: u64, is_here: impl Fn(&ApiKey, RealmKind, &str) -> bool) {
        let mut waiting = self.lock();
        let Waiting { by_client, count, ranking, .. } = &mut *waiting;
        *count = 0;
        by_client.retain(|_, OfClient { key, realm, id, offers, absent }| {
            *absent = (!is_here(key, *realm, id)).then(|| absent.unwrap_or(now));
            let has_left = absent.is_some_and(|since| now.saturating_sub(since) >= ABSENT);
            offers.retain(|offer| !has_left && now.saturating_sub(offer.at) <= PATIENCE);
            *count += offers.len();
            !offers.is_empty()
        });
        ranking.sweep(*count, |of| position(by_client, of).is_some());
        drop(waiting);
        self.loads.sweep();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Forgets an offer of a client that has no fewer than somebody of that weight.
    fn make_room(&mut self, weight: usize) -> bool {
        let Waiting { by_client, ranking, .. } = self;
        let offer = |of: &(u64, u64)| by_client.get(&of.1)?.offers.get(position(by_client, of)?);
        let taken = ranking.give_way(weight, |of| offer(of).map(|offer| offer.load.weight()));
        let at = taken.and_then(|of| Some((of.1, position(by_client, &of)?)));
        at.and_then(|(client, at)| self.remove(client, at)).is_some()
    }

    fn remove(&mut self, client: u64, at: usize) -> Option<Offer> {
        let of_client = self.by_client.get_mut(&client)?;
        let offer = of_client.offers.swap_remove(at);
        if of_client.offers.is_empty() {
            self.by_client.remove(&client);
        }
        self.count -= 1;
        Some(offer)
    }
}

/// Where an offer stands among those of its client.
fn position(by_client: &HashMap<u64, OfClient>, (number, client): &(u64, u64)) -> Option<usize> {
    by_client.get(client)?.offers.iter().position(|offer| offer.number == *number)
}
