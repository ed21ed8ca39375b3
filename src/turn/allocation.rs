//! One allocation: its relayed address, its permissions and its channels (RFC 8656, sections 2.2 to 2.5).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stun_types::message::{IntegrityKey, TransactionId};

use super::quotas::Place;
use super::relayed::RelayedSocket;
use super::way::Client;
use crate::rate_limit::RateLimit;

/// How long a permission and a channel last, in milliseconds (RFC 8656, sections 9 and 12).
const PERMISSION: u64 = 300_000;
const CHANNEL: u64 = 600_000;

/// Most peers that one client may have permissions for, and channels to. A browser has one allocation for each connection, and
/// asks for each address of the one peer at its other end.
const MAX_PERMISSIONS: usize = 64;
const MAX_CHANNELS: usize = 64;

/// Most other clients of this server that one client hears.
const MAX_NAMED: usize = 64;

/// Milliseconds after which an allocation that relays nothing counts as unused. Browsers check more often whether a way that they
/// may need still works.
const UNUSED: u64 = 60_000;

/// Channel numbers. RFC 8656, section 12, ends them at 0x4FFF; clients of RFC 5766 choose among all of these.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFF;

/// What a client has allocated.
pub(super) struct Allocation {
    pub(super) client: Client,
    pub(super) username: String,
    /// The API key in the username.
    pub(super) key: String,
    pub(super) integrity: IntegrityKey,
    /// The request that made it: UDP may bring it twice.
    pub(super) request: TransactionId,
    /// The address that peers see.
    pub(super) relayed: SocketAddr,
    /// Its socket, unless the address is virtual.
    pub(super) socket: Option<RelayedSocket>,
    pub(super) place: Place,
    pub(super) rate: RateLimit,
    pub(super) created: u64,
    /// When it has relayed its last datagram; 0 before the first.
    used: AtomicU64,
    state: Mutex<State>,
}

/// What changes.
struct State {
    /// When it ends, in milliseconds.
    expires: u64,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
    /// The address that all clients of this server have in common.
    shared: IpAddr,
    /// The ports at that address that the client has named. Permissions have no ports (RFC 8656, section 9): without these, a
    /// client that permits one other client would hear all of them.
    named: Vec<u16>,
}

struct Permission {
    peer: IpAddr,
    expires: u64,
}

struct Channel {
    number: u16,
    peer: SocketAddr,
    expires: u64,
}

/// How bytes of a peer get to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inward {
    Channel(u16),
    Indication,
    /// The client has not permitted that peer.
    Forbidden,
}

/// Why a client cannot have a permission or a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbound {
    /// The number or the peer is used otherwise, or no channel may have this number.
    Taken,
    /// The client has too many.
    Full,
}

/// What makes an allocation.
pub(super) struct NewAllocation {
    pub(super) client: Client,
    pub(super) username: String,
    pub(super) key: String,
    pub(super) integrity: IntegrityKey,
    pub(super) request: TransactionId,
    pub(super) place: Place,
}

impl NewAllocation {
    pub(super) fn at(
        self,
        relayed: SocketAddr,
        socket: Option<RelayedSocket>,
        now: u64,
        expires: u64,
    ) -> Allocation {
        let NewAllocation { client, username, key, integrity, request, place } = self;
        let (permissions, channels, named) = (Vec::new(), Vec::new(), Vec::new());
        let state = Mutex::new(State { expires, permissions, channels, shared: relayed.ip(), named });
        let (rate, created, used) = (RateLimit::default(), now, AtomicU64::new(0));
        Allocation {
            client,
            username,
            key,
            integrity,
            request,
            relayed,
            socket,
            place,
            rate,
            created,
            used,
            state,
        }
    }
}

impl Allocation {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Undoes [`NewAllocation::at`].
    pub(super) fn into_new(self) -> NewAllocation {
        let Allocation { client, username, key, integrity, request, place, .. } = self;
        NewAllocation { client, username, key, integrity, request, place }
    }

    /// Whether it is still there at `now`.
    pub(super) fn is_alive(&self, now: u64) -> bool {
        self.state().expires > now
    }

    /// Milliseconds that are left at `now`.
    pub(super) fn left(&self, now: u64) -> u64 {
        self.state().expires.saturating_sub(now)
    }

    /// Changes its end.
    pub(super) fn refresh(&self, expires: u64) {
        self.state().expires = expires;
    }

