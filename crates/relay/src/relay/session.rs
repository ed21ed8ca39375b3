//! A call through the relay, without sockets: handles datagrams, and returns their destinations.

use std::time::Duration;

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{IceCredentials, expected};
use peerbroker_media_api::{CallFailure, CallOutcome, Dropped};

use super::endpoint::{Endpoint, Outgoing, Transport};
use super::stun::{self, Role, Stun, Transaction};

/// Milliseconds in which a client has to come after its call began.
const UNUSED: u64 = 120_000;

/// Most checks that are remembered until they are answered.
const MAX_CROSSINGS: usize = 16;

/// Least and most milliseconds between our own checks, which keep a path open while the call goes directly:
/// Chromium gives a path up after 30 s without a packet. So one of two checks may be lost. Random, so that
/// the checks of calls are spread.
pub(super) const KEEP_OPEN: std::ops::Range<u64> = 11_000..14_000;

/// Least milliseconds for which a client without a path waits: Firefox gives up after 8 s, and Chromium stays
/// as long as the relay checks it. A client that leaves earlier may have changed its mind.
const WAITS: u64 = 5_000;

/// Milliseconds that a client checks this path without an answer before the other one is told to come.
const NUDGE_AFTER: u64 = 1_000;

/// A side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CallSide {
    Offerer,
    Answerer,
}

impl CallSide {
    pub(super) fn other(self) -> CallSide {
        match self {
            CallSide::Offerer => CallSide::Answerer,
            CallSide::Answerer => CallSide::Offerer,
        }
    }
}

/// The outcome of a STUN message.
#[derive(Default)]
pub(super) struct Outcome<'a> {
    pub(super) send: Vec<Outgoing<'a>>,
    /// An address that was proved to be this client's.
    pub(super) proved: Option<Endpoint>,
    /// True if both clients have come now for the first time.
    pub(super) joins: bool,
    /// The addresses that are no client's any more.
    pub(super) given_up: Vec<Endpoint>,
    /// The side that has to be told to come, and the number of times that it was.
    pub(super) nudge: Option<(CallSide, u8)>,
    /// Datagrams above a limit, which are not sent.
    pub(super) too_much: u64,
}

/// The outcome of a STUN message, or the reason why it is dropped.
pub(super) type Handled<'a> = Result<Outcome<'a>, Dropped>;

impl Outcome<'_> {
    /// An outcome that sends one answer.
    pub(super) fn reply(to: Endpoint, bytes: Vec<u8>) -> Self {
        Outcome { send: vec![Outgoing { to, bytes: bytes.into(), is_own: true }], ..Outcome::default() }
    }
}

/// The outcome of a call that a limit has ended or refused. It may have another path than the relay, unless
/// `only_relayed`.
pub(super) fn limited(only_relayed: bool) -> CallOutcome {
    if only_relayed { CallOutcome::Failed(CallFailure::Limit) } else { CallOutcome::Unknown }
}

/// A call, without sockets.
pub(super) struct IceSession {
    /// Part of the transactions of our own checks, so that answers from unknown addresses find their call.
    number: u32,
    sides: [Side; 2],
    /// Checks that went through and are not answered.
    crossings: Vec<Crossing>,
    begun: Instant,
    /// The last time that a closed connection was heard.
    left: Instant,
    /// The time of its last datagram that is not STUN.
    carried: Instant,
    /// True if it has to end: each check of a client gets the answer that it has no consent any more.
    pub(super) is_ending: bool,
}

struct Crossing {
    transaction: Transaction,
    asker: Endpoint,
    asked: CallSide,
}

impl IceSession {
    pub(super) fn new(
        number: u32,
        offer: IceCredentials<'_>,
        answer: IceCredentials<'_>,
        now: Instant,
    ) -> Self {
        let sides = [Side::new(offer), Side::new(answer)];
        let crossings = Vec::new();
        IceSession { number, sides, crossings, begun: now, left: now, carried: NEVER, is_ending: false }
    }

