//! One room: its members, and the frames that they get.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use parking_lot::{Mutex, MutexGuard};

use super::others::TokenDigest;
use crate::dialect::rooms;
use crate::router::{Flush, Peer, Routed};
use crate::wire::{DropReason, Frame, MessageKind, NodeId, PeerId, RoomName};

/// A room.
pub(super) struct Room {
    name: RoomName,
    members: Mutex<Members>,
}

/// The part of a room that its lock guards.
#[derive(Default)]
pub(super) struct Members {
    /// Sorted, so that lists are the same for everybody.
    by_id: BTreeMap<PeerId, Member>,
    /// The room is no longer in the map. Look the name up again.
    pub(super) is_retired: bool,
}

/// A peer in a room.
#[derive(Default)]
pub(super) struct Member {
    /// On this node.
    pub(super) own: Option<Own>,
    /// The other nodes that have told of it. Two nodes have it for a while after it has moved.
    elsewhere: Vec<NodeId>,
    /// Its public data, as JSON text.
    pub(super) data: Option<Box<str>>,
}

/// A member of this node.
pub(super) struct Own {
    /// Its connection, or the last one.
    pub(super) peer: Peer,
    /// Of its token.
    pub(super) token: TokenDigest,
    /// Another node has told of it since it came. If it is away here, it is there.
    has_moved: bool,
}

/// The difference that others hear.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Joined,
    Updated,
}

/// The way of a message to all members, beyond those that have it.
#[derive(Default)]
pub(super) struct Sent {
    /// The nodes that have members.
    pub(super) nodes: BTreeSet<NodeId>,
    /// Members for whom it waits on this node.
    pub(super) waits_for: Vec<PeerId>,
    /// Members that do not get it.
    pub(super) lost: Vec<PeerId>,
}

impl Room {
    pub(super) fn new(name: RoomName) -> Self {
        Room { name, members: Mutex::default() }
    }

    pub(super) fn name(&self) -> &RoomName {
        &self.name
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock()
    }
}