    /// Notes that a datagram was relayed.
    pub(super) fn note_use(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    /// True if it has relayed nothing for a while.
    pub(super) fn is_unused(&self, now: u64) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        used == 0 || used + UNUSED <= now
    }

    /// Permits peers, all or none of them.
    pub(super) fn permit(&self, peers: &[SocketAddr], now: u64) -> Result<(), Unbound> {
        self.state().permit(peers, now)
    }

    /// Binds a channel to a peer, or keeps it for longer. Permits the peer too.
    pub(super) fn bind(&self, number: u16, peer: SocketAddr, now: u64) -> Result<(), Unbound> {
        let state = &mut *self.state();
        state.channels.retain(|channel| channel.expires > now);
        let expires = now + CHANNEL;
        let is_free = !state.channels.iter().any(|channel| channel.number == number || channel.peer == peer);
        if is_free {
            if !CHANNELS.contains(&number) {
                return Err(Unbound::Taken);
            }
            if state.channels.len() >= MAX_CHANNELS {
                return Err(Unbound::Full);
            }
            state.permit(&[peer], now)?;
            state.channels.push(Channel { number, peer, expires });
            return Ok(());
        }
        let mut channels = state.channels.iter_mut();
        let same = channels.find(|channel| channel.number == number && channel.peer == peer);
        same.ok_or(Unbound::Taken)?.expires = expires;
        state.permit(&[peer], now)
    }

    /// The peer of a channel, if the client may send to it.
    pub(super) fn peer_of(&self, number: u16, now: u64) -> Option<SocketAddr> {
        let state = self.state();
        let mut channels = state.channels.iter();
        let channel = channels.find(|channel| channel.number == number && channel.expires > now)?;
        state.permits(channel.peer.ip(), now).then_some(channel.peer)
    }

    /// True if the client may send to a peer. If so, it hears the peer too.
    pub(super) fn may_send(&self, peer: SocketAddr, now: u64) -> bool {
        let state = &mut *self.state();
        let permits = state.permits(peer.ip(), now);
        if permits {
            state.name(peer);
        }
        permits
    }

    /// True if the client has permitted an address.
    pub(super) fn permits(&self, peer: IpAddr, now: u64) -> bool {
        self.state().permits(peer, now)
    }

    /// The way of a peer's bytes to the client. Another client of this server has to be permitted with its port.
    pub(super) fn inward(&self, peer: SocketAddr, is_client: bool, now: u64) -> Inward {
        let state = self.state();
        if !state.permits(peer.ip(), now) || is_client && !state.named.contains(&peer.port()) {
            return Inward::Forbidden;
        }
        let mut channels = state.channels.iter();
        let channel = channels.find(|channel| channel.peer == peer && channel.expires > now);
        channel.map_or(Inward::Indication, |channel| Inward::Channel(channel.number))
    }
}

impl State {
    fn permits(&self, peer: IpAddr, now: u64) -> bool {
        self.expires > now
            && self.permissions.iter().any(|permission| permission.peer == peer && permission.expires > now)
    }

    /// Notes that the client has named a peer.
    fn name(&mut self, peer: SocketAddr) {
        if peer.ip() != self.shared || self.named.contains(&peer.port()) {
            return;
        }
        if self.named.len() == MAX_NAMED {
            self.named.remove(0);
        }
        self.named.push(peer.port());
    }

    fn permit(&mut self, peers: &[SocketAddr], now: u64) -> Result<(), Unbound> {
        self.permissions.retain(|permission| permission.expires > now);
        let is_known = |permissions: &[Permission], peer: IpAddr| {
            permissions.iter().any(|permission| permission.peer == peer)
        };
        if !is_known(&self.permissions, self.shared) {
            self.named.clear();
        }
        let before = self.permissions.len();
        let expires = now + PERMISSION;
        for peer in peers {
            if is_known(&self.permissions, peer.ip()) {
                continue;
            }
            if self.permissions.len() >= MAX_PERMISSIONS {
                self.permissions.truncate(before);
                return Err(Unbound::Full);
            }
            self.permissions.push(Permission { peer: peer.ip(), expires });
        }
        for permission in &mut self.permissions {
            if peers.iter().any(|peer| peer.ip() == permission.peer) {
                permission.expires = expires;
            }
        }
        peers.iter().for_each(|peer| self.name(*peer));
        Ok(())
    }
}