    /// The name that a check of `end` has.
    pub(super) fn username_of(&self, end: CallSide) -> String {
        [self.side(end.other()).ufrag(), ":", self.side(end).ufrag()].concat()
    }

    /// The addresses that datagrams of this call may come from.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Endpoint> {
        self.sides.iter().flat_map(|side| &side.addresses).map(|address| address.at)
    }

    /// True if nobody has been heard for too long.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        match self.heard() {
            Some(heard) => now.millis_since(heard) > CONSENT,
            None => now.millis_since(self.begun) > UNUSED,
        }
    }

    /// True if it has carried something lately, and its clients are there.
    pub(super) fn is_carried(&self, now: Instant) -> bool {
        let is_heard = self.heard().is_some_and(|heard| now.millis_since(heard) <= CONSENT);
        self.carried != NEVER && now.millis_since(self.carried) <= IDLE && is_heard
    }

    /// True if it [is carried](Self::is_carried), or may be soon.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        let is_new = self.carried == NEVER && now.millis_since(self.begun) <= BEGINNING;
        is_new || self.is_carried(now)
    }

    /// Records that both clients know that it ends.
    pub(super) fn record_told(&mut self) {
        self.sides.iter_mut().for_each(|side| side.is_told = true);
    }

    /// True if a client of a call that ends was not told yet.
    pub(super) fn is_awaited(&self, now: Instant) -> bool {
        let is_there = |side: &Side| side.addresses.iter().any(|address| address.has_consent(now));
        self.is_ending
            && self.is_carried(now)
            && self.sides.iter().any(|side| !side.is_told && is_there(side))
    }

    fn heard(&self) -> Option<Instant> {
        self.sides.iter().flat_map(|side| &side.addresses).map(|address| address.heard).max()
    }

    /// The last time that a client was heard, or its connection closed; otherwise the beginning.
    pub(super) fn last_heard(&self) -> Instant {
        self.heard().unwrap_or_default().max(self.left)
    }

    /// The outcome of a call that nothing was carried for. `only_relayed` is true if it had no other path,
    /// and `displaced` if it made room for another one.
    pub(super) fn outcome(&self, only_relayed: bool, displaced: bool) -> CallOutcome {
        let has_waited = self.last_heard().millis_since(self.begun) >= WAITS;
        let (absent, has_failed) = match self.sides.each_ref().map(|side| side.has_come) {
            [true, true] if only_relayed => return CallOutcome::Unknown,
            [true, true] => return CallOutcome::Direct,
            [true, false] => (CallFailure::CalleeAbsent, has_waited),
            [false, true] => (CallFailure::CallerAbsent, has_waited),
            [false, false] => (CallFailure::BothAbsent, only_relayed),
        };
        if displaced {
            return limited(only_relayed);
        }
        if !has_failed {
            return CallOutcome::Unknown;
        }
        let is_refused = self.sides.iter().any(|side| !side.has_come && side.is_refused);
        CallOutcome::Failed(if is_refused { CallFailure::Address } else { absent })
    }

    /// A check of `end` from an address that may not be used.
    pub(super) fn refuse(&mut self, end: CallSide, check: &Stun<'_>) {
        if !self.side(end).is_refused && check.is_proved_by(self.side(end.other()).pwd()) {
            self.side_mut(end).is_refused = true;
        }
    }

    /// A check of `end`, from an address that may not be its own.
    pub(super) fn on_request<'a>(&mut self, end: CallSide, request: &Stun<'a>, now: Instant) -> Handled<'a> {
        let Stun { from, bytes, .. } = *request;
        if !request.is_proved_by(self.side(end.other()).pwd()) {
            return Err(Dropped::Forged);
        }
        let IceSession { number, begun, is_ending, .. } = *self;
        let mut outcome = Outcome::default();
        self.side_mut(end.other()).unanswered_since = NEVER;
        let username = self.username_of(end.other());
        let side = self.side_mut(end);
        side.role = request.role().or(side.role);
        outcome.given_up.extend(side.record(from, now)?);
        let address = side.address(from).ok_or(Dropped::Address)?;
        if !address.is_proved() {
            // Never longer than the request, whoever sent it.
            address.unanswered = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            // The address over UDP will prove itself first, and its check shall not wait for its repetition
            // then.
            if !from.is_tcp() || side.held.as_ref().is_none_or(|held| held.0.is_tcp()) {
                side.hold(from, bytes);
            }
            if side.is_turn_of(from, now.saturating_since(begun), now) {
                outcome.send.extend(side.challenge(from, number, &username));
            }
            return Ok(outcome);
        }
        address.consented = now;
        if is_ending {
            side.is_told = true;
            let answer = stun::revoked(&request.message, self.side(end.other()).pwd());
            return answer.map(|answer| Outcome::reply(from, answer)).ok_or(Dropped::Unknown);
        }
        side.choose(request);
        match self.side(end.other()).route(now) {
            Some(to) => {
                self.record_relayed(request.transaction, from, end.other());
                outcome.send.push(Outgoing { to, bytes: bytes.into(), is_own: false });
            }
            None => self.side_mut(end).hold(from, bytes),
        }
        let unanswered_since = &mut self.side_mut(end).unanswered_since;
        *unanswered_since = now.min(*unanswered_since);
        if now.millis_since(*unanswered_since) > NUDGE_AFTER {
            outcome.nudge = self.side_mut(end.other()).nudge(now).map(|times| (end.other(), times));
        }
        Ok(outcome)
    }

    /// Checks addresses: those that have waited for the end of the head start, and those that consent, to
    /// keep their path open.
    pub(super) fn on_time(&mut self, now: Instant) -> Vec<Outgoing<'static>> {
        let number = self.number;
        let age = now.saturating_since(self.begun);
        let names = [CallSide::Offerer, CallSide::Answerer].map(|end| self.username_of(end.other()));
        let sides = self.sides.iter_mut().zip(names);
        let checks = sides.flat_map(|(side, username)| {
            let due: Vec<Endpoint> = side.due(age, now).collect();
            due.into_iter().filter_map(move |at| side.challenge(at, number, &username))
        });
        checks.collect()
    }

    /// The time at which that is due again.
    pub(super) fn next_time(&self, now: Instant) -> Instant {
        let for_tcp = self.begun + Transport::Tcp.head_start();
        if now < for_tcp { for_tcp } else { now.plus_millis(rand::random_range(KEEP_OPEN)) }
    }

    /// The connection of an address is closed.
    pub(super) fn leave(&mut self, end: CallSide, from: Endpoint) {
        let closed = self.side_mut(end).addresses.extract_if(.., |address| address.at == from);
        let heard = closed.map(|address| address.heard).max();
        self.left = self.left.max(heard.unwrap_or_default());
    }

    /// An answer of `end`: to our own check, or to one that was relayed.
    pub(super) fn on_response<'a>(
        &mut self,
        end: CallSide,
        response: &Stun<'a>,
        now: Instant,
    ) -> Handled<'a> {
        if !response.is_proved_by(self.side(end).pwd()) {
            return Err(Dropped::Forged);
        }
        let mut outcome = Outcome::default();
        let side = self.side_mut(end);
        let address = side.address(response.from).ok_or(Dropped::Unknown)?;
        address.heard = now;
        if address.challenge == Some(response.transaction) {
            address.challenge = None;
            outcome.proved = (!address.is_proved()).then_some(response.from);
            address.consented = now;
            let comes = !std::mem::replace(&mut side.has_come, true);
            outcome.joins = comes && self.side(end.other()).has_come;
            self.side_mut(end.other()).unanswered_since = NEVER;
            self.release_held(now, &mut outcome);
            return Ok(outcome);
        }
        let is_answered =
            |check: &mut Crossing| check.transaction == response.transaction && check.asked == end;
        let answered = self.crossings.extract_if(.., is_answered).next();
        let crossing = answered.ok_or(Dropped::Unknown)?;
        if self.crossings.is_empty() {
            // Most calls never have one again.
            self.crossings = Vec::new();
        }
        self.side_mut(end.other()).unanswered_since = NEVER;
        outcome.send.push(Outgoing { to: crossing.asker, bytes: response.bytes.into(), is_own: false });
        Ok(outcome)
    }

    /// Returns the destination of a datagram of `end` that is not STUN.
    pub(super) fn on_data(
        &mut self,
        end: CallSide,
        from: Endpoint,
        now: Instant,
    ) -> Result<Endpoint, Dropped> {
        let address = self.side_mut(end).address(from).filter(|address| address.is_proved());
        let address = address.ok_or(Dropped::Unknown)?;
        if !address.has_consent(now) {
            return Err(Dropped::NoRoute);
        }
        address.heard = now;
        let other = self.side_mut(end.other());
        other.unanswered_since = NEVER;
        let to = other.route(now).ok_or(Dropped::NoRoute)?;
        self.carried = now;
        Ok(to)
    }

    /// Relays the check that waited for an address.
    fn release_held(&mut self, now: Instant, outcome: &mut Outcome<'_>) {
        for end in [CallSide::Offerer, CallSide::Answerer] {
            let Some(to) = self.side(end.other()).route(now) else { continue };
            let side = self.side_mut(end);
            let is_proved = |at| side.addresses.iter().any(|address| address.at == at && address.is_proved());
            if let Some((from, bytes)) = side.held.take_if(|held| is_proved(held.0)).map(|held| *held) {
                if let Some(check) = Stun::parse(from, &bytes) {
                    side.choose(&check);
                    self.record_relayed(check.transaction, from, end.other());
                }
                outcome.send.push(Outgoing { to, bytes: bytes.into_vec().into(), is_own: false });
            }
        }
    }

    fn record_relayed(&mut self, transaction: Transaction, asker: Endpoint, asked: CallSide) {
        // A client that repeats its check may do so from another address.
        self.crossings.retain(|crossing| crossing.transaction != transaction);
        if self.crossings.len() >= MAX_CROSSINGS {
            self.crossings.remove(0);
        }
        if self.crossings.is_empty() {
            self.crossings.reserve_exact(2);
        }
        self.crossings.push(Crossing { transaction, asker, asked });
    }

    fn side(&self, end: CallSide) -> &Side {
        let [offerer, answerer] = &self.sides;
        if end == CallSide::Offerer { offerer } else { answerer }
    }

    fn side_mut(&mut self, end: CallSide) -> &mut Side {
        let [offerer, answerer] = &mut self.sides;
        if end == CallSide::Offerer { offerer } else { answerer }
    }
}

