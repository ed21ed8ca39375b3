//! Offers that wait for their answers.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use parking_lot::Mutex;
use peerbroker_core::media_api::Parties;
use peerbroker_core::wire::{ApiKey, IceCredentials, RealmKind};

use super::endpoint::Endpoint;
use super::load::{Load, Loads, Most, Offerer, Ranking};
use super::stun::Stun;
use crate::datapath::counters::Count;

/// Milliseconds after which an offer is not answered any more. A person may have to be asked first.
const ANSWER_TIMEOUT: u64 = 120_000;

/// Milliseconds for which the offers of a client stay after it has left: as long as an answer waits for it by default.
const ABSENT: u64 = 5_000;

/// The most offers of a client, which may join a room of a hundred, with data and media for each; and of an address: a
/// school.
const MOST: Most = Most { of_client: 256, of_address: 10_000 };

/// Longest id of a connection. Those of PeerJS have some 20 bytes.
const MAX_CONNECTION: usize = 128;

/// Most offers in all, of some 250 bytes each.
const MAX: usize = 100_000;

/// The number of an offer, and the digest of the client that made it.
pub(super) type OfferId = (u64, u64);

/// All offers.
#[derive(Default)]
pub(super) struct Offers {
    waiting: Mutex<Waiting>,
    loads: Loads,
    /// Offers of calls, those above a limit included.
    pub(super) asked: Count,
    /// Offers that were forgotten before their answer came.
    pub(super) unanswered: Count,
}

#[derive(Default)]
struct Waiting {
    /// By the digest of the client that made them.
    by_client: HashMap<u64, OfClient>,
    /// By the digest of the username fragment. The password decides.
    by_ufrag: HashMap<u64, OfferId>,
    digests: RandomState,
    count: usize,
    next_number: u64,
    ranking: Ranking<OfferId>,
}

struct OfClient {
    key: ApiKey,
    realm: RealmKind,
    id: Box<str>,
    offers: Vec<Offer>,
    /// Since when the client is not here.
    absent: Option<u64>,
}

/// The address of a check's client, and the check. Boxed: almost no offer has one.
type EarlyCheck = Box<(Endpoint, Box<[u8]>)>;

/// The record of an offer.
pub(super) struct Offer {
    pub(super) offerer: Offerer,
    number: u64,
    answerer: Box<str>,
    connection: Option<Box<str>>,
    ufrag: Box<str>,
    pwd: Box<str>,
    /// Checks of its answerer that came before the answer: the last one over UDP and over TCP. A browser may send no second one.
    pub(super) early_checks: [Option<EarlyCheck>; 2],
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
    /// Stores an offer, in place of an earlier one of the same call. False if its client or its address has too many, or if
    /// there is no room and no client has more.
    pub(super) fn note(
        &self,
        offerer: Offerer,
        parties: Parties<'_>,
        credentials: IceCredentials<'_>,
        now: u64,
    ) -> bool {
        if parties.connection.is_some_and(|connection| connection.len() > MAX_CONNECTION) {
            self.asked.add(1);
            return false;
        }
        let mut waiting = self.waiting.lock();
        let of_client = waiting.by_client.get_mut(&offerer.client);
        let earlier =
            of_client.and_then(|known| known.offers.iter_mut().find(|earlier| earlier.is_for(parties)));
        if let Some(earlier) = earlier {
            let (id, ufrag) = ((earlier.number, offerer.client), std::mem::take(&mut earlier.ufrag));
            (earlier.ufrag, earlier.pwd) = (credentials.ufrag.into(), credentials.pwd.into());
            earlier.at = now;
            waiting.forget_ufrag(&ufrag, id);
            waiting.note_ufrag(credentials.ufrag, id);
            return true;
        }
        self.asked.add(1);
        let Some(load) = self.loads.add(offerer, MOST) else { return false };
        let weight = load.weight();
        if waiting.count >= MAX {
            if !waiting.make_room(weight) {
                return false;
            }
            self.unanswered.add(1);
        }
        let number = waiting.next_number;
        waiting.next_number += 1;
        waiting.count += 1;
        waiting.ranking.add(weight, (number, offerer.client));
        waiting.note_ufrag(credentials.ufrag, (number, offerer.client));
        let of_client = waiting.by_client.entry(offerer.client).or_insert_with(|| OfClient {
            key: parties.key.clone(),
            realm: parties.realm,
            id: parties.offerer.into(),
            offers: Vec::new(),
            absent: None,
        });
        of_client.offers.push(Offer {
            offerer,
            number,
            answerer: parties.answerer.into(),
            connection: parties.connection.map(Box::from),
            ufrag: credentials.ufrag.into(),
            pwd: credentials.pwd.into(),
            early_checks: [None, None],
            at: now,
            load,
        });
        true
    }

