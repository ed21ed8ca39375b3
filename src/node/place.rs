//! Finds a place in a group for a peer of Matchbox, on this node or another one.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{Holding, Membership};
use peerbroker_broker::protocols::client::Place;
use peerbroker_broker::protocols::matchbox::{GroupPlace, Groups};
use peerbroker_broker::protocols::names::{GroupKind, Hold};
use peerbroker_broker::router::Realm;
use peerbroker_core::clock::{Clock, millis};
use peerbroker_core::wire::PeerId;

/// Pause before a node is asked again for a place.
const RETRY: Duration = Duration::from_millis(100);

/// Leases for which a client waits for a place: the giver of the last one may have to die, and its right with it.
const PATIENCE: u32 = 2;

/// A peer that looks for a place.
pub(super) struct Seeker {
    pub(super) realm: Arc<Realm>,
    pub(super) groups: Arc<Groups>,
    pub(super) membership: Option<Arc<Membership>>,
    pub(super) clock: Clock,
    pub(super) kind: GroupKind,
    pub(super) client: PeerId,
}

impl Seeker {
    /// Takes a place in the only open group that the nodes have, or opens one. `None` if no node gives places for too long.
    pub(super) async fn seek(&self) -> Option<Place> {
        let Some(membership) = &self.membership else { return self.open(None) };
        let patience = millis(membership.config().lease * PATIENCE);
        let until = self.clock.now().saturating_add(patience);
        loop {
            if let Some(place) = self.groups.take(&self.kind, &self.client) {
                return Some(here(place));
            }
            if let Some(place) = self.take_in_cluster(membership).await {
                return Some(place);
            }
            if self.clock.now() >= until {
                return None;
            }
            self.clock.sleep(RETRY).await;
        }
    }

    async fn take_in_cluster(&self, membership: &Arc<Membership>) -> Option<Place> {
        let (right, claimed) = membership.hold_groups(&self.realm, &self.kind, &self.client)?;
        match claimed.await {
            Holding::Unavailable if !membership.serves_alone() => None,
            Holding::Granted | Holding::Unavailable => {
                let is_kept = right.is_kept();
                let place = self.open(Some(Box::new(right)));
                // It may have been lost before there was a group to end.
                if !is_kept() {
                    self.groups.lose_right(&self.kind);
                }
                place
            }
            Holding::Taken(node) => {
                drop(right);
                let place = membership.place(node, self.realm.key(), &self.kind, &self.client).await?;
                let room = place.group.clone();
                let state = place.state.clone();
                Some(Place { room, state, hold: Box::new(place) })
            }
        }
    }

    fn open(&self, right: Option<Hold>) -> Option<Place> {
        let opened = self.groups.take_or_open(&self.kind, &self.client, right);
        opened.ok().flatten().map(here)
    }
}

/// A place in a group of this node.
fn here(place: GroupPlace) -> Place {
    Place { room: place.room().clone(), state: place.state(), hold: Box::new(place) }
}
