//! One call through the relay, without sockets: what a datagram means, and where it goes on.

mod side;

use super::counters::Dropped;
use super::endpoint::{Endpoint, Outgoing, Transport};
use super::stun::{Role, Stun, Transaction};
use crate::wire::IceCredentials;
use side::{Address, NEVER, Side};
pub(super) use side::{CONSENT, number_in};

/// Most checks that are remembered until they are answered.
const MAX_CROSSINGS: usize = 16;

/// Least and most milliseconds between checks of our own, which keep a way open while the call goes directly: Chromium gives
/// a way up after 30 s without a packet. So one of two may be lost. Not the same for all calls, which spreads them.
pub(super) const KEEP_OPEN: std::ops::Range<u64> = 11_000..14_000;

/// Milliseconds that a client checks this way in vain before the other one is told to come.
const WAKE_AFTER: u64 = 1_000;

/// A side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    Offerer,
    Answerer,
}

impl End {
    pub(super) fn other(self) -> End {
        match self {
            End::Offerer => End::Answerer,
            End::Answerer => End::Offerer,
        }
    }
}

/// What came of a STUN message.
#[derive(Default)]
pub(super) struct Outcome<'a> {
    pub(super) send: Vec<Outgoing<'a>>,
    /// An address that was proved to be this client's.
    pub(super) proved: Option<Endpoint>,
    /// Addresses that are no client's any more.
    pub(super) given_up: Vec<Endpoint>,
    /// The side that has to be told to come, and how often that has happened.
    pub(super) wake: Option<(End, u8)>,
}

impl Outcome<'_> {
    /// One answer.
    pub(super) fn reply(to: Endpoint, bytes: Vec<u8>) -> Self {
        Outcome { send: vec![Outgoing { to, bytes: bytes.into() }], ..Outcome::default() }
    }
}

/// One call.
pub(super) struct Session {
    /// Stands in the transactions of our own checks, so that answers from unknown addresses find their call.
    number: u32,
    sides: [Side; 2],
    /// Checks that went through and are not answered.
    crossings: Vec<Crossing>,
    begun: u64,
}

struct Crossing {
    transaction: Transaction,
    asker: Endpoint,
    asked: End,
}

impl Session {
    pub(super) fn new(number: u32, offer: IceCredentials<'_>, answer: IceCredentials<'_>, now: u64) -> Self {
        Session { number, sides: [Side::new(offer), Side::new(answer)], crossings: Vec::new(), begun: now }
    }

    /// The name that a check of `end` has.
    pub(super) fn username_of(&self, end: End) -> String {
        [self.side(end.other()).ufrag(), ":", self.side(end).ufrag()].concat()
    }

