//! All calls: how a datagram finds its own, and the limits of all together.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;

use super::call::Call;
use super::counters::{Counters, Dropped, RelayTotals};
use super::endpoint::{Endpoint, Outgoing, Transport};
use super::load::{Load, Loads, Most, Owner, Ranking};
use super::offers::Offers;
use super::parties::Parties;
use super::session::{self, End, Outcome, Session};
use super::shares::{Share, Shares};
use super::stun::Stun;
use super::timer::Timer;
use super::wakes::{Named, Wake};
use crate::address::is_public;
use crate::clock::Clock;
use crate::config::{LiveConfig, RelayLimits};
use crate::events::{Event, Events, PeerAddress};
use crate::limits::{AddressPrefix, Strangers};
use crate::wire::{ApiKey, IceCredentials, RealmKind};

/// Calls that are looked after before the next datagrams are read.
const AT_ONCE: usize = 64;

/// Milliseconds in which a client has to come after its call began.
const UNUSED: u64 = 120_000;

/// Most calls of one client that it has offered. Chromium gives a page no more than 500 connections.
const MAX_PER_CLIENT: usize = 512;

/// The calls of a relay.
pub(super) struct Calls {
    pub(super) config: LiveConfig,
    clock: Clock,
    events: Events,
    own: Vec<SocketAddr>,
    /// Whether clients may have private addresses.
    private: bool,
    offers: Offers,
    by_number: DashMap<u32, Arc<Call>>,
    /// By the digest of the username: its text would take more than the rest. The password decides, in any case.
    by_username: DashMap<u64, (Arc<Call>, End)>,
    digests: RandomState,
    /// Addresses that have proved themselves.
    by_address: DashMap<Endpoint, (Arc<Call>, End)>,
    shares: Shares,
    loads: Loads,
    /// The order in which calls give way when there are too many.
    ranking: Mutex<Ranking<u32>>,
    strangers: Strangers,
    next_number: AtomicU32,
    /// When each call has to look after its addresses.
    timer: Timer,
    wakes: SyncSender<Wake>,
    counters: Box<[Counters]>,
    offered: AtomicU64,
    joined: AtomicU64,
    carried: AtomicU64,
    refused: AtomicU64,
    displaced: AtomicU64,
}

impl Calls {
    pub(super) fn new(
        config: LiveConfig,
        clock: Clock,
        events: Events,
        own: Vec<SocketAddr>,
        private: bool,
        threads: usize,
        wakes: SyncSender<Wake>,
    ) -> Self {
        Calls {
            config,
            clock,
            events,
            own,
            private,
            offers: Offers::default(),
            by_number: DashMap::new(),
            by_username: DashMap::new(),
            digests: RandomState::new(),
            by_address: DashMap::new(),
            shares: Shares::default(),
            loads: Loads::default(),
            ranking: Mutex::default(),
            strangers: Strangers::default(),
            // Not what others can count along with.
            next_number: AtomicU32::new(rand::random()),
            timer: Timer::default(),
            wakes,
            counters: (0..threads).map(|_| Counters::default()).collect(),
            offered: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
        }
    }

