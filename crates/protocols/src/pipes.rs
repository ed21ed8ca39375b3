//! Pipes: two connections whose binary messages go to each other, unread, for pages that cannot reach each
//! other by WebRTC.
//!
//! A pipe has two ends, which know its id from each other's descriptions. What one end sends is read only
//! while the socket of the other takes it, so a pipe keeps at most what one read of each end brings.

mod bridge;
mod line;
mod pipe;
mod tickets;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::key_state::{KeyPart, KeyState};
use super::names::{GivenSeat, Hold, NO_SUCH_NAME, NameHolder, Names, Seating};
use peerbroker_config::PipeLimits;
use peerbroker_config::key::unix_time;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{
    AddressPrefix, ApiKey, CloseReason, EndId, Limit, PeerId, PipeId, Refusal,
};
use peerbroker_events::Count;
use peerbroker_limits::{Accounts, PipeTotals, Place, Places, SharedRate};
use peerbroker_rooms::OtherNodes;
use peerbroker_router::{Outbox, Realm, Router};

pub use bridge::Bridge;
use bridge::Bridges;
use pipe::Pipe;
pub use pipe::{Attach, PipeEnd, PipeReport, PipeTurn};
use tickets::Tickets;
pub use tickets::{PipeAddress, Ticket};

/// Most bytes of a message on a pipe.
pub const MAX_MESSAGE: usize = 64 << 10;

/// A place in a pipe, for an end that is not connected yet.
pub struct Reserved {
    pipes: Arc<Pipes>,
    pipe: Arc<Pipe>,
    place: usize,
    is_new: bool,
}

/// The pipes of a key.
pub struct Pipes {
    key: ApiKey,
    /// Weak, because it holds this.
    state: Weak<KeyState>,
    router: Arc<Router>,
    totals: Arc<PipeTotals>,
    others: Option<Arc<dyn OtherNodes>>,
    pipes: Mutex<HashMap<PipeId, Arc<Pipe>>>,
    /// The pipes that are in descriptions of clients who have proved their ids.
    expected: Mutex<HashMap<PipeId, Expected>>,
    expecting: Arc<Places<PeerId>>,
    expecting_there: Arc<Places<AddressPrefix>>,
    /// For ends that come through other nodes.
    tickets: Tickets,
    /// Ends of this node whose pipes are on other nodes.
    bridges: Arc<Bridges>,
    /// The places of all of them.
    places: Arc<Places<AddressPrefix>>,
    /// The bytes of all of them, shared by their addresses.
    rate: SharedRate<Option<AddressPrefix>>,
    /// Debts of ended pipes at their own rate, which the next pipes of their addresses owe.
    former: Accounts<Option<AddressPrefix>>,
}

/// A pipe of a description: the time of that, and its places among those of all clients and addresses.
struct Expected {
    since: Instant,
    _places: (Place<PeerId>, Place<AddressPrefix>),
}

/// Time for which a pipe of a description may be opened. Longer than a page waits for its first end.
const EXPECTED: Duration = Duration::from_secs(120);

/// Most pipes of descriptions of a key that are remembered.
const MAX_EXPECTED: usize = 10_000;

impl Pipes {
    /// Gives an end its place in a pipe of this node. `is_new` if the pipe was not here.
    pub fn reserve(self: &Arc<Self>, key: &KeyState, attach: &Attach) -> Result<Reserved, Refusal> {
        let limits = self.router.live_config().load().pipes;
        let now = self.router.clock().now();
        let mut pipes = self.pipes.lock();
        // Under the lock: whoever closes, or revokes the key, ends the pipes that are here after that.
        if self.router.is_closing() {
            return Err(Refusal::Closing);
        }
        if key.is_revoked() {
            return Err(Refusal::InvalidKey);
        }
        let known = pipes.get(&attach.pipe).cloned();
        let is_new = known.is_none();
        let pipe = match known {
            Some(pipe) => Ok(pipe),
            None => self.new_pipe(attach, &limits),
        };
        let permit = || self.totals.permit_end(attach.address, &limits);
        let reserved = pipe.and_then(|pipe| Ok((pipe.place(attach, permit, now)?, pipe)));
        let (place, pipe) = reserved.map_err(|limit| {
            self.router.events().limit_hit(limit, Some(&self.key), attach.address);
            Refusal::TooManyPipes
        })?;
        let place = place.ok_or(Refusal::PipeTaken)?;
        pipes.entry(attach.pipe).or_insert_with(|| Arc::clone(&pipe));
        Ok(Reserved { pipes: Arc::clone(self), pipe, place, is_new })
    }

