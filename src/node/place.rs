//! Places in groups of Matchbox, which one node of a cluster gives.

use std::sync::Arc;

use super::{Node, Tenant};
use crate::cluster::RemoteSeat;
use crate::rendezvous::GroupPlace;
use crate::wire::{InvalidName, PeerId, RoomName};

/// A place in a group. Dropping it frees the place, unless the group is full.
pub(crate) enum Place {
    /// Given by this node.
    Here(GroupPlace),
    /// Given by another node, which keeps it until the seat is dropped.
    There(RoomName, #[expect(dead_code, reason = "held")] RemoteSeat),
}

impl Place {
    /// Takes a place for a client that comes to a room. If the node that gives these places does not answer, this one does.
    pub(crate) async fn take(
        node: &Node,
        tenant: &Arc<Tenant>,
        room: &RoomName,
        size: usize,
        client: &PeerId,
    ) -> Result<Self, InvalidName> {
        let membership = node.membership();
        if let Some(membership) = membership
            && let Some((group, seat)) = membership.place(tenant.key(), room, size, client).await
        {
            return Ok(Place::There(group, seat));
        }
        let membership = membership.map(|membership| &**membership);
        tenant.place((room.clone(), size), client.clone(), membership).map(Place::Here)
    }

    /// The room of the group.
    pub(crate) fn room(&self) -> &RoomName {
        match self {
            Place::Here(place) => place.room(),
            Place::There(group, _) => group,
        }
    }
}
