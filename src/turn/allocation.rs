//! One allocation: its relayed address, its permissions and its channels (RFC 8656, sections 2.2 to 2.5).

use std::net::{IpAddr, SocketAddr};
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
    state: Mutex<State>,
}

/// What changes.
struct State {
    /// When it ends, in milliseconds.
    expires: u64,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
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
    pub(super) fn at(self, relayed: SocketAddr, socket: Option<RelayedSocket>, expires: u64) -> Allocation {
        let NewAllocation { client, username, key, integrity, request, place } = self;
        let state = State { expires, permissions: Vec::new(), channels: Vec::new() };
        let (rate, state) = (RateLimit::default(), Mutex::new(state));
        Allocation { client, username, key, integrity, request, relayed, socket, place, rate, state }
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

    /// Permits peers, all or none of them.
    pub(super) fn permit(&self, peers: &[IpAddr], now: u64) -> Result<(), Unbound> {
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
            state.permit(&[peer.ip()], now)?;
            state.channels.push(Channel { number, peer, expires });
            return Ok(());
        }
        let mut channels = state.channels.iter_mut();
        let same = channels.find(|channel| channel.number == number && channel.peer == peer);
        same.ok_or(Unbound::Taken)?.expires = expires;
        state.permit(&[peer.ip()], now)
    }

    /// The peer of a channel, if the client may send to it.
    pub(super) fn peer_of(&self, number: u16, now: u64) -> Option<SocketAddr> {
        let state = self.state();
        let mut channels = state.channels.iter();
        let channel = channels.find(|channel| channel.number == number && channel.expires > now)?;
        state.permits(channel.peer.ip(), now).then_some(channel.peer)
    }

    /// Whether the client may send to a peer.
    pub(super) fn permits(&self, peer: IpAddr, now: u64) -> bool {
        self.state().permits(peer, now)
    }

    /// The way of a peer's bytes to the client.
    pub(super) fn inward(&self, peer: SocketAddr, now: u64) -> Inward {
        let state = self.state();
        if !state.permits(peer.ip(), now) {
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

    fn permit(&mut self, peers: &[IpAddr], now: u64) -> Result<(), Unbound> {
        self.permissions.retain(|permission| permission.expires > now);
        let is_known = |permissions: &[Permission], peer: &IpAddr| {
            permissions.iter().any(|permission| permission.peer == *peer)
        };
        let before = self.permissions.len();
        let expires = now + PERMISSION;
        for peer in peers {
            if is_known(&self.permissions, peer) {
                continue;
            }
            if self.permissions.len() >= MAX_PERMISSIONS {
                self.permissions.truncate(before);
                return Err(Unbound::Full);
            }
            self.permissions.push(Permission { peer: *peer, expires });
        }
        for permission in &mut self.permissions {
            if peers.contains(&permission.peer) {
                permission.expires = expires;
            }
        }
        Ok(())
    }
}
