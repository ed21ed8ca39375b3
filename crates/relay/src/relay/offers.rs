//! Offers that wait for their answers.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{ApiKey, IceCredentials};
use peerbroker_media_api::{CallRealm, Parties};

use super::endpoint::Endpoint;
use super::load::{Load, Loads, Most, Offerer, Ranking};
use super::stun::Stun;
use crate::datapath::counters::Count;

/// Milliseconds after which an offer is not answered any more. A person may have to be asked first.
const ANSWER_TIMEOUT: u64 = 120_000;

/// Milliseconds for which the offers of a client stay after it has left: as long as an answer waits for it by
/// default.
const ABSENT: u64 = 5_000;

/// The most offers of a client, which may join a room of a hundred, with data and media for each; and of an
/// address: a school.
const MOST: Most = Most { of_client: 256, of_address: 10_000 };

/// Longest id of a connection. Those of PeerJS have some 20 bytes.
const MAX_CONNECTION: usize = 128;

/// Most offers in all.
const MAX: usize = 100_000;

/// Most bytes of all offers.
const MAX_BYTES: usize = 64 << 20;

/// Bytes of an offer beside its texts.
const OVERHEAD: usize = 512;

/// Longest check that is kept. Those of browsers have some 130 bytes.
const MAX_CHECK: usize = 512;

/// Clients whose offers the sweeper visits under one lock. Every offer, answer and check of an unknown client
/// needs it, too.
const SWEPT_AT_ONCE: usize = 64;

/// The digest of the client that made an offer, and the number of the offer.
pub(super) type OfferId = (u64, u64);

/// All offers.
#[derive(Default)]
pub(super) struct Offers {
    waiting: Mutex<WaitingOffers>,
    loads: Loads,
    /// Offers of calls, those above a limit included.
    pub(super) asked: Count,
    /// Offers that were forgotten before their answer came.
    pub(super) unanswered: Count,
}

#[derive(Default)]
struct WaitingOffers {
    offers: BTreeMap<OfferId, Offer>,
    /// By the digest of the username fragment. The password decides.
    by_ufrag: HashMap<u64, OfferId>,
    /// Of all offers.
    bytes: usize,
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
    realm: CallRealm,
    /// The id of its client.
    id: Arc<str>,
    /// Since when its client is not here.
    absent: Option<Instant>,
    answerer: Box<str>,
    connection: Option<Box<str>>,
    ufrag: Box<str>,
    pwd: Box<str>,
    /// Checks of its answerer that came before the answer: the last one over UDP and over TCP. A browser may
    /// send no second one.
    pub(super) early_checks: [Option<EarlyCheck>; 2],
    at: Instant,
    load: Load,
}

impl Offer {
    pub(super) fn credentials(&self) -> IceCredentials<'_> {
        IceCredentials { ufrag: &self.ufrag, pwd: &self.pwd }
    }

    fn is_for(&self, parties: Parties<'_>) -> bool {
        let is_called = self.answerer.is_empty() || *self.answerer == *parties.answerer;
        is_called && self.connection.as_deref() == parties.connection
    }
}

impl Offers {
    /// Stores an offer, in place of an earlier one of the same call. False if its client or its address has
    /// too many, or if there is no room and no client has more.
    pub(super) fn record(
        &self,
        offerer: Offerer,
        parties: Parties<'_>,
        credentials: IceCredentials<'_>,
        now: Instant,
    ) -> bool {
        if parties.connection.is_some_and(|connection| connection.len() > MAX_CONNECTION) {
            self.asked.add(1);
            return false;
        }
        let mut waiting = self.waiting.lock();
        let mut of_client = waiting.offers.range_mut(all_of(offerer.client));
        if let Some((&id, earlier)) = of_client.find(|(_, earlier)| earlier.is_for(parties)) {
            if earlier.credentials() == credentials {
                earlier.at = now;
                return true;
            }
            waiting.remove(id);
        } else {
            self.asked.add(1);
        }
        let Some(mut load) = self.loads.add(offerer, MOST) else { return false };
        load.charge(OVERHEAD + bytes(parties, credentials));
        let weight = load.weight_in_bytes();
        while waiting.offers.len() >= MAX || waiting.bytes + load.bytes() > MAX_BYTES {
            if !waiting.make_room(weight) {
                return false;
            }
            self.unanswered.add(1);
        }
        let id = (offerer.client, waiting.next_number);
        waiting.next_number += 1;
        waiting.ranking.add(weight, (id.1, id));
        waiting.record_ufrag(credentials.ufrag, id);
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
        waiting.bytes += offer.load.bytes();
        waiting.offers.insert(id, offer);
        true
    }

