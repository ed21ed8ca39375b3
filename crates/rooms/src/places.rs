//! The members of a room, and the nodes that have them: members of other nodes, those that have moved, and
//! messages that wait for either.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use super::by_id::ById;
use super::handover::{Handover, WaitingMessage};
use super::held::{Held, HeldMessage};
use super::member::{Departed, Member, Own};
use peerbroker_config::Limits;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::{NodeId, PeerId};
use peerbroker_router::PeerHandle;

/// The members of a room, on whichever node they are.
#[derive(Default)]
pub(super) struct Places {
    by_id: ById,
    /// Boxed: hardly any room needs it. It is there before a member is elsewhere or moves, and stays.
    elsewhere: Option<Box<Elsewhere>>,
}

/// The part of a room that concerns other nodes.
#[derive(Default)]
struct Elsewhere {
    /// The other nodes that have members.
    nodes: BTreeMap<NodeId, NodePart>,
    /// Members that were on this node and are on another one, for messages that were sent before their node
    /// heard so; the first one left first.
    departed: VecDeque<Departed>,
    /// The number of members that have moved lately.
    handovers: u32,
}

/// The part of another node in a room.
#[derive(Default)]
struct NodePart {
    /// The number of its members.
    members: usize,
    /// The number of its latest news of the room.
    heard: u64,
    /// The messages that wait for its members, if it is gone.
    held: Option<Box<Held>>,
}

