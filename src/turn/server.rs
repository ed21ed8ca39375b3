//! The TURN server without its sockets: who has which allocation, and where bytes go.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use stun_types::message::{BINDING, Message, MessageClass};
use tokio::runtime::Handle;
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::channel::ChannelData;
use turn_types::message::SEND;

use super::allocation::{Allocation, Inward};
use super::answers;
use super::counters::{Counters, TurnDrop, TurnTotals};
use super::nonce::Nonces;
use super::peers::Peers;
use super::quotas::{Place, Quotas, TooMany};
use super::reclaim::Unused;
use super::relayed::{MAX_DATAGRAM, RelayedAddresses};
use super::way::{Client, ClientId, Entrance};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::limits::Strangers;
use crate::relay::{MESSAGE_OVERHEAD, Sender};

/// Says whether clients of an API key may use TURN.
pub(crate) type Admits = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// First bytes of STUN are below this; its cookie follows the length (RFC 8489, section 5).
const STUN: u8 = 4;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
/// First bytes of ChannelData, with the numbers of RFC 5766. Neither DTLS nor RTP begins with them (RFC 7983, section 7).
const CHANNEL: std::ops::RangeInclusive<u8> = 0x40..=0x7F;

/// Places of unused allocations that are tried.
const TRIES: usize = 3;

/// A TURN server, or one that answers STUN alone.
pub(super) struct Server {
    pub(super) config: LiveConfig,
    pub(super) clock: Clock,
    pub(super) admits: Admits,
    /// Whether it answers STUN alone.
    pub(super) only_stun: bool,
    pub(super) nonces: Nonces,
    pub(super) peers: Peers,
    pub(super) addresses: RelayedAddresses,
    pub(super) quotas: Arc<Quotas>,
    pub(super) counters: Counters,
    unused: Unused,
    strangers: Strangers,
    by_client: DashMap<ClientId, Arc<Allocation>>,
    by_relayed: DashMap<SocketAddr, Arc<Allocation>>,
    connections: AtomicU64,
    /// Where the sockets of relayed addresses are read.
    runtime: OnceLock<Handle>,
}

impl Server {
    pub(super) fn new(
        config: LiveConfig,
        clock: Clock,
        admits: Admits,
        only_stun: bool,
        peers: Peers,
        addresses: RelayedAddresses,
    ) -> Self {
        Server {
            config,
            clock,
            admits,
            only_stun,
            nonces: Nonces::new(),
            peers,
            addresses,
            quotas: Arc::default(),
            counters: Counters::default(),
            unused: Unused::default(),
            strangers: Strangers::default(),
            by_client: DashMap::new(),
            by_relayed: DashMap::new(),
            connections: AtomicU64::new(0),
            runtime: OnceLock::new(),
        }
    }

    /// Whether the first bytes of a datagram are those of TURN, and not of a STUN Binding.
    pub(super) fn is_turn(datagram: &[u8]) -> bool {
        match datagram.first() {
            Some(first) if CHANNEL.contains(first) => true,
            // The class of a message is in two bits among those of its method, whose lowest four are these.
            Some(_) => Server::is_stun(datagram) && datagram.get(1).is_some_and(|byte| byte & 0x0F != 1),
            None => false,
        }
    }

    pub(super) fn is_stun(datagram: &[u8]) -> bool {
        datagram.first().is_some_and(|first| *first < STUN) && datagram.get(4..8) == Some(&COOKIE)
    }

    pub(super) fn is_channel(datagram: &[u8]) -> bool {
        datagram.first().is_some_and(|first| CHANNEL.contains(first))
    }