    fn new_pipe(&self, attach: &Attach, limits: &PipeLimits) -> Result<Arc<Pipe>, Limit> {
        let of_key = self.places.take(AddressPrefix::of_remote(attach.address), limits.per_key());
        let places = [of_key.ok_or(Limit::PipesPerKey)?, self.totals.permit(attach.address, limits)?];
        Ok(Pipe::new(attach.pipe, places, unix_time()))
    }

    /// Redeems the ticket of an end that comes through another node: its address.
    pub fn redeem(&self, pipe: PipeId, end: EndId, number: &str) -> Option<Option<IpAddr>> {
        let ticket = self.tickets.take(number)?;
        (ticket.pipe == pipe && ticket.end == end).then_some(ticket.address)
    }

    /// Counts an end whose pipe is on another node, for as long as the bridge is there.
    pub fn bridge(&self, address: Option<IpAddr>) -> Result<Bridge, Refusal> {
        let limits = self.router.live_config().load().pipes;
        let permits = self
            .totals
            .permit(address, &limits)
            .and_then(|pipe| Ok((pipe, self.totals.permit_end(address, &limits)?)));
        let permits = permits.map_err(|limit| {
            self.router.events().limit_hit(limit, Some(&self.key), address);
            Refusal::TooManyPipes
        })?;
        Ok(Bridges::open(&self.bridges, address, permits))
    }

    /// Notes that a client which has proved its id has sent a description with this pipe, so its ends need no
    /// proof of their own.
    pub fn expect(&self, pipe: PipeId, client: &PeerId, address: Option<IpAddr>) {
        let since = self.router.clock().now();
        let mut expected = self.expected.lock();
        let address = AddressPrefix::of_remote(address);
        if let Some(known) = expected.get_mut(&pipe) {
            known.since = since;
        } else if let Some(of_client) = self.expecting.take(Some(client.clone()), MAX_EXPECTED)
            && let Some(of_address) = self.expecting_there.take(address, MAX_EXPECTED)
        {
            expected.insert(pipe, Expected { since, _places: (of_client, of_address) });
        }
    }

    /// True if the ends of a pipe need no proof: it is in a description, or there already.
    pub fn is_expected(&self, pipe: PipeId) -> bool {
        self.expected.lock().contains_key(&pipe) || self.pipes.lock().contains_key(&pipe)
    }

    /// The pipes, those with the most bytes first, at most so many.
    pub fn reports(&self, most: usize) -> Vec<PipeReport> {
        let mut reports: Vec<_> = self.all().iter().map(|pipe| pipe.report()).collect();
        reports.sort_by_key(|report| Reverse(report.bytes));
        reports.truncate(most);
        reports
    }

    fn all(&self) -> Vec<Arc<Pipe>> {
        self.pipes.lock().values().cloned().collect()
    }

    /// Ends a pipe, and the connections of both ends for the same reason.
    fn end(&self, pipe: &Arc<Pipe>, reason: CloseReason) {
        self.remove(pipe, reason);
        pipe.end(&|_| reason);
    }

    fn remove(&self, pipe: &Arc<Pipe>, reason: CloseReason) {
        let mut pipes = self.pipes.lock();
        // A late connection of a pipe that is over must not remove the next one with its id.
        if pipes.get(&pipe.id).is_some_and(|known| Arc::ptr_eq(known, pipe)) {
            pipes.remove(&pipe.id);
            self.router.events().counters().add(Count::PipesClosed(reason), 1);
        }
    }
}

impl Reserved {
    /// True if the end is the first of its pipe on this node.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Connects the end. Its outbox begins with the answer to its handshake.
    pub fn connect(self, attach: &Attach, outbox: Outbox) -> PipeEnd {
        let now = self.pipes.router.clock().now();
        self.pipe.connect(self.place, &self.pipes, attach.address, outbox, now)
    }