/// Most addresses of a side.
const MAX_ADDRESSES: usize = 8;

/// Milliseconds of silence after which another address of a side takes over. Clients check a path that they
/// use every 2.5 s (Chromium) or 5 s (Firefox).
const SILENT: u64 = 8_000;

/// Milliseconds after which a client that has not checked its path has withdrawn its consent (RFC 7675).
pub(super) const CONSENT: u64 = 30_000;

/// Milliseconds without a datagram after which nobody needs a call's relay: twice the time between two
/// heartbeats of SCTP (RFC 9260, section 16), which an idle data connection has.
const IDLE: u64 = 60_000;

/// Milliseconds in which a new call finds its path.
const BEGINNING: u64 = 30_000;

/// Milliseconds of silence in which an address need not be checked.
const LATELY: u64 = 5_000;

/// Least milliseconds between two nudges of one client, and the most nudges.
const NUDGE_AGAIN: u64 = 3_000;
const MAX_NUDGES: u8 = 8;

/// A side.
struct Side {
    /// Its username fragment and password, one behind the other.
    credentials: Box<str>,
    ufrag_len: u16,
    role: Option<Role>,
    /// True if it has proved an address.
    has_come: bool,
    /// True if it has sent a check from an address that may not be used.
    is_refused: bool,
    addresses: Vec<Address>,
    /// Its last check, which waits for an address of the other side.
    held: Option<Box<(Endpoint, Box<[u8]>)>>,
    /// The time of its first check since the other side was heard.
    unanswered_since: Instant,
    /// The number of times that it was told to come, and the last such time.
    nudges: u8,
    nudged: Instant,
    /// True if it knows that the call ends.
    is_told: bool,
}

