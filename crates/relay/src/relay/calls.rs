//! All calls: how a datagram finds its own, and the limits of all together.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::SyncSender;

use dashmap::DashMap;
use parking_lot::Mutex;
use peerbroker_core::address::is_public;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, IceCredentials};
use peerbroker_media_api::{
    CallOutcome, CallRealm, CandidateNudge, Dropped, EndedCalls, MediaContext, MediaLimits, Parties,
    RelayTotals,
};
use stun_types::message::MessageClass;

use super::call::{Call, OfKey};
use super::endpoint::{Endpoint, Outgoing, Transport};
use super::load::{Load, Loads, Most, Offerer, Ranking};
use super::offers::{OfferId, Offers};
use super::session::{self, CallSide, Handled, IceSession, Outcome};
use super::stun::Stun;
use super::timer::Timer;
use crate::datapath::addresses::Addresses;
use crate::datapath::counters::TrafficCounters;
use crate::datapath::pace::UnverifiedSourceLimiter;
use crate::datapath::shares::{Share, Shares};
use crate::datapath::stun::mapped;

/// Number of calls that are checked before the next datagrams are read.
const BATCH_SIZE: usize = 64;

/// Most open calls that one client has begun. Chromium gives a page no more than 500 connections.
const MAX_PER_CLIENT: usize = 512;

/// The calls of a relay.
pub struct Calls {
    context: MediaContext,
    own: Addresses,
    /// True if clients may have private addresses.
    private: AtomicBool,
    pub(super) offers: Offers,
    by_number: DashMap<u32, Arc<Call>>,
    /// By the digest of the username: the text would take more memory than the rest. The password decides in
    /// any case.
    by_username: DashMap<u64, (Arc<Call>, CallSide)>,
    digests: RandomState,
    /// The addresses that have proved themselves.
    by_address: DashMap<Endpoint, (Arc<Call>, CallSide)>,
    shares: Shares<ApiKey, OfKey>,
    loads: Loads,
    /// The order in which calls are evicted when there are too many.
    ranking: Mutex<Ranking<u32>>,
    unverified: UnverifiedSourceLimiter,
    next_number: AtomicU32,
    /// The times at which calls have to look after their addresses.
    timer: Timer,
    nudges: SyncSender<CandidateNudge>,
    /// Of each thread.
    counters: Mutex<Vec<Arc<TrafficCounters>>>,
    /// The totals that nothing else knows.
    counted: Mutex<RelayTotals>,
    /// True if it takes no more calls.
    has_retired: AtomicBool,
}

impl Calls {
    pub(super) fn new(
        context: MediaContext,
        own: Addresses,
        private: bool,
        nudges: SyncSender<CandidateNudge>,
    ) -> Self {
        Calls {
            context,
            own,
            private: AtomicBool::new(private),
            offers: Offers::default(),
            by_number: DashMap::new(),
            by_username: DashMap::new(),
            digests: RandomState::new(),
            by_address: DashMap::new(),
            shares: Shares::default(),
            loads: Loads::default(),
            ranking: Mutex::default(),
            unverified: UnverifiedSourceLimiter::default(),
            // Random, so that other clients cannot predict it.
            next_number: AtomicU32::new(rand::random()),
            timer: Timer::default(),
            nudges,
            counters: Mutex::default(),
            counted: Mutex::default(),
            has_retired: AtomicBool::new(false),
        }
    }

    /// Clients may have private addresses from now on, or not.
    pub(super) fn set_private(&self, private: bool) {
        self.private.store(private, Ordering::Relaxed);
    }

    /// Counters for another thread.
    pub(super) fn add_thread(&self) -> Arc<TrafficCounters> {
        let counters = Arc::default();
        self.counters.lock().push(Arc::clone(&counters));
        counters
    }