impl Own {
    pub(super) fn new(peer: &Peer, token: TokenDigest) -> Self {
        Own { peer: peer.clone(), token, has_moved: false }
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

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    pub(super) fn data(&self, id: &PeerId) -> Option<&str> {
        self.by_id.get(id)?.data.as_deref()
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
    pub(super) fn admit(&mut self, own: Own, data: Option<&str>) -> Option<Change> {
        let id = own.peer.id().clone();
        self.put(&id, data, |member| member.own = Some(own))
    }

    /// Sets the data of a member.
    pub(super) fn set_data(&mut self, id: &PeerId, data: Option<&str>) -> Option<Change> {
        self.put(id, data, |_| {})
    }

    /// Adds a member of another node, or sets its data.
    pub(super) fn note_elsewhere(&mut self, id: &PeerId, node: NodeId, data: Option<&str>) -> Option<Change> {
        self.put(id, data, |member| {
            if !member.elsewhere.contains(&node) {
                member.elsewhere.push(node);
            }
            if let Some(own) = &mut member.own {
                own.has_moved = true;
            }
        })
    }

    fn put(&mut self, id: &PeerId, data: Option<&str>, place: impl FnOnce(&mut Member)) -> Option<Change> {
        let change = match self.by_id.get(id) {
            None => Some(Change::Joined),
            Some(member) if member.data.as_deref() != data => Some(Change::Updated),
            Some(_) => None,
        };
        let member = self.by_id.entry(id.clone()).or_default();
        if change.is_some() {
            member.data = data.map(Box::from);
        }
        place(member);
        change
    }

    /// A member has a new connection on this node. False if it is none.
    pub(super) fn come_back(&mut self, own: Own) -> bool {
        let member = self.by_id.get_mut(own.peer.id());
        member.map(|member| member.own = Some(own)).is_some()
    }

    /// Takes a member out that has parted.
    pub(super) fn remove(&mut self, id: &PeerId) {
        self.by_id.remove(id);
    }

    /// This node does not expect a member back. True if it has gone with that.
    pub(super) fn give_up(&mut self, id: &PeerId) -> bool {
        self.forget(id, |member| member.own = None)
    }

    /// Another node does not have a member any more. True if it has gone with that.
    pub(super) fn forget_elsewhere(&mut self, id: &PeerId, node: NodeId) -> bool {
        self.forget(id, |member| member.elsewhere.retain(|other| *other != node))
    }

    fn forget(&mut self, id: &PeerId, act: impl FnOnce(&mut Member)) -> bool {
        let Some(member) = self.by_id.get_mut(id) else { return false };
        act(member);
        let has_gone = member.own.is_none() && member.elsewhere.is_empty();
        if has_gone {
            self.by_id.remove(id);
        }
        has_gone
    }

    /// The frame with all members.
    pub(super) fn list(&self, name: &RoomName, request: Option<&str>) -> Frame {
        let members = self.by_id.iter().map(|(id, member)| (id.as_str(), member.data.as_deref()));
        rooms::members(name.as_str(), members, request)
    }

    /// Tells all other members of this node of a change.
    pub(super) fn tell_change(&self, name: &RoomName, id: &PeerId, change: Change, flushes: &mut Vec<Flush>) {
        let (room, data) = (name.as_str(), self.data(id));
        let frame = match change {
            Change::Joined => rooms::joined(room, id.as_str(), data),
            Change::Updated => rooms::updated(room, id.as_str(), data),
        };
        self.tell_others(id, frame, flushes);
    }

    /// Tells all members of this node that one has gone.
    pub(super) fn tell_left(&self, name: &RoomName, id: &PeerId, flushes: &mut Vec<Flush>) {
        self.tell_others(id, rooms::left(name.as_str(), id.as_str()), flushes);
    }

    /// A member whose outbox has no room for it is closed, and gets the list when it comes back; so does one that has no
    /// connection now.
    fn tell_others(&self, id: &PeerId, mut change: Frame, flushes: &mut Vec<Flush>) {
        for own in self.others(id).filter_map(|(_, member)| member.own.as_ref()) {
            flushes.extend(own.peer.reply(change.share()));
        }
    }

    /// Sends a message to all other members of this node that are not in `except`.
    pub(super) fn deliver_to_others(
        &self,
        from: &PeerId,
        mut message: Frame,
        except: &[&str],
        flushes: &mut Vec<Flush>,
    ) -> Sent {
        let mut sent = Sent::default();
        for (id, member) in self.others(from).filter(|(id, _)| !except.contains(&id.as_str())) {
            sent.nodes.extend(&member.elsewhere);
            if let Some(own) = member.here() {
                if !own.peer.is_current() {
                    sent.waits_for.push(id.clone());
                }
                if !own.deliver(from, message.share(), flushes) {
                    sent.lost.push(id.clone());
                }
            }
        }
        sent
    }

    fn others(&self, id: &PeerId) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.by_id.iter().filter(move |(other, _)| *other != id)
    }
}

impl Member {
    /// The member, if this node delivers its messages.
    pub(super) fn here(&self) -> Option<&Own> {
        self.own.as_ref().filter(|own| !own.has_moved || own.peer.is_current())
    }
}

impl Own {
    /// Sends a message to this member. While it is away, the message waits for it.
    /// False if it is lost.
    pub(super) fn deliver(&self, from: &PeerId, message: Frame, flushes: &mut Vec<Flush>) -> bool {
        match self.peer.deliver(from, MessageKind::Room, message) {
            Routed::Delivered(flush) => flushes.extend(flush),
            // With the key, its senders go too.
            Routed::Queued | Routed::Dropped(DropReason::KeyRevoked) => {}
            Routed::Dropped(_) => return false,
        }
        true
    }
}
