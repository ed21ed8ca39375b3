//! The limits of what members of rooms cause.

use std::sync::Arc;
use std::time::Duration;

use super::frames::MAX_ROOMS;
use super::presence::PresenceGuard;
use super::room::RoomGuard;
use super::state::MAX_STATE_OF_KEY;
use super::watches::MAX_WATCHED_OF_KEY;
use peerbroker_core::vocabulary::{AddressPrefix, Limit, PeerId, RoomRefusal};
use peerbroker_limits::{OwnShare, Quota, SharedRate};
use peerbroker_router::Router;

/// Most bytes of the data of a member, as JSON text.
pub const MAX_DATA_BYTES: usize = 1024;

/// Rooms of one client that do not count for the limit of its key, so that this grows with the limit of
/// clients.
const FREE_ROOMS: usize = 4;

/// Most rooms of all clients of a key on one node, without the free ones of each.
pub const MAX_ROOMS_OF_KEY: usize = 100_000;

/// A list of fewer bytes is never too long.
const SMALL_LIST: usize = 4096;

/// The owner of a share of the deliveries of a key.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Payer {
    /// An address of clients of this node.
    Address(AddressPrefix),
    /// A client of another node.
    Sender(PeerId),
}

impl From<AddressPrefix> for Payer {
    fn from(address: AddressPrefix) -> Self {
        Payer::Address(address)
    }
}

/// The limits of one key that change with the configuration.
pub(super) struct RoomLimits {
    router: Arc<Router>,
    pub(super) deliveries: SharedRate<Payer>,
    /// The rooms of all members, without the free ones of each.
    pub(super) rooms: Arc<Quota>,
    /// The ids that all watch.
    pub(super) watched: Arc<Quota>,
    /// The bytes of the states of all rooms.
    pub(super) state: Arc<Quota>,
    /// Requests that come too fast are refused. Otherwise they are on credit.
    refuses: bool,
}

impl RoomLimits {
    pub(super) fn new(router: Arc<Router>, refuses: bool) -> Self {
        let rooms = Quota::of_things(MAX_ROOMS_OF_KEY, FREE_ROOMS);
        let watched = Quota::of_things(MAX_WATCHED_OF_KEY, 0);
        let state = Quota::fixed(MAX_STATE_OF_KEY, 0);
        RoomLimits { router, deliveries: SharedRate::default(), rooms, watched, state, refuses }
    }

    /// Most bytes of the list of a room, with its state.
    pub(super) fn list_bytes(&self) -> usize {
        let outbox = self.router.live_config().load().limits.outbox_bytes;
        // A client that comes back gets the lists of all its rooms at once: they fill three quarters of its
        // outbox.
        (outbox / 4 * 3 / MAX_ROOMS).max(SMALL_LIST)
    }

    /// Refuses data with which the list of a room would be too long. The last tenth is for addresses with one
    /// member on this node.
    pub(super) fn check_list(
        &self,
        members: &RoomGuard<'_>,
        guard: &PresenceGuard<'_>,
        data: Option<&str>,
    ) -> Result<(), RoomRefusal> {
        let most = self.list_bytes();
        let bytes = members.bytes_with(guard.id, data);
        let few = || 1 + usize::from(members.contains(guard.id));
        let fits = bytes <= most - most / 10
            || bytes <= most && members.has_fewer_of(guard.state.account.as_ref(), few());
        if fits { Ok(()) } else { Err(RoomRefusal::ListFull) }
    }

    /// The rates of deliveries per second, of one member and of all.
    fn rates(&self) -> (u32, u32) {
        let limits = &self.router.live_config().load().limits;
        (limits.room_deliveries_per_second, limits.room_key_deliveries_per_second)
    }

    /// Charges deliveries to a member, its address, and all of the key: on credit, if the protocol has no
    /// answer for what is refused.
    pub(super) fn charge(&self, guard: &PresenceGuard<'_>, deliveries: usize) -> Result<(), RoomRefusal> {
        let (own, all) = self.rates();
        let now = self.router.clock().now();
        let count = cost(deliveries);
        let rate = &guard.presence.rate;
        let account = &guard.state.account;
        if !self.refuses {
            rate.charge(count, own, now);
            self.deliveries.charge(account, count, all, now);
            return Ok(());
        }
        rate.try_charge(count, own, now).map_err(|_| RoomRefusal::TooFast)?;
        self.deliveries.try_charge(account, count, all, now).map_err(|_| {
            rate.refund(count, own);
            RoomRefusal::KeyTooFast
        })
    }

    /// Charges the deliveries of news of a member that cannot be refused, on credit.
    pub(super) fn charge_on_credit(&self, guard: &PresenceGuard<'_>, deliveries: usize) {
        let (own, all) = self.rates();
        let now = self.router.clock().now();
        let count = cost(deliveries);
        guard.presence.rate.charge(count, own, now);
        self.deliveries.charge(&guard.state.account, count, all, now);
    }

    /// True unless a sender of another node has used its share of the deliveries of this one: the sender
    /// cannot be told to wait.
    pub(super) fn may_receive(&self, from: &PeerId) -> bool {
        self.refuses || {
            let all = self.rates().1;
            let now = self.router.clock().now();
            let is_free = |share: &OwnShare| self.deliveries.owed(share, all, now).is_zero();
            is_free(&None) || is_free(&self.deliveries.share(Payer::Sender(from.clone())))
        }
    }

    /// Charges deliveries that a message of another node causes, beyond those for which its sender pays
    /// there.
    pub(super) fn charge_sender(&self, from: &PeerId, deliveries: usize) {
        if deliveries > 0 {
            let share = self.deliveries.share(Payer::Sender(from.clone()));
            self.deliveries.charge(&share, cost(deliveries), self.rates().1, self.router.clock().now());
        }
    }

    /// Time until a member has paid for what it had on credit, and the limit that it has exceeded.
    pub(super) fn owed(&self, guard: &PresenceGuard<'_>) -> Option<(Limit, Duration)> {
        let (own, all) = self.rates();
        let now = self.router.clock().now();
        let owed = [
            (Limit::RoomDeliveries, guard.presence.rate.charge(0, own, now)),
            (Limit::RoomKeyDeliveries, self.deliveries.owed(&guard.state.account, all, now)),
        ];
        owed.into_iter().find(|(_, time)| !time.is_zero())
    }
}

/// A request costs at least one delivery.
fn cost(deliveries: usize) -> u32 {
    u32::try_from(deliveries).unwrap_or(u32::MAX).max(1)
}