    /// Remembers an offer of a client at that address until its answer comes. False if there are too many.
    pub fn record_offer(
        &self,
        parties: Parties<'_>,
        address: Option<IpAddr>,
        offer: IceCredentials<'_>,
    ) -> bool {
        if self.has_retired.load(Ordering::Relaxed) {
            return false;
        }
        let client = self.client(parties.key, parties.realm, parties.offerer);
        let address = AddressPrefix::of_remote(address).map(|prefix| self.digests.hash_one(prefix));
        let is_noted =
            self.offers.record(Offerer { client, address }, parties, offer, self.context.clock.now());
        if !is_noted {
            self.refuse(parties);
        }
        is_noted
    }

    /// True if an offer of `offerer` waits for an answer.
    pub fn awaits_answer(&self, key: &ApiKey, realm: CallRealm, offerer: &str) -> bool {
        self.offers.has(self.client(key, realm, offerer))
    }

    fn client(&self, key: &ApiKey, realm: CallRealm, id: &str) -> u64 {
        self.digests.hash_one((key, realm, id))
    }

    /// Begins a call when it is answered. False if its offer is not known, or a limit is reached. A guest
    /// whose answer comes from another node may be known here by an alias.
    pub fn begin(&self, parties: Parties<'_>, answer: IceCredentials<'_>, may_be_alias: bool) -> bool {
        if self.has_retired.load(Ordering::Relaxed) {
            return false;
        }
        let client = self.client(parties.key, parties.realm, parties.offerer);
        let Some(mut offer) = self.offers.take(client, parties, may_be_alias) else { return false };
        let offerer = offer.offerer;
        let early_checks = std::mem::take(&mut offer.early_checks);
        let offer = offer.credentials();
        let names = [[answer.ufrag, ":", offer.ufrag].concat(), [offer.ufrag, ":", answer.ufrag].concat()];
        let names = names.map(|name| self.digests.hash_one(name));
        if names.iter().any(|name| self.by_username.contains_key(name)) {
            // The same two sides have described something else, and their path stays.
            return true;
        }
        let Some((share, load)) = self.reserve_call(parties.key, offerer) else {
            self.refuse(parties);
            return false;
        };
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let now = self.context.clock.now();
        self.ranking.lock().add(load.weight(), number);
        share.ranking.lock().add(load.weight(), number);
        let session = IceSession::new(number, offer, answer, now);
        let call = Arc::new(Call::new(number, session, parties, share, load));
        for (name, end) in names.into_iter().zip([CallSide::Offerer, CallSide::Answerer]) {
            self.by_username.insert(name, (Arc::clone(&call), end));
        }
        self.by_number.insert(number, Arc::clone(&call));
        for (from, bytes) in early_checks.into_iter().flatten().map(|early| *early) {
            if let Some(check) = Stun::parse(from, &bytes) {
                // Nothing is sent yet: a direct path has a head start.
                let _ = self.on_check(&check, now);
            }
        }
        self.timer.set(number, now + Transport::Udp.head_start());
        self.counted.lock().offered += 1;
        true
    }

    /// Counts a call above a limit.
    fn refuse(&self, parties: Parties<'_>) {
        self.counted.lock().refused += 1;
        self.conclude(parties, session::limited(parties.only_relayed));
    }

    /// Counts the outcome of a call.
    fn conclude(&self, parties: Parties<'_>, outcome: CallOutcome) {
        *self.counted.lock().ended.entry(outcome).or_default() += 1;
        if let CallOutcome::Failed(why) = outcome {
            self.context.host.call_failed(parties, why);
        }
    }

    /// The source of time.
    pub(super) fn clock(&self) -> &Clock {
        &self.context.clock
    }

    /// Waits until a call has to look after its addresses.
    pub(super) async fn until_due(&self) {
        self.timer.until_due(&self.context.clock).await;
    }

