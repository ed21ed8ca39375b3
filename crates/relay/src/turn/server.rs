//! The TURN server without its sockets: the allocations of clients, and the destinations of bytes.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::{DashMap, Entry};
use parking_lot::Mutex;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::AddressPrefix;
use peerbroker_media_api::{Dropped, MediaContext, MediaLimits, TurnConfig, TurnRefusal, TurnTotals};
use stun_types::message::{BINDING, Message, MessageClass};
use tokio_rustls::TlsAcceptor;
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::channel::ChannelData;
use turn_types::message::SEND;

use super::allocation::{Allocation, Proved};
use super::answers;
use super::client::{Client, ClientId, Ingress};
use super::eviction::Unused;
use super::nonce::Nonces;
use super::peers::Peers;
use super::quotas::{AllocationPermit, Quotas};
use super::relayed::{MAX_DATAGRAM, RelayedAddresses};
use crate::datapath::addresses::Addresses;
use crate::datapath::counters::TrafficCounters;
use crate::datapath::pace::{Sender, UnverifiedSourceLimiter, cost};
use crate::datapath::streams::{Connections, Crowded, Passed, Queued, Received};
use crate::datapath::stun::{is_channel, is_stun, mapped};

/// Places of unused allocations that are tried.
const TRIES: usize = 3;

/// Milliseconds between two refusals for one reason of which the host is told.
const TELL_EVERY: u64 = 60_000;

/// A TURN server, or one that answers STUN alone.
pub(crate) struct Server {
    pub(super) context: MediaContext,
    /// True if it answers STUN alone.
    pub(super) only_stun: bool,
    pub(super) realm: String,
    pub(super) nonces: Nonces,
    pub(super) peers: Peers,
    pub(super) addresses: RelayedAddresses,
    quotas: Quotas,
    pub(super) traffic: TrafficCounters,
    /// The totals that nothing else knows.
    pub(super) counted: Mutex<TurnTotals>,
    /// For each reason, the time from which the host is told of a refusal again.
    tell_from: Mutex<[Instant; TurnRefusal::ALL.len()]>,
    unused: Mutex<Unused>,
    unverified: UnverifiedSourceLimiter,
    by_client: DashMap<ClientId, Arc<Allocation>>,
    pub(super) by_relayed: DashMap<SocketAddr, Arc<Allocation>>,
    pub(super) connections: Connections,
    pub(super) last_connection: AtomicU64,
    pub(super) tls: OnceLock<TlsAcceptor>,
    /// True if it makes no more allocations.
    pub(super) has_retired: AtomicBool,
}

/// The outcome of bytes of a client, or the reason why they are dropped.
type Handled = Result<Option<Passed>, Dropped>;

/// The outbox that sent bytes have crowded, or the reason why they are dropped.
type Sent = Result<Crowded, Dropped>;

/// A request of a client, which may have an allocation.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    pub(super) allocation: Option<&'a Arc<Allocation>>,
    pub(super) request: &'a Message<'a>,
    pub(super) now: Instant,
}

