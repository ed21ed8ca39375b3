//! A room: its members, and the frames that they get.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::frames::{Audience, Change, MemberView, Read, RoomFrames};
use super::member::{Member, Own, RemotePart, Sent, deliver, deliver_in_own_frames};
use super::others::{MemberNews, StateNews};
use super::places::Places;
use super::seat::{Seat, SeatWish, free_number};
use super::state::State;
use peerbroker_core::clock::Clock;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{Foreign, Frame, NodeId, PeerId, RoomName};
use peerbroker_router::{Flush, Flushes, MESSAGES, PeerHandle, STATE_LAST, STATE_PART};

/// The part of an outbox that state may fill just before a message, which it should not follow.
const STATE_PART_BEFORE_MESSAGE: usize = 2;

/// Lists of a room per second that all members hear, if they hear of changes by lists; bursts of ten times as
/// many.
const LISTS_PER_SECOND: u32 = 2;

/// Changes that a client has missed come as a list if they had more bytes than the list, and than this.
const FEW_CHANGES: usize = 4096;

/// The state of a member for whose client too much waits.
const FALLS_BEHIND: &str = "falls behind: too much waits for its client";

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

/// The part that all rooms of a realm share.
pub(super) struct Shared {
    pub(super) frames: &'static dyn RoomFrames,
    pub(super) clock: Clock,
    /// Rooms whose members have to hear a list later.
    unlisted: Mutex<Vec<Weak<Room>>>,
}

/// The part of a room that its lock guards.
#[derive(Default)]
struct Members {
    places: Places,
    /// `None` if no member has ever written one.
    state: Option<Box<State>>,
    /// Bytes of the list of all members, with the state.
    bytes: usize,
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
    /// The number of the latest change that all members have heard of, or will once they have room for a
    /// list.
    told: u64,
}

/// A room under its lock.
pub(super) struct RoomGuard<'a> {
    pub(super) room: &'a Arc<Room>,
    members: MutexGuard<'a, Members>,
}

impl Room {
    pub(super) fn new(name: RoomName, shared: Arc<Shared>) -> Self {
        let lists = shared.frames.sends_all_members().then(Box::default);
        Room { name, shared, members: Mutex::new(Members { lists, ..Members::default() }) }
    }

    pub(super) fn name(&self) -> &RoomName {
        &self.name
    }

    /// The frame about a change of a member.
    fn change(&self, change: Change, id: &PeerId, member: Option<&Member>) -> Option<Frame> {
        let view = member.map_or(MemberView::of_id(id.as_str()), |member| member.view(id));
        self.shared.frames.changed(change, self.name.as_str(), view)
    }

    /// The frame with all members, and the state.
    fn list(&self, members: &Places, state: Option<&State>, request: Option<&str>) -> Option<Frame> {
        let mut members = members.iter().map(|(id, member)| member.view(id));
        let mut state = state.into_iter().flat_map(State::present);
        self.shared.frames.members(self.name.as_str(), &mut members, &mut state, request)
    }

    /// The members that hear of others.
    fn audience(&self) -> Audience<'_> {
        self.shared.frames.audience(self.name.as_str())
    }

    /// The bytes of a member in a list.
    fn bytes_of(&self, (id, member): (&PeerId, &Member)) -> usize {
        self.shared.frames.member_bytes(member.view(id))
    }

    /// Says that a member falls behind, or catches up.
    #[cold]
    fn follow(&self, id: &PeerId, step: &str) {
        let [room, id] = [self.name.as_str(), id.as_str()].map(Foreign::new);
        log::debug!(target: MESSAGES, "room {room}: {id} {step}");
    }

    pub(super) fn lock(self: &Arc<Self>) -> RoomGuard<'_> {
        RoomGuard { room: self, members: self.members.lock() }
    }
}

impl Shared {
    pub(super) fn new(frames: &'static dyn RoomFrames, clock: Clock) -> Arc<Self> {
        Arc::new(Shared { frames, clock, unlisted: Mutex::default() })
    }

