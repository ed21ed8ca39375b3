//! One room: its members, and the frames that they get.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::iter;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::by_id::ById;
use super::dialect::{Audience, Change, RoomDialect, Said};
use super::handover::{Handover, Waiting};
use super::held::{Held, HeldMessage};
use super::member::{Departed, Member, Own, RemotePart, deliver, deliver_in_own_frames};
use crate::config::Limits;
use crate::router::{Flush, PeerHandle, STATE_LAST, STATE_PART};
use peerbroker_core::clock::Clock;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::wire::{Frame, NodeId, PeerId, RoomName};

/// The part of an outbox that state may fill just before a message, which it should not follow.
const STATE_PART_BEFORE_MESSAGE: usize = 2;

/// Lists of a room per second that all members hear, if they hear of changes by lists; bursts of ten times as many.
const LISTS_PER_SECOND: u32 = 2;

/// Changes that a client has missed come as a list if they had more bytes than the list, and than this.
const FEW_CHANGES: usize = 4096;

/// Bytes of a list that count as one delivery.
const LIST_PART: usize = 1024;

/// Bytes of a frame about one member, beside the member and its room.
const CHANGE_OVERHEAD: usize = 320;

/// A room.
pub(super) struct Room {
    name: RoomName,
    shared: Arc<Shared>,
    members: Mutex<Members>,
}

/// The part that all rooms of a hub share.
pub(super) struct Shared {
    pub(super) dialect: &'static dyn RoomDialect,
    pub(super) clock: Clock,
    /// Rooms whose members have to hear a list later.
    unlisted: Mutex<Vec<Weak<Room>>>,
}

/// The part of a room that its lock guards.
#[derive(Default)]
struct Members {
    by_id: ById,
    /// Bytes of the list of all members.
    bytes: usize,
    /// The other nodes that have some of them. Boxed: hardly any room needs them.
    #[expect(clippy::box_collection, reason = "a collection in each room would make all of them larger")]
    nodes: Option<Box<BTreeMap<NodeId, NodePart>>>,
    /// Those that were on this node and are on another one, for messages that were sent before their node heard so; the first one left
    /// first.
    #[expect(clippy::box_collection, reason = "a collection in each room would make all of them larger")]
    departed: Option<Box<VecDeque<Departed>>>,
    /// The number of those that have moved lately.
    handovers: u32,
    /// The number of its latest change.
    latest: u64,
    /// The number of the latest change by which a member has gone.
    latest_end: u64,
    /// `None` if the members do not hear of changes by lists.
    lists: Option<Box<Lists>>,
    /// A connected member of this node may have missed changes.
    may_lag: bool,
    /// The room is no longer in the map. Look the name up again.
    is_retired: bool,
}

/// The lists of a room by which all members hear of changes.
#[derive(Default)]
struct Lists {
    rate: RateLimit,
    /// The number of the latest change that all members have heard of, or will once they have room for a list.
    told: u64,
}

/// A room under its lock.
pub(super) struct RoomGuard<'a> {
    pub(super) room: &'a Arc<Room>,
    members: MutexGuard<'a, Members>,
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
    /// The nodes that deliver it to members, and the number of the latest news that this one has of the room from each.
    pub(super) nodes: BTreeMap<NodeId, u64>,
    /// Members of two nodes, and the one that delivers it to each; `None` is this one, now or later.
    pub(super) moving: Vec<(PeerId, Option<NodeId>)>,
}

impl Room {
    pub(super) fn new(name: RoomName, shared: Arc<Shared>) -> Self {
        let lists = shared.dialect.tells_all_members().then(Box::default);
        Room { name, shared, members: Mutex::new(Members { lists, ..Members::default() }) }
    }

    pub(super) fn name(&self) -> &RoomName {
        &self.name
    }

    /// The frame about a change of a member.
    fn change(&self, change: Change, id: &PeerId, data: Option<&str>) -> Option<Frame> {
        self.shared.dialect.changed(change, self.name.as_str(), id.as_str(), data)
    }