impl Server {
    pub(super) fn new(context: MediaContext, config: TurnConfig, own: Addresses) -> Self {
        let TurnConfig { only_stun, realm, ports, peers, .. } = config;
        Server {
            connections: Connections::new(Arc::clone(&context.host)),
            context,
            only_stun,
            realm: realm.unwrap_or_else(|| "turn".to_owned()),
            nonces: Nonces::new(),
            peers: Peers::new(own.clone(), peers),
            addresses: RelayedAddresses { addresses: own, ports },
            quotas: Quotas::default(),
            traffic: TrafficCounters::default(),
            counted: Mutex::default(),
            tell_from: Mutex::default(),
            unused: Mutex::default(),
            unverified: UnverifiedSourceLimiter::default(),
            by_client: DashMap::new(),
            by_relayed: DashMap::new(),
            last_connection: AtomicU64::new(0),
            tls: OnceLock::new(),
            has_retired: AtomicBool::new(false),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.context.clock.now()
    }

    pub(super) fn limits(&self) -> MediaLimits {
        **self.context.limits.load()
    }

    /// Handles a STUN message or ChannelData of a client. `None` if an unverified source has sent too much.
    pub(super) fn receive(self: &Arc<Self>, client: &Client, bytes: &[u8]) -> Option<Received> {
        let now = self.now();
        let allocation = self.allocation_of(&client.id);
        let (sender, may_send) = match &allocation {
            // Its client pays for everything that it sends.
            Some(allocation) => {
                let of_server = self.limits().bytes_per_second;
                let bytes_per_second = allocation.place.of_key.bytes_per_second(of_server);
                let charged = allocation.rate.try_charge(cost(bytes.len(), 1), bytes_per_second, now);
                (Some(Sender::Client { bytes_per_second }), charged.map_err(|_| Dropped::TooMuch))
            }
            None if self.unverified.allows(client.id.address.ip(), now) => (Some(Sender::Unverified), Ok(())),
            None => (None, Err(Dropped::Unverified)),
        };
        let passed =
            self.settle(may_send.and_then(|()| self.handle(client, allocation.as_ref(), bytes, now)));
        Some(Received { sender: sender?, passed })
    }

    fn handle(
        self: &Arc<Self>,
        client: &Client,
        allocation: Option<&Arc<Allocation>>,
        bytes: &[u8],
        now: Instant,
    ) -> Handled {
        if is_channel(bytes) {
            let allocation = allocation.ok_or(Dropped::Unknown)?;
            let channel = ChannelData::parse(bytes).map_err(|_| Dropped::Unknown)?;
            let peer = allocation.rights.lock().peer_of(channel.id(), now).ok_or(Dropped::Permission)?;
            return self.send(allocation, peer, channel.data(), now);
        }
        let message = Message::from_bytes(bytes).ok().filter(|_| is_stun(bytes)).ok_or(Dropped::Unknown)?;
        let answer = match (message.class(), message.method()) {
            (MessageClass::Request, BINDING) => {
                self.traffic.bindings.add(1);
                mapped(&message, client.id.address)
            }
            (MessageClass::Request, _) if !self.only_stun => {
                self.on_request(Asked { client, allocation, request: &message, now })
            }
            (MessageClass::Indication, SEND) => return self.on_send(allocation, &message, now),
            // Keep-alives of browsers.
            (MessageClass::Indication, BINDING) => return Ok(None),
            _ => return Err(Dropped::Unknown),
        };
        client.send(&answer).map(|queued| {
            self.traffic.dropped(Dropped::Full, queued.dropped as u64);
            None
        })
    }

    fn on_send(&self, allocation: Option<&Arc<Allocation>>, message: &Message<'_>, now: Instant) -> Handled {
        let (Some(allocation), Ok(peer), Ok(data)) =
            (allocation, message.attribute::<XorPeerAddress>(), message.attribute::<Data<'_>>())
        else {
            return Err(Dropped::Unknown);
        };
        let peer = canonical(peer.addr(message.transaction_id()));
        if !allocation.rights.lock().may_send(peer, now) {
            return Err(Dropped::Permission);
        }
        self.send(allocation, peer, data.data(), now)
    }

    /// Sends a client's bytes to a peer that it has permitted.
    fn send(&self, from: &Allocation, peer: SocketAddr, bytes: &[u8], now: Instant) -> Handled {
        // A datagram that is too long for one way is so for all.
        if bytes.len() > MAX_DATAGRAM {
            return Err(Dropped::TooMuch);
        }
        self.charge_key(from, bytes, now)?;
        // No guard of the map is held while something is sent.
        let other = self.by_relayed.get(&peer).map(|other| Arc::clone(&other));
        let crowded = match (other, &from.socket) {
            (Some(other), _) => self.deliver(&other, from.relayed, true, bytes, now)?,
            (None, Some(socket)) if self.peers.accept(peer) => {
                self.count(socket.send(peer, bytes).then(Queued::default).ok_or(Dropped::Full), bytes)?
            }
            _ => return Err(Dropped::NoRoute),
        };
        from.record_use(now, bytes);
        Ok((!is_stun(bytes)).then_some(Passed { to: peer, crowded }))
    }

    /// Sends the bytes of a peer to a client. The peer may be another client.
    fn deliver(
        &self,
        to: &Allocation,
        peer: SocketAddr,
        is_client: bool,
        bytes: &[u8],
        now: Instant,
    ) -> Sent {
        let channel = to.rights.lock().channel_of(peer, is_client, now)?;
        let limit = to.place.of_key.bytes_per_second(self.limits().bytes_per_second);
        to.rate.try_charge(cost(bytes.len(), 1), limit, now).map_err(|_| Dropped::TooMuch)?;
        to.record_use(now, bytes);
        let sent = match channel {
            Some(number) => to.client.send_channel_data(number, bytes),
            None => to.client.send(&answers::data(peer, bytes)),
        };
        self.count(sent, bytes)
    }

    /// Counts a datagram that was sent, unless there was no room.
    fn count(&self, sent: Result<Queued, Dropped>, bytes: &[u8]) -> Sent {
        let Queued { crowded, dropped } = sent?;
        self.traffic.passed(1, bytes.len());
        self.traffic.dropped(Dropped::Full, dropped as u64);
        Ok(crowded)
    }

    /// Charges a datagram to the key of an allocation.
    fn charge_key(&self, allocation: &Allocation, bytes: &[u8], now: Instant) -> Result<(), Dropped> {
        let fits = allocation.place.of_key.charge(cost(bytes.len(), 1), now);
        fits.then_some(()).ok_or(Dropped::TooMuch)
    }

    /// Handles a datagram that a peer has sent to the socket of an allocation.
    pub(super) fn receive_from_peer(&self, allocation: &Allocation, peer: SocketAddr, bytes: &[u8]) {
        let peer = canonical(peer);
        let now = self.now();
        self.settle(if !self.peers.accept(peer) {
            Err(Dropped::NoRoute)
        } else if !allocation.rights.lock().permits(peer.ip(), now) {
            Err(Dropped::Permission)
        } else {
            self.charge_key(allocation, bytes, now)
                .and_then(|()| self.deliver(allocation, peer, false, bytes, now))
        });
    }

    /// Counts what was dropped.
    fn settle<T>(&self, handled: Result<Option<T>, Dropped>) -> Option<T> {
        handled.unwrap_or_else(|why| {
            self.traffic.dropped(why, 1);
            None
        })
    }

    /// The allocation of a client, unless it is over.
    pub(super) fn allocation_of(&self, client: &ClientId) -> Option<Arc<Allocation>> {
        let allocation = self.by_client.get(client).map(|allocation| Arc::clone(&allocation))?;
        if allocation.rights.lock().expires > self.now() {
            return Some(allocation);
        }
        self.remove(&allocation);
        None
    }

    /// A place for an allocation of a key and a client's address; if necessary that of an unused one,
    /// whichever quota is used up: pages with a pool of offers make many that nobody uses.
    pub(super) fn place(
        &self,
        key: &str,
        address: IpAddr,
        now: Instant,
    ) -> Result<AllocationPermit, TurnRefusal> {
        if self.has_retired.load(Ordering::Relaxed) {
            return Err(TurnRefusal::Capacity);
        }
        let limits = self.limits();
        let own = self.context.host.limits_of(key);
        let mut taken = self.quotas.take(key, own, address, limits);
        // Tries again if other threads take it first.
        for _ in 0..TRIES {
            let Err(full) = &taken else { break };
            let of_address = self.quotas.by_address.count(&AddressPrefix::of(address));
            let is_of_address = of_address >= limits.allocations_per_address();
            let unit = if is_of_address { AddressPrefix::of } else { AddressPrefix::site };
            let may_go = |unused: &Allocation| match full {
                TurnRefusal::KeyQuota => unused.proved.key == key,
                TurnRefusal::AddressQuota => unit(unused.client.id.address.ip()) == unit(address),
                _ => true,
            };
            let of_site = self.quotas.by_site.count(&AddressPrefix::site(address));
            let held = if *full == TurnRefusal::AddressQuota { 0 } else { of_site };
            let unused = self.unused.lock().next(|| self.all(), may_go, held, now);
            let Some(unused) = unused else { break };
            self.remove(&unused);
            drop(unused);
            self.counted.lock().displaced += 1;
            taken = self.quotas.take(key, own, address, limits);
        }
        taken
    }

    /// Adds an allocation, unless its address has been taken, or its client has another one.
    pub(super) fn insert(&self, allocation: &Arc<Allocation>) -> bool {
        match self.by_relayed.entry(allocation.relayed) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(entry) => drop(entry.insert(Arc::clone(allocation))),
        }
        if let Entry::Vacant(entry) = self.by_client.entry(allocation.client.id) {
            drop(entry.insert(Arc::clone(allocation)));
            return true;
        }
        self.remove(allocation);
        false
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

    /// All allocations.
    pub(super) fn all(&self) -> Vec<Arc<Allocation>> {
        self.by_client.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// The clients at a UDP port of ours that have relayed something lately, or are new.
    pub(crate) fn clients_at(&self, port: SocketAddr) -> Vec<SocketAddr> {
        let now = self.now();
        let mut all = self.all();
        all.retain(|of| {
            of.client.id.ingress == Ingress::Port(port) && (of.is_new(now) || !of.is_unused(now))
        });
        all.iter().map(|of| of.client.id.address).collect()
    }

    /// Removes expired allocations, and those of keys that may not use TURN any more.
    pub(super) fn sweep(&self) {
        let now = self.now();
        for allocation in self.all() {
            let Proved { username, key, .. } = &allocation.proved;
            if allocation.rights.lock().expires <= now
                || !self.context.host.may_use_turn(username, key, allocation.client.id.address.ip())
            {
                self.remove(&allocation);
            }
        }
        self.quotas.sweep(now, |key| self.context.host.limits_of(key));
        self.unverified.sweep(now);
    }

    /// Allocations in both maps.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.by_client.len() + self.by_relayed.len()
    }

    pub(super) fn totals(&self) -> TurnTotals {
        let mut totals = *self.counted.lock();
        totals.allocations = self.quotas.all.count();
        self.traffic.add_to(&mut totals.traffic);
        totals
    }

    /// Counts a refused request, and tells the host. The key is empty unless the client has proved it.
    pub(super) fn record_refusal(&self, why: TurnRefusal, key: &str, client: &Client) {
        if let Some(refused) = self.counted.lock().refused.get_mut(why as usize) {
            *refused += 1;
        }
        let now = self.now();
        let mut tell_from = self.tell_from.lock();
        let due = tell_from.get_mut(why as usize).filter(|from| **from <= now);
        let is_due = due.map(|from| *from = now.plus_millis(TELL_EVERY)).is_some();
        drop(tell_from);
        if is_due {
            self.context.host.turn_refused(why, key, client.id.address.ip());
        }
    }
}

/// An IPv4 address in an IPv6 one is that IPv4 address.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
