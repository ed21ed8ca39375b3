//! One call through the relay, without sockets: what a datagram means, and where it goes on.

mod side;

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::stun::{Role, Stun, Transaction};
use crate::wire::IceCredentials;
pub(super) use side::number_in;
use side::{Address, CONSENT, Side};

/// Most checks that are remembered until they are answered.
const MAX_CROSSINGS: usize = 16;

/// Milliseconds that a direct way has before this one: Firefox keeps the first way that works.
pub(super) const HEAD_START: u64 = 1000;

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

/// Why a datagram went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It belongs to no call that this relay knows.
    Unknown,
    /// Its integrity does not hold.
    Forged,
    /// Its address may not be used: a private one, for example, or one too many.
    Address,
    /// Its recipient is not there, or has not agreed lately.
    NoWay,
    /// The call, or its key, has sent too much.
    TooMuch,
    /// The socket had no room.
    Full,
}

/// A datagram to send.
pub(super) struct Outgoing<'a> {
    pub(super) to: SocketAddr,
    pub(super) bytes: std::borrow::Cow<'a, [u8]>,
}

/// What came of a STUN message.
#[derive(Default)]
pub(super) struct Outcome<'a> {
    pub(super) send: Vec<Outgoing<'a>>,
    /// An address that was proved to be this client's.
    pub(super) proved: Option<SocketAddr>,
    /// Addresses that are no client's any more.
    pub(super) given_up: Vec<SocketAddr>,
    /// The side that has to be told to come, and how often that has happened.
    pub(super) wake: Option<(End, u8)>,
}

impl Outcome<'_> {
    /// One answer.
    pub(super) fn reply(to: SocketAddr, bytes: Vec<u8>) -> Self {
        Outcome { send: vec![Outgoing { to, bytes: bytes.into() }], ..Outcome::default() }
    }
}

/// One call.
pub(super) struct Session {
    /// Stands in the transactions of our own checks, so that answers from unknown addresses find their call.
    number: u32,
    sides: [Side; 2],
    /// Checks that went through and are not answered.
    crossings: VecDeque<Crossing>,
    begun: u64,
}

struct Crossing {
    transaction: Transaction,
    asker: SocketAddr,
    asked: End,
}

impl Session {
    pub(super) fn new(number: u32, offer: IceCredentials<'_>, answer: IceCredentials<'_>, now: u64) -> Self {
        Session {
            number,
            sides: [Side::new(offer), Side::new(answer)],
            crossings: VecDeque::new(),
            begun: now,
        }
    }

    /// The name that a check of `end` has.
    pub(super) fn username_of(&self, end: End) -> String {
        [&self.side(end.other()).ufrag, ":", &self.side(end).ufrag].concat()
    }