    /// Tells members the lists that they have still to hear, where that may be done now.
    pub(super) fn send_lists(&self, flushes: &mut Flushes) {
        let mut rooms = std::mem::take(&mut *self.unlisted.lock());
        rooms.retain(|room| room.upgrade().is_some_and(|room| !room.lock().send_list(flushes)));
        self.unlisted.lock().append(&mut rooms);
    }
}

impl Deref for RoomGuard<'_> {
    type Target = Places;

    fn deref(&self) -> &Places {
        &self.members.places
    }
}

impl DerefMut for RoomGuard<'_> {
    fn deref_mut(&mut self) -> &mut Places {
        &mut self.members.places
    }
}

impl RoomGuard<'_> {
    /// Says what contradicts itself in it. `latest` is the number of the latest news of this node.
    pub(super) fn contradiction(&self, latest: u64) -> Option<String> {
        let Members { places, state, bytes, latest: changed, .. } = &*self.members;
        let wrong = |what: &str, id: &PeerId| Some(format!("room {:?}: {id:?}: {what}", self.room.name));
        let of_members = places.iter().map(|member| self.room.bytes_of(member)).sum::<usize>();
        if *bytes != of_members + state.as_ref().map_or(0, |state| state.list_bytes()) {
            return Some(format!("room {:?}: bytes of the list", self.room.name));
        }
        if let Some(what) = places.contradiction() {
            return Some(format!("room {:?}: {what}", self.room.name));
        }
        let mut all = places.iter();
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

    pub(super) fn is_retired(&self) -> bool {
        self.members.is_retired
    }

    /// True if nobody is left: from now on the room is retired.
    pub(super) fn retire_if_empty(&mut self) -> bool {
        self.members.is_retired = self.members.places.is_empty();
        self.members.is_retired
    }

    /// True if the room has a place for one more of `most` members. The last tenth is for addresses of which
    /// it has few on this node.
    pub(super) fn has_place_for(&self, newcomer: Option<&Arc<RateLimit>>, most: usize) -> bool {
        let free = most.saturating_sub(self.len());
        free > most / 10 || free > 0 && self.has_fewer_of(newcomer, (most / 100).max(1))
    }

    /// True if it has fewer than `few` members of an address on this node.
    pub(super) fn has_fewer_of(&self, newcomer: Option<&Arc<RateLimit>>, few: usize) -> bool {
        let is_from_there = |(_, member): &(&PeerId, &Member)| {
            let account = member.own.as_ref().and_then(|own| own.account.as_ref());
            account.zip(newcomer).is_some_and(|(account, newcomer)| Arc::ptr_eq(account, newcomer))
        };
        self.iter().filter(is_from_there).count() < few
    }

    // Changes. All other members of this node hear of each.

    /// Adds a member of this node, or sets its data. It gets the list later.
    pub(super) fn set_own(&mut self, mut own: Own, flushes: &mut Flushes) {
        let id = own.peer.id().clone();
        self.alter(&id, flushes, |member| {
            member.own.iter().for_each(|before| own.follow(before));
            member.own = Some(own);
        });
    }

    /// Sets the data of a member of this node. False if it has them already.
    pub(super) fn set_data(&mut self, id: &PeerId, data: Option<&str>, flushes: &mut Flushes) -> bool {
        self.alter(id, flushes, |member| {
            member.own.iter_mut().for_each(|own| own.data = data.map(Box::from));
        })
    }

    /// The seat for a member that asks for one. A member that has one keeps it. The room has `most` members.
    pub(super) fn seat_for(&self, id: &PeerId, wish: SeatWish, most: usize) -> Seat {
        match self.get(id.as_str()).and_then(Member::seat) {
            Some(seat) => Seat { never_host: wish.never_host, ..seat },
            None => wish.grant(&self.seats(), most, self.room.shared.clock.unix_millis().as_millis()),
        }
    }

    fn seats(&self) -> Vec<Seat> {
        self.iter().filter_map(|(_, member)| member.seat()).collect()
    }

    /// Two nodes may give one number at once. Then all members but the one that came first get others, each
    /// from its own node. Returns those of this node.
    pub(super) fn settle_seats(&mut self, id: &PeerId, flushes: &mut Flushes) -> Vec<PeerId> {
        let Some(seat) = self.get(id.as_str()).and_then(Member::seat) else { return Vec::new() };
        let has_number = |member: &Member| member.seat().is_some_and(|other| other.number == seat.number);
        let mut sharing: Vec<_> = self.iter().filter(|(_, member)| has_number(member)).collect();
        sharing.sort_unstable_by_key(|(id, member)| member.rank(id));
        let later = sharing.into_iter().skip(1).filter(|(_, member)| member.here().is_some());
        let later: Vec<PeerId> = later.map(|(id, _)| id.clone()).collect();
        for id in &later {
            let number = free_number(&self.seats());
            self.change_seat(id, number, flushes);
        }
        later
    }

    /// Gives a member of this node another seat, of which it hears too.
    fn change_seat(&mut self, id: &PeerId, number: u32, flushes: &mut Flushes) {
        self.alter(id, flushes, |member| {
            let seat = member.own.as_mut().and_then(|own| own.seat.as_deref_mut());
            if let Some(seat) = seat {
                seat.number = number;
            }
        });
        let frame = self.room.change(Change::Updated, id, self.get(id.as_str()));
        let latest = self.members.latest;
        if let Some((frame, own)) = frame.zip(self.own_mut(id)) {
            let is_told = own.heard == latest && own.hear(frame, STATE_PART, latest, flushes);
            if !is_told {
                // It gets the list later: of changes, it would hear those of others only.
                own.heard = 0;
                self.members.may_lag = true;
            }
        }
    }

    /// Adds a member of another node, or sets its data. A list that repeats what is known does not change
    /// which node had it last.
    pub(super) fn record_elsewhere(
        &mut self,
        id: &PeerId,
        node: NodeId,
        &MemberNews { number, data, seat, .. }: &MemberNews<'_>,
        flushes: &mut Flushes,
    ) {
        self.alter(id, flushes, |member| {
            let data = data.map(Box::from);
            let seat = seat.map(Box::new);
            let known = member.elsewhere.iter_mut().find(|place| place.node == node);
            if let Some(known) = known.filter(|known| known.number >= number) {
                known.data = data;
                known.seat = seat;
                return;
            }
            member.elsewhere.retain(|place| place.node != node);
            member.elsewhere.push(RemotePart { node, number, data, seat, is_former: false });
            // If it is connected here, that news is late, or both nodes have a client in an outage.
            member.own.iter_mut().for_each(|own| own.has_moved |= !own.peer.is_current());
        });
        self.record_heard(node, number);
    }

    /// Removes a member that this node does not expect back. It may stay on some of the other nodes that have
    /// told of it. False if the others notice nothing.
    pub(super) fn remove(
        &mut self,
        id: &PeerId,
        stays_at: impl Fn(&RemotePart) -> bool,
        flushes: &mut Flushes,
    ) -> bool {
        self.alter(id, flushes, |member| {
            member.own = None;
            member.elsewhere.retain(stays_at);
        })
    }

    /// Another node has told that a member has parted, or that a stranger has its id. Nobody needs to hear
    /// its data from that node, or from one where it was before it was here: that one hears the same.
    pub(super) fn forget_former(&mut self, id: &PeerId, node: NodeId, flushes: &mut Flushes) {
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
        flushes: &mut Flushes,
    ) {
        self.alter(id, flushes, |member| {
            member.elsewhere.retain(|place| place.node != node && !place.is_one_of(former));
        });
        self.record_heard(node, number);
    }

    /// Changes a member, removes it if it is on no node any more, and tells the others. False if they notice
    /// nothing.
    fn alter(&mut self, id: &PeerId, flushes: &mut Flushes, act: impl FnOnce(&mut Member)) -> bool {
        let room = self.room;
        let Members { places, bytes, .. } = &mut *self.members;
        let known = places.get(id.as_str());
        let before = known.map(|member| (member.data().map(Box::<str>::from), member.seat()));
        *bytes -= known.map_or(0, |member| room.bytes_of((id, member)));
        places.change(id, &room.shared.clock, act);
        let known = places.get(id.as_str());
        *bytes += known.map_or(0, |member| room.bytes_of((id, member)));
        let change = match (before, known.map(Member::facts)) {
            (None, None) => None,
            (None, Some(_)) => Some(Change::Joined),
            (Some(_), None) => Some(Change::Left),
            (Some((data, seat)), Some(now)) => ((data.as_deref(), seat) != now).then_some(Change::Updated),
        };
        if let Some(change) = change {
            self.send_change(id, change, flushes);
        }
        change.is_some()
    }

    /// Numbers a change, and tells all other members of this node that have heard everything before it. The
    /// others [catch up](Self::catch_up): those that read slowly, and those that have no connection now.
    fn send_change(&mut self, id: &PeerId, change: Change, flushes: &mut Flushes) {
        let room = self.room;
        let Members { places, latest, latest_end, lists, .. } = &mut *self.members;
        let before = *latest;
        *latest += 1;
        let mut is_here = false;
        match places.get_mut(id.as_str()) {
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
            if is_first && !self.send_list(flushes) {
                room.shared.unlisted.lock().push(Arc::downgrade(room));
                room.follow(id, "has changed: the members hear the list later");
            }
            return;
        }
        let frame = room.change(change, id, places.get(id.as_str()));
        let audience = room.audience();
        let hears = |other: &PeerId| match change {
            Change::Joined => audience.hears_of(other, id, is_here),
            Change::Left => audience.misses(other, id),
            Change::Updated => true,
        };
        self.tell(frame, |other| other != id && hears(other), flushes);
    }

    /// Tells the members of this node of the latest change, if they have heard everything before it.
    fn tell(&mut self, mut frame: Option<Frame>, is_told: impl Fn(&PeerId) -> bool, flushes: &mut Flushes) {
        let Members { places, latest, may_lag, .. } = &mut *self.members;
        for (other, own) in places.own_members_mut().filter(|(_, own)| own.heard + 1 == *latest) {
            let Some(frame) = frame.as_mut().filter(|_| is_told(other)).map(Frame::share) else {
                own.heard = *latest;
                continue;
            };
            if !own.hear(frame, STATE_PART, *latest, flushes) {
                *may_lag = true;
                self.room.follow(other, FALLS_BEHIND);
            }
        }
    }

    /// The state, if a member has ever written one.
    pub(super) fn state(&self) -> Option<&State> {
        self.members.state.as_deref()
    }

    /// The greatest number of a version of the state; 0 if no member has ever written one.
    pub(super) fn state_version(&self) -> u64 {
        self.state().map_or(0, State::latest)
    }

    /// The latest write of each name, for other nodes: all, or those that one node has decided.
    pub(super) fn state_news(&self, of: Option<NodeId>) -> impl Iterator<Item = StateNews<'_>> {
        let writes = self.state().into_iter().flat_map(move |state| state.writes(of));
        writes.map(|(view, version)| StateNews::new(self.room.name.as_str(), view, version))
    }

    /// Changes the value of a name, and tells all members of this node, the writer too. `act` is given the
    /// number of the change, and returns false if there is none.
    pub(super) fn change_state(
        &mut self,
        name: &str,
        flushes: &mut Flushes,
        act: impl FnOnce(&mut State, u64) -> bool,
    ) {
        let Members { state, bytes, latest, .. } = &mut *self.members;
        let state = state.get_or_insert_default();
        *bytes -= state.list_bytes();
        let has_changed = act(state, *latest + 1);
        *bytes += state.list_bytes();
        if has_changed {
            *latest += 1;
            let Room { name: room, shared, .. } = &**self.room;
            let frame = state.view(name).and_then(|view| shared.frames.state(room.as_str(), view));
            self.tell(frame, |_| true, flushes);
        }
    }

    /// The id of the host: the willing member that came first.
    pub(super) fn host(&self) -> Option<&PeerId> {
        let is_willing = |member: &Member| member.seat().is_some_and(|seat| !seat.never_host);
        let willing = self.iter().filter(|(_, member)| is_willing(member));
        willing.min_by_key(|(id, member)| member.rank(id)).map(|(id, _)| id)
    }

    /// Tells all members of this node the list, if not too many were told lately. False if that has to be
    /// done later.
    pub(super) fn send_list(&mut self, flushes: &mut Flushes) -> bool {
        let Members { places, state, latest, lists, may_lag, .. } = &mut *self.members;
        let Some(lists) = lists.as_mut().filter(|lists| lists.told < *latest) else { return true };
        if lists.rate.try_charge(1, LISTS_PER_SECOND, self.room.shared.clock.now()).is_err() {
            return false;
        }
        let before = mem::replace(&mut lists.told, *latest);
        let Some(mut list) = self.room.list(places, state.as_deref(), None) else { return true };
        for (id, own) in places.own_members_mut() {
            if own.heard == *latest {
                continue;
            }
            let was_behind = own.heard < before;
            if !own.hear(list.share(), STATE_LAST, *latest, flushes) {
                *may_lag = true;
                if !was_behind {
                    self.room.follow(id, FALLS_BEHIND);
                }
            }
        }
        true
    }

    /// The parts of what the members hear of a change: of a list that they will hear anyway, it costs
    /// nothing.
    pub(super) fn parts_of_change(&self) -> usize {
        match &self.members.lists {
            Some(lists) if lists.told < self.members.latest => 0,
            Some(_) => self.parts_of_list(),
            None => 1,
        }
    }

    /// The bytes of the list of all members, with the state.
    pub(super) fn list_bytes(&self) -> usize {
        self.members.bytes
    }

    /// The parts of the list of all members.
    pub(super) fn parts_of_list(&self) -> usize {
        1 + self.members.bytes / LIST_PART
    }

    /// Tells a member of the changes that it has missed, if its client has room for them now. Of each other
    /// member it hears the latest change only, or a new list if that is shorter, or if somebody has gone.
    pub(super) fn catch_up(&mut self, id: &PeerId, part: usize, flushes: &mut Flushes) {
        let latest = self.members.latest;
        let told = self.members.lists.as_ref().map(|lists| lists.told);
        let Some(own) = self.own(id).filter(|own| own.heard < told.unwrap_or(latest)) else { return };
        let part = if told.is_some() { STATE_LAST } else { part };
        let state = self.missed(id, own.heard);
        let peer = own.peer.clone();
        let bytes = state.iter().map(Frame::len).sum();
        match peer.send_state(state.into_iter(), bytes, part) {
            None => self.members.may_lag = true,
            Some(flush) => {
                flushes.extend(flush);
                self.room.follow(id, "has caught up");
                if let Some(own) = self.own_mut(id) {
                    own.heard = latest;
                }
            }
        }
    }

    /// As [`catch_up`](Self::catch_up), for all members that get a message, so that it does not come before
    /// the changes in front of it. Only to a client for whom very much waits it does.
    pub(super) fn catch_up_before_message(&mut self, flushes: &mut Flushes) {
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
        let of_state = || self.state().into_iter().flat_map(|state| state.behind(heard));
        let bytes = of_others().map(|member| self.room.bytes_of(member) + CHANGE_OVERHEAD).sum::<usize>()
            + of_state().map(|view| view.bytes()).sum::<usize>();
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
            is_told.then(|| self.room.change(change, id, Some(member))).flatten()
        };
        let of_state =
            of_state().filter_map(|view| self.room.shared.frames.state(self.room.name.as_str(), view));
        changes.into_iter().filter_map(frame).chain(of_state).collect()
    }

    /// Bytes of the list if a member joins with these data, or gets them.
    pub(super) fn bytes_with(&self, id: &PeerId, data: Option<&str>) -> usize {
        let known = self.get(id.as_str());
        let before = known.map_or(0, |member| self.room.bytes_of((id, member)));
        let after = MemberView { id: id.as_str(), data, seat: known.and_then(Member::seat) };
        self.members.bytes - before + self.room.shared.frames.member_bytes(after)
    }

    /// A member has a new connection on this node, and keeps its data. False if it is none.
    pub(super) fn come_back(&mut self, mut own: Own) -> bool {
        let id = own.peer.id().clone();
        let Some(member) = self.get(id.as_str()) else { return false };
        own.data = member.data().map(Box::from);
        own.seat = member.seat().map(Box::new);
        own.frames = member.own.as_ref().and_then(|before| before.frames.clone());
        member.own.iter().for_each(|before| own.follow(before));
        let clock = &self.room.shared.clock;
        self.members.places.change(&id, clock, |member| {
            member.own = Some(own);
            member.elsewhere.iter_mut().for_each(|place| place.is_former = true);
        });
        true
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
    pub(super) fn introduce(&self, newcomer: &PeerHandle, flushes: &mut Flushes) {
        let to = newcomer.id();
        let audience = self.room.audience();
        let is_introduced =
            |(id, member): &(&PeerId, &Member)| audience.is_introduced(to, id, member.own.is_some());
        for (id, member) in self.others(to).filter(is_introduced) {
            let frame = self.room.change(Change::Joined, id, Some(member));
            flushes.extend(frame.and_then(|frame| newcomer.reply(frame)));
        }
    }

    fn list(&self, request: Option<&str>) -> Option<Frame> {
        self.room.list(self, self.state(), request)
    }

    /// Sends a message to all members of this node, to its sender only if the protocol echoes.
    pub(super) fn deliver_to_others(
        &mut self,
        (from, sender): (&PeerId, &PeerId),
        mut message: Frame,
        read: &mut Read,
        sent: &mut Sent,
        flushes: &mut Flushes,
    ) {
        self.catch_up_before_message(flushes);
        let hears = |(id, _): &(&PeerId, &Member)| *id != from || self.room.shared.frames.echoes();
        let own = self.iter().filter(hears);
        let own = own.filter_map(|(_, member)| member.here().filter(|_| !member.waits()));
        for own in own {
            deliver_in_own_frames(own, &self.room.name, sender, (&mut message, read), sent, flushes);
        }
    }

    /// Sends a message from another node to the members of this one of which that node had heard. `except` is
    /// sorted: those get it from a third node. Returns the deliveries for which the sender has not paid
    /// there.
    pub(super) fn deliver_here(
        &mut self,
        from: &PeerId,
        mut message: Frame,
        heard: u64,
        except: &[&str],
        flushes: &mut Flushes,
    ) -> usize {
        self.catch_up_before_message(flushes);
        let room = self.room;
        self.forget_departed(&room.shared.clock);
        let sender = from.in_rooms();
        let here = self.iter().filter_map(|(_, member)| member.own.as_ref());
        let is_meant =
            |peer: &PeerHandle| peer.id() != from && except.binary_search(&peer.id().as_str()).is_err();
        let mut read = Read::default();
        let mut sent = Sent::default();
        // Nobody is told if one has too much to read.
        for own in here.filter(|own| own.came <= heard && is_meant(&own.peer)) {
            let message = (&mut message, &mut read);
            deliver_in_own_frames(own, &self.room.name, &sender, message, &mut sent, flushes);
        }
        // One that is not here any more, which its sender does not know yet, is sought.
        for peer in self.departed(heard).filter(|peer| is_meant(peer)) {
            let _ = deliver(peer, &sender, message.share(), flushes);
        }
        sent.unpaid
    }

    /// As [`deliver_here`](Self::deliver_here), for one member.
    pub(super) fn deliver_to(
        &mut self,
        to: &str,
        sender: &PeerId,
        message: Frame,
        heard: u64,
        flushes: &mut Flushes,
    ) {
        self.catch_up_before_message(flushes);
        let room = self.room;
        self.forget_departed(&room.shared.clock);
        let here = self.get(to).and_then(|member| member.own.as_ref()).filter(|own| own.came <= heard);
        let mut peers = here.map(|own| &own.peer).into_iter().chain(self.departed(heard));
        if let Some(peer) = peers.find(|peer| peer.id().as_str() == to) {
            // Its sender has got its answer.
            let _ = deliver(peer, sender, message, flushes);
        }
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
        // 410 with the room's part of its client, and what an allocator adds.
        assert!(
            all <= 388,
            "{all} bytes: the name {name}, the map {of_map}, the room {room}, a member {member}"
        );
    }
}