    /// Checks the clients of calls that did not find a direct path in time, and keeps the paths of the others
    /// open. Returns the datagrams to send.
    pub(super) fn on_time(&self) -> Vec<Outgoing<'static>> {
        let now = self.context.clock.now();
        let mut all = Vec::new();
        for number in std::iter::from_fn(|| self.timer.next(now)).take(BATCH_SIZE) {
            let Some(call) = self.call(number) else { continue };
            let mut session = call.session.lock();
            all.extend(session.on_time(now));
            self.timer.set(number, session.next_time(now));
        }
        all
    }

    fn call(&self, number: u32) -> Option<Arc<Call>> {
        self.by_number.get(&number).map(|call| Arc::clone(&call))
    }

    /// Counts a call, within the limits of the configuration. If there is no room, it replaces an unused call
    /// of a client that has at least as many.
    fn reserve_call(&self, key: &ApiKey, offerer: Offerer) -> Option<(Share<OfKey>, Load)> {
        let limits = self.limits();
        // Half: then one address alone does not leave others without the relay, and a school has enough.
        let most = Most { of_client: MAX_PER_CLIENT, of_address: limits.calls.div_ceil(2) };
        let load = self.loads.add(offerer, most)?;
        let share = self.shares.add(key.clone());
        share.traffic.own.store(Arc::new(self.context.host.limits_of(key.as_str())));
        let of_key = share.traffic.own.load().calls.unwrap_or(limits.calls);
        let has_room = (share.count() <= of_key || self.displace(&share.ranking, &load))
            && (self.by_number.len() < limits.calls || self.displace(&self.ranking, &load));
        has_room.then_some((share, load))
    }

    /// Ends the first unused call of a ranking, in favour of a new one.
    fn displace(&self, ranking: &Mutex<Ranking<u32>>, new: &Load) -> bool {
        let number = ranking.lock().give_way(new.weight(), |number| self.call(*number)?.weight_unused());
        let Some(call) = number.and_then(|number| self.call(number)) else { return false };
        self.remove(&call, true);
        self.counted.lock().displaced += 1;
        true
    }

    /// Handles a STUN message. Returns the datagrams to send.
    pub(super) fn on_stun<'a>(
        &self,
        counters: &TrafficCounters,
        from: Endpoint,
        bytes: &'a [u8],
    ) -> Vec<Outgoing<'a>> {
        let stun = Stun::parse(from, bytes).ok_or(Dropped::Unknown);
        let handled = stun.and_then(|stun| match stun.message.class() {
            MessageClass::Request => self.on_request(&stun, counters),
            MessageClass::Success | MessageClass::Error => self.on_response(&stun),
            // They only keep a way through a NAT open.
            MessageClass::Indication => Ok(Outcome::default()),
        });
        let Outcome { send, too_much, .. } = handled.unwrap_or_else(|why| {
            counters.dropped(why, 1);
            Outcome::default()
        });
        counters.dropped(Dropped::TooMuch, too_much);
        send
    }

    fn on_request<'a>(&self, request: &Stun<'a>, counters: &TrafficCounters) -> Handled<'a> {
        let from = request.from;
        let now = self.context.clock.now();
        if !self.may_be_client(from) {
            // A call that fails without it says why.
            if self.admits_unverified(from, now)
                && let Some((call, end)) = self.named(request)
            {
                call.session.lock().refuse(end, request);
            }
            return Err(Dropped::Address);
        }
        if self.known(from).is_none() && !self.admits_unverified(from, now) {
            return Err(Dropped::TooMuch);
        }
        if request.username().is_none() {
            // A client that asks for its own address.
            counters.bindings.add(1);
            return Ok(Outcome::reply(from, mapped(&request.message, from.address())));
        }
        match self.on_check(request, now) {
            Ok((call, end, outcome)) => Ok(self.settle(&call, end, outcome, now)),
            // It came before the answer. Chromium sends no second one if it finds a direct path first.
            Err(Dropped::Unknown) if !from.is_tcp() && self.offers.keep_check(request).is_some() => {
                Ok(Outcome::default())
            }
            Err(why) => Err(why),
        }
    }

    /// Finds the call of a check by its username, and hands the check to it.
    fn on_check<'a>(
        &self,
        check: &Stun<'a>,
        now: Instant,
    ) -> Result<(Arc<Call>, CallSide, Outcome<'a>), Dropped> {
        let (call, end) = self.named(check).ok_or(Dropped::Unknown)?;
        let mut session = call.session.lock();
        // With the lock, so that `end_banned` finds the address if the ban was not active yet.
        if self.is_banned(&call, check.from) {
            return Err(Dropped::Address);
        }
        let outcome = session.on_request(end, check, now)?;
        drop(session);
        Ok((call, end, outcome))
    }

    fn is_banned(&self, call: &Call, client: Endpoint) -> bool {
        self.context.host.is_banned(call.key.as_str(), client.address().ip())
    }

    /// The call that a check names, and the side that it says to come from.
    fn named(&self, check: &Stun<'_>) -> Option<(Arc<Call>, CallSide)> {
        let named = self.by_username.get(&self.digests.hash_one(check.username()?.username()))?;
        Some(named.clone())
    }

    fn on_response<'a>(&self, response: &Stun<'a>) -> Handled<'a> {
        let now = self.context.clock.now();
        let known = self.known(response.from);
        if known.is_none() && !self.admits_unverified(response.from, now) {
            return Err(Dropped::TooMuch);
        }
        // An answer to our own check names its call. So a client may use the same address for another call.
        let named = self.call(session::number_in(&response.transaction));
        let named = named.iter().flat_map(|call| [(call, CallSide::Offerer), (call, CallSide::Answerer)]);
        let mut last = Dropped::Unknown;
        for (call, end) in named.chain(known.iter().map(|(call, end)| (call, *end))) {
            let handled = call.session.lock().on_response(end, response, now);
            match handled {
                Ok(outcome) => return Ok(self.settle(call, end, outcome, now)),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Records the new owners of addresses, and charges the datagrams. Leaves those that may be sent.
    fn settle<'a>(
        &self,
        call: &Arc<Call>,
        end: CallSide,
        mut outcome: Outcome<'a>,
        now: Instant,
    ) -> Outcome<'a> {
        if let Some(nudge) = outcome.nudge.and_then(|(whom, times)| call.nudge(whom, times)) {
            // If there is no room, the receiver is far behind.
            let _ = self.nudges.try_send(nudge);
        }
        outcome.given_up.iter().for_each(|address| self.forget(call, *address));
        if let Some(proved) = outcome.proved {
            self.by_address.insert(proved, (Arc::clone(call), end));
        }
        if outcome.joins {
            self.counted.lock().joined += 1;
        }
        call.let_pass(end, &mut outcome, &self.limits(), now);
        outcome
    }

    /// Finds the destination of datagrams that are not STUN: `packets` with `bytes` together.
    pub(super) fn route(&self, from: Endpoint, packets: u64, bytes: usize) -> Result<Endpoint, Dropped> {
        let (call, end) = self.known(from).ok_or(Dropped::Unknown)?;
        let now = self.context.clock.now();
        let to = call.session.lock().on_data(end, from, now)?;
        if !call.charge(packets, bytes, &self.limits(), now) {
            return Err(Dropped::TooMuch);
        }
        if call.carries(bytes, from.transport, to.transport, now) {
            self.counted.lock().carried += 1;
            self.context.host.call_relayed(call.parties());
        }
        Ok(to)
    }

    /// True if an address has proved itself.
    pub(super) fn is_client(&self, from: Endpoint) -> bool {
        self.by_address.contains_key(&from)
    }

    /// The bytes per second of the call of an address that has proved itself.
    pub(super) fn rate_of(&self, from: Endpoint) -> Option<u32> {
        let known = self.by_address.get(&from)?;
        Some(known.0.share.traffic.bytes_per_second(self.limits().bytes_per_second))
    }

    /// Keeps a check that came over TCP before the answer to its offer. Returns the offer.
    pub(super) fn keep_early_check(&self, from: Endpoint, datagram: &[u8]) -> Option<OfferId> {
        let stun = Stun::parse(from, datagram)?;
        let is_check = stun.message.class() == MessageClass::Request && self.may_be_client(from);
        is_check.then(|| self.offers.keep_check(&stun))?
    }

    /// The connection of an address is closed.
    pub(super) fn leave(&self, from: Endpoint) {
        if let Some((_, (call, end))) = self.by_address.remove(&from) {
            call.session.lock().leave(end, from);
        }
    }

    fn known(&self, from: Endpoint) -> Option<(Arc<Call>, CallSide)> {
        self.by_address.get(&from).map(|known| known.clone())
    }

    fn may_be_client(&self, from: Endpoint) -> bool {
        let address = from.address();
        // Over TCP, nobody forges an address, and a proxy may have a private one.
        let is_allowed = from.is_tcp() || self.private.load(Ordering::Relaxed) || is_public(address.ip());
        address.port() != 0 && is_allowed && !self.own.has(address)
    }

    /// Counts a datagram of an address that has proved nothing. False if it is too many.
    fn admits_unverified(&self, from: Endpoint, now: Instant) -> bool {
        let ip = from.address().ip();
        // A proxy of this machine has one address for all of its clients. Each connection has a rate limit in
        // any case.
        from.is_tcp() && ip.is_loopback() || self.unverified.allows(ip, now)
    }

    /// Forgets calls that are over, offers without an answer, and those of clients that are not here.
    pub fn sweep(&self, is_here: impl Fn(&ApiKey, CallRealm, &str) -> bool) {
        let now = self.context.clock.now();
        self.offers.sweep(now, is_here);
        self.unverified.sweep(now);
        let all = self.all();
        let is_over = |call: &&Arc<Call>| call.session.lock().is_over(now);
        all.iter().filter(is_over).for_each(|call| self.remove(call, false));
        drop(all);
        let is_there = |number: &u32| self.by_number.contains_key(number);
        self.ranking.lock().sweep(self.by_number.len(), is_there);
        self.shares.sweep(|_| false);
        for (key, share) in self.shares.all() {
            share.traffic.own.store(Arc::new(self.context.host.limits_of(key.as_str())));
            share.ranking.lock().sweep(share.count(), is_there);
        }
        self.loads.sweep();
    }

    /// Ends the calls of clients that are banned.
    pub fn end_banned(&self) {
        let all = self.all();
        let is_banned = |call: &&Arc<Call>| {
            let session = call.session.lock();
            session.addresses().any(|client| self.is_banned(call, client))
        };
        all.iter().filter(is_banned).for_each(|call| self.remove(call, false));
    }

    /// Ends a call, which may be `displaced` by another one.
    fn remove(&self, call: &Call, displaced: bool) {
        let session = call.session.lock();
        let carried = call.carried(session.last_heard());
        let outcome = session.outcome(call.only_relayed, displaced);
        let addresses: Vec<Endpoint> = session.addresses().collect();
        let names = [CallSide::Offerer, CallSide::Answerer]
            .map(|end| self.digests.hash_one(session.username_of(end)));
        drop(session);
        for address in addresses {
            self.forget(call, address);
        }
        for name in names {
            self.by_username.remove_if(&name, |_, (known, _)| known.number == call.number);
        }
        if self.by_number.remove(&call.number).is_none() {
            // Another thread has ended it.
            return;
        }
        self.conclude(call.parties(), carried.map_or(outcome, |carried| CallOutcome::Relayed(carried.over)));
        if let Some(carried) = carried {
            self.context.host.relayed_call_ended(call.parties(), carried);
        }
    }

    fn forget(&self, call: &Call, address: Endpoint) {
        self.by_address.remove_if(&address, |_, (known, _)| known.number == call.number);
    }

    /// Takes no more calls, and forgets those that do not need it. Returns the addresses over UDP of the
    /// clients of the others.
    pub(super) fn retire(&self) -> Vec<SocketAddr> {
        self.has_retired.store(true, Ordering::Relaxed);
        let now = self.context.clock.now();
        let mut clients = Vec::new();
        for call in self.all() {
            let session = call.session.lock();
            if session.is_open(now) {
                let over_udp = session.addresses().filter(|address| !address.is_tcp());
                clients.extend(over_udp.map(Endpoint::address));
                continue;
            }
            drop(session);
            self.remove(&call, false);
        }
        // Several calls may share an address.
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// The number of calls that carry something, or may do so soon.
    pub fn open(&self) -> usize {
        let now = self.context.clock.now();
        self.all().iter().filter(|call| call.session.lock().is_open(now)).count()
    }

    /// Ends the calls of clients at these addresses over UDP, or all calls. `tell` tells clients that have no
    /// call any more, and returns true if both know it then. Each client also hears it when it checks its
    /// path.
    pub fn end(&self, at: Option<&HashSet<SocketAddr>>, mut tell: impl FnMut(EndedCalls) -> bool) {
        let is_at =
            |at: &HashSet<SocketAddr>, client: Endpoint| !client.is_tcp() && at.contains(&client.address());
        let now = self.context.clock.now();
        // The calls of each two clients, and true if all of them end and were relayed.
        let mut pairs: HashMap<_, (bool, Vec<Arc<Call>>)> = HashMap::new();
        for call in self.all() {
            let mut session = call.session.lock();
            if session.is_over(now) {
                continue;
            }
            let ends = at.is_none_or(|at| session.addresses().any(|client| is_at(at, client)));
            session.is_ending |= ends;
            let is_lost = ends && session.is_carried(now);
            drop(session);
            if let Some(clients) = call.clients() {
                let pair = pairs.entry(clients).or_insert((true, Vec::new()));
                pair.0 &= is_lost;
                pair.1.push(call);
            }
        }
        for (clients, (is_lost, calls)) in pairs {
            // PeerJS 1.5.5 overlooks every second connection to a peer that leaves, so several are also told
            // by their checks.
            if is_lost
                && tell(clients)
                && let [call] = &calls[..]
            {
                call.session.lock().record_told();
            }
        }
    }

    /// Removes clients that have a call with each other here: their calls at another relay have ended.
    pub fn forget_connected(&self, ended: &mut Vec<EndedCalls>) {
        let now = self.context.clock.now();
        let all = self.all();
        let here = all.iter().filter(|call| !call.session.lock().is_over(now));
        let connected: HashSet<EndedCalls> = here.filter_map(|call| call.clients()).collect();
        ended.retain(|clients| !connected.contains(clients));
    }

    /// The number of calls that end, and whose clients do not know it yet.
    pub fn awaited(&self) -> usize {
        let now = self.context.clock.now();
        self.all().iter().filter(|call| call.session.lock().is_awaited(now)).count()
    }

    // Collected first: no lock of the map is held while a call is locked or removed.
    fn all(&self) -> Vec<Arc<Call>> {
        self.by_number.iter().map(|call| Arc::clone(&call)).collect()
    }

    /// The totals since the start.
    pub fn totals(&self) -> RelayTotals {
        let mut totals = self.counted.lock().clone();
        totals.calls = self.by_number.len();
        totals.asked = self.offers.asked.get();
        totals.ended.insert(CallOutcome::Unanswered, self.offers.unanswered.get());
        self.counters.lock().iter().for_each(|counters| counters.add_to(&mut totals.traffic));
        totals
    }

    pub(super) fn limits(&self) -> MediaLimits {
        **self.context.limits.load()
    }
}
