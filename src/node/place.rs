//! A peer of Matchbox and its place in a group, on this node or another one.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::watch;

use super::{Node, Tenant};
use crate::cluster::{Holding, Membership, RemotePlace};
use peerbroker_broker::protocols::matchbox::{GroupKind, GroupPlace, GroupState, Groups};
use peerbroker_broker::protocols::matchbox::{MatchboxRooms, host_of};
use peerbroker_broker::protocols::names::Hold;
use peerbroker_broker::rooms::{Change, Requester, RoomDialect as _};
use peerbroker_broker::router::{Flush, PeerHandle};
use peerbroker_core::clock::{Clock, millis};
use peerbroker_core::wire::{PeerId, RealmKind, RoomName};

/// Pause before a node is asked again for a place.
const RETRY: Duration = Duration::from_millis(100);

/// Leases for which a client waits for a place: the giver of the last one may have to die, and its right with it.
const PATIENCE: u32 = 2;

/// Most attempts to join the room of a group from which somebody has just gone.
const MAX_JOINS: u32 = 100;

/// A peer's part in the groups of a room. It waits for a place, has one, and takes another one if its group ends.
pub struct GroupMember {
    seeker: Seeker,
    stage: Stage,
    /// The attempts to join its room.
    joins: u32,
}

/// The next step of a peer.
#[derive(Debug)]
pub enum GroupStep {
    /// It has a place in the group of this room, and joins it.
    Join(RoomName),
    /// Its group has ended, so it leaves this room. Its next place is on its way.
    Leave(RoomName),
    /// It has waited for too long.
    GiveUp,
}

type Awaited<T> = Pin<Box<dyn Future<Output = T>>>;

enum Stage {
    Waiting(Awaited<Option<Place>>),
    /// With the end of the group, as long as that is open.
    Placed(Place, Option<Awaited<bool>>),
    /// It leaves the room first.
    Leaving(#[expect(dead_code, reason = "held")] Place),
    GivenUp,
}

/// A place in a group. Dropping it frees the place, unless the group is full.
enum Place {
    Here(GroupPlace),
    There(RemotePlace),
}

/// A peer that looks for a place.
#[derive(Clone)]
struct Seeker {
    tenant: Arc<Tenant>,
    groups: Arc<Groups>,
    membership: Option<Arc<Membership>>,
    clock: Clock,
    kind: GroupKind,
    client: PeerId,
}

impl GroupMember {
    /// A peer that comes to a room whose groups have a size, or hosts.
    pub fn new(node: &Node, tenant: &Arc<Tenant>, kind: GroupKind, client: PeerId) -> Self {
        let (tenant, groups) = (Arc::clone(tenant), tenant.groups());
        let (membership, clock) = (node.membership().cloned(), node.clock().clone());
        let seeker = Seeker { tenant, groups, membership, clock, kind, client };
        GroupMember { stage: seeker.clone().begin(), seeker, joins: 0 }
    }

    /// The size of its group; 0 for one that nothing fills.
    pub fn size(&self) -> usize {
        self.seeker.kind.1
    }

    /// The next step of the peer.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<GroupStep> {
        loop {
            match &mut self.stage {
                Stage::GivenUp => return Poll::Pending,
                Stage::Leaving(_) => {
                    // The place is free before the next one is sought.
                    self.stage = Stage::GivenUp;
                    (self.stage, self.joins) = (self.seeker.clone().begin(), 0);
                }
                Stage::Waiting(place) => {
                    let Some(place) = ready!(place.as_mut().poll(cx)) else {
                        self.stage = Stage::GivenUp;
                        return Poll::Ready(GroupStep::GiveUp);
                    };
                    let (room, ended) = (place.room().clone(), has_ended(place.state()));
                    self.stage = Stage::Placed(place, Some(ended));
                    return Poll::Ready(GroupStep::Join(room));
                }
                Stage::Placed(place, ended) => {
                    let Some(end) = ended else { return Poll::Pending };
                    let room = place.room().clone();
                    let has_ended = ready!(end.as_mut().poll(cx));
                    *ended = None;
                    // One that is known to be full stays together, whatever happens to the nodes.
                    let members = self.seeker.tenant.hub(RealmKind::Matchbox).members(room.as_str()).len();
                    if has_ended && members < self.seeker.kind.1 {
                        let placed = std::mem::replace(&mut self.stage, Stage::GivenUp);
                        if let Stage::Placed(place, _) = placed {
                            self.stage = Stage::Leaving(place);
                        }
                        return Poll::Ready(GroupStep::Leave(room));
                    }
                }
            }
        }
    }