    /// Remembers an offer of a client at that address until its answer comes. False if there are too many.
    pub(super) fn note_offer(
        &self,
        parties: Parties<'_>,
        address: Option<IpAddr>,
        offer: IceCredentials<'_>,
    ) -> bool {
        let client = self.client(parties.key, parties.realm, parties.offerer);
        let address = AddressPrefix::of_remote(address).map(|prefix| self.digests.hash_one(prefix));
        let is_noted = self.offers.note(Owner { client, address }, parties, offer, self.clock.now());
        if !is_noted {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_noted
    }

    pub(super) fn awaits_answer(&self, PeerAddress { key, realm, id }: &PeerAddress) -> bool {
        self.offers.has(self.client(key, *realm, id.as_str()))
    }

    fn client(&self, key: &ApiKey, realm: RealmKind, id: &str) -> u64 {
        self.digests.hash_one((key, realm, id))
    }

    /// Begins a call when it is answered. False if its offer is not known, or a limit is reached.
    pub(super) fn begin(&self, parties: Parties<'_>, answer: IceCredentials<'_>, may_be_alias: bool) -> bool {
        let client = self.client(parties.key, parties.realm, parties.offerer);
        let Some(offer) = self.offers.take(client, parties, may_be_alias) else { return false };
        let owner = offer.owner;
        let offer = offer.credentials();
        let names = [[answer.ufrag, ":", offer.ufrag].concat(), [offer.ufrag, ":", answer.ufrag].concat()];
        let names = names.map(|name| self.digests.hash_one(name));
        if names.iter().any(|name| self.by_username.contains_key(name)) {
            // The same two sides have described something else, and their way stays.
            return true;
        }
        let Some((share, load)) = self.admit(parties.key, owner) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let (number, now) = (self.next_number.fetch_add(1, Ordering::Relaxed), self.clock.now());
        self.ranking().add(load.weight(), number);
        share.ranking().add(load.weight(), number);
        let session = Session::new(number, offer, answer, now);
        let call = Arc::new(Call::new(number, session, Named::new(parties), share, load));
        for (name, end) in names.into_iter().zip([End::Offerer, End::Answerer]) {
            self.by_username.insert(name, (Arc::clone(&call), end));
        }
        self.by_number.insert(number, call);
        self.timer.set(number, now + Transport::Udp.head_start());
        self.offered.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Waits until a call has to look after its addresses.
    pub(super) async fn until_due(&self) {
        self.timer.until_due(&self.clock).await;
    }

    /// Checks the clients of calls that did not find a direct way in time, and keeps the ways of the others open.
    pub(super) fn on_time(&self, thread: usize, mut send: impl FnMut(Endpoint, &[u8])) {
        let now = self.clock.now();
        for _ in 0..AT_ONCE {
            let Some(number) = self.timer.next(now) else { return };
            let call = self.by_number.get(&number).map(|call| Arc::clone(&call));
            let Some(call) = call else { continue };
            let mut session = call.session();
            let checks = session.on_time(now);
            let next = session.next_time(now);
            drop(session);
            self.timer.set(number, next);
            self.send_all(thread, checks, &mut send);
        }
    }

    fn send_all(&self, thread: usize, datagrams: Vec<Outgoing<'_>>, send: &mut impl FnMut(Endpoint, &[u8])) {
        for Outgoing { to, bytes } in datagrams {
            if let Some(counters) = self.counters.get(thread) {
                counters.passed(1, bytes.len() as u64);
            }
            send(to, &bytes);
        }
    }

    /// Counts a call, within the limits of the configuration. If there is no room, an unused call of somebody gives way who has no
    /// fewer.
    fn admit(&self, key: &ApiKey, owner: Owner) -> Option<(Share, Load)> {
        let limits = self.limits();
        // Half: then one address alone does not leave others without the relay, and a school has enough.
        let most = Most { of_client: MAX_PER_CLIENT, of_address: limits.calls.div_ceil(2) };
        let (load, share) = (self.loads.add(owner, most)?, self.shares.add(key));
        let has_room = (share.calls() <= limits.calls_per_key || self.displace(share.ranking(), &load))
            && (self.by_number.len() < limits.calls || self.displace(self.ranking(), &load));
        has_room.then_some((share, load))
    }

    /// Ends the first unused call of a ranking that gives way to a new one.
    fn displace(&self, mut ranking: MutexGuard<'_, Ranking<u32>>, new: &Load) -> bool {
        let find = |number: &u32| self.by_number.get(number).map(|call| Arc::clone(&call));
        let number = ranking.give_way(new.weight(), |number| find(number)?.weight_unused());
        drop(ranking);
        let call = number.and_then(|number| find(&number));
        call.iter().for_each(|call| {
            self.remove(call);
            self.displaced.fetch_add(1, Ordering::Relaxed);
        });
        call.is_some()
    }

    /// Handles a STUN message. `send` sends a datagram.
    pub(super) fn on_stun(
        &self,
        thread: usize,
        from: Endpoint,
        bytes: &[u8],
        mut send: impl FnMut(Endpoint, &[u8]),
    ) {
        let Some(counters) = self.counters.get(thread) else { return };
        let handled = match Stun::parse(bytes) {
            Some(request) if request.is_request() => self.on_request(from, &request, bytes, counters),
            Some(response) if response.is_response() => self.on_response(from, &response, bytes, counters),
            // Indications only keep a way through a NAT open.
            Some(_) => return,
            None => Err(Dropped::Unknown),
        };
        match handled {
            Ok(outcome) => self.send_all(thread, outcome.send, &mut send),
            Err(why) => counters.dropped(why, 1),
        }
    }

    fn on_request<'a>(
        &self,
        from: Endpoint,
        request: &Stun<'_>,
        bytes: &'a [u8],
        counters: &Counters,
    ) -> Result<Outcome<'a>, Dropped> {
        let now = self.clock.now();
        if !self.may_be_client(from) {
            return Err(Dropped::Address);
        }
        if self.known(from).is_none() && !self.strangers.admit(from.address().ip(), now) {
            return Err(Dropped::TooMuch);
        }
        let Some(username) = request.username() else {
            // A client that asks for its own address.
            counters.binding();
            return Ok(Outcome::reply(from, request.mapped(from.address())));
        };
        let named = self
            .by_username
            .get(&self.digests.hash_one(username.username()))
            .map(|named| (Arc::clone(&named.0), named.1));
        let (call, end) = named.ok_or(Dropped::Unknown)?;
        let mut outcome = call.session().on_request(end, from, request, bytes, now)?;
        self.settle(&call, end, &outcome);
        counters.dropped(Dropped::TooMuch, call.let_pass(end, from, &mut outcome, &self.limits(), now));
        Ok(outcome)
    }