    /// The frame with all members.
    fn list(&self, members: &ById, request: Option<&str>) -> Option<Frame> {
        let mut members = members.iter().map(|(id, member)| (id.as_str(), member.data()));
        self.shared.dialect.members(self.name.as_str(), &mut members, request)
    }

    /// The members that hear of others.
    fn audience(&self) -> Audience<'_> {
        self.shared.dialect.audience(self.name.as_str())
    }

    /// The bytes of a member in a list.
    fn bytes_of(&self, (id, member): (&PeerId, &Member)) -> usize {
        self.shared.dialect.member_bytes(id.as_str(), member.data())
    }

    pub(super) fn lock(self: &Arc<Self>) -> RoomGuard<'_> {
        RoomGuard { room: self, members: self.members.lock() }
    }
}

impl Shared {
    pub(super) fn new(dialect: &'static dyn RoomDialect, clock: Clock) -> Arc<Self> {
        Arc::new(Shared { dialect, clock, unlisted: Mutex::default() })
    }

    /// Tells members the lists that they have still to hear, where that may be done now.
    pub(super) fn tell_lists(&self, flushes: &mut Vec<Flush>) {
        let mut rooms = std::mem::take(&mut *self.unlisted.lock());
        rooms.retain(|room| room.upgrade().is_some_and(|room| !room.lock().tell_list(flushes)));
        self.unlisted.lock().append(&mut rooms);
    }
}

