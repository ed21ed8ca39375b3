//! One room: its members, and the frames that they get.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::{Mutex, MutexGuard};

use super::others::TokenDigest;
use crate::dialect::rooms;
use crate::router::{Flush, Peer, Routed};
use crate::wire::{DropReason, Frame, MessageKind, NodeId, PeerId, RoomName, RoomRefusal};

/// A room.
pub(super) struct Room {
    name: RoomName,
    /// The id that the other members watch: they see nobody else.
    watched: Option<PeerId>,
    members: Mutex<Members>,
}

/// The part of a room that its lock guards.
#[derive(Default)]
pub(super) struct Members {
    /// Sorted, so that lists are the same for everybody.
    by_id: BTreeMap<PeerId, Member>,
    /// Bytes of the list of all members.
    bytes: usize,
    /// The room is no longer in the map. Look the name up again.
    pub(super) is_retired: bool,
}

/// A peer in a room.
#[derive(Default)]
pub(super) struct Member {
    /// On this node.
    pub(super) own: Option<Own>,
    /// The other nodes that have told of it, the latest last. Two nodes have it for a while after it has moved.
    elsewhere: Vec<Place>,
}

/// A member of this node.
pub(super) struct Own {
    /// Its connection, or the last one.
    pub(super) peer: Peer,
    /// Of its token.
    pub(super) token: TokenDigest,
    /// The number of the news with which the other nodes have heard that it is here.
    pub(super) told: u64,
    /// Its public data, as JSON text.
    pub(super) data: Option<Box<str>>,
    /// Another node has told of it while it was away here.
    has_moved: bool,
}

/// A member of another node, as that node has told.
struct Place {
    node: NodeId,
    /// The number of that news.
    number: u64,
    data: Option<Box<str>>,
}

/// The difference that others hear.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Joined,
    Updated,
    Left,
}

/// The way of a message to all members, beyond those that have it.
#[derive(Default)]
pub(super) struct Sent {
    /// The nodes that deliver it to members, and the number of the latest news that this one has of the room from each.
    pub(super) nodes: BTreeMap<NodeId, u64>,
    /// Members of two nodes, and the one that delivers it to each; `None` is this one.
    pub(super) moving: Vec<(PeerId, Option<NodeId>)>,
    /// The number of members that do not get it: too much waits for them.
    pub(super) lost: usize,
}

impl Room {
    pub(super) fn new(name: RoomName) -> Self {
        Room { watched: name.watched(), name, members: Mutex::default() }
    }

    pub(super) fn name(&self) -> &RoomName {
        &self.name
    }

    pub(super) fn watched(&self) -> Option<&PeerId> {
        self.watched.as_ref()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock()
    }
}