/// An address of a side.
struct Address {
    at: Endpoint,
    /// True if its client has chosen it.
    is_current: bool,
    /// The transaction of our check, until it is answered.
    challenge: Option<Transaction>,
    /// Bytes of the check that came from there and was not answered by one of ours.
    unanswered: u16,
    heard: Instant,
    consented: Instant,
}

impl Side {
    fn new(credentials: IceCredentials<'_>) -> Self {
        Side {
            credentials: [credentials.ufrag, credentials.pwd].concat().into(),
            ufrag_len: expected(u16::try_from(credentials.ufrag.len()), "a short ufrag"),
            role: None,
            has_come: false,
            is_refused: false,
            addresses: Vec::new(),
            held: None,
            unanswered_since: NEVER,
            nudges: 0,
            nudged: Instant::default(),
            is_told: false,
        }
    }

    fn ufrag(&self) -> &str {
        self.credentials.get(..self.ufrag_len.into()).unwrap_or_default()
    }

    fn pwd(&self) -> &str {
        self.credentials.get(self.ufrag_len.into()..).unwrap_or_default()
    }

    /// Chooses the address of a check, if its client decides about the path and nominates it.
    fn choose(&mut self, check: &Stun<'_>) {
        if check.nominates() && self.role == Some(Role::Controlling) {
            self.addresses.iter_mut().for_each(|address| address.is_current = address.at == check.from);
        }
    }