    /// Addresses that datagrams of this call may come from.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
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
        from: SocketAddr,
        request: &Stun<'_>,
        bytes: &'a [u8],
        now: u64,
    ) -> Result<Outcome<'a>, Dropped> {
        if !request.is_proved_by(&self.side(end.other()).pwd) {
            return Err(Dropped::Forged);
        }
        let (number, begun) = (self.number, self.begun);
        let mut outcome = Outcome::default();
        self.side_mut(end.other()).asking = None;
        let username = self.username_of(end.other());
        let side = self.side_mut(end);
        side.role = request.role().or(side.role);
        outcome.given_up.extend(side.note(from, now)?);
        let Some(address) = side.addresses.iter_mut().find(|address| address.at == from) else {
            return Err(Dropped::Address);
        };
        if !address.is_proved() {
            side.held = Some((from, bytes.into()));
            // Not longer than what came, whoever sent it.
            address.unanswered = bytes.len();
            if now.saturating_sub(begun) >= HEAD_START {
                outcome.send.extend(address.challenged(number, &username, &side.pwd, side.role));
            }
            return Ok(outcome);
        }
        address.consented = now;
        if request.nominates() && side.role == Some(Role::Controlling) {
            side.current = Some(from);
        }
        match self.side(end.other()).way(now) {
            Some(to) => {
                self.cross(request.transaction, from, end.other());
                outcome.send.push(Outgoing { to, bytes: bytes.into() });
            }
            None => self.side_mut(end).held = Some((from, bytes.into())),
        }
        let asking = *self.side_mut(end).asking.get_or_insert(now);
        if now.saturating_sub(asking) > WAKE_AFTER {
            outcome.wake = self.side_mut(end.other()).wake(now).map(|times| (end.other(), times));
        }
        Ok(outcome)
    }

    /// Checks addresses: those that have waited for the end of the head start, and those that agree, to keep their way open.
    pub(super) fn on_time(&mut self, now: u64) -> Vec<Outgoing<'static>> {
        let number = self.number;
        let names = [End::Offerer, End::Answerer].map(|end| self.username_of(end.other()));
        let sides = self.sides.iter_mut().zip(names);
        let challenges = sides.flat_map(|(side, username)| {
            let Side { addresses, pwd, role, .. } = side;
            let due = addresses.iter_mut().filter(move |address| !address.is_proved() || address.agrees(now));
            due.filter_map(move |address| address.challenged(number, &username, pwd, *role))
        });
        challenges.collect()
    }

    /// An answer of `end`: to our own check, or to one that went through.
    pub(super) fn on_response<'a>(
        &mut self,
        end: End,
        from: SocketAddr,
        response: &Stun<'_>,
        bytes: &'a [u8],
        now: u64,
    ) -> Result<Outcome<'a>, Dropped> {
        if !response.is_proved_by(&self.side(end).pwd) {
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
            self.side_mut(end.other()).asking = None;
            self.release_held(now, &mut outcome);
            return Ok(outcome);
        }
        let crossing = self
            .crossings
            .iter()
            .position(|crossing| crossing.transaction == response.transaction && crossing.asked == end);
        let crossing = crossing.and_then(|at| self.crossings.remove(at)).ok_or(Dropped::Unknown)?;
        self.side_mut(end.other()).asking = None;
        outcome.send.push(Outgoing { to: crossing.asker, bytes: bytes.into() });
        Ok(outcome)
    }

    /// Where a datagram of `end` that is not STUN goes.
    pub(super) fn on_data(&mut self, end: End, from: SocketAddr, now: u64) -> Result<SocketAddr, Dropped> {
        let address = self.side_mut(end).addresses.iter_mut().find(|address| address.at == from);
        let address = address.filter(|address| address.is_proved()).ok_or(Dropped::Unknown)?;
        if !address.agrees(now) {
            return Err(Dropped::NoWay);
        }
        address.heard = now;
        let other = self.side_mut(end.other());
        other.asking = None;
        other.way(now).ok_or(Dropped::NoWay)
    }

    /// Sends on what has waited for an address.
    fn release_held(&mut self, now: u64, outcome: &mut Outcome<'_>) {
        for end in [End::Offerer, End::Answerer] {
            let Some(to) = self.side(end.other()).way(now) else { continue };
            let side = self.side_mut(end);
            let is_proved = |at| side.addresses.iter().any(|address| address.at == at && address.is_proved());
            let is_ready = side.held.as_ref().is_some_and(|(from, _)| is_proved(*from));
            if let Some((from, bytes)) = side.held.take_if(|_| is_ready) {
                if let Some(check) = Stun::parse(&bytes) {
                    if check.nominates() && side.role == Some(Role::Controlling) {
                        side.current = Some(from);
                    }
                    let transaction = check.transaction;
                    self.cross(transaction, from, end.other());
                }
                outcome.send.push(Outgoing { to, bytes: bytes.into_vec().into() });
            }
        }
    }

    fn cross(&mut self, transaction: Transaction, asker: SocketAddr, asked: End) {
        // A client that repeats its check may do so from another address.
        self.crossings.retain(|crossing| crossing.transaction != transaction);
        if self.crossings.len() >= MAX_CROSSINGS {
            self.crossings.pop_front();
        }
        self.crossings.push_back(Crossing { transaction, asker, asked });
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