impl Own {
    pub(super) fn new(peer: &Peer, token: TokenDigest, data: Option<&str>) -> Self {
        Own { peer: peer.clone(), token, told: 0, data: data.map(Box::from), has_moved: false }
    }
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.by_id.iter()
    }

    /// The members behind an id.
    pub(super) fn after(&self, id: Option<&str>) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.by_id.range::<str, _>((id.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }

    pub(super) fn contains(&self, id: &PeerId) -> bool {
        self.by_id.contains_key(id)
    }

    /// The part of a member that is on this node.
    pub(super) fn own_mut(&mut self, id: &PeerId) -> Option<&mut Own> {
        self.by_id.get_mut(id)?.own.as_mut()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    pub(super) fn data(&self, id: &PeerId) -> Option<&str> {
        self.by_id.get(id)?.data()
    }

    /// True if the client of a member was on this node last. The node that a client has moved to tells of its end.
    pub(super) fn is_last_here(&self, id: &PeerId) -> bool {
        let is_last = |member: &Member| {
            let own = member.own.as_ref();
            own.is_some_and(|own| !own.has_moved || member.elsewhere.is_empty())
        };
        self.by_id.get(id).is_some_and(is_last)
    }

    /// Adds a member of this node, or sets its data.
    pub(super) fn admit(&mut self, own: Own) -> Option<Change> {
        let id = own.peer.id().clone();
        self.alter(&id, |member| member.own = Some(own))
    }

    /// Sets the data of a member of this node.
    pub(super) fn set_data(&mut self, id: &PeerId, data: Option<&str>) -> Option<Change> {
        self.alter(id, |member| member.own.iter_mut().for_each(|own| own.data = data.map(Box::from)))
    }

    /// Adds a member of another node, or sets its data.
    pub(super) fn note_elsewhere(
        &mut self,
        id: &PeerId,
        (node, number): (NodeId, u64),
        data: Option<&str>,
    ) -> Option<Change> {
        self.alter(id, |member| {
            member.elsewhere.retain(|place| place.node != node);
            member.elsewhere.push(Place { node, number, data: data.map(Box::from) });
            // If it is connected here, that news is late, or both nodes have a client in an outage.
            member.own.iter_mut().for_each(|own| own.has_moved |= !own.peer.is_current());
        })
    }

    /// Changes a member, and removes it if it is on no node any more.
    fn alter(&mut self, id: &PeerId, act: impl FnOnce(&mut Member)) -> Option<Change> {
        let before = self.by_id.get(id).map(|member| member.data().map(Box::<str>::from));
        let bytes_before = self.by_id.get(id).map_or(0, |member| member.bytes(id));
        let member = self.by_id.entry(id.clone()).or_default();
        act(member);
        let has_gone = member.own.is_none() && member.elsewhere.is_empty();
        let bytes = if has_gone { 0 } else { member.bytes(id) };
        let change = match before {
            None => (!has_gone).then_some(Change::Joined),
            Some(_) if has_gone => Some(Change::Left),
            Some(before) => (before.as_deref() != member.data()).then_some(Change::Updated),
        };
        self.bytes = self.bytes - bytes_before + bytes;
        if has_gone {
            self.by_id.remove(id);
        }
        change
    }

    /// Bytes of the list if a member joins with these data, or gets them.
    pub(super) fn bytes_with(&self, id: &PeerId, data: Option<&str>) -> usize {
        let before = self.by_id.get(id).map_or(0, |member| member.bytes(id));
        self.bytes - before + rooms::member_bytes(id.as_str(), data)
    }

    /// A member has a new connection on this node, and keeps its data. False if it is none.
    pub(super) fn come_back(&mut self, mut own: Own) -> bool {
        let member = self.by_id.get_mut(own.peer.id());
        member
            .map(|member| {
                own.data = member.data().map(Box::from);
                member.own = Some(own);
            })
            .is_some()
    }

    /// Takes a member out that has parted, whatever other nodes have told.
    pub(super) fn remove(&mut self, id: &PeerId) -> Option<Change> {
        self.alter(id, |member| *member = Member::default())
    }

    /// This node does not expect a member back.
    pub(super) fn give_up(&mut self, id: &PeerId) -> Option<Change> {
        self.alter(id, |member| member.own = None)
    }

    /// Another node does not have a member any more. If it has parted there, it is not where it was before either.
    pub(super) fn forget_elsewhere(&mut self, id: &PeerId, node: NodeId, for_good: bool) -> Option<Change> {
        self.alter(id, |member| {
            let is_latest = member.elsewhere.last().is_some_and(|place| place.node == node);
            member.elsewhere.retain(|place| place.node != node && !(for_good && is_latest));
        })
    }

    /// Gives a member the list of all members.
    pub(super) fn list(&self, room: &Room, to: &Peer, request: Option<&str>) -> Option<Flush> {
        let frame = match room.watched() {
            Some(watched) if watched == to.id() => return None,
            Some(watched) => rooms::presence(watched.as_str(), self.contains(watched)),
            None => {
                let members = self.by_id.iter().map(|(id, member)| (id.as_str(), member.data()));
                rooms::members(room.name().as_str(), members, request)
            }
        };
        to.reply(frame)
    }

    /// Tells all other members of this node of a change.
    pub(super) fn tell_change(&self, room: &Room, id: &PeerId, change: Change, flushes: &mut Vec<Flush>) {
        let (name, data) = (room.name().as_str(), self.data(id));
        let frame = match (room.watched(), change) {
            (Some(watched), _) if watched != id => return,
            (Some(watched), change) => rooms::presence(watched.as_str(), !matches!(change, Change::Left)),
            (None, Change::Joined) => rooms::joined(name, id.as_str(), data),
            (None, Change::Updated) => rooms::updated(name, id.as_str(), data),
            (None, Change::Left) => rooms::left(name, id.as_str()),
        };
        self.tell_others(id, frame, flushes);
    }

    /// A member whose outbox has no room for it is closed, and gets the list when it comes back; so does one that has no
    /// connection now.
    fn tell_others(&self, id: &PeerId, mut change: Frame, flushes: &mut Vec<Flush>) {
        for own in self.others(id).filter_map(|(_, member)| member.own.as_ref()) {
            flushes.extend(own.peer.reply(change.share()));
        }
    }

    /// Sends a message to all other members of this node. The result tells the way to those of other nodes.
    pub(super) fn deliver_to_others(
        &self,
        from: &PeerId,
        sender: &PeerId,
        mut message: Frame,
        flushes: &mut Vec<Flush>,
    ) -> Sent {
        let mut sent = Sent::default();
        for (id, member) in self.others(from) {
            let here = member.here();
            if let Some(own) = here {
                sent.lost += usize::from(own.deliver(sender, message.share(), flushes).is_err());
            }
            let node = member.node();
            if let Some((node, number)) = node {
                let heard = sent.nodes.entry(node).or_default();
                *heard = number.max(*heard);
            }
            if member.own.iter().len() + member.elsewhere.len() > 1 {
                sent.moving.push((id.clone(), node.map(|(node, _)| node)));
            }
        }
        sent
    }

    /// The members whose messages a node delivers.
    pub(super) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &PeerId> {
        let is_of_node = move |member: &Member| member.node().is_some_and(|(its, _)| its == node);
        self.iter().filter(move |(_, member)| is_of_node(member)).map(|(id, _)| id)
    }

    /// Sends a message from another node to the members of this one of which that node had heard. `except` is sorted: those get
    /// it from a third node.
    pub(super) fn deliver_here(
        &self,
        (from, sender): (&PeerId, &PeerId),
        mut message: Frame,
        heard: u64,
        except: &[&str],
        flushes: &mut Vec<Flush>,
    ) {
        for (id, member) in self.others(from) {
            // One that is not here any more, which its sender does not know yet, is sought.
            if let Some(own) = member.own.as_ref().filter(|own| own.told <= heard)
                && except.binary_search(&id.as_str()).is_err()
            {
                // Nobody is told if it has too much to read.
                let _ = own.deliver(sender, message.share(), flushes);
            }
        }
    }

    fn others(&self, id: &PeerId) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.by_id.iter().filter(move |(other, _)| *other != id)
    }
}