    /// Records that a check came from an address. Returns the address that it replaces.
    fn record(&mut self, from: Endpoint, now: Instant) -> Result<Option<Endpoint>, Dropped> {
        if let Some(address) = self.address(from) {
            address.heard = now;
            return Ok(None);
        }
        let mut replaced = None;
        if self.addresses.len() >= MAX_ADDRESSES {
            let silent = self.addresses.iter().position(|address| !address.has_consent(now));
            replaced = Some(self.addresses.swap_remove(silent.ok_or(Dropped::Address)?).at);
        }
        // Most sides have one.
        self.addresses.reserve_exact(1);
        self.addresses.push(Address {
            at: from,
            is_current: false,
            challenge: None,
            unanswered: 0,
            heard: now,
            consented: NEVER,
        });
        Ok(replaced)
    }

    /// Keeps a check until it can be relayed, in place of an earlier one.
    fn hold(&mut self, from: Endpoint, check: &[u8]) {
        if self.held.is_some() && self.is_of_second_family(from) {
            return;
        }
        self.held = Some(Box::new((from, check.into())));
    }

    /// The address that datagrams for this side go to.
    fn route(&self, now: Instant) -> Option<Endpoint> {
        let agreed = || self.addresses.iter().filter(|address| address.has_consent(now));
        let current = agreed().find(|address| address.is_current);
        let is_alive = |address: &&Address| address.is_alive(now);
        let latest = || agreed().max_by_key(|address| address.heard);
        current.filter(is_alive).or_else(latest).map(|address| address.at)
    }

    /// True if an address may prove itself, in a call of that age. TCP is for clients that do not come over
    /// UDP. The second address family is for those that do not answer in the first: Firefox often uses
    /// neither if both begin to work at once.
    fn is_turn_of(&self, at: Endpoint, age: Duration, now: Instant) -> bool {
        let is_better = |address: &Address| {
            address.is_alive(now) && (at.is_tcp() || address.at.is_ipv4() != at.is_ipv4())
        };
        let transport = if self.is_of_second_family(at) { Transport::Tcp } else { at.transport };
        age >= transport.head_start() && !self.has_udp(is_better)
    }