    fn on_response<'a>(
        &self,
        from: Endpoint,
        response: &Stun<'_>,
        bytes: &'a [u8],
        counters: &Counters,
    ) -> Result<Outcome<'a>, Dropped> {
        let now = self.clock.now();
        let known = self.known(from);
        if known.is_none() && !self.strangers.admit(from.address().ip(), now) {
            return Err(Dropped::TooMuch);
        }
        // An answer to our own check names its call. So a client may come again for another one with the same address.
        let number = session::number_in(&response.transaction);
        let named = self.by_number.get(&number).map(|call| Arc::clone(&call));
        let named = named.iter().flat_map(|call| [(call, End::Offerer), (call, End::Answerer)]);
        let mut last = Err(Dropped::Unknown);
        for (call, end) in named.chain(known.iter().map(|(call, end)| (call, *end))) {
            last = call.session().on_response(end, from, response, bytes, now);
            if let Ok(outcome) = &mut last {
                self.settle(call, end, outcome);
                let dropped = call.let_pass(end, from, outcome, &self.limits(), now);
                counters.dropped(Dropped::TooMuch, dropped);
                break;
            }
        }
        last
    }

    /// Notes which addresses are now whose.
    fn settle(&self, call: &Arc<Call>, end: End, outcome: &Outcome<'_>) {
        if let (Some((whom, times)), Some(named)) = (outcome.wake, &call.named) {
            // Whoever takes them is far behind if there is no room.
            let _ = self.wakes.try_send(named.wake(whom, times));
        }
        outcome.given_up.iter().for_each(|address| self.forget(call, *address));
        if let Some(proved) = outcome.proved {
            self.by_address.insert(proved, (Arc::clone(call), end));
            if call.joins() {
                self.joined.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Where datagrams of an address go that are not STUN: `packets` with `bytes` together.
    pub(super) fn forward(
        &self,
        thread: usize,
        from: Endpoint,
        packets: u64,
        bytes: usize,
    ) -> Option<Endpoint> {
        let counters = self.counters.get(thread)?;
        match self.way(from, packets, bytes) {
            Ok(to) => {
                counters.passed(packets, bytes as u64);
                Some(to)
            }
            Err(why) => {
                counters.dropped(why, packets);
                None
            }
        }
    }

    fn way(&self, from: Endpoint, packets: u64, bytes: usize) -> Result<Endpoint, Dropped> {
        let (call, end) = self.known(from).ok_or(Dropped::Unknown)?;
        let now = self.clock.now();
        let to = call.session().on_data(end, from, now)?;
        if !call.charge(packets, bytes, &self.limits(), now) {
            return Err(Dropped::TooMuch);
        }
        if call.carries() {
            self.carried.fetch_add(1, Ordering::Relaxed);
            self.events.emit(|| Event::CallRelayed { key: call.share.key().clone() });
        }
        Ok(to)
    }

    pub(super) fn count_full(&self, thread: usize) {
        if let Some(counters) = self.counters.get(thread) {
            counters.dropped(Dropped::Full, 1);
        }
    }

    /// Whether an address has proved itself.
    pub(super) fn is_client(&self, from: Endpoint) -> bool {
        self.by_address.contains_key(&from)
    }

    /// The connection of an address is closed.
    pub(super) fn leave(&self, from: Endpoint) {
        if let Some((_, (call, end))) = self.by_address.remove(&from) {
            call.session().leave(end, from);
        }
    }

    fn known(&self, from: Endpoint) -> Option<(Arc<Call>, End)> {
        self.by_address.get(&from).map(|known| (Arc::clone(&known.0), known.1))
    }

    fn may_be_client(&self, from: Endpoint) -> bool {
        let address = from.address();
        address.port() != 0 && (self.private || is_public(address.ip())) && !self.own.contains(&address)
    }

    /// Forgets what is over, and what clients have offered that are not here.
    pub(super) fn sweep(&self, is_here: impl Fn(&ApiKey, RealmKind, &str) -> bool) {
        let now = self.clock.now();
        self.offers.sweep(now, is_here);
        self.strangers.sweep(now);
        let all: Vec<Arc<Call>> = self.by_number.iter().map(|call| Arc::clone(&call)).collect();
        all.iter().filter(|call| call.session().is_over(now, UNUSED)).for_each(|call| self.remove(call));
        drop(all);
        let is_there = |number: &u32| self.by_number.contains_key(number);
        self.ranking().sweep(self.by_number.len(), is_there);
        self.shares.sweep(is_there);
        self.loads.sweep();
    }

    /// Ends a call.
    fn remove(&self, call: &Call) {
        let session = call.session();
        let addresses: Vec<Endpoint> = session.addresses().collect();
        let names = [End::Offerer, End::Answerer].map(|end| self.digests.hash_one(session.username_of(end)));
        drop(session);
        addresses.into_iter().for_each(|address| self.forget(call, address));
        for name in names {
            self.by_username.remove_if(&name, |_, (known, _)| known.number == call.number);
        }
        self.by_number.remove(&call.number);
    }

    fn forget(&self, call: &Call, address: Endpoint) {
        self.by_address.remove_if(&address, |_, (known, _)| known.number == call.number);
    }

    pub(super) fn totals(&self) -> RelayTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut totals = RelayTotals {
            calls: self.by_number.len(),
            offered: read(&self.offered),
            joined: read(&self.joined),
            carried: read(&self.carried),
            refused: read(&self.refused),
            displaced: read(&self.displaced),
            ..RelayTotals::default()
        };
        self.counters.iter().for_each(|counters| counters.add_to(&mut totals));
        totals
    }

    fn limits(&self) -> RelayLimits {
        self.config.load().relay_limits
    }

    fn ranking(&self) -> MutexGuard<'_, Ranking<u32>> {
        self.ranking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