impl Member {
    fn bytes(&self, id: &PeerId) -> usize {
        rooms::member_bytes(id.as_str(), self.data())
    }

    /// The node that delivers its messages, if that is another one, and the number of that node's news of it.
    fn node(&self) -> Option<(NodeId, u64)> {
        let place = self.elsewhere.last().filter(|_| self.here().is_none());
        place.map(|place| (place.node, place.number))
    }

    /// Its public data, as JSON text: those of the node that delivers its messages.
    pub(super) fn data(&self) -> Option<&str> {
        match (self.here(), self.elsewhere.last(), &self.own) {
            (Some(own), ..) | (None, None, Some(own)) => own.data.as_deref(),
            (None, Some(place), _) => place.data.as_deref(),
            (None, None, None) => None,
        }
    }

    /// The member, if this node delivers its messages.
    pub(super) fn here(&self) -> Option<&Own> {
        self.own.as_ref().filter(|own| !own.has_moved)
    }
}

impl Own {
    /// Sends a message to this member. While it is away, the message waits for it.
    pub(super) fn deliver(
        &self,
        sender: &PeerId,
        message: Frame,
        flushes: &mut Vec<Flush>,
    ) -> Result<(), RoomRefusal> {
        accepted(self.peer.deliver(sender, MessageKind::Room, message), flushes)
    }
}

/// The answer to the sender of a message for one member.
pub(super) fn accepted(routed: Routed, flushes: &mut Vec<Flush>) -> Result<(), RoomRefusal> {
    match routed {
        Routed::Delivered(flush) => flushes.extend(flush),
        // With the key, its senders go too.
        Routed::Queued | Routed::Dropped(DropReason::KeyRevoked) => {}
        Routed::Dropped(_) => return Err(RoomRefusal::MemberBusy),
    }
    Ok(())
}
