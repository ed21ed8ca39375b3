//! The way of a message to the members of a room: into their outboxes, over links to other nodes, or behind a
//! member's move.

use super::Rooms;
use super::frames::Read;
use super::handover::{Handover, WaitingMessage};
use super::held::HeldMessage;
use super::member::{Sent, accepted, deliver};
use super::others::{MessageNews, News, PrivateNews};
use super::places::Onward;
use super::room::RoomGuard;
use peerbroker_core::vocabulary::{Frame, MessageKind, NodeId, PeerId, RoomRefusal};
use peerbroker_router::Flushes;

/// Sends messages in a room, under its lock.
pub(super) struct Delivery<'a, 'room> {
    pub(super) rooms: &'a Rooms,
    pub(super) members: &'a mut RoomGuard<'room>,
    /// The recipients that have got something.
    pub(super) flushes: &'a mut Flushes,
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
        let Delivery { rooms, members, flushes } = &mut *self;
        let member = members.get(to).ok_or(RoomRefusal::NoSuchMember)?;
        match (member.here(), member.node()) {
            (Some(own), _) => deliver(&own.peer, sender, message, flushes),
            (None, Some((node, heard))) if !rooms.neighbours.members.lock().has_left(node) => {
                // The way of messages to all, so that none overtakes another.
                let room = members.room.name().as_str();
                let from = from.as_str();
                let private = PrivateNews { room, from, to, heard, frame: (&message).into() };
                rooms.neighbours.deliver(&[(node, News::Private(private))])
            }
            (None, Some((node, _))) => {
                let to = PeerId::parse(to).map_err(|_| RoomRefusal::NoSuchMember)?;
                let is_held = self.hold_for(node, (from, sender), Some(to), message);
                if is_held { Ok(()) } else { Err(RoomRefusal::MemberBusy) }
            }
            (None, None) => accepted(rooms.peers.route(sender, to, MessageKind::Room, message), flushes),
        }
    }

    /// Sends a message to all members but its sender, or to none if too much waits for another node.
    pub(super) fn send_to_all(
        &mut self,
        who: (&PeerId, &PeerId),
        mut message: Frame,
        read: &mut Read,
    ) -> Result<Sent, RoomRefusal> {
        let moving = self.moving(who.0, None);
        let onward = self.members.onward(who.0);
        let mut sent = Sent::default();
        if !onward.nodes.is_empty() {
            sent.lost = self.send_onward(&onward, who, &mut message)?;
        }
        for id in moving {
            self.hold(&id, who, message.share());
        }
        self.members.deliver_to_others(who, message, read, &mut sent, self.flushes);
        Ok(sent)
    }

    /// Sends a message to the members of other nodes: all of these take it, or none.
    fn send_onward(
        &mut self,
        onward: &Onward,
        (from, sender): (&PeerId, &PeerId),
        message: &mut Frame,
    ) -> Result<usize, RoomRefusal> {
        let (left, there): (Vec<_>, Vec<_>) = {
            let known = self.rooms.neighbours.members.lock();
            onward.nodes.iter().partition(|(node, _)| known.has_left(**node))
        };
        self.send_to_nodes(&there, onward, from, message)?;
        let mut lost = 0;
        for (node, _) in left {
            // It may go on in another life. Otherwise its members are absent, and may come to any node.
            if !self.hold_for(*node, (from, sender), None, message.share()) {
                lost += self.members.of_node(*node).count();
            }
        }
        Ok(lost)
    }

    /// Sends a message to the members of living nodes.
    fn send_to_nodes(
        &self,
        nodes: &[(&NodeId, &u64)],
        onward: &Onward,
        from: &PeerId,
        message: &Frame,
    ) -> Result<(), RoomRefusal> {
        let frame = message.into();
        let room = self.members.room.name().as_str();
        let from = from.as_str();
        let news = |(node, heard): &(&NodeId, &u64)| {
            let moving = onward.moving.iter().filter(|(_, by)| *by != Some(**node));
            let except = moving.map(|(id, _)| id.as_str()).collect();
            (**node, News::Message(MessageNews { room, from, heard: **heard, except, frame }))
        };
        self.rooms.neighbours.deliver(&nodes.iter().map(news).collect::<Vec<_>>())
    }

    /// Keeps a message for the members of a node that is gone, or for one of them. False if too much waits.
    fn hold_for(
        &mut self,
        node: NodeId,
        (from, sender): (&PeerId, &PeerId),
        to: Option<PeerId>,
        message: Frame,
    ) -> bool {
        let waiting = WaitingMessage { from: from.clone(), sender: sender.clone(), message };
        let Some(message) = self.held(waiting, to) else { return false };
        let limits = &self.rooms.router.live_config().load().limits;
        self.members.hold(node, message, limits, self.rooms.router.clock())
    }

    /// A message that waits. `None` if too much does.
    fn held(&self, waiting: WaitingMessage, to: Option<PeerId>) -> Option<HeldMessage> {
        let room = self.rooms.peers.reserve(&waiting.from, &waiting.message)?;
        Some(HeldMessage::new(waiting, to, self.rooms.late_until(), room))
    }

    /// Sends a member a message that its old node had, and gave back. It is older than those that wait here.
    pub(super) fn take_back(&mut self, (from, sender): (&PeerId, &PeerId), to: &str, mut message: Frame) {
        self.members.catch_up_before_message(self.flushes);
        let Ok(id) = PeerId::parse(to) else { return };
        let node = self.members.node_of(&id);
        if let Some(node) = node.filter(|node| self.rooms.neighbours.members.lock().has_left(*node)) {
            let waiting = WaitingMessage { from: from.clone(), sender: sender.clone(), message };
            if let Some(message) = self.held(waiting, Some(id)) {
                self.members.take_back(node, message, self.rooms.router.clock());
            }
        } else if self.send_to_one((from, sender), to, message.share()) == Err(RoomRefusal::ClusterBusy) {
            self.wait_for_link(&id, sender, message);
        }
    }

    /// A member has come from another node. If that is gone, it gets what waited for it.
    pub(super) fn release(&mut self, id: &PeerId, before: Option<NodeId>) {
        if let Some(node) = before.filter(|node| self.members.node_of(id) != Some(*node)) {
            let waiting = self.members.held_for(id, node, self.rooms.router.clock());
            self.send_waiting(id, waiting);
        }
    }

    /// Sends the members of a node what waited for them in its former life.
    pub(super) fn release_all(&mut self, node: NodeId, held: impl IntoIterator<Item = HeldMessage>) {
        for HeldMessage { waiting, to, .. } in held {
            if let Some(to) = to {
                self.send_waiting(&to, vec![waiting]);
                continue;
            }
            let WaitingMessage { from, sender, mut message } = waiting;
            let onward = self.members.onward(&from);
            let there: Vec<_> = onward.nodes.get_key_value(&node).into_iter().collect();
            if self.send_to_nodes(&there, &onward, &from, &message).is_err() {
                let ids: Vec<PeerId> = self.members.of_node(node).cloned().collect();
                ids.iter().for_each(|id| self.wait_for_link(id, &sender, message.share()));
            }
        }
    }

    /// The members that have moved and whose messages from `from` have to wait: of all others, or only one.
    fn moving(&mut self, from: &PeerId, only: Option<&str>) -> Vec<PeerId> {
        let room = self.members.room;
        let neighbours = &self.rooms.neighbours;
        let ask = |id: &PeerId, handover: &mut Handover| neighbours.ask_to_settle(room.name(), id, handover);
        self.members.moving(from, only, self.rooms.router.clock(), ask)
    }

    /// Keeps a message for a member that has moved, so that it does not overtake those that its old node has.
    fn hold(&mut self, id: &PeerId, (from, sender): (&PeerId, &PeerId), message: Frame) {
        let waiting = WaitingMessage { from: from.clone(), sender: sender.clone(), message };
        if !self.members.handover_mut(id.as_str()).is_none_or(|handover| handover.wait(waiting)) {
            self.end_handover(id);
        }
    }

    /// Sends the messages that waited for the end of a member's move.
    pub(super) fn end_handover(&mut self, id: &PeerId) {
        let waiting = self.members.end_handover(id.as_str());
        self.members.catch_up_before_message(self.flushes);
        self.send_waiting(id, waiting);
    }

    /// Sends a member messages that were accepted before.
    fn send_waiting(&mut self, id: &PeerId, waiting: Vec<WaitingMessage>) {
        for WaitingMessage { from, sender, mut message } in waiting {
            let sent = self.send_to((&from, &sender), id.as_str(), message.share());
            if sent == Err(RoomRefusal::ClusterBusy) {
                self.wait_for_link(id, &sender, message);
            }
        }
    }

    /// Has a message wait for the link to the node of a member.
    fn wait_for_link(&mut self, id: &PeerId, sender: &PeerId, message: Frame) {
        let routed = self.rooms.peers.route(sender, id.as_str(), MessageKind::Room, message);
        // If too much waits for the member too, nobody is told, as of a message to all.
        let _ = accepted(routed, self.flushes);
    }
}