    /// The offer of a call, which is answered once. A client whose answer comes from another node may be
    /// known here by an alias.
    pub(super) fn take(&self, client: u64, parties: Parties<'_>, may_be_alias: bool) -> Option<Offer> {
        let mut waiting = self.waiting.lock();
        let mut offers = waiting.offers.range(all_of(client));
        let first = offers.clone().next()?;
        let mut others = offers.clone().skip(1);
        // A client seldom calls several others at once.
        let is_by_alias = may_be_alias && others.next().is_none();
        let found = offers.find(|(_, offer)| offer.is_for(parties)).or(is_by_alias.then_some(first));
        let id = *found?.0;
        waiting.remove(id)
    }

    /// Keeps a check until its offer is answered. `None` if it is not signed with the password of one.
    pub(super) fn keep_check(&self, check: &Stun<'_>) -> Option<OfferId> {
        let username = check.username()?;
        let (ufrag, _) = username.username().split_once(':')?;
        let mut guard = self.waiting.lock();
        let waiting = &mut *guard;
        let id = *waiting.by_ufrag.get(&waiting.digests.hash_one(ufrag))?;
        let offer = waiting.offers.get_mut(&id)?;
        if !check.is_proved_by(&offer.pwd) || check.bytes.len() > MAX_CHECK {
            return None;
        }
        let [udp, tcp] = &mut offer.early_checks;
        let kept = if check.from.is_tcp() { tcp } else { udp };
        if kept.is_none() {
            // The longest: a later one takes its place.
            if waiting.bytes + MAX_CHECK > MAX_BYTES {
                return None;
            }
            offer.load.charge(MAX_CHECK);
            waiting.bytes += MAX_CHECK;
        }
        *kept = Some(Box::new((check.from, check.bytes.into())));
        Some(id)
    }

    /// True if an offer waits for its answer.
    pub(super) fn waits(&self, id: &OfferId) -> bool {
        self.waiting.lock().offers.contains_key(id)
    }

    /// True if a client has made an offer that is not answered.
    pub(super) fn has(&self, client: u64) -> bool {
        self.waiting.lock().offers.range(all_of(client)).next().is_some()
    }

    /// Forgets offers that are too old for an answer, and those of clients that have left. Asks about them
    /// without the lock.
    pub(super) fn sweep(&self, now: Instant, is_here: impl Fn(&ApiKey, CallRealm, &str) -> bool) {
        let mut next = Some(0);
        while let Some(from) = next {
            let clients = self.waiting.lock().clients_from(from);
            next = clients.last().and_then(|last| last.client.checked_add(1));
            let of_client = |one: &Offering| (one.client, is_here(&one.key, one.realm, &one.id));
            let here: Vec<(u64, bool)> = clients.iter().map(of_client).collect();
            self.unanswered.add(self.waiting.lock().forget_old(&here, now));
        }
        self.waiting.lock().sweep_ranking();
        self.loads.sweep();
    }
}

/// A client with offers.
struct Offering {
    client: u64,
    key: ApiKey,
    realm: CallRealm,
    id: Arc<str>,
}

impl WaitingOffers {
    fn record_ufrag(&mut self, ufrag: &str, id: OfferId) {
        self.by_ufrag.insert(self.digests.hash_one(ufrag), id);
    }

    fn forget_ufrag(&mut self, ufrag: &str, id: OfferId) {
        let digest = self.digests.hash_one(ufrag);
        // Another client may have sent the same one.
        if self.by_ufrag.get(&digest) == Some(&id) {
            self.by_ufrag.remove(&digest);
        }
    }

    /// Evicts an offer of a client whose offers, with those of its address, have at least as many bytes as
    /// those of the newcomer.
    fn make_room(&mut self, weight: usize) -> bool {
        let weigh = |(_, id): &(u64, OfferId)| self.offers.get(id).map(|offer| offer.load.weight_in_bytes());
        let taken = self.ranking.give_way(weight, weigh);
        taken.and_then(|(_, id)| self.remove(id)).is_some()
    }

    fn sweep_ranking(&mut self) {
        let WaitingOffers { offers, ranking, .. } = self;
        ranking.sweep(offers.len(), |(_, id)| offers.contains_key(id));
    }

    /// The next clients with offers.
    fn clients_from(&self, client: u64) -> Vec<Offering> {
        let mut clients = Vec::new();
        let mut next = Some(client);
        while let Some(from) = next.filter(|_| clients.len() < SWEPT_AT_ONCE)
            && let Some(((client, _), offer)) = self.offers.range((from, 0)..).next()
        {
            let Offer { key, realm, id, .. } = offer;
            clients.push(Offering { client: *client, key: key.clone(), realm: *realm, id: Arc::clone(id) });
            next = client.checked_add(1);
        }
        clients
    }