    /// Addresses that datagrams of this call may come from.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Endpoint> {
        self.sides.iter().flat_map(|side| &side.addresses).map(|address| address.at)
    }

    /// Whether both sides have proved an address.
    pub(super) fn is_joined(&self) -> bool {
        self.sides.iter().all(|side| side.addresses.iter().any(Address::is_proved))
    }

    /// Whether nobody has been heard for too long.
    pub(super) fn is_over(&self, now: u64, unused: u64) -> bool {
        let heard = self.sides.iter().flat_map(|side| &side.addresses).map(|address| address.heard).max();
        match heard {
            Some(heard) => now.saturating_sub(heard) > CONSENT,
            None => now.saturating_sub(self.begun) > unused,
        }
    }

    /// A check of `end`, from an address that may not be its own.
    pub(super) fn on_request<'a>(
        &mut self,
        end: End,
        from: Endpoint,
        request: &Stun<'_>,
        bytes: &'a [u8],
        now: u64,
    ) -> Result<Outcome<'a>, Dropped> {
        if !request.is_proved_by(self.side(end.other()).pwd()) {
            return Err(Dropped::Forged);
        }
        let (number, begun) = (self.number, self.begun);
        let mut outcome = Outcome::default();
        self.side_mut(end.other()).asking = NEVER;
        let username = self.username_of(end.other());
        let side = self.side_mut(end);
        side.role = request.role().or(side.role);
        outcome.given_up.extend(side.note(from, now)?);
        let Some(address) = side.addresses.iter_mut().find(|address| address.at == from) else {
            return Err(Dropped::Address);
        };
        if !address.is_proved() {
            // Not longer than what came, whoever sent it.
            address.unanswered = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            side.hold(from, bytes);
            if side.is_turn_of(from, now.saturating_sub(begun), now) {
                outcome.send.extend(side.challenge(from, number, &username));
            }
            return Ok(outcome);
        }
        address.consented = now;
        if request.nominates() && side.role == Some(Role::Controlling) {
            side.choose(from);
        }
        match self.side(end.other()).way(now) {
            Some(to) => {
                self.cross(request.transaction, from, end.other());
                outcome.send.push(Outgoing { to, bytes: bytes.into() });
            }
            None => self.side_mut(end).hold(from, bytes),
        }
        let asking = self.side_mut(end).note_asking(now);
        if now.saturating_sub(asking) > WAKE_AFTER {
            outcome.wake = self.side_mut(end.other()).wake(now).map(|times| (end.other(), times));
        }
        Ok(outcome)
    }

    /// Checks addresses: those that have waited for the end of the head start, and those that agree, to keep their way open.
    pub(super) fn on_time(&mut self, now: u64) -> Vec<Outgoing<'static>> {
        let (number, age) = (self.number, now.saturating_sub(self.begun));
        let names = [End::Offerer, End::Answerer].map(|end| self.username_of(end.other()));
        let sides = self.sides.iter_mut().zip(names);
        let checks = sides.flat_map(|(side, username)| {
            let due: Vec<Endpoint> = side.due(age, now).collect();
            due.into_iter().filter_map(move |at| side.challenge(at, number, &username))
        });
        checks.collect()
    }

    /// When that is due again.
    pub(super) fn next_time(&self, now: u64) -> u64 {
        let for_tcp = self.begun + Transport::Tcp.head_start();
        if now < for_tcp { for_tcp } else { now + rand::random_range(KEEP_OPEN) }
    }

    /// The connection of an address is closed.
    pub(super) fn leave(&mut self, end: End, from: Endpoint) {
        self.side_mut(end).addresses.retain(|address| address.at != from);
    }

    /// An answer of `end`: to our own check, or to one that went through.
    pub(super) fn on_response<'a>(
        &mut self,
        end: End,
        from: Endpoint,
        response: &Stun<'_>,
        bytes: &'a [u8],
        now: u64,
    ) -> Result<Outcome<'a>, Dropped> {
        if !response.is_proved_by(self.side(end).pwd()) {
            return Err(Dropped::Forged);
        }
        let mut outcome = Outcome::default();
        let side = self.side_mut(end);
        let Some(address) = side.addresses.iter_mut().find(|address| address.at == from) else {
            return Err(Dropped::Unknown);
        };
        address.heard = now;
        if address.challenge == Some(response.transaction) {
            address.challenge = None;
            outcome.proved = (!address.is_proved()).then_some(from);
            address.consented = now;
            self.side_mut(end.other()).asking = NEVER;
            self.release_held(now, &mut outcome);
            return Ok(outcome);
        }
        let crossing = self
            .crossings
            .iter()
            .position(|crossing| crossing.transaction == response.transaction && crossing.asked == end);
        let crossing = self.crossings.remove(crossing.ok_or(Dropped::Unknown)?);
        if self.crossings.is_empty() {
            // Most calls never have one again.
            self.crossings = Vec::new();
        }
        self.side_mut(end.other()).asking = NEVER;
        outcome.send.push(Outgoing { to: crossing.asker, bytes: bytes.into() });
        Ok(outcome)
    }

    /// Where a datagram of `end` that is not STUN goes.
    pub(super) fn on_data(&mut self, end: End, from: Endpoint, now: u64) -> Result<Endpoint, Dropped> {
        let address = self.side_mut(end).addresses.iter_mut().find(|address| address.at == from);
        let address = address.filter(|address| address.is_proved()).ok_or(Dropped::Unknown)?;
        if !address.agrees(now) {
            return Err(Dropped::NoWay);
        }
        address.heard = now;
        let other = self.side_mut(end.other());
        other.asking = NEVER;
        other.way(now).ok_or(Dropped::NoWay)
    }

    /// Sends on what has waited for an address.
    fn release_held(&mut self, now: u64, outcome: &mut Outcome<'_>) {
        for end in [End::Offerer, End::Answerer] {
            let Some(to) = self.side(end.other()).way(now) else { continue };
            let side = self.side_mut(end);
            let is_proved = |at| side.addresses.iter().any(|address| address.at == at && address.is_proved());
            let is_ready = side.held.as_ref().is_some_and(|held| is_proved(held.0));
            if let Some((from, bytes)) = side.held.take_if(|_| is_ready).map(|held| *held) {
                if let Some(check) = Stun::parse(&bytes) {
                    if check.nominates() && side.role == Some(Role::Controlling) {
                        side.choose(from);
                    }
                    let transaction = check.transaction;
                    self.cross(transaction, from, end.other());
                }
                outcome.send.push(Outgoing { to, bytes: bytes.into_vec().into() });
            }
        }
    }

    fn cross(&mut self, transaction: Transaction, asker: Endpoint, asked: End) {
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

    fn side(&self, end: End) -> &Side {
        let [offerer, answerer] = &self.sides;
        match end {
            End::Offerer => offerer,
            End::Answerer => answerer,
        }
    }

    fn side_mut(&mut self, end: End) -> &mut Side {
        let [offerer, answerer] = &mut self.sides;
        match end {
            End::Offerer => offerer,
            End::Answerer => answerer,
        }
    }
}