/// The way of a message to the members of other nodes.
#[derive(Default)]
pub(super) struct Onward {
    /// The nodes that deliver it to members, and the number of the latest news that this one has of the room
    /// from each.
    pub(super) nodes: BTreeMap<NodeId, u64>,
    /// Members of two nodes, and the one that delivers it to each; `None` is this one, now or later.
    pub(super) moving: Vec<(PeerId, Option<NodeId>)>,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.by_id.iter()
    }

    /// The members of this node.
    pub(super) fn own_members_mut(&mut self) -> impl Iterator<Item = (&PeerId, &mut Own)> {
        self.by_id.iter_mut().filter_map(|(id, member)| Some((id, member.own.as_mut()?)))
    }

    /// All members but one.
    pub(super) fn others(&self, id: &PeerId) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.iter().filter(move |(other, _)| *other != id)
    }

    /// The members behind an id.
    pub(super) fn behind(&self, id: Option<&str>) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.by_id.behind(id)
    }

    pub(super) fn contains(&self, id: &PeerId) -> bool {
        self.get(id.as_str()).is_some()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    /// The part of a member that is on this node.
    pub(super) fn own(&self, id: &PeerId) -> Option<&Own> {
        self.get(id.as_str())?.own.as_ref()
    }

    pub(super) fn own_mut(&mut self, id: &PeerId) -> Option<&mut Own> {
        self.get_mut(id.as_str())?.own.as_mut()
    }

    /// True if the client of a member was on this node last. The node that a client has moved to tells of its
    /// end.
    pub(super) fn is_last_here(&self, id: &PeerId) -> bool {
        let member = self.get(id.as_str());
        member.is_some_and(|member| {
            member.own.as_ref().is_some_and(|own| !own.has_moved || member.elsewhere.is_empty())
        })
    }

    /// Says what contradicts itself in it.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let mut places: BTreeMap<NodeId, usize> = BTreeMap::new();
        let all = self.iter().flat_map(|(_, member)| &member.elsewhere);
        all.for_each(|place| *places.entry(place.node).or_default() += 1);
        let elsewhere = self.elsewhere.as_deref();
        let known = elsewhere.iter().flat_map(|elsewhere| &elsewhere.nodes);
        if !known.map(|(node, part)| (*node, part.members)).eq(places) {
            return Some("places of members");
        }
        let moved = self.iter().filter(|(_, member)| member.handover.is_some()).count();
        let is_right = elsewhere.map_or(0, |elsewhere| elsewhere.handovers) as usize == moved;
        (!is_right).then_some("members that have moved")
    }

    /// Changes a member, created if there is none, and removes it if it is on no node any more.
    pub(super) fn change(&mut self, id: &PeerId, clock: &Clock, act: impl FnOnce(&mut Member)) {
        let Places { by_id, elsewhere } = self;
        let member = by_id.entry(id);
        let left: Vec<NodeId> = member.elsewhere.iter().map(|place| place.node).collect();
        let had_moved = member.handover.is_some();
        member.change_place(clock, act);
        for place in &member.elsewhere {
            elsewhere.get_or_insert_default().nodes.entry(place.node).or_default().members += 1;
        }
        let has_gone = member.own.is_none() && member.elsewhere.is_empty();
        if let Some(elsewhere) = elsewhere {
            for node in left {
                elsewhere.lose_member(node);
            }
            elsewhere.handovers += u32::from(member.handover.is_some() && !has_gone);
            elsewhere.handovers -= u32::from(had_moved);
        }
        if has_gone {
            by_id.remove(id.as_str());
        }
    }

    // Members of other nodes.

    /// The other nodes that have told of a member.
    pub(super) fn nodes_of(&self, id: &PeerId) -> impl Iterator<Item = NodeId> {
        self.get(id.as_str()).into_iter().flat_map(|member| &member.elsewhere).map(|place| place.node)
    }

    /// The other node that delivers the messages of a member.
    pub(super) fn node_of(&self, id: &PeerId) -> Option<NodeId> {
        self.get(id.as_str())?.node().map(|(node, _)| node)
    }

    /// The members whose messages a node delivers.
    pub(super) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &PeerId> {
        let is_of_node =
            move |member: &Member| !member.waits() && member.node().is_some_and(|(its, _)| its == node);
        self.iter().filter(move |(_, member)| is_of_node(member)).map(|(id, _)| id)
    }

    /// True if no other node has told of a member than this one, and those where it was before.
    pub(super) fn is_only_at(&self, id: &PeerId, node: NodeId, former: &[(u64, u64)]) -> bool {
        let mut places = self.get(id.as_str()).into_iter().flat_map(|member| &member.elsewhere);
        places.all(|place| place.node == node || place.is_one_of(former))
    }

    /// The nodes on which a member was before it came here, with the numbers of their news.
    pub(super) fn former(&self, id: &PeerId) -> Vec<(u64, u64)> {
        let places = self.get(id.as_str()).into_iter().flat_map(|member| &member.elsewhere);
        places.filter(|place| place.is_former).map(|place| (place.node.get(), place.number)).collect()
    }

    /// A node has told of the room.
    pub(super) fn record_heard(&mut self, node: NodeId, number: u64) {
        // Nothing is sent to a node without members.
        if let Some(part) = self.part_of(node) {
            part.heard = part.heard.max(number);
        }
    }

    /// The way of a message to all other members that this node does not deliver.
    pub(super) fn onward(&self, from: &PeerId) -> Onward {
        let mut onward = Onward::default();
        let nodes = self.elsewhere.as_ref().map(|elsewhere| &elsewhere.nodes);
        let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) else { return onward };
        for (id, member) in self.others(from) {
            if member.waits() {
                onward.moving.push((id.clone(), None));
                continue;
            }
            let node = member.node();
            if let Some((node, _)) = node {
                onward.nodes.insert(node, nodes.get(&node).map_or(0, |part| part.heard));
            }
            if member.own.iter().len() + member.elsewhere.len() > 1 {
                onward.moving.push((id.clone(), node.map(|(node, _)| node)));
            }
        }
        onward
    }

    // Members that have moved.

    /// A member did not come back to this node in time, and leaves it with the news of this number. If
    /// another node has it, messages for it go on to there until a time.
    pub(super) fn depart(&mut self, id: &PeerId, left: u64, until: Instant, clock: &Clock) {
        self.forget_departed(clock);
        let Places { by_id, elsewhere } = self;
        let Some(member) = by_id.get(id.as_str()).filter(|member| member.node().is_some()) else { return };
        if let (Some(own), Some(elsewhere)) = (&member.own, elsewhere) {
            let departed = Departed { peer: own.peer.clone(), came: own.came, left, until };
            elsewhere.departed.push_back(departed);
        }
    }

    /// The members that have moved away from here, as a node does not know yet that has heard so much. One
    /// that has left the room since, on whichever node, hears nothing of it.
    pub(super) fn departed(&self, heard: u64) -> impl Iterator<Item = &PeerHandle> {
        let departed = self.elsewhere.iter().flat_map(|elsewhere| &elsewhere.departed);
        let departed = departed.filter(move |member| member.is_known_by(heard));
        departed.map(|member| &member.peer).filter(|peer| self.contains(peer.id()))
    }

    pub(super) fn forget_departed(&mut self, clock: &Clock) {
        let departed = self.elsewhere.as_mut().map(|elsewhere| &mut elsewhere.departed);
        let Some(departed) = departed.filter(|departed| !departed.is_empty()) else { return };
        let now = clock.now();
        while departed.pop_front_if(|first| first.until <= now).is_some() {}
    }

    /// The members that have moved and whose messages from `from` have to wait: of all others, or only one.
    /// `ask` asks a node to answer when it has no message for a member any more, if it can be asked.
    pub(super) fn moving(
        &mut self,
        from: &PeerId,
        only: Option<&str>,
        clock: &Clock,
        ask: impl Fn(&PeerId, &mut Handover) -> bool,
    ) -> Vec<PeerId> {
        let Places { by_id, elsewhere } = self;
        let mut moving = Vec::new();
        let Some(elsewhere) = elsewhere.as_mut().filter(|elsewhere| elsewhere.handovers > 0) else {
            return moving;
        };
        let now = clock.now();
        for (id, member) in by_id.iter_mut() {
            let is_meant = only.map_or(id != from, |only| id.as_str() == only);
            let Some(handover) = member.handover.as_mut().filter(|_| is_meant) else { continue };
            if handover.is_asked() || (!handover.is_over(now) && ask(id, handover)) {
                moving.push(id.clone());
            } else {
                member.handover = None;
                elsewhere.handovers -= 1;
            }
        }
        moving
    }

    /// The move of a member, if messages wait for its end.
    pub(super) fn handover_mut(&mut self, id: &str) -> Option<&mut Handover> {
        let handover = self.get_mut(id)?.handover.as_mut();
        handover.filter(|handover| handover.is_asked()).map(Box::as_mut)
    }

    /// The move of a member has ended. Returns the messages that waited for that.
    pub(super) fn end_handover(&mut self, id: &str) -> Vec<WaitingMessage> {
        let Places { by_id, elsewhere } = self;
        let handover = by_id.get_mut(id).and_then(|member| member.handover.take());
        if let Some(elsewhere) = elsewhere {
            elsewhere.handovers -= u32::from(handover.is_some());
        }
        handover.map(|handover| handover.into_waiting()).unwrap_or_default()
    }

    // Nodes that are gone.

    fn part_of(&mut self, node: NodeId) -> Option<&mut NodePart> {
        self.elsewhere.as_mut()?.nodes.get_mut(&node)
    }

    /// Keeps a message for the members of a node that is gone. False if too much waits.
    pub(super) fn hold(
        &mut self,
        node: NodeId,
        message: HeldMessage,
        limits: &Limits,
        clock: &Clock,
    ) -> bool {
        let part = self.part_of(node);
        part.is_some_and(|part| part.held.get_or_insert_default().hold(message, limits, clock.now()))
    }

    /// Keeps a message that a node had for one of its members, in front of those that came since.
    pub(super) fn take_back(&mut self, node: NodeId, message: HeldMessage, clock: &Clock) {
        if let Some(part) = self.part_of(node) {
            part.held.get_or_insert_default().take_back(message, clock.now());
        }
    }

    /// The messages that wait for a member of a node that is gone. They keep waiting for the others.
    pub(super) fn held_for(&mut self, id: &PeerId, node: NodeId, clock: &Clock) -> Vec<WaitingMessage> {
        let held = self.part_of(node).and_then(|part| part.held.as_mut());
        held.map(|held| held.of_member(id, clock.now())).unwrap_or_default()
    }

    /// Takes out the messages that wait for the members of a node.
    pub(super) fn take_held(&mut self, node: NodeId, clock: &Clock) -> VecDeque<HeldMessage> {
        let held = self.part_of(node).and_then(|part| part.held.take());
        held.map(|held| held.into_messages(clock.now())).unwrap_or_default()
    }

    /// A node goes on in another life: it has the same members, whose news have the same numbers.
    pub(super) fn rename(&mut self, former: NodeId, node: NodeId) {
        let Places { by_id, elsewhere } = self;
        let mut members = 0;
        for (_, member) in by_id.iter_mut() {
            if member.elsewhere.iter().any(|place| place.node == node) {
                member.elsewhere.retain(|place| place.node != former);
            }
            let places = member.elsewhere.iter_mut();
            places.filter(|place| place.node == former).for_each(|place| place.node = node);
            members += usize::from(member.elsewhere.iter().any(|place| place.node == node));
        }
        if let Some(elsewhere) = elsewhere
            && let Some(before) = elsewhere.nodes.remove(&former)
        {
            let part = elsewhere.nodes.entry(node).or_default();
            part.members = members;
            part.heard = part.heard.max(before.heard);
        }
    }
}

impl Elsewhere {
    /// A node has one member less.
    fn lose_member(&mut self, node: NodeId) {
        if let Entry::Occupied(mut part) = self.nodes.entry(node) {
            part.get_mut().members -= 1;
            if part.get().members == 0 {
                part.remove();
            }
        }
    }
}
