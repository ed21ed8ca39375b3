//! One room: its members, and the frames that they get.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::others::TokenDigest;
use crate::dialect::rooms::{self, Change};
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
struct Members {
    /// Sorted, so that lists are the same for everybody.
    by_id: BTreeMap<PeerId, Member>,
    /// Bytes of the list of all members.
    bytes: usize,
    /// The room is no longer in the map. Look the name up again.
    is_retired: bool,
}

/// A room under its lock.
pub(super) struct RoomGuard<'a> {
    pub(super) room: &'a Arc<Room>,
    members: MutexGuard<'a, Members>,
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
    /// The member was there before it came here.
    is_former: bool,
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

    pub(super) fn lock(self: &Arc<Self>) -> RoomGuard<'_> {
        RoomGuard { room: self, members: self.members.lock() }
    }
}

impl Own {
    pub(super) fn new(peer: &Peer, token: TokenDigest, data: Option<&str>) -> Self {
        Own { peer: peer.clone(), token, told: 0, data: data.map(Box::from), has_moved: false }
    }
}

impl RoomGuard<'_> {
    pub(super) fn len(&self) -> usize {
        self.members.by_id.len()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.members.is_retired
    }

    /// True if nobody is left: from now on the room is retired.
    pub(super) fn retire_if_empty(&mut self) -> bool {
        self.members.is_retired = self.members.by_id.is_empty();
        self.members.is_retired
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.members.by_id.iter()
    }

    /// The members behind an id.
    pub(super) fn behind(&self, id: Option<&str>) -> impl Iterator<Item = (&PeerId, &Member)> {
        let behind = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.members.by_id.range::<str, _>((behind, Bound::Unbounded))
    }

    pub(super) fn contains(&self, id: &PeerId) -> bool {
        self.members.by_id.contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.members.by_id.get(id)
    }

    /// The part of a member that is on this node.
    pub(super) fn own_mut(&mut self, id: &PeerId) -> Option<&mut Own> {
        self.members.by_id.get_mut(id)?.own.as_mut()
    }

    /// True if the client of a member was on this node last. The node that a client has moved to tells of its end.
    pub(super) fn is_last_here(&self, id: &PeerId) -> bool {
        let member = self.get(id.as_str());
        member.is_some_and(|member| {
            member.own.as_ref().is_some_and(|own| !own.has_moved || member.elsewhere.is_empty())
        })
    }

    // Changes. All other members of this node hear of each.

    /// Adds a member of this node, or sets its data.
    pub(super) fn admit(&mut self, own: Own, flushes: &mut Vec<Flush>) {
        let id = own.peer.id().clone();
        self.alter(&id, flushes, |member| member.own = Some(own));
    }

    /// Sets the data of a member of this node. False if it has them already.
    pub(super) fn set_data(&mut self, id: &PeerId, data: Option<&str>, flushes: &mut Vec<Flush>) -> bool {
        self.alter(id, flushes, |member| {
            member.own.iter_mut().for_each(|own| own.data = data.map(Box::from));
        })
    }

    /// Adds a member of another node, or sets its data.
    pub(super) fn note_elsewhere(
        &mut self,
        id: &PeerId,
        (node, number): (NodeId, u64),
        data: Option<&str>,
        flushes: &mut Vec<Flush>,
    ) {
        self.alter(id, flushes, |member| {
            member.elsewhere.retain(|place| place.node != node);
            member.elsewhere.push(Place { node, number, data: data.map(Box::from), is_former: false });
            // If it is connected here, that news is late, or both nodes have a client in an outage.
            member.own.iter_mut().for_each(|own| own.has_moved |= !own.peer.is_current());
        });
    }

    /// This node does not expect a member back. One that has parted for good is a member no more, whatever other nodes have
    /// told. False if the others notice nothing.
    pub(super) fn remove(&mut self, id: &PeerId, for_good: bool, flushes: &mut Vec<Flush>) -> bool {
        self.alter(id, flushes, |member| {
            member.own = None;
            member.elsewhere.retain(|_| !for_good);
        })
    }

    /// Another node has told that a member has parted, or that a stranger has its id. Nobody needs to hear its data from that node, or
    /// from one where it was before it was here: that one hears the same.
    pub(super) fn forget_former(&mut self, id: &PeerId, node: NodeId, flushes: &mut Vec<Flush>) {
        if self.is_last_here(id) {
            self.alter(id, flushes, |member| {
                member.elsewhere.retain(|place| place.node != node && !place.is_former)
            });
        }
    }

    /// Another node does not have a member any more. If it has parted there, it is not where it was before either.
    pub(super) fn forget_elsewhere(
        &mut self,
        id: &PeerId,
        node: NodeId,
        for_good: bool,
        flushes: &mut Vec<Flush>,
    ) {
        self.alter(id, flushes, |member| {
            let is_latest = member.elsewhere.last().is_some_and(|place| place.node == node);
            member.elsewhere.retain(|place| place.node != node && !(for_good && is_latest));
        });
    }

    /// Changes a member, removes it if it is on no node any more, and tells the others. False if they notice nothing.
    fn alter(&mut self, id: &PeerId, flushes: &mut Vec<Flush>, act: impl FnOnce(&mut Member)) -> bool {
        let Members { by_id, bytes, .. } = &mut *self.members;
        let before = by_id.get(id).map(|member| member.data().map(Box::<str>::from));
        *bytes -= by_id.get(id).map_or(0, |member| member.bytes(id));
        let member = by_id.entry(id.clone()).or_default();
        act(member);
        let has_gone = member.own.is_none() && member.elsewhere.is_empty();
        let change = match before {
            None => (!has_gone).then_some(Change::Joined),
            Some(_) if has_gone => Some(Change::Left),
            Some(before) => (before.as_deref() != member.data()).then_some(Change::Updated),
        };
        if has_gone {
            by_id.remove(id);
        } else {
            *bytes += member.bytes(id);
        }
        if let Some(change) = change {
            self.tell_change(id, change, flushes);
        }
        change.is_some()
    }

    /// Tells all other members of this node of a change. A member whose outbox has no room for it is closed, and gets the list
    /// when it comes back; so does one that has no connection now.
    fn tell_change(&self, id: &PeerId, change: Change, flushes: &mut Vec<Flush>) {
        let (name, data) = (self.room.name.as_str(), self.get(id.as_str()).and_then(Member::data));
        let mut frame = match (self.room.watched(), change) {
            (Some(watched), _) if watched != id => return,
            (Some(watched), change) => rooms::presence(watched.as_str(), !matches!(change, Change::Left)),
            (None, change) => rooms::changed(change, name, id.as_str(), data),
        };
        for own in self.others(id).filter_map(|(_, member)| member.own.as_ref()) {
            flushes.extend(own.peer.reply(frame.share()));
        }
    }

    /// Bytes of the list if a member joins with these data, or gets them.
    pub(super) fn bytes_with(&self, id: &PeerId, data: Option<&str>) -> usize {
        let before = self.get(id.as_str()).map_or(0, |member| member.bytes(id));
        self.members.bytes - before + rooms::member_bytes(id.as_str(), data)
    }

    /// A member has a new connection on this node, and keeps its data. False if it is none.
    pub(super) fn come_back(&mut self, mut own: Own) -> bool {
        let Some(member) = self.members.by_id.get_mut(own.peer.id()) else { return false };
        own.data = member.data().map(Box::from);
        member.own = Some(own);
        member.elsewhere.iter_mut().for_each(|place| place.is_former = true);
        true
    }

    /// Gives a member the list of all members.
    pub(super) fn list(&self, to: &Peer, request: Option<&str>) -> Option<Flush> {
        let frame = match self.room.watched() {
            Some(watched) if watched == to.id() => return None,
            Some(watched) => rooms::presence(watched.as_str(), self.contains(watched)),
            None => {
                let members = self.iter().map(|(id, member)| (id.as_str(), member.data()));
                rooms::members(self.room.name.as_str(), members, request)
            }
        };
        to.reply(frame)
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
            if let Some(own) = member.here() {
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
        from: &PeerId,
        mut message: Frame,
        heard: u64,
        except: &[&str],
        flushes: &mut Vec<Flush>,
    ) {
        let sender = from.in_rooms();
        for (id, member) in self.others(from) {
            // One that is not here any more, which its sender does not know yet, is sought.
            if let Some(own) = member.own.as_ref().filter(|own| own.told <= heard)
                && except.binary_search(&id.as_str()).is_err()
            {
                // Nobody is told if it has too much to read.
                let _ = own.deliver(&sender, message.share(), flushes);
            }
        }
    }

    fn others(&self, id: &PeerId) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.iter().filter(move |(other, _)| *other != id)
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
    match routed.promise(flushes) {
        // With the key, its senders go too.
        Ok(()) | Err(DropReason::KeyRevoked) => Ok(()),
        Err(_) => Err(RoomRefusal::MemberBusy),
    }
}