    /// A new connection's way in.
    pub(super) fn entrance(&self) -> Entrance {
        Entrance::Connection(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Says where the sockets of relayed addresses are read.
    pub(super) fn read_on(&self, runtime: Handle) {
        // Any will do.
        let _ = self.runtime.set(runtime);
    }

    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Handles a STUN message or ChannelData of a client. Says who that is; `None` if a stranger's address has sent too much.
    pub(super) fn receive(self: &Arc<Self>, client: &Client, bytes: &[u8]) -> Option<Sender> {
        let now = self.now();
        let allocation = self.allocation_of(&client.id);
        match &allocation {
            // Its client pays for everything that it sends.
            Some(allocation) => {
                let bytes_per_second = self.config.load().turn_limits.bytes_per_second;
                if allocation.rate.try_charge(cost(bytes), bytes_per_second, now) {
                    self.handle(client, Some(allocation), bytes, now);
                } else {
                    self.counters.dropped(TurnDrop::TooMuch);
                }
                Some(Sender::Client { bytes_per_second })
            }
            None if self.strangers.admit(client.id.address.ip(), now) => {
                self.handle(client, None, bytes, now);
                Some(Sender::Stranger)
            }
            None => {
                self.counters.dropped(TurnDrop::Stranger);
                None
            }
        }
    }

    fn handle(
        self: &Arc<Self>,
        client: &Client,
        allocation: Option<&Arc<Allocation>>,
        bytes: &[u8],
        now: u64,
    ) {
        if Server::is_channel(bytes) {
            let Some(allocation) = allocation else { return self.counters.dropped(TurnDrop::Unknown) };
            let Ok(channel) = ChannelData::parse(bytes) else {
                return self.counters.dropped(TurnDrop::Unknown);
            };
            let Some(peer) = allocation.peer_of(channel.id(), now) else {
                return self.counters.dropped(TurnDrop::Permission);
            };
            return self.send(allocation, peer, channel.data(), now);
        }
        let message = Message::from_bytes(bytes).ok().filter(|_| Server::is_stun(bytes));
        let Some(message) = message else { return self.counters.dropped(TurnDrop::Unknown) };
        self.on_message(client, allocation, &message, now);
    }

    fn on_message(
        self: &Arc<Self>,
        client: &Client,
        allocation: Option<&Arc<Allocation>>,
        message: &Message<'_>,
        now: u64,
    ) {
        match (message.class(), message.method()) {
            (MessageClass::Request, BINDING) => {
                self.counters.binding();
                self.answer(client, &answers::mapped(message, client.id.address));
            }
            (MessageClass::Request, _) if !self.only_stun => {
                let answer = self.on_request(client, allocation, message, now);
                self.answer(client, &answer);
            }
            (MessageClass::Indication, SEND) => self.on_send(allocation, message, now),
            // Keep-alives of browsers.
            (MessageClass::Indication, BINDING) => {}
            _ => self.counters.dropped(TurnDrop::Unknown),
        }
    }

    fn answer(&self, client: &Client, answer: &[u8]) {
        if !client.send(answer) {
            self.counters.dropped(TurnDrop::Full);
        }
    }

    fn on_send(&self, allocation: Option<&Arc<Allocation>>, message: &Message<'_>, now: u64) {
        let (Some(allocation), Ok(peer), Ok(data)) =
            (allocation, message.attribute::<XorPeerAddress>(), message.attribute::<Data<'_>>())
        else {
            return self.counters.dropped(TurnDrop::Unknown);
        };
        let peer = canonical(peer.addr(message.transaction_id()));
        if !allocation.may_send(peer, now) {
            return self.counters.dropped(TurnDrop::Permission);
        }
        self.send(allocation, peer, data.data(), now);
    }

    /// Sends a client's bytes to a peer that it has permitted.
    fn send(&self, from: &Allocation, peer: SocketAddr, bytes: &[u8], now: u64) {
        // A datagram that is too long for one way is so for all.
        if bytes.len() > MAX_DATAGRAM {
            return self.counters.dropped(TurnDrop::TooMuch);
        }
        let limit = self.config.load().turn_limits.key_bytes_per_second;
        if !from.place.charge_key(cost(bytes), limit, now) {
            return self.counters.dropped(TurnDrop::TooMuch);
        }
        // No guard of the map is held while something is sent.
        let other = self.by_relayed.get(&peer).map(|other| Arc::clone(&other));
        let is_sent = match (other, &from.socket) {
            (Some(other), _) => self.deliver(&other, from.relayed, true, bytes, now),
            (None, Some(socket)) if self.peers.accept(peer) => {
                self.count(socket.send(peer, bytes), bytes.len())
            }
            _ => {
                self.counters.dropped(TurnDrop::NoWay);
                false
            }
        };
        if is_sent {
            from.note_use(now);
        }
    }

    /// Gives a client the bytes of a peer, which may be another client. False if they are dropped.
    fn deliver(&self, to: &Allocation, peer: SocketAddr, is_client: bool, bytes: &[u8], now: u64) -> bool {
        let inward = to.inward(peer, is_client, now);
        if inward == Inward::Forbidden {
            self.counters.dropped(TurnDrop::Permission);
            return false;
        }
        let limit = self.config.load().turn_limits.bytes_per_second;
        if !to.rate.try_charge(cost(bytes), limit, now) {
            self.counters.dropped(TurnDrop::TooMuch);
            return false;
        }
        to.note_use(now);
        let wrapped = match inward {
            Inward::Channel(number) => answers::channel_data(number, bytes),
            Inward::Indication | Inward::Forbidden => answers::data(peer, bytes),
        };
        self.count(to.client.send(&wrapped), bytes.len())
    }

    /// Counts a datagram that was sent, or for which there was no room.
    fn count(&self, is_sent: bool, bytes: usize) -> bool {
        if is_sent {
            self.counters.relayed(bytes);
        } else {
            self.counters.dropped(TurnDrop::Full);
        }
        is_sent
    }

    /// Handles what a peer has sent to the socket of an allocation.
    pub(super) fn receive_from_peer(&self, allocation: &Allocation, peer: SocketAddr, bytes: &[u8]) {
        let (peer, now) = (canonical(peer), self.now());
        let limit = self.config.load().turn_limits.key_bytes_per_second;
        if !self.peers.accept(peer) {
            self.counters.dropped(TurnDrop::NoWay);
        } else if !allocation.permits(peer.ip(), now) {
            self.counters.dropped(TurnDrop::Permission);
        } else if !allocation.place.charge_key(cost(bytes), limit, now) {
            self.counters.dropped(TurnDrop::TooMuch);
        } else {
            self.deliver(allocation, peer, false, bytes, now);
        }
    }

    /// The allocation of a client, unless it is over.
    pub(super) fn allocation_of(&self, client: &ClientId) -> Option<Arc<Allocation>> {
        let allocation = self.by_client.get(client).map(|allocation| Arc::clone(&allocation))?;
        if allocation.is_alive(self.now()) {
            return Some(allocation);
        }
        self.remove(&allocation);
        None
    }

    /// Whether an address is relayed for a client.
    pub(super) fn is_relayed(&self, address: &SocketAddr) -> bool {
        self.by_relayed.contains_key(address)
    }

    /// A place for an allocation of a key and a client's address, if need be that of an unused one.
    pub(super) fn place(&self, key: &str, address: IpAddr, now: u64) -> Result<Place, TooMany> {
        let limits = self.config.load().turn_limits;
        let mut taken = self.quotas.take(key, address, limits);
        // Again if others take it meanwhile.
        for _ in 0..TRIES {
            let of_key = match &taken {
                Err(TooMany::InAll) => None,
                Err(TooMany::OfKey) => Some(key),
                Ok(_) | Err(TooMany::OfAddress) => break,
            };
            let held = self.quotas.of_site(address);
            let Some(unused) = self.unused.next(|| self.all(), of_key, held, now) else { break };
            self.remove(&unused);
            drop(unused);
            self.counters.reclaimed();
            taken = self.quotas.take(key, address, limits);
        }
        taken
    }

    /// Adds an allocation, unless its address was taken meanwhile, or its client has another one.
    pub(super) fn insert(&self, allocation: &Arc<Allocation>) -> bool {
        use dashmap::Entry;
        match self.by_relayed.entry(allocation.relayed) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(entry) => drop(entry.insert(Arc::clone(allocation))),
        }
        let is_first = match self.by_client.entry(allocation.client.id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                drop(entry.insert(Arc::clone(allocation)));
                true
            }
        };
        if !is_first {
            self.remove(allocation);
        }
        is_first
    }

    /// Removes an allocation.
    pub(super) fn remove(&self, allocation: &Arc<Allocation>) {
        let is_it = |other: &Arc<Allocation>| Arc::ptr_eq(other, allocation);
        // Dropped outside of the maps' locks.
        let removed = (
            self.by_client.remove_if(&allocation.client.id, |_, other| is_it(other)),
            self.by_relayed.remove_if(&allocation.relayed, |_, other| is_it(other)),
        );
        drop(removed);
    }

    /// Ends the allocation of a client whose connection has ended.
    pub(super) fn leave(&self, client: &ClientId) {
        if let Some(allocation) = self.allocation_of(client) {
            self.remove(&allocation);
        }
    }

    /// All allocations.
    fn all(&self) -> Vec<Arc<Allocation>> {
        self.by_client.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// Removes allocations that are over, and those of keys that may not use TURN any more.
    pub(super) fn sweep(&self) {
        let now = self.now();
        for allocation in self.all() {
            if !allocation.is_alive(now) || !(self.admits)(&allocation.key) {
                self.remove(&allocation);
            }
        }
        self.quotas.sweep(now);
        self.strangers.sweep(now);
    }

    /// Allocations in both maps.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.by_client.len() + self.by_relayed.len()
    }

    pub(super) fn totals(&self) -> TurnTotals {
        self.counters.totals(self.quotas.len())
    }
}

/// An IPv4 address in an IPv6 one is that IPv4 address.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The bytes that a datagram is charged as.
fn cost(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len() + MESSAGE_OVERHEAD).unwrap_or(u32::MAX)
}
