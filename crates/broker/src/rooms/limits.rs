//! The limits of what members of rooms cause.

use std::sync::Arc;

use super::presence::Presence;
use super::room::RoomGuard;
use crate::rate_limit::RateLimit;
use crate::router::Router;
use crate::wire::{Frame, PeerId, RoomRefusal};

/// Most rooms in which one client is.
pub const MAX_ROOMS: usize = 16;

/// Most bytes of the data of a member, as JSON text.
pub const MAX_DATA_BYTES: usize = 1024;

/// Bytes of a message that count as one delivery.
const MESSAGE_PART: usize = 64 * 1024;

/// A list of fewer bytes is never too long.
const SMALL_LIST: usize = 4096;

/// The limits of one key that change with the configuration.
pub(super) struct RoomLimits {
    router: Arc<Router>,
    /// The rate limit of deliveries of all members.
    deliveries: RateLimit,
}

impl RoomLimits {
    pub(super) fn new(router: Arc<Router>) -> Self {
        RoomLimits { router, deliveries: RateLimit::default() }
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

    /// Charges deliveries to a member, and to all of the key.
    pub(super) fn charge(&self, presence: &Presence, deliveries: usize) -> Result<(), RoomRefusal> {
        let ((own, all), now, count) = (self.rates(), self.router.clock().now(), cost(deliveries));
        presence.rate.try_charge(count, own, now).map_err(|_| RoomRefusal::TooFast)?;
        self.deliveries.try_charge(count, all, now).map_err(|_| {
            presence.rate.refund(count, own);
            RoomRefusal::KeyTooFast
        })
    }

    /// Charges a peer for news of it to so many others. It cannot be refused, so it is on credit.
    pub(super) fn charge_on_credit(&self, presence: &Presence, deliveries: usize) {
        presence.rate.charge(cost(deliveries), self.rates().0, self.router.clock().now());
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