    /// The offer of a call, which is answered once. A guest whose answer comes from another node may be known here by an alias.
    pub(super) fn take(&self, client: u64, parties: Parties<'_>, may_be_alias: bool) -> Option<Offer> {
        let mut waiting = self.waiting.lock();
        let offers = &waiting.by_client.get(&client)?.offers;
        // A client seldom calls several others at once.
        let by_alias =
            || (may_be_alias && parties.realm == RealmKind::Guests && offers.len() == 1).then_some(0);
        let at = offers.iter().position(|offer| offer.is_for(parties)).or_else(by_alias)?;
        waiting.remove(client, at)
    }

    /// Keeps a check until its offer is answered. `None` if it is not signed with the password of one.
    pub(super) fn keep_check(&self, check: &Stun<'_>) -> Option<OfferId> {
        let username = check.username()?;
        let (ufrag, _) = username.username().split_once(':')?;
        let mut waiting = self.waiting.lock();
        let id = *waiting.by_ufrag.get(&waiting.digests.hash_one(ufrag))?;
        let at = position(&waiting.by_client, &id)?;
        let offer = waiting.by_client.get_mut(&id.1)?.offers.get_mut(at)?;
        check.is_proved_by(&offer.pwd).then(|| {
            let [udp, tcp] = &mut offer.early_checks;
            let kept = if check.from.is_tcp() { tcp } else { udp };
            *kept = Some(Box::new((check.from, check.bytes.into())));
            id
        })
    }

    /// True if an offer waits for its answer.
    pub(super) fn waits(&self, id: &OfferId) -> bool {
        self.waiting.lock().offer(id).is_some()
    }

    /// True if a client has made an offer that is not answered.
    pub(super) fn has(&self, client: u64) -> bool {
        self.waiting.lock().by_client.contains_key(&client)
    }

    /// Forgets offers that are too old for an answer, and those of clients that have left.
    pub(super) fn sweep(&self, now: u64, is_here: impl Fn(&ApiKey, RealmKind, &str) -> bool) {
        let mut waiting = self.waiting.lock();
        let Waiting { by_client, by_ufrag, count, ranking, .. } = &mut *waiting;
        *count = 0;
        by_client.retain(|_, OfClient { key, realm, id, offers, absent }| {
            *absent = (!is_here(key, *realm, id)).then(|| absent.unwrap_or(now));
            let has_left = absent.is_some_and(|since| now.saturating_sub(since) >= ABSENT);
            let before = offers.len();
            offers.retain(|offer| !has_left && now.saturating_sub(offer.at) <= ANSWER_TIMEOUT);
            self.unanswered.add((before - offers.len()) as u64);
            *count += offers.len();
            !offers.is_empty()
        });
        by_ufrag.retain(|_, id| position(by_client, id).is_some());
        ranking.sweep(*count, |id| position(by_client, id).is_some());
        drop(waiting);
        self.loads.sweep();
    }
}

impl Waiting {
    fn offer(&self, id: &OfferId) -> Option<&Offer> {
        self.by_client.get(&id.1)?.offers.get(position(&self.by_client, id)?)
    }

    fn note_ufrag(&mut self, ufrag: &str, id: OfferId) {
        self.by_ufrag.insert(self.digests.hash_one(ufrag), id);
    }

    fn forget_ufrag(&mut self, ufrag: &str, id: OfferId) {
        let digest = self.digests.hash_one(ufrag);
        // Another client may have sent the same one.
        if self.by_ufrag.get(&digest) == Some(&id) {
            self.by_ufrag.remove(&digest);
        }
    }

    /// Evicts an offer of a client that has at least as many as an offerer of that weight.
    fn make_room(&mut self, weight: usize) -> bool {
        let mut ranking = std::mem::take(&mut self.ranking);
        let taken = ranking.give_way(weight, |id| self.offer(id).map(|offer| offer.load.weight()));
        self.ranking = ranking;
        let at = taken.and_then(|id| Some((id.1, position(&self.by_client, &id)?)));
        at.and_then(|(client, at)| self.remove(client, at)).is_some()
    }

    fn remove(&mut self, client: u64, at: usize) -> Option<Offer> {
        let of_client = self.by_client.get_mut(&client)?;
        let offer = of_client.offers.swap_remove(at);
        if of_client.offers.is_empty() {
            self.by_client.remove(&client);
        }
        self.forget_ufrag(&offer.ufrag, (offer.number, client));
        self.count -= 1;
        Some(offer)
    }
}

/// The index of an offer among those of its client.
fn position(by_client: &HashMap<u64, OfClient>, (number, client): &OfferId) -> Option<usize> {
    by_client.get(client)?.offers.iter().position(|offer| offer.number == *number)
}