    /// True while others may come to its group.
    pub fn is_open(&self) -> bool {
        matches!(&self.stage, Stage::Placed(_, Some(_)))
    }

    /// Leaves the room of a group that has ended. For its client, the others leave.
    pub fn leave(&self, peer: &PeerHandle, room: &str, flushes: &mut Vec<Flush>) {
        let hub = self.seeker.tenant.hub(RealmKind::Matchbox);
        let mut others: BTreeSet<PeerId> = hub.members(room).into_iter().collect();
        // An error means that it is not there.
        let _ = hub.leave(&mut Requester { peer, request: None, flushes }, room);
        others.extend(hub.members(room));
        let (own, host) = (peer.id(), host_of(room));
        let is_told =
            |other: &PeerId| host.is_none_or(|host| [own, other].iter().any(|id| id.as_str() == host));
        for other in others.iter().filter(|other| *other != own && is_told(other)) {
            let frame = MatchboxRooms.changed(Change::Left, room, other.as_str(), None);
            flushes.extend(frame.and_then(|frame| peer.reply(frame)));
        }
    }

    /// The room still has somebody whose place the peer has got: it joins a moment later.
    pub fn join_later(&mut self) {
        self.joins += 1;
        let (placed, clock) = (std::mem::replace(&mut self.stage, Stage::GivenUp), self.seeker.clock.clone());
        if let Stage::Placed(place, _) = placed {
            let place = (self.joins < MAX_JOINS).then_some(place);
            self.stage = Stage::Waiting(Box::pin(async move {
                clock.sleep(RETRY).await;
                place
            }));
        }
    }
}

/// True once a group has ended, false once it is closed.
fn has_ended(mut state: watch::Receiver<GroupState>) -> Awaited<bool> {
    Box::pin(async move {
        let is_over = |state: &GroupState| *state != GroupState::Open;
        // Without a sender, it never ends.
        state.wait_for(is_over).await.is_ok_and(|state| *state == GroupState::Ended)
    })
}

impl Place {
    /// The room of the group.
    fn room(&self) -> &RoomName {
        match self {
            Place::Here(place) => place.room(),
            Place::There(place) => &place.group,
        }
    }

    fn state(&self) -> watch::Receiver<GroupState> {
        match self {
            Place::Here(place) => place.state(),
            Place::There(place) => place.state.clone(),
        }
    }
}

impl Seeker {
    fn begin(self) -> Stage {
        Stage::Waiting(Box::pin(async move { self.seek().await }))
    }

    /// Takes a place in the only open group that the nodes have, or opens one. `None` if no node gives places for too long.
    async fn seek(&self) -> Option<Place> {
        let Some(membership) = &self.membership else { return self.open(None) };
        let patience = millis(membership.config().lease * PATIENCE);
        let until = self.clock.now().saturating_add(patience);
        loop {
            if let Some(place) = self.groups.take(&self.kind, &self.client) {
                return Some(Place::Here(place));
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
        let realm = Arc::clone(self.tenant.hub(RealmKind::Matchbox).realm());
        let (right, claimed) = membership.hold_groups(&realm, &self.kind, &self.client)?;
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
                let place = membership.place(node, self.tenant.key(), &self.kind, &self.client).await;
                place.map(Place::There)
            }
        }
    }

    fn open(&self, right: Option<Hold>) -> Option<Place> {
        let opened = self.groups.take_or_open(&self.kind, &self.client, right);
        opened.ok().flatten().map(Place::Here)
    }
}