    /// Keeps the hold on the pipe's name for as long as the pipe is there.
    pub fn hold(&self, hold: Hold) {
        self.pipe.hold(hold);
    }

    /// Gives the place back, because the pipe is on another node, unless another end has come to it here.
    pub fn give_back(self) -> Result<(), Self> {
        let mut pipes = self.pipes.pipes.lock();
        if self.pipe.is_shared() {
            drop(pipes);
            return Err(self);
        }
        if pipes.get(&self.pipe.id).is_some_and(|known| Arc::ptr_eq(known, &self.pipe)) {
            pipes.remove(&self.pipe.id);
        }
        drop(pipes);
        // The same end may have another connection by now, which its client opened because this one took
        // long.
        self.pipe.move_away();
        Ok(())
    }
}

impl Names for Pipes {
    /// Another node has an end of a pipe that is here. It is told how to bring that here.
    fn seat(
        self: Arc<Self>,
        name: &str,
        wanted: &str,
        _client: &PeerId,
        _holder: &NameHolder,
    ) -> Result<Seating, u8> {
        let url = self.others.as_ref().and_then(|others| others.own_url()).ok_or(NO_WAY)?;
        let pipe = PipeId::parse(name).filter(|pipe| self.pipes.lock().contains_key(pipe));
        let ticket = pipe.and_then(|pipe| Ticket::parse(pipe, wanted)).ok_or(NO_SUCH_NAME)?;
        let number = self.tickets.give(ticket, self.router.clock().now()).ok_or(NO_WAY)?;
        let told = PipeAddress { url, ticket: number }.to_string();
        Ok(Seating::Given(Box::new(TicketSeat), told))
    }

    fn lose(&self, name: &str, _holder: &PeerId, _realm: Option<&Realm>) {
        let lost = PipeId::parse(name).and_then(|pipe| self.pipes.lock().get(&pipe).cloned());
        if let Some(pipe) = lost {
            self.end(&pipe, CloseReason::Outranked);
        }
    }
}

/// The number for a node that is not known to be reachable.
pub const NO_WAY: u8 = 1;

/// The right to use a ticket, which ends by itself.
struct TicketSeat;

impl GivenSeat for TicketSeat {
    fn doubt(self: Box<Self>) -> Option<Box<dyn GivenSeat>> {
        None
    }
}

impl KeyPart for Pipes {
    fn new(key: &Arc<KeyState>) -> Self {
        Pipes {
            key: key.key().clone(),
            state: Arc::downgrade(key),
            router: Arc::clone(key.router()),
            totals: key.pipe_totals(),
            others: key.others(),
            pipes: Mutex::default(),
            expected: Mutex::default(),
            expecting: Arc::default(),
            expecting_there: Arc::default(),
            tickets: Tickets::default(),
            bridges: Arc::default(),
            places: Arc::default(),
            rate: SharedRate::default(),
            former: Accounts::default(),
        }
    }

    fn sweep(&self, now: Instant) {
        self.expected.lock().retain(|_, expected| now.saturating_since(expected.since) < EXPECTED);
        self.tickets.sweep(now);
        self.former.sweep(now, now);
        let config = self.router.live_config().load();
        if config.pipes.total == 0 || !self.state.upgrade().is_some_and(|key| key.data().settings.pipes) {
            self.dismiss(&|_| true, CloseReason::PipesOff);
        }
        let idle_timeout = config.limits.pipe_idle_timeout();
        for pipe in self.all() {
            if let Some(reason) = pipe.sweep(now, idle_timeout) {
                self.end(&pipe, reason);
            }
        }
    }

    fn dismiss(&self, whom: &dyn Fn(Option<IpAddr>) -> bool, reason: CloseReason) {
        self.bridges.end(whom);
        for pipe in self.all() {
            if pipe.has_end(whom) {
                self.remove(&pipe, reason);
                pipe.end(&|address| if whom(address) { reason } else { CloseReason::PipeLeft });
            }
        }
    }

    fn is_idle(&self) -> bool {
        let now = self.router.clock().now();
        let is_unused = self.pipes.lock().is_empty() && self.bridges.is_empty() && self.former.is_empty();
        is_unused && self.expected.lock().is_empty() && self.rate.is_rested(now)
    }
}
