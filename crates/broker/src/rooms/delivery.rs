//! The way of a message to the members of a room: into their outboxes, over links to other nodes, or behind a member's move.

use super::Rooms;
use super::handover::Waiting;
use super::member::{accepted, deliver};
use super::others::{MessageNews, News, PrivateNews};
use super::room::{Onward, RoomGuard};
use crate::router::Flush;
use crate::wire::{Frame, MessageKind, NodeId, PeerId, RoomRefusal};

/// Sends messages in a room, under its lock.
pub(super) struct Delivery<'a, 'room> {
    pub(super) rooms: &'a Rooms,
    pub(super) members: &'a mut RoomGuard<'room>,
    /// The recipients that have got something.
    pub(super) flushes: &'a mut Vec<Flush>,
}

impl Delivery<'_, '_> {
    /// Sends a message to a member, behind earlier ones if that has moved.
    pub(super) fn send_to(
        &mut self,
        who: (&PeerId, &PeerId),
        to: &str,
        message: Frame,
    ) -> Result<(), RoomRefusal> {
        match self.moving(who.0, Some(to)).pop() {
            None => self.send_to_one(who, to, message),
            Some(id) => {
                self.hold(&id, who, message);
                Ok(())
            }
        }
    }

    /// Sends a message to a member.
    fn send_to_one(
        &mut self,
        (from, sender): (&PeerId, &PeerId),
        to: &str,
        message: Frame,
    ) -> Result<(), RoomRefusal> {
        let Delivery { rooms, members, flushes } = self;
        let member = members.get(to).ok_or(RoomRefusal::NoSuchMember)?;
        match (member.here(), member.node()) {
            (Some(own), _) => deliver(&own.peer, sender, message, flushes),
            (None, Some((node, heard))) if !rooms.neighbours.members.lock().has_left(node) => {
                // The way of messages to all, so that none overtakes another.
                let (room, from) = (members.room.name().as_str(), from.as_str());
                let Ok(text) = str::from_utf8(message.payload()) else { return Ok(()) };
                let private = PrivateNews { room, from, to, heard, text };
                rooms.neighbours.deliver(&[(node, News::Private(private))])
            }
            (None, _) => accepted(rooms.peers.route(sender, to, MessageKind::Room, message), flushes),
        }
    }

    /// Sends a message to all members but its sender, or to none if too much waits for another node. Returns the number of those that
    /// do not get it.
    pub(super) fn send_to_all(
        &mut self,
        (from, sender): (&PeerId, &PeerId),
        mut message: Frame,
    ) -> Result<usize, RoomRefusal> {
        let moving = self.moving(from, None);
        let onward = self.members.onward(from);
        let mut lost = 0;
        if !onward.nodes.is_empty() {
            lost = self.send_onward(&onward, (from, sender), &mut message)?;
        }
        for id in moving {
            self.hold(&id, (from, sender), message.share());
        }
        Ok(lost + self.members.deliver_to_others(from, sender, message, self.flushes))
    }

    /// Sends a message to the members of other nodes: all of these take it, or none.
    fn send_onward(
        &mut self,
        onward: &Onward,
        (from, sender): (&PeerId, &PeerId),
        message: &mut Frame,
    ) -> Result<usize, RoomRefusal> {
        let Delivery { rooms, members, flushes } = self;
        let (left, there): (Vec<_>, Vec<_>) = {
            let known = rooms.neighbours.members.lock();
            onward.nodes.iter().partition(|(node, _)| known.has_left(**node))
        };
        let Ok(text) = str::from_utf8(message.payload()) else { return Ok(0) };
        let (room, from) = (members.room.name().as_str(), from.as_str());
        let news = |(node, heard): (&NodeId, &u64)| {
            let moving = onward.moving.iter().filter(|(_, by)| *by != Some(*node));
            let except = moving.map(|(id, _)| id.as_str()).collect();
            (*node, News::Message(MessageNews { room, from, heard: *heard, except, text }))
        };
        rooms.neighbours.deliver(&there.into_iter().map(news).collect::<Vec<_>>())?;
        let mut lost = 0;
        for (node, _) in left {
            // Its members are absent, and may come to any node.
            for id in members.of_node(*node) {
                let routed = rooms.peers.route(sender, id.as_str(), MessageKind::Room, message.share());
                lost += usize::from(accepted(routed, flushes).is_err());
            }
        }
        Ok(lost)
    }

    /// The members that have moved and whose messages from `from` have to wait: of all others, or only one.
    fn moving(&mut self, from: &PeerId, only: Option<&str>) -> Vec<PeerId> {
        let (room, neighbours) = (self.members.room, &self.rooms.neighbours);
        self.members.moving(from, only, |id, handover| neighbours.ask_to_settle(room.name(), id, handover))
    }

    /// Keeps a message for a member that has moved, so that it does not overtake those that its old node has.
    fn hold(&mut self, id: &PeerId, (from, sender): (&PeerId, &PeerId), message: Frame) {
        let waiting = Waiting { from: from.clone(), sender: sender.clone(), message };
        if !self.members.handover_mut(id.as_str()).is_none_or(|handover| handover.wait(waiting)) {
            self.end_handover(id);
        }
    }

    /// Sends the messages that waited for the end of a member's move.
    pub(super) fn end_handover(&mut self, id: &PeerId) {
        let waiting = self.members.end_handover(id.as_str());
        self.members.catch_up_before_message(self.flushes);
        for Waiting { from, sender, mut message } in waiting {
            let who = (&from, &sender);
            let sent = self.send_to_one(who, id.as_str(), message.share());
            if sent == Err(RoomRefusal::ClusterBusy) {
                // It was accepted. Now it waits for the link.
                let routed = self.rooms.peers.route(&sender, id.as_str(), MessageKind::Room, message);
                // If too much waits for the member too, nobody is told, as of a message to all.
                let _ = accepted(routed, self.flushes);
            }
        }
    }
}
