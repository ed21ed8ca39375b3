//! The limits of what members of rooms cause.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::presence::PresenceGuard;
use super::room::RoomGuard;
use crate::router::{PeerHandle, Router};
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::wire::{AddressPrefix, Frame, Limit, PeerId, RoomRefusal};

/// Most rooms in which one client is.
pub const MAX_ROOMS: usize = 16;

/// Most bytes of the data of a member, as JSON text.
pub const MAX_DATA_BYTES: usize = 1024;

/// Bytes of a message that count as one delivery.
const MESSAGE_PART: usize = 64 * 1024;

/// Rooms of one client that do not count for the limit of its key, so that this grows with the limit of clients.
pub(super) const FREE_ROOMS: usize = 4;

/// Most rooms of all clients of a key on one node, without the free ones of each.
pub const MAX_ROOMS_OF_KEY: usize = 100_000;

/// Every address may cause one of so many parts of the deliveries of a key. Beyond that, it leaves half of the key's burst to others.
const ADDRESS_PART: u32 = 10;

/// A list of fewer bytes is never too long.
const SMALL_LIST: usize = 4096;

/// The limits of one key that change with the configuration.
pub(super) struct RoomLimits {
    router: Arc<Router>,
    /// The rate limit of deliveries of all members.
    deliveries: RateLimit,
    /// The deliveries that the clients of each address cause, loopback aside.
    addresses: Mutex<HashMap<AddressPrefix, Arc<RateLimit>>>,
    /// Requests that come too fast are refused. Otherwise they are on credit.
    refuses: bool,
}

impl RoomLimits {
    pub(super) fn new(router: Arc<Router>, refuses: bool) -> Self {
        RoomLimits { router, deliveries: RateLimit::default(), addresses: Mutex::default(), refuses }
    }

    /// The account of the address of a client.
    pub(super) fn account(&self, peer: &PeerHandle) -> Option<Arc<RateLimit>> {
        let address = AddressPrefix::of_remote(peer.address())?;
        Some(Arc::clone(self.addresses.lock().entry(address).or_default()))
    }

    /// Forgets addresses without clients and with a full burst.
    pub(super) fn sweep(&self) {
        let now = self.router.clock().now();
        let is_used = |account: &Arc<RateLimit>| Arc::strong_count(account) > 1 || !account.is_rested(now);
        self.addresses.lock().retain(|_, account| is_used(account));
    }

    /// Refuses data with which the list of a room would be too long.
    pub(super) fn check_list(
        &self,
        members: &RoomGuard<'_>,
        id: &PeerId,
        data: Option<&str>,
    ) -> Result<(), RoomRefusal> {
        let outbox = self.router.live_config().load().limits.outbox_bytes;
        // A client that comes back gets the lists of all its rooms at once: they fill three quarters of its outbox.
        let most = (outbox / 4 * 3 / MAX_ROOMS).max(SMALL_LIST);
        if members.bytes_with(id, data) > most { Err(RoomRefusal::ListFull) } else { Ok(()) }
    }

    /// The rates of deliveries per second, of one member and of all.
    fn rates(&self) -> (u32, u32) {
        let limits = &self.router.live_config().load().limits;
        (limits.room_deliveries_per_second, limits.room_key_deliveries_per_second)
    }

    /// Charges deliveries to a member, its address, and all of the key: on credit, if the dialect has no answer for what is refused.
    pub(super) fn charge(&self, guard: &PresenceGuard<'_>, deliveries: usize) -> Result<(), RoomRefusal> {
        let ((own, all), now, count) = (self.rates(), self.router.clock().now(), cost(deliveries));
        if self.refuses {
            guard.presence.rate.try_charge(count, own, now).map_err(|_| RoomRefusal::TooFast)?;
            let charged = match self.is_within_part(guard, all, now) {
                true => self.deliveries.try_charge(count, all, now),
                false => self.deliveries.try_charge_half(count, all, now),
            };
            charged.map_err(|_| {
                guard.presence.rate.refund(count, own);
                RoomRefusal::KeyTooFast
            })?;
        } else {
            guard.presence.rate.charge(count, own, now);
            self.deliveries.charge(count, all, now);
        }
        charge_account(guard, count, all, now);
        Ok(())
    }

    /// The same for news of a member that cannot be refused.
    pub(super) fn charge_on_credit(&self, guard: &PresenceGuard<'_>, deliveries: usize) {
        let ((own, all), now, count) = (self.rates(), self.router.clock().now(), cost(deliveries));
        guard.presence.rate.charge(count, own, now);
        charge_account(guard, count, all, now);
        // Other members of the key are not refused for it.
        let _ = self.deliveries.try_charge_half(count, all, now);
    }

    /// Time until a member has paid for what it had on credit, and the limit that it has exceeded.
    pub(super) fn owed(&self, guard: &PresenceGuard<'_>) -> Option<(Limit, Duration)> {
        let ((own, all), now) = (self.rates(), self.router.clock().now());
        let of_key = match self.is_within_part(guard, all, now) {
            true => self.deliveries.charge(0, all, now),
            false => self.deliveries.until_half(now),
        };
        let owed = [
            (Limit::RoomDeliveries, guard.presence.rate.charge(0, own, now)),
            (Limit::RoomKeyDeliveries, of_key),
        ];
        owed.into_iter().find(|(_, time)| !time.is_zero())
    }

    /// True if the address of a member has caused no more than its part.
    fn is_within_part(&self, guard: &PresenceGuard<'_>, all: u32, now: u64) -> bool {
        let account = guard.state.account.as_ref();
        account.is_none_or(|account| account.charge(0, all.div_ceil(ADDRESS_PART), now).is_zero())
    }
}

fn charge_account(guard: &PresenceGuard<'_>, count: u32, all: u32, now: u64) {
    if let Some(account) = &guard.state.account {
        account.charge(count, all.div_ceil(ADDRESS_PART), now);
    }
}

/// The deliveries of a message to so many members.
pub(super) fn deliveries(members: usize, message: &Frame) -> usize {
    members.saturating_mul(message.len().div_ceil(MESSAGE_PART))
}

/// A request costs at least one delivery.
fn cost(deliveries: usize) -> u32 {
    u32::try_from(deliveries).unwrap_or(u32::MAX).max(1)
}