    /// Forgets old offers of clients, of which it is known if they are here. Returns their number.
    fn forget_old(&mut self, clients: &[(u64, bool)], now: Instant) -> u64 {
        let mut old = Vec::new();
        for &(client, is_here) in clients {
            for (id, Offer { absent, at, .. }) in self.offers.range_mut(all_of(client)) {
                *absent = (!is_here).then(|| absent.unwrap_or(now));
                let has_left = absent.is_some_and(|since| now.millis_since(since) >= ABSENT);
                if has_left || now.millis_since(*at) > ANSWER_TIMEOUT {
                    old.push(*id);
                }
            }
        }
        old.iter().filter(|id| self.remove(**id).is_some()).count() as u64
    }

    fn remove(&mut self, id: OfferId) -> Option<Offer> {
        let offer = self.offers.remove(&id)?;
        self.bytes -= offer.load.bytes();
        self.forget_ufrag(&offer.ufrag, id);
        Some(offer)
    }
}

/// Bytes of the texts of an offer.
fn bytes(parties: Parties<'_>, IceCredentials { ufrag, pwd }: IceCredentials<'_>) -> usize {
    let connection = parties.connection.map_or(0, str::len);
    parties.offerer.len() + parties.answerer.len() + connection + ufrag.len() + pwd.len()
}

/// All offers of a client.
fn all_of(client: u64) -> RangeInclusive<OfferId> {
    (client, 0)..=(client, u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: IceCredentials<'static> = IceCredentials { ufrag: "ufrag", pwd: "pwd" };

    fn record(offers: &Offers, offerer: Offerer, id: &str, to: &str) -> bool {
        let key = ApiKey::parse("peerjs").expect("a key");
        let parties = Parties {
            key: &key,
            realm: CallRealm { number: 0, hears_of_calls: true },
            offerer: id,
            answerer: to,
            connection: None,
            only_relayed: false,
        };
        offers.record(offerer, parties, CREDENTIALS, Instant::default())
    }

    #[test]
    fn offers_have_a_bound_of_bytes_and_the_heaviest_address_gives_way() {
        const ADDRESSES: u64 = 20;
        let offers = Offers::default();
        let long = "x".repeat(512);
        // More offers, but fewer bytes, than any other address.
        let school = |n: u64| Offerer { client: 1 + n, address: Some(0) };
        assert!((0..3000).all(|n| record(&offers, school(n), "pupil", &n.to_string())));
        for n in 0..256 * 200 {
            let client = 1_000_000 + n / 256;
            let attacker = Offerer { client, address: Some(1 + client % ADDRESSES) };
            record(&offers, attacker, &long, &format!("{n:x<512}"));
        }
        let waiting = offers.waiting.lock();
        assert!(waiting.bytes <= MAX_BYTES && waiting.bytes > MAX_BYTES / 10 * 9, "{}", waiting.bytes);
        assert_eq!(waiting.bytes, waiting.offers.values().map(|offer| offer.load.bytes()).sum::<usize>());
        assert_eq!((0..3000).filter(|n| waiting.offers.range(all_of(1 + n)).next().is_some()).count(), 3000);
    }

    #[test]
    fn offers_are_not_locked_while_the_sweeper_asks_who_is_here() {
        let offers = Offers::default();
        let clients = 3 * SWEPT_AT_ONCE as u64;
        for client in 0..clients {
            assert!(record(&offers, Offerer { client, address: None }, &client.to_string(), "callee"));
        }
        let asked = std::cell::Cell::new(0);
        let is_even = |_: &ApiKey, _, id: &str| {
            assert!(offers.waiting.try_lock().is_some(), "another thread may make an offer");
            asked.set(asked.get() + 1);
            id.parse::<u64>().is_ok_and(|id| id.is_multiple_of(2))
        };
        offers.sweep(Instant::default(), is_even);
        offers.sweep(Instant::from_millis(ABSENT), is_even);
        assert_eq!(asked.get(), 2 * clients);
        assert!((0..clients).all(|client| offers.has(client) == client.is_multiple_of(2)));
        assert_eq!(offers.unanswered.get(), clients / 2);
        offers.sweep(Instant::from_millis(ANSWER_TIMEOUT + 1), |_, _, _| true);
        assert!((0..clients).all(|client| !offers.has(client)));
        assert_eq!(offers.waiting.lock().bytes, 0);
    }
}