    /// True if its client came first from an address of the other family.
    fn is_of_second_family(&self, at: Endpoint) -> bool {
        let first = self.addresses.iter().find(|address| !address.at.is_tcp());
        first.is_some_and(|first| first.at.is_ipv4() != at.is_ipv4())
    }

    /// The addresses that have to be checked now.
    fn due(&self, age: Duration, now: Instant) -> impl Iterator<Item = Endpoint> {
        let needs_tcp = !self.has_udp(|address| address.has_consent(now));
        let is_kept = move |address: &Address| needs_tcp || !address.at.is_tcp();
        let due = self.addresses.iter().filter(move |address| match address.is_proved() {
            false => self.is_turn_of(address.at, age, now),
            true => address.has_consent(now) && !address.consented_lately(now) && is_kept(address),
        });
        due.map(|address| address.at)
    }

    fn has_udp(&self, is_fine: impl Fn(&Address) -> bool) -> bool {
        let is_udp = |address: &&Address| !address.at.is_tcp() && address.is_proved();
        self.addresses.iter().filter(is_udp).any(is_fine)
    }

    /// Our check of an address. Before the address is proved, not longer than its datagram.
    fn challenge(&mut self, at: Endpoint, number: u32, username: &str) -> Option<Outgoing<'static>> {
        let address = self.address(at)?;
        let transaction = *address.challenge.get_or_insert_with(|| challenge(number));
        let came = usize::from(std::mem::take(&mut address.unanswered));
        let most = if address.is_proved() { usize::MAX } else { came };
        let is_controlled = self.role == Some(Role::Controlled);
        let our_role = if is_controlled { Role::Controlling } else { Role::Controlled };
        let check = stun::check(transaction, username, self.pwd(), our_role);
        let check = check.filter(|check| check.len() <= most)?;
        Some(Outgoing { to: at, bytes: check.into(), is_own: true })
    }

    /// The side's address at this endpoint, if it has one.
    fn address(&mut self, at: Endpoint) -> Option<&mut Address> {
        self.addresses.iter_mut().find(|address| address.at == at)
    }

    /// Records that it is told to come. Returns the number of times, unless that was just now, or often
    /// enough.
    fn nudge(&mut self, now: Instant) -> Option<u8> {
        let is_time = self.nudges == 0 || now.millis_since(self.nudged) >= NUDGE_AGAIN;
        let may = is_time && self.nudges < MAX_NUDGES;
        may.then(|| {
            self.nudges += 1;
            self.nudged = now;
            self.nudges
        })
    }
}

/// The time of an event that has not happened.
const NEVER: Instant = Instant::MAX;

impl Address {
    fn is_proved(&self) -> bool {
        self.consented != NEVER
    }

    fn is_alive(&self, now: Instant) -> bool {
        now.millis_since(self.heard) <= SILENT
    }

    fn consented_lately(&self, now: Instant) -> bool {
        now.millis_since(self.consented) < LATELY
    }

    /// True if its client wants to receive there.
    fn has_consent(&self, now: Instant) -> bool {
        self.is_proved() && now.millis_since(self.consented) <= CONSENT
    }
}

/// A transaction that cannot be guessed, with the number of its call.
fn challenge(number: u32) -> Transaction {
    let mut transaction: Transaction = rand::random();
    for (byte, of_number) in transaction.iter_mut().zip(number.to_be_bytes()) {
        *byte = of_number;
    }
    transaction
}

/// The call whose number is in a transaction.
pub(super) fn number_in(transaction: &Transaction) -> u32 {
    let [a, b, c, d, ..] = *transaction;
    u32::from_be_bytes([a, b, c, d])
}
