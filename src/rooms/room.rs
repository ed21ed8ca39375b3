//! One room: its members, and the frames that they get.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};

use crate::dialect::{peerjs, rooms};
use crate::router::{Flush, Peer, Routed};
use crate::wire::{DropReason, Frame, MessageKind, PeerId, RoomName};

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
pub(super) struct Member {
    /// Its connection, or the last one.
    pub(super) peer: Peer,
    /// Its public data, as JSON text.
    pub(super) data: Option<Box<str>>,
}

impl Room {
    pub(super) fn new(name: RoomName) -> Self {
        Room { name, members: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock()
    }
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &PeerId> {
        self.by_id.keys()
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

    /// Adds a member, or replaces it and returns the old one.
    pub(super) fn insert(&mut self, member: Member) -> Option<Member> {
        self.by_id.insert(member.peer.id().clone(), member)
    }

    pub(super) fn remove(&mut self, id: &PeerId) {
        self.by_id.remove(id);
    }

    /// Sets the data of a member. False if they are the same as before.
    pub(super) fn set_data(&mut self, id: &PeerId, data: Option<&str>) -> bool {
        let Some(member) = self.by_id.get_mut(id) else { return false };
        let is_new = member.data.as_deref() != data;
        if is_new {
            member.data = data.map(Box::from);
        }
        is_new
    }

    /// A member has a new connection.
    pub(super) fn reconnect(&mut self, peer: &Peer) {
        if let Some(member) = self.by_id.get_mut(peer.id()) {
            member.peer = peer.clone();
        }
    }

    /// The frame with all members.
    pub(super) fn list(&self, name: &str, request: Option<&str>) -> Frame {
        let members = self.by_id.iter().map(|(id, member)| (id.as_str(), member.data.as_deref()));
        rooms::members(name, members, request)
    }

    /// Tells all members but one of a change. A member whose outbox has no room for it is closed, and gets the list when it
    /// comes back; so does one that has no connection now.
    pub(super) fn tell_others(&self, id: &PeerId, mut change: Frame, flushes: &mut Vec<Flush>) {
        for member in self.others(id) {
            flushes.extend(member.peer.reply(change.share()));
        }
    }

    /// Sends a message to all members but its sender.
    pub(super) fn deliver_to_others(&self, from: &Peer, mut message: Frame, flushes: &mut Vec<Flush>) {
        for member in self.others(from.id()) {
            member.deliver(from, message.share(), flushes);
        }
    }

    fn others(&self, id: &PeerId) -> impl Iterator<Item = &Member> {
        self.by_id.iter().filter(move |(other, _)| *other != id).map(|(_, member)| member)
    }
}

impl Member {
    /// Sends a message to this member. While it is away, the message waits for it.
    pub(super) fn deliver(&self, from: &Peer, message: Frame, flushes: &mut Vec<Flush>) {
        match self.peer.deliver(from.id(), MessageKind::Room, message) {
            Routed::Delivered(flush) => flushes.extend(flush),
            Routed::Queued | Routed::Dropped(DropReason::KeyRevoked) => {}
            Routed::Dropped(_) => {
                let expired = peerjs::expire(self.peer.id().as_str(), from.id().as_str());
                flushes.extend(from.reply(expired));
            }
        }
    }
}
