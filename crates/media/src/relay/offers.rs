//! Offers that wait for their answers.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;

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

/// Most offers in all, of some 400 bytes each.
const MAX: usize = 100_000;

/// The digest of the client that made an offer, and the number of the offer.
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
    offers: BTreeMap<OfferId, Offer>,
    /// By the digest of the username fragment. The password decides.
    by_ufrag: HashMap<u64, OfferId>,
    digests: RandomState,
    next_number: u64,
    /// By their numbers: the oldest of equals is the first to go.
    ranking: Ranking<(u64, OfferId)>,
}

/// The address of a check's client, and the check. Boxed: almost no offer has one.
type EarlyCheck = Box<(Endpoint, Box<[u8]>)>;

/// The record of an offer.
pub(super) struct Offer {
    pub(super) offerer: Offerer,
    key: ApiKey,
    realm: RealmKind,
    /// The id of its client.
    id: Box<str>,
    /// Since when its client is not here.
    absent: Option<u64>,
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
        let mut of_client = waiting.offers.range_mut(all_of(offerer.client));
        if let Some((id, earlier)) = of_client.find(|(_, earlier)| earlier.is_for(parties)) {
            let (id, ufrag) = (*id, std::mem::take(&mut earlier.ufrag));
            (earlier.ufrag, earlier.pwd) = (credentials.ufrag.into(), credentials.pwd.into());
            earlier.at = now;
            waiting.forget_ufrag(&ufrag, id);
            waiting.note_ufrag(credentials.ufrag, id);
            return true;
        }
        self.asked.add(1);
        let Some(load) = self.loads.add(offerer, MOST) else { return false };
        let weight = load.weight();
        if waiting.offers.len() >= MAX {
            if !waiting.make_room(weight) {
                return false;
            }
            self.unanswered.add(1);
        }
        let id = (offerer.client, waiting.next_number);
        waiting.next_number += 1;
        waiting.ranking.add(weight, (id.1, id));
        waiting.note_ufrag(credentials.ufrag, id);
        let offer = Offer {
            offerer,
            key: parties.key.clone(),
            realm: parties.realm,
            id: parties.offerer.into(),
            absent: None,
            answerer: parties.answerer.into(),
            connection: parties.connection.map(Box::from),
            ufrag: credentials.ufrag.into(),
            pwd: credentials.pwd.into(),
            early_checks: [None, None],
            at: now,
            load,
        };
        waiting.offers.insert(id, offer);
        true
    }

    /// The offer of a call, which is answered once. A guest whose answer comes from another node may be known here by an alias.
    pub(super) fn take(&self, client: u64, parties: Parties<'_>, may_be_alias: bool) -> Option<Offer> {
        let mut waiting = self.waiting.lock();
        let mut offers = waiting.offers.range(all_of(client));
        let (first, mut others) = (offers.clone().next()?, offers.clone().skip(1));
        // A client seldom calls several others at once.
        let is_by_alias = may_be_alias && parties.realm == RealmKind::Guests && others.next().is_none();
        let found = offers.find(|(_, offer)| offer.is_for(parties)).or(is_by_alias.then_some(first));
        let id = *found?.0;
        waiting.remove(id)
    }

    /// Keeps a check until its offer is answered. `None` if it is not signed with the password of one.
    pub(super) fn keep_check(&self, check: &Stun<'_>) -> Option<OfferId> {
        let username = check.username()?;
        let (ufrag, _) = username.username().split_once(':')?;
        let mut waiting = self.waiting.lock();
        let id = *waiting.by_ufrag.get(&waiting.digests.hash_one(ufrag))?;
        let offer = waiting.offers.get_mut(&id)?;
        check.is_proved_by(&offer.pwd).then(|| {
            let [udp, tcp] = &mut offer.early_checks;
            let kept = if check.from.is_tcp() { tcp } else { udp };
            *kept = Some(Box::new((check.from, check.bytes.into())));
            id
        })
    }

    /// True if an offer waits for its answer.
    pub(super) fn waits(&self, id: &OfferId) -> bool {
        self.waiting.lock().offers.contains_key(id)
    }

    /// True if a client has made an offer that is not answered.
    pub(super) fn has(&self, client: u64) -> bool {
        self.waiting.lock().offers.range(all_of(client)).next().is_some()
    }

    /// Forgets offers that are too old for an answer, and those of clients that have left.
    pub(super) fn sweep(&self, now: u64, is_here: impl Fn(&ApiKey, RealmKind, &str) -> bool) {
        let mut waiting = self.waiting.lock();
        let Waiting { offers, by_ufrag, ranking, .. } = &mut *waiting;
        let before = offers.len();
        offers.retain(|_, Offer { key, realm, id, absent, at, .. }| {
            *absent = (!is_here(key, *realm, id)).then(|| absent.unwrap_or(now));
            let has_left = absent.is_some_and(|since| now.saturating_sub(since) >= ABSENT);
            !has_left && now.saturating_sub(*at) <= ANSWER_TIMEOUT
        });
        self.unanswered.add((before - offers.len()) as u64);
        by_ufrag.retain(|_, id| offers.contains_key(id));
        ranking.sweep(offers.len(), |(_, id)| offers.contains_key(id));
        drop(waiting);
        self.loads.sweep();
    }
}

impl Waiting {
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
        let weigh = |(_, id): &(u64, OfferId)| self.offers.get(id).map(|offer| offer.load.weight());
        let taken = self.ranking.give_way(weight, weigh);
        taken.and_then(|(_, id)| self.remove(id)).is_some()
    }

    fn remove(&mut self, id: OfferId) -> Option<Offer> {
        let offer = self.offers.remove(&id)?;
        self.forget_ufrag(&offer.ufrag, id);
        Some(offer)
    }
}

/// All offers of a client.
fn all_of(client: u64) -> RangeInclusive<OfferId> {
    (client, 0)..=(client, u64::MAX)
}
