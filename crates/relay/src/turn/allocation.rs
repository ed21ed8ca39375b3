//! An allocation: its relayed address, its permissions and its channels (RFC 8656, sections 2.2 to 2.5).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_media_api::{Dropped, TurnRefusal};
use stun_types::message::{IntegrityKey, TransactionId};

use super::client::Client;
use super::quotas::AllocationPermit;
use super::relayed::RelayedSocket;

/// Lifetime of a permission and a channel, in milliseconds (RFC 8656, sections 9 and 12).
const PERMISSION: u64 = 300_000;
const CHANNEL: u64 = 600_000;

/// Most peers that one client may have permissions for, and channels to. A browser has one allocation for
/// each connection, and asks for each address of its one peer.
const MAX_PERMISSIONS: usize = 64;
const MAX_CHANNELS: usize = 64;

/// Maximum of other clients of this server that one client hears.
const MAX_NAMED: usize = 64;

/// Milliseconds after which an allocation that relays nothing counts as unused. Browsers check a path that
/// they may need more often.
const UNUSED: u64 = 60_000;

/// Channel numbers. RFC 8656, section 12, ends them at 0x4FFF; clients of RFC 5766 choose among all of these.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFF;

/// The credentials of a client that has proved itself.
#[derive(Clone)]
pub(super) struct Proved {
    pub(super) username: String,
    /// The API key in the username.
    pub(super) key: String,
    pub(super) integrity: IntegrityKey,
}

/// A client's allocation.
pub(super) struct Allocation {
    pub(super) client: Client,
    pub(super) proved: Proved,
    /// The request that made it: UDP may bring it twice.
    pub(super) request: TransactionId,
    /// The address that peers see.
    pub(super) relayed: SocketAddr,
    /// Its socket, unless the address is virtual.
    pub(super) socket: Option<RelayedSocket>,
    pub(super) place: AllocationPermit,
    pub(super) rate: RateLimit,
    pub(super) created: Instant,
    /// The time of its last relayed datagram; 0 before the first.
    pub(super) used: AtomicU64,
    /// Bytes that it has relayed.
    pub(super) bytes: AtomicU64,
    pub(super) rights: Mutex<Rights>,
}

/// The rights of its client, which change.
pub(super) struct Rights {
    /// The time at which it ends, in milliseconds.
    pub(super) expires: Instant,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
    /// The address that all clients of this server have in common.
    shared: IpAddr,
    /// The ports at that address that the client has named. Permissions have no ports (RFC 8656, section 9):
    /// without these, a client that permits one other client would hear all of them.
    named: Vec<u16>,
}

#[derive(Clone)]
struct Permission {
    peer: IpAddr,
    expires: Instant,
}

struct Channel {
    number: u16,
    peer: SocketAddr,
    expires: Instant,
}

impl Allocation {
    /// Records that a datagram was relayed.
    pub(super) fn record_use(&self, now: Instant, bytes: &[u8]) {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.used.store(now.as_millis(), Ordering::Relaxed);
    }

    /// True if it has relayed nothing for a while.
    pub(super) fn is_unused(&self, now: Instant) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        used == 0 || now.millis_since(Instant::from_millis(used)) >= UNUSED
    }

    /// True if its client may still be looking for a path.
    pub(super) fn is_new(&self, now: Instant) -> bool {
        now.millis_since(self.created) < UNUSED
    }
}

impl Rights {
    /// The rights of a new allocation.
    pub(super) fn new(relayed: SocketAddr, expires: Instant) -> Self {
        let (permissions, channels, named) = Default::default();
        Rights { expires, permissions, channels, shared: relayed.ip(), named }
    }

    /// Binds a channel to a peer, or keeps it for longer. Permits the peer too.
    pub(super) fn bind(&mut self, number: u16, peer: SocketAddr, now: Instant) -> Result<(), TurnRefusal> {
        self.channels.retain(|channel| channel.expires > now);
        // The number or the peer may be in use for another one.
        if self.channels.iter().any(|known| (known.number == number) != (known.peer == peer)) {
            return Err(TurnRefusal::Request);
        }
        let is_new = self.channels.iter().all(|known| known.number != number);
        if is_new && !CHANNELS.contains(&number) {
            return Err(TurnRefusal::Request);
        }
        if is_new && self.channels.len() >= MAX_CHANNELS {
            return Err(TurnRefusal::Capacity);
        }
        self.permit(&[peer], now)?;
        self.channels.retain(|known| known.number != number);
        self.channels.push(Channel { number, peer, expires: now.plus_millis(CHANNEL) });
        Ok(())
    }

    /// The peer of a channel, if the client may send to it.
    pub(super) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let mut channels = self.channels.iter();
        let channel = channels.find(|channel| channel.number == number && channel.expires > now)?;
        self.permits(channel.peer.ip(), now).then_some(channel.peer)
    }

    /// True if the client may send to a peer. If so, it hears the peer too.
    pub(super) fn may_send(&mut self, peer: SocketAddr, now: Instant) -> bool {
        let permits = self.permits(peer.ip(), now);
        if permits {
            self.name(peer);
        }
        permits
    }

    /// The channel in which a peer's bytes get to the client, if it has one. They are dropped unless it has
    /// permitted the peer: another client with its port.
    pub(super) fn channel_of(
        &self,
        peer: SocketAddr,
        is_client: bool,
        now: Instant,
    ) -> Result<Option<u16>, Dropped> {
        if !self.permits(peer.ip(), now) || is_client && !self.named.contains(&peer.port()) {
            return Err(Dropped::Permission);
        }
        let mut channels = self.channels.iter();
        let channel = channels.find(|channel| channel.peer == peer && channel.expires > now);
        Ok(channel.map(|channel| channel.number))
    }

    /// True if the client has permitted an address.
    pub(super) fn permits(&self, peer: IpAddr, now: Instant) -> bool {
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

    /// Permits peers, all or none of them.
    pub(super) fn permit(&mut self, peers: &[SocketAddr], now: Instant) -> Result<(), TurnRefusal> {
        self.permissions.retain(|permission| permission.expires > now);
        if !self.permissions.iter().any(|permission| permission.peer == self.shared) {
            self.named.clear();
        }
        let mut permissions = self.permissions.clone();
        let expires = now.plus_millis(PERMISSION);
        for peer in peers.iter().map(SocketAddr::ip) {
            match permissions.iter_mut().find(|permission| permission.peer == peer) {
                Some(known) => known.expires = expires,
                None => permissions.push(Permission { peer, expires }),
            }
        }
        if permissions.len() > MAX_PERMISSIONS {
            return Err(TurnRefusal::Capacity);
        }
        self.permissions = permissions;
        peers.iter().for_each(|peer| self.name(*peer));
        Ok(())
    }
}