impl RoomGuard<'_> {
    pub(super) fn len(&self) -> usize {
        self.members.by_id.len()
    }

    /// Says what contradicts itself in it. `latest` is the number of the latest news of this node.
    pub(super) fn contradiction(&self, latest: u64) -> Option<String> {
        let Members { by_id, bytes, nodes, handovers, latest: changed, .. } = &*self.members;
        let wrong = |what: &str, id: &PeerId| Some(format!("room {}: {id}: {what}", self.room.name));
        if *bytes != by_id.iter().map(|member| self.room.bytes_of(member)).sum::<usize>() {
            return Some(format!("room {}: bytes of the list", self.room.name));
        }
        let mut places: BTreeMap<NodeId, usize> = BTreeMap::new();
        let all = by_id.iter().flat_map(|(_, member)| &member.elsewhere);
        all.for_each(|place| *places.entry(place.node).or_default() += 1);
        let known = nodes.iter().flat_map(|nodes| nodes.iter());
        if !known.map(|(node, part)| (*node, part.members)).eq(places) {
            return Some(format!("room {}: places of members", self.room.name));
        }
        let moved = by_id.iter().filter(|(_, member)| member.handover.is_some()).count();
        if *handovers as usize != moved {
            return Some(format!("room {}: members that have moved", self.room.name));
        }
        let mut all = by_id.iter();
        all.find_map(|(id, member)| {
            if member.own.is_none() && member.elsewhere.is_empty() {
                return wrong("is nowhere", id);
            }
            if member.joined > member.changed || member.changed > *changed {
                return wrong("numbers of changes", id);
            }
            let own = member.own.as_ref()?;
            if own.came > own.announced() || own.announced() > latest || own.heard > *changed {
                return wrong("numbers of news", id);
            }
            None
        })
    }

    /// The other nodes that have told of a member.
    pub(super) fn nodes_of(&self, id: &PeerId) -> impl Iterator<Item = NodeId> {
        self.get(id.as_str()).into_iter().flat_map(|member| &member.elsewhere).map(|place| place.node)
    }

    /// The other node that delivers the messages of a member.
    pub(super) fn node_of(&self, id: &PeerId) -> Option<NodeId> {
        self.get(id.as_str())?.node().map(|(node, _)| node)
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
        self.members.by_id.behind(id)
    }

    /// True if the room has a place for one more of `most` members. The last tenth is for addresses of which it has few on this node.
    pub(super) fn has_place_for(&self, newcomer: Option<&Arc<RateLimit>>, most: usize) -> bool {
        let free = most.saturating_sub(self.len());
        if free > most / 10 {
            return true;
        }
        let is_from_there = |(_, member): &(&PeerId, &Member)| {
            let account = member.own.as_ref().and_then(|own| own.account.as_ref());
            account.zip(newcomer).is_some_and(|(account, newcomer)| Arc::ptr_eq(account, newcomer))
        };
        let few = (most / 100).max(1);
        free > 0 && self.iter().filter(is_from_there).count() < few
    }

    pub(super) fn contains(&self, id: &PeerId) -> bool {
        self.get(id.as_str()).is_some()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.members.by_id.get(id)
    }

    fn own(&self, id: &PeerId) -> Option<&Own> {
        self.get(id.as_str())?.own.as_ref()
    }

    /// The part of a member that is on this node.
    pub(super) fn own_mut(&mut self, id: &PeerId) -> Option<&mut Own> {
        self.members.by_id.get_mut(id.as_str())?.own.as_mut()
    }

    /// True if the client of a member was on this node last. The node that a client has moved to tells of its end.
    pub(super) fn is_last_here(&self, id: &PeerId) -> bool {
        let member = self.get(id.as_str());
        member.is_some_and(|member| {
            member.own.as_ref().is_some_and(|own| !own.has_moved || member.elsewhere.is_empty())
        })
    }

    // Changes. All other members of this node hear of each.

    /// Adds a member of this node, or sets its data. It gets the list later.
    pub(super) fn set_own(&mut self, mut own: Own, flushes: &mut Vec<Flush>) {
        let id = own.peer.id().clone();
        self.alter(&id, flushes, |member| {
            member.own.iter().for_each(|before| own.follow(before));
            member.own = Some(own);
        });
    }

    /// Sets the data of a member of this node. False if it has them already.
    pub(super) fn set_data(&mut self, id: &PeerId, data: Option<&str>, flushes: &mut Vec<Flush>) -> bool {
        self.alter(id, flushes, |member| {
            member.own.iter_mut().for_each(|own| own.data = data.map(Box::from));
        })
    }

    /// Adds a member of another node, or sets its data. A list that repeats what is known does not change which node had it last.
    pub(super) fn note_elsewhere(
        &mut self,
        id: &PeerId,
        (node, number): (NodeId, u64),
        data: Option<&str>,
        flushes: &mut Vec<Flush>,
    ) {
        self.alter(id, flushes, |member| {
            let known = member.elsewhere.iter_mut().find(|place| place.node == node);
            if let Some(known) = known.filter(|known| known.number >= number) {
                known.data = data.map(Box::from);
                return;
            }
            member.elsewhere.retain(|place| place.node != node);
            member.elsewhere.push(RemotePart { node, number, data: data.map(Box::from), is_former: false });
            // If it is connected here, that news is late, or both nodes have a client in an outage.
            member.own.iter_mut().for_each(|own| own.has_moved |= !own.peer.is_current());
        });
        self.note_heard(node, number);
    }

    fn note_heard(&mut self, node: NodeId, number: u64) {
        // Nothing is sent to a node without members.
        if let Some(part) = self.part_of(node) {
            part.heard = part.heard.max(number);
        }
    }

    /// A member did not come back to this node in time, and leaves it with the news of this number. If another node has it, messages for
    /// it go on to there until a time.
    pub(super) fn depart(&mut self, id: &PeerId, left: u64, until: u64) {
        self.forget_departed();
        let Some(member) = self.get(id.as_str()).filter(|member| member.node().is_some()) else { return };
        let departed = member.own.as_ref().map(|own| (own.peer.clone(), own.came));
        let departed = departed.map(|(peer, came)| Departed { peer, came, left, until });
        self.members.departed.get_or_insert_default().extend(departed);
    }

    /// The members that have moved away from here, as a node does not know yet that has heard so much. One that has left the room since,
    /// on whichever node, hears nothing of it.
    fn departed(&self, heard: u64) -> impl Iterator<Item = &PeerHandle> {
        let departed = self.members.departed.iter().flat_map(|all| all.iter());
        let departed = departed.filter(move |member| member.is_known_by(heard));
        departed.map(|member| &member.peer).filter(|peer| self.contains(peer.id()))
    }

    fn forget_departed(&mut self) {
        let Some(departed) = &mut self.members.departed else { return };
        let now = self.room.shared.clock.now();
        while departed.pop_front_if(|first| first.until <= now).is_some() {}
    }

    /// This node does not expect a member back, and knows it on some of the other nodes that have told of it. False if the others notice
    /// nothing.
    pub(super) fn remove(
        &mut self,
        id: &PeerId,
        stays_at: impl Fn(&RemotePart) -> bool,
        flushes: &mut Vec<Flush>,
    ) -> bool {
        self.alter(id, flushes, |member| {
            member.own = None;
            member.elsewhere.retain(stays_at);
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

    /// Another node does not have a member any more, and it is not where it was before either.
    pub(super) fn forget_elsewhere(
        &mut self,
        id: &PeerId,
        (node, number): (NodeId, u64),
        former: &[(u64, u64)],
        flushes: &mut Vec<Flush>,
    ) {
        self.alter(id, flushes, |member| {
            member.elsewhere.retain(|place| place.node != node && !place.is_one_of(former));
        });
        self.note_heard(node, number);
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

    /// Changes a member, removes it if it is on no node any more, and tells the others. False if they notice nothing.
    fn alter(&mut self, id: &PeerId, flushes: &mut Vec<Flush>, act: impl FnOnce(&mut Member)) -> bool {
        let Members { by_id, bytes, nodes, handovers, .. } = &mut *self.members;
        let before = by_id.get(id.as_str()).map(|member| member.data().map(Box::<str>::from));
        *bytes -= by_id.get(id.as_str()).map_or(0, |member| self.room.bytes_of((id, member)));
        let member = by_id.entry(id);
        let left: Vec<NodeId> = member.elsewhere.iter().map(|place| place.node).collect();
        *handovers -= u32::from(member.handover.is_some());
        member.change_place(&self.room.shared.clock, act);
        for place in &member.elsewhere {
            nodes.get_or_insert_default().entry(place.node).or_default().members += 1;
        }
        for node in left {
            if let Some(Entry::Occupied(mut part)) = nodes.as_mut().map(|nodes| nodes.entry(node)) {
                part.get_mut().members -= 1;
                if part.get().members == 0 {
                    part.remove();
                }
            }
        }
        let has_gone = member.own.is_none() && member.elsewhere.is_empty();
        let change = match before {
            None => (!has_gone).then_some(Change::Joined),
            Some(_) if has_gone => Some(Change::Left),
            Some(before) => (before.as_deref() != member.data()).then_some(Change::Updated),
        };
        if has_gone {
            by_id.remove(id.as_str());
        } else {
            *bytes += self.room.bytes_of((id, member));
            *handovers += u32::from(member.handover.is_some());
        }
        if let Some(change) = change {
            self.tell_change(id, change, flushes);
        }
        change.is_some()
    }

    /// Numbers a change, and tells all other members of this node that have heard everything before it. The others
    /// [catch up](Self::catch_up): those that read slowly, and those that have no connection now.
    fn tell_change(&mut self, id: &PeerId, change: Change, flushes: &mut Vec<Flush>) {
        let room = self.room;
        let Members { by_id, latest, latest_end, lists, may_lag, .. } = &mut *self.members;
        let before = *latest;
        *latest += 1;
        let mut is_here = false;
        match by_id.get_mut(id.as_str()) {
            None => *latest_end = *latest,
            Some(member) => {
                member.changed = *latest;
                is_here = member.own.is_some();
                if matches!(change, Change::Joined) {
                    member.joined = *latest;
                }
            }
        }
        if let Some(lists) = lists {
            let is_first = lists.told == before;
            // It hears the list as an answer.
            if let Some(own) = self.own_mut(id) {
                own.heard = before + 1;
            }
            if is_first && !self.tell_list(flushes) {
                room.shared.unlisted.lock().push(Arc::downgrade(room));
            }
            return;
        }
        let mut frame = room.change(change, id, by_id.get(id.as_str()).and_then(Member::data));
        let audience = room.audience();
        let hears = |other: &PeerId| match change {
            Change::Joined => audience.hears_of(other, id, is_here),
            Change::Left => audience.misses(other, id),
            Change::Updated => true,
        };
        let is_told = |other: &PeerId| other != id && hears(other);
        for (other, member) in by_id.iter_mut() {
            let Some(own) = member.own.as_mut().filter(|own| own.heard == before) else { continue };
            let Some(frame) = frame.as_mut().filter(|_| is_told(other)).map(Frame::share) else {
                own.heard = *latest;
                continue;
            };
            let bytes = frame.len();
            match own.peer.tell_state(iter::once(frame), bytes, STATE_PART) {
                None => *may_lag = true,
                Some(flush) => {
                    own.heard = *latest;
                    flushes.extend(flush);
                }
            }
        }
    }

    /// Tells all members of this node the list, if not too many were told lately. False if that has to be done later.
    pub(super) fn tell_list(&mut self, flushes: &mut Vec<Flush>) -> bool {
        let Members { by_id, latest, lists, may_lag, .. } = &mut *self.members;
        let Some(lists) = lists.as_mut().filter(|lists| lists.told < *latest) else { return true };
        if lists.rate.try_charge(1, LISTS_PER_SECOND, self.room.shared.clock.now()).is_err() {
            return false;
        }
        lists.told = *latest;
        let Some(mut list) = self.room.list(by_id, None) else { return true };
        for own in by_id.iter_mut().filter_map(|(_, member)| member.own.as_mut()) {
            if own.heard == *latest {
                continue;
            }
            let bytes = list.len();
            let list = list.share();
            match own.peer.tell_state(iter::once(list), bytes, STATE_LAST) {
                None => *may_lag = true,
                Some(flush) => {
                    own.heard = *latest;
                    flushes.extend(flush);
                }
            }
        }
        true
    }

    /// The parts of what the members hear of a change: of a list that they will hear anyway, it costs nothing.
    pub(super) fn parts_of_change(&self) -> usize {
        match &self.members.lists {
            Some(lists) if lists.told < self.members.latest => 0,
            Some(_) => self.parts_of_list(),
            None => 1,
        }
    }

    /// The parts of an answer to a request that changes nothing.
    pub(super) fn parts_of_answer(&self) -> usize {
        if self.members.lists.is_some() { self.parts_of_list() } else { 1 }
    }

    fn parts_of_list(&self) -> usize {
        1 + self.members.bytes / LIST_PART
    }

    /// Tells a member of the changes that it has missed, if its client has room for them now. Of each other member it hears the
    /// latest change only, or a new list if that is shorter, or if somebody has gone.
    pub(super) fn catch_up(&mut self, id: &PeerId, part: usize, flushes: &mut Vec<Flush>) {
        let latest = self.members.latest;
        let told = self.members.lists.as_ref().map(|lists| lists.told);
        let Some(own) = self.own(id).filter(|own| own.heard < told.unwrap_or(latest)) else { return };
        let part = if told.is_some() { STATE_LAST } else { part };
        let state = self.missed(id, own.heard);
        let peer = own.peer.clone();
        let bytes = state.iter().map(Frame::len).sum();
        match peer.tell_state(state.into_iter(), bytes, part) {
            None => self.members.may_lag = true,
            Some(flush) => {
                flushes.extend(flush);
                if let Some(own) = self.own_mut(id) {
                    own.heard = latest;
                }
            }
        }
    }

    /// As [`catch_up`](Self::catch_up), for all members that get a message, so that it does not come before the changes in front of it.
    /// Only to a client for whom very much waits it does.
    pub(super) fn catch_up_before_message(&mut self, flushes: &mut Vec<Flush>) {
        if !self.members.may_lag {
            return;
        }
        let latest = self.members.latest;
        let lags = |own: &Own| own.heard < latest && own.peer.is_current();
        let own = self.iter().filter(|(_, member)| member.own.as_ref().is_some_and(lags));
        let lagging: Vec<PeerId> = own.map(|(id, _)| id.clone()).collect();
        self.members.may_lag = false;
        lagging.iter().for_each(|id| self.catch_up(id, STATE_PART_BEFORE_MESSAGE, flushes));
    }

    /// The changes behind one, for a member.
    fn missed(&self, to: &PeerId, heard: u64) -> Vec<Frame> {
        let of_others = || self.others(to).filter(|(_, member)| member.changed > heard);
        let bytes: usize = of_others().map(|member| self.room.bytes_of(member) + CHANGE_OVERHEAD).sum();
        let Members { latest_end, bytes: of_list, .. } = *self.members;
        let tells_all = self.members.lists.is_some();
        if tells_all || heard < latest_end || heard == 0 || bytes > FEW_CHANGES.max(of_list) {
            match self.list(None) {
                Some(list) => return vec![list],
                None if heard == 0 => return Vec::new(),
                // Without a list, it hears of those that have come and are still there.
                None => {}
            }
        }
        let mut changes: Vec<_> = of_others().collect();
        changes.sort_unstable_by_key(|(_, member)| member.changed);
        let frame = |(id, member): (&PeerId, &Member)| {
            let change = if member.joined > heard { Change::Joined } else { Change::Updated };
            let is_told = self.room.audience().hears_of(to, id, member.own.is_some());
            is_told.then(|| self.room.change(change, id, member.data())).flatten()
        };
        changes.into_iter().filter_map(frame).collect()
    }

    /// Bytes of the list if a member joins with these data, or gets them.
    pub(super) fn bytes_with(&self, id: &PeerId, data: Option<&str>) -> usize {
        let before = self.get(id.as_str()).map_or(0, |member| self.room.bytes_of((id, member)));
        self.members.bytes - before + self.room.shared.dialect.member_bytes(id.as_str(), data)
    }

    /// A member has a new connection on this node, and keeps its data. False if it is none.
    pub(super) fn come_back(&mut self, mut own: Own) -> bool {
        let Members { by_id, handovers, .. } = &mut *self.members;
        let Some(member) = by_id.get_mut(own.peer.id().as_str()) else { return false };
        own.data = member.data().map(Box::from);
        own.frames = member.own.as_ref().and_then(|before| before.frames.clone());
        member.own.iter().for_each(|before| own.follow(before));
        *handovers -= u32::from(member.handover.is_some());
        member.change_place(&self.room.shared.clock, |member| {
            member.own = Some(own);
            member.elsewhere.iter_mut().for_each(|place| place.is_former = true);
        });
        *handovers += u32::from(member.handover.is_some());
        true
    }

    // Members that have moved.

    /// The members that have moved and whose messages from `from` have to wait: of all others, or only one. `ask` asks a node to
    /// answer when it has no message for a member any more, if it can be asked.
    pub(super) fn moving(
        &mut self,
        from: &PeerId,
        only: Option<&str>,
        ask: impl Fn(&PeerId, &mut Handover) -> bool,
    ) -> Vec<PeerId> {
        let Members { by_id, handovers, .. } = &mut *self.members;
        let mut moving = Vec::new();
        if *handovers == 0 {
            return moving;
        }
        let now = self.room.shared.clock.now();
        for (id, member) in by_id.iter_mut() {
            let is_meant = only.map_or(id != from, |only| id.as_str() == only);
            let Some(handover) = member.handover.as_mut().filter(|_| is_meant) else { continue };
            if handover.is_asked() || (!handover.is_over(now) && ask(id, handover)) {
                moving.push(id.clone());
            } else {
                member.handover = None;
                *handovers -= 1;
            }
        }
        moving
    }

    /// The move of a member, if messages wait for its end.
    pub(super) fn handover_mut(&mut self, id: &str) -> Option<&mut Handover> {
        let handover = self.members.by_id.get_mut(id)?.handover.as_mut();
        handover.filter(|handover| handover.is_asked()).map(Box::as_mut)
    }

    /// The move of a member has ended. Returns the messages that waited for that.
    pub(super) fn end_handover(&mut self, id: &str) -> Vec<Waiting> {
        let Members { by_id, handovers, .. } = &mut *self.members;
        let handover = by_id.get_mut(id).and_then(|member| member.handover.take());
        *handovers -= u32::from(handover.is_some());
        handover.map(|handover| handover.into_waiting()).unwrap_or_default()
    }

    // Nodes that are gone.

    fn part_of(&mut self, node: NodeId) -> Option<&mut NodePart> {
        self.members.nodes.as_mut()?.get_mut(&node)
    }

    /// Keeps a message for the members of a node that is gone. False if too much waits.
    pub(super) fn hold(&mut self, node: NodeId, message: HeldMessage, limits: &Limits) -> bool {
        let now = self.room.shared.clock.now();
        let part = self.part_of(node);
        part.is_some_and(|part| part.held.get_or_insert_default().hold(message, limits, now))
    }

    /// The messages that wait for a member of a node that is gone. They keep waiting for the others.
    pub(super) fn held_for(&mut self, id: &PeerId, node: NodeId) -> Vec<Waiting> {
        let now = self.room.shared.clock.now();
        let held = self.part_of(node).and_then(|part| part.held.as_mut());
        held.map(|held| held.of_member(id, now)).unwrap_or_default()
    }

    /// Takes out the messages that wait for the members of a node.
    pub(super) fn take_held(&mut self, node: NodeId) -> VecDeque<HeldMessage> {
        let now = self.room.shared.clock.now();
        let held = self.part_of(node).and_then(|part| part.held.take());
        held.map(|held| held.into_messages(now)).unwrap_or_default()
    }

    /// A node goes on in another life: it has the same members, whose news have the same numbers.
    pub(super) fn rename(&mut self, former: NodeId, node: NodeId) {
        let Members { by_id, nodes, .. } = &mut *self.members;
        let mut members = 0;
        for (_, member) in by_id.iter_mut() {
            if member.elsewhere.iter().any(|place| place.node == node) {
                member.elsewhere.retain(|place| place.node != former);
            }
            let places = member.elsewhere.iter_mut();
            places.filter(|place| place.node == former).for_each(|place| place.node = node);
            members += usize::from(member.elsewhere.iter().any(|place| place.node == node));
        }
        if let Some(nodes) = nodes
            && let Some(before) = nodes.remove(&former)
        {
            let part = nodes.entry(node).or_default();
            part.members = members;
            part.heard = part.heard.max(before.heard);
        }
    }

    /// Answers a member with the list of all members.
    pub(super) fn answer_with_list(&mut self, to: &PeerHandle, request: Option<&str>) -> Option<Flush> {
        let list = self.list(request);
        let latest = self.members.latest;
        if let Some(own) = self.own_mut(to.id()) {
            own.heard = latest;
        }
        to.reply(list?)
    }

    /// Tells a member that has come now of those on other nodes that do not hear of it.
    pub(super) fn introduce(&self, newcomer: &PeerHandle, flushes: &mut Vec<Flush>) {
        let to = newcomer.id();
        let audience = self.room.audience();
        let is_introduced =
            |(id, member): &(&PeerId, &Member)| audience.is_introduced(to, id, member.own.is_some());
        for (id, member) in self.others(to).filter(is_introduced) {
            let frame = self.room.change(Change::Joined, id, member.data());
            flushes.extend(frame.and_then(|frame| newcomer.reply(frame)));
        }
    }

    fn list(&self, request: Option<&str>) -> Option<Frame> {
        self.room.list(&self.members.by_id, request)
    }

    /// The frame of a message: from a member or the app's server, to one member or all.
    pub(super) fn message(&self, from: Option<&PeerId>, to: Option<&str>, payload: Option<&str>) -> Frame {
        let room = self.room.name.as_str();
        let from = from.map(PeerId::as_str);
        let members = self.len();
        self.room.shared.dialect.said(Said { room, from, to, payload, members })
    }

    /// The way of a message to all other members that this node does not deliver.
    pub(super) fn onward(&self, from: &PeerId) -> Onward {
        let mut onward = Onward::default();
        let nodes = self.members.nodes.as_ref().filter(|nodes| !nodes.is_empty());
        let Some(nodes) = nodes else { return onward };
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

    /// Sends a message to all members of this node, to its sender only if the dialect echoes. Returns the number of those that do not get it: too much waits for them.
    pub(super) fn deliver_to_others(
        &mut self,
        from: &PeerId,
        sender: &PeerId,
        mut message: Frame,
        flushes: &mut Vec<Flush>,
    ) -> usize {
        self.catch_up_before_message(flushes);
        let hears = |(id, _): &(&PeerId, &Member)| *id != from || self.room.shared.dialect.echoes();
        let own = self.iter().filter(hears);
        let own = own.filter_map(|(_, member)| member.here().filter(|_| !member.waits()));
        let room = &self.room.name;
        own.filter(|own| deliver_in_own_frames(own, room, sender, &mut message, flushes).is_err()).count()
    }

    /// The members whose messages a node delivers.
    pub(super) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &PeerId> {
        let is_of_node =
            move |member: &Member| !member.waits() && member.node().is_some_and(|(its, _)| its == node);
        self.iter().filter(move |(_, member)| is_of_node(member)).map(|(id, _)| id)
    }

    /// Sends a message from another node to the members of this one of which that node had heard. `except` is sorted: those get
    /// it from a third node.
    pub(super) fn deliver_here(
        &mut self,
        from: &PeerId,
        mut message: Frame,
        heard: u64,
        except: &[&str],
        flushes: &mut Vec<Flush>,
    ) {
        self.catch_up_before_message(flushes);
        self.forget_departed();
        let sender = from.in_rooms();
        let here = self.iter().filter_map(|(_, member)| member.own.as_ref());
        let is_meant =
            |peer: &PeerHandle| peer.id() != from && except.binary_search(&peer.id().as_str()).is_err();
        // Nobody is told if one has too much to read.
        for own in here.filter(|own| own.came <= heard && is_meant(&own.peer)) {
            let _ = deliver_in_own_frames(own, &self.room.name, &sender, &mut message, flushes);
        }
        // One that is not here any more, which its sender does not know yet, is sought.
        for peer in self.departed(heard).filter(|peer| is_meant(peer)) {
            let _ = deliver(peer, &sender, message.share(), flushes);
        }
    }

    /// As [`deliver_here`](Self::deliver_here), for one member.
    pub(super) fn deliver_to(
        &mut self,
        to: &str,
        sender: &PeerId,
        message: Frame,
        heard: u64,
        flushes: &mut Vec<Flush>,
    ) {
        self.catch_up_before_message(flushes);
        self.forget_departed();
        let here = self.get(to).and_then(|member| member.own.as_ref()).filter(|own| own.came <= heard);
        let mut peers = here.map(|own| &own.peer).into_iter().chain(self.departed(heard));
        if let Some(peer) = peers.find(|peer| peer.id().as_str() == to) {
            // Its sender has got its answer.
            let _ = deliver(peer, sender, message, flushes);
        }
    }

    fn others(&self, id: &PeerId) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.iter().filter(move |(other, _)| *other != id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::ByName;
    use super::*;

    /// The reference counts of an `Arc`.
    const COUNTS: usize = 16;

    #[test]
    fn a_room_of_one_has_few_bytes() {
        let name = COUNTS + 24;
        // A map that has grown has up to 16 places for 7 entries, each with a byte of control.
        let of_map = (size_of::<ByName>() + 1) * 16 / 7;
        let room = COUNTS + size_of::<Room>();
        let member = size_of::<(PeerId, Member)>();
        // Twice in a vector that has grown: in the presence of the client.
        let all = name + of_map + room + member + 2 * size_of::<Arc<Room>>();
        // 400 with the room's part of its client, and what an allocator adds.
        assert!(
            all <= 380,
            "{all} bytes: the name {name}, the map {of_map}, the room {room}, a member {member}"
        );
    }
}
