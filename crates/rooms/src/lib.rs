#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

mod by_id;
mod contradiction;
mod delivery;
mod frames;
mod handover;
mod held;
mod limits;
mod listing;
mod member;
mod neighbours;
mod others;
mod places;
mod presence;
mod receiving;
mod room;
mod seat;
mod state;
mod store;
mod watched_ids;
mod watches;
mod watching;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use delivery::Delivery;
use limits::RoomLimits;
use member::{Member, Own, RemotePart, deliveries, parts};
use neighbours::Neighbours;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{
    AddressPrefix, ConnId, Frame, Limit, NodeId, PeerId, RoomName, RoomRefusal, RoomRights, Token,
};
use peerbroker_events::{Event, PeerAddress};
use peerbroker_router::{Flush, Flushes, PeerHandle, Realm, Router, STATE_PART};
use presence::PresenceGuard;
use receiving::Receiving;
use room::{Room, RoomGuard, Shared};
use store::Store;
use watches::Watches;
use watching::Watching;
use writing::Writing;

pub use frames::{Audience, Change, MAX_ROOMS, MemberView, OwnFrames, OwnMessage, Read, RoomFrames};
pub use limits::{MAX_DATA_BYTES, MAX_ROOMS_OF_KEY};
pub use others::{
    CarriedFrame, GoneNews, MemberNews, MessageNews, News, OpenedNews, OtherNodes, OwnList, PrivateNews,
    RealmName, Replicated, StateNews, SwarmNews, TokenDigest, WriteNews, WriteRefusedNews,
};
pub use seat::{Seat, SeatWish};
pub use state::{
    MAX_STATE_BYTES, MAX_STATE_NAME, MAX_STATE_NAMES, MAX_STATE_OF_KEY, StateView, StateWrite, Version,
};
pub use watched_ids::MAX_WATCHED;
pub use watches::MAX_WATCHED_OF_KEY;

/// The rooms of the clients of one key that speak a protocol. An empty room does not exist.
pub struct Rooms {
    frames: &'static dyn RoomFrames,
    peers: Arc<Realm>,
    router: Arc<Router>,
    store: Store,
    watches: Watches,
    neighbours: Neighbours,
    limits: RoomLimits,
}

/// The end of a connection, for the rooms of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The client does not come back.
    ForGood,
    /// The page of the client goes away, or is loaded again: then the client comes back at once.
    PageGone,
    /// The client may come back.
    Lost,
}

/// Time that a page needs to be loaded again.
const RELOAD_TIME: Duration = Duration::from_secs(1);

/// The part of a peer that sends a request, and the recipients that it fills.
pub struct Requester<'a> {
    /// The connection.
    pub peer: &'a PeerHandle,
    /// The id of the request, as JSON text, for the answer.
    pub request: Option<&'a str>,
    /// Flushed by the caller, so that a batch for one recipient is written together.
    pub flushes: &'a mut Flushes,
}

impl Rooms {
    /// No room yet.
    pub fn new(
        frames: &'static dyn RoomFrames,
        peers: Arc<Realm>,
        router: Arc<Router>,
        others: Option<Arc<dyn OtherNodes>>,
    ) -> Self {
        let store = Store::new(Shared::new(frames, router.clock().clone()));
        let name = RealmName { key: peers.key(), realm: peers.kind() };
        let neighbours = Neighbours::new(name, others);
        let limits = RoomLimits::new(Arc::clone(&router), frames.refuses());
        let watches = Watches::new(frames);
        Rooms { frames, peers, router, store, watches, neighbours, limits }
    }

    /// True if nothing has to be remembered.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty() && self.watches.is_empty() && self.neighbours.members.lock().is_empty()
    }

    /// Says what contradicts itself: for tests, while nothing else happens.
    pub fn contradiction(&self) -> Option<String> {
        contradiction::contradiction(self)
    }

    /// True if they are topics: members do not hear of each other.
    pub fn are_topics(&self) -> bool {
        !self.frames.lists_members()
    }

    /// The realm of its members.
    pub fn realm(&self) -> &Arc<Realm> {
        &self.peers
    }

    /// The number of rooms.
    pub fn len(&self) -> usize {
        self.store.all_rooms().len()
    }

    /// The number of memberships of this node's clients.
    pub fn own_members(&self) -> usize {
        let of_room =
            |room: &Arc<Room>| room.lock().iter().filter(|(_, member)| member.own.is_some()).count();
        self.store.all_rooms().iter().map(of_room).sum()
    }

    /// The ids of the members of a room, sorted by their bytes.
    pub fn members(&self, room: &str) -> Vec<PeerId> {
        let room = self.store.room(room);
        room.map(|room| room.lock().iter().map(|(id, _)| id.clone()).collect()).unwrap_or_default()
    }

    /// True if a room has members.
    pub fn contains(&self, room: &str) -> bool {
        self.store.room(room).is_some()
    }

    /// The rooms behind a name, sorted by their bytes, each with its number of members.
    pub fn behind(&self, after: Option<&str>) -> impl Iterator<Item = (String, usize)> + use<> {
        let mut rooms = self.store.all_rooms();
        rooms.retain(|room| after.is_none_or(|after| room.name().as_str() > after));
        rooms.sort_unstable_by(|a, b| a.name().as_str().cmp(b.name().as_str()));
        rooms.into_iter().map(|room| (room.name().as_str().to_owned(), room.lock().len()))
    }

    /// The members of a room behind an id, sorted by their bytes, each with its data as JSON text.
    pub fn members_behind(&self, room: &str, after: Option<&str>) -> Vec<(String, Option<String>)> {
        let Some(room) = self.store.room(room) else { return Vec::new() };
        let of_member =
            |(id, member): (&PeerId, &Member)| (id.as_str().to_owned(), member.data().map(str::to_owned));
        room.lock().behind(after).map(of_member).collect()
    }

    /// The members of a room with this data.
    pub fn members_with(&self, room: &str, data: &str) -> Vec<PeerId> {
        let Some(room) = self.store.room(room) else { return Vec::new() };
        let members = room.lock();
        let with_data = members.iter().filter(|(_, member)| member.data() == Some(data));
        with_data.map(|(id, _)| id.clone()).collect()
    }

    /// The rooms in which the client with this token is under this id. Those of other nodes count, unless the
    /// client is on this connection: it may have left a room of which another node has not heard so.
    pub fn rooms_of(&self, id: &PeerId, token: &Token, connection: Option<ConnId>) -> Vec<RoomName> {
        let mut rooms = Vec::new();
        if let Some(presence) = self.store.presence(id) {
            let state = presence.lock_state();
            if state.token.as_ref() == Some(token) {
                rooms.extend(state.rooms.iter().map(|room| room.name().clone()));
            }
            if connection.is_some() && state.peer.as_ref().map(PeerHandle::connection) == connection {
                return rooms;
            }
        }
        rooms.extend(self.neighbours.members.lock().of_peer(id, self.neighbours.digest(token)).0);
        rooms
    }

    /// True if a message of a room, which was sent to the member of an id, is for the client that has the id
    /// on this connection. Its sender's node may not have heard yet that the client has left the room.
    pub fn is_for(&self, id: &PeerId, connection: ConnId, message: &Frame) -> bool {
        let peer = PeerHandle::find_with(&self.peers, id, |_| true);
        let proof = peer.filter(|peer| peer.connection() == connection).and_then(|peer| peer.proof());
        // Otherwise the connection does not get it anyway.
        proof.is_none_or(|(token, rights)| {
            let rooms = self.rooms_of(id, &token, Some(connection));
            self.frames.may_hear(rights.as_ref(), Some(&rooms), message)
        })
    }

    // Requests of members.

    /// Has a peer join a room with `most` members, or gives it the list again and sets its data.
    pub fn join(
        &self,
        requester: &mut Requester<'_>,
        name: RoomName,
        data: Option<&str>,
        most: usize,
    ) -> Result<(), RoomRefusal> {
        self.join_as(requester, name, (data, None, None), most)
    }

    /// Has a peer [join](Self::join) with a seat. One that has a seat keeps it.
    pub fn join_with_seat(
        &self,
        requester: &mut Requester<'_>,
        name: RoomName,
        data: Option<&str>,
        wish: SeatWish,
        most: usize,
    ) -> Result<(), RoomRefusal> {
        self.join_as(requester, name, (data, Some(wish), None), most)
    }

    /// Has a peer [join](Self::join) that hears messages in frames of its own, and has no data.
    pub fn join_with_own_frames(
        &self,
        requester: &mut Requester<'_>,
        name: RoomName,
        frames: &Arc<dyn OwnFrames>,
        most: usize,
    ) -> Result<(), RoomRefusal> {
        self.join_as(requester, name, (None, None, Some(frames)), most)
    }

    fn join_as(
        &self,
        requester: &mut Requester<'_>,
        name: RoomName,
        (data, wish, frames): (Option<&str>, Option<SeatWish>, Option<&Arc<dyn OwnFrames>>),
        most: usize,
    ) -> Result<(), RoomRefusal> {
        let &mut Requester { peer, request, ref mut flushes } = requester;
        let max_rooms = frames.map_or_else(|| self.frames.max_rooms(), |frames| frames.max_rooms());
        let joined = self.enter(peer, flushes, |guard| {
            let state = &guard.state;
            state.right_in(&name)?;
            if data.is_some() {
                state.check_speaker(&name)?;
            }
            let known = state.room(name.as_str()).cloned();
            if known.is_none() && state.rooms.len() >= max_rooms {
                return Err(RoomRefusal::TooManyRooms);
            }
            if known.is_none() {
                guard.state.count_rooms(1)?;
            }
            self.store.with_room(known, name, |members| {
                if !members.contains(peer.id()) && !members.has_place_for(guard.state.account.as_ref(), most)
                {
                    return Err(RoomRefusal::Full);
                }
                self.limits.check_list(members, guard, data)?;
                let known = members.get(peer.id().as_str());
                let seat = match wish {
                    Some(wish) => Some(members.seat_for(peer.id(), wish, most)),
                    None => known.and_then(Member::seat),
                };
                let is_told = known.is_none_or(|member| member.facts() != (data, seat));
                // Its answer is the list, to which the others have added.
                let list = members.parts_of_list();
                self.limits.charge(guard, if is_told { self.hearers(members).max(list) } else { list })?;
                let mut own = guard.state.member(peer, data);
                own.frames = frames.cloned();
                own.seat = seat.map(Box::new);
                if wish.is_some_and(|wish| wish.only_host_writes) && members.is_empty() {
                    Writing { rooms: self, members, flushes: guard.flushes }.restrict(peer.id())?;
                }
                self.add_member(guard, members, own);
                guard.flushes.extend(members.answer_with_list(peer, request));
                members.introduce(peer, guard.flushes);
                Ok(())
            })
        });
        // A client that has lost its id gets no answer.
        joined.unwrap_or(Ok(()))
    }

    /// The deliveries of a change of one member.
    fn hearers(&self, members: &RoomGuard<'_>) -> usize {
        let is_heard = self.frames.lists_members();
        if is_heard { members.len().saturating_mul(members.parts_of_change()) } else { 0 }
    }

    /// Time until a client has paid for what it had on credit, and the limit that it has exceeded. Only a
    /// protocol that does not refuse gives credit.
    pub fn owed(&self, peer: &PeerHandle) -> Option<(Limit, Duration)> {
        let presence = self.store.presence(peer.id())?;
        Flushes::with(|flushes| self.limits.owed(&presence.lock(peer.id(), flushes)))
    }

    /// Makes a connection a member.
    fn add_member(&self, guard: &mut PresenceGuard<'_>, members: &mut RoomGuard<'_>, own: Own) {
        let room = members.room;
        let is_new = !members.contains(guard.id);
        members.set_own(own, guard.flushes);
        if guard.state.room(room.name().as_str()).is_none() {
            guard.state.rooms.push(Arc::clone(room));
        }
        if is_new {
            self.emit(room, guard.id, |peer, room| Event::RoomJoined { peer, room });
        }
        self.neighbours.announce_member(members, guard.id);
    }

    /// Has a peer part from a room.
    pub fn leave(&self, requester: &mut Requester<'_>, name: &str) -> Result<(), RoomRefusal> {
        let peer = requester.peer;
        let request = requester.request;
        self.as_member(requester, name, |guard, room| {
            self.part(guard, room);
            guard.flushes.extend(self.done(peer, request, room));
            Ok(())
        })
    }

    /// Sets the data of a member.
    pub fn update(
        &self,
        requester: &mut Requester<'_>,
        name: &str,
        data: Option<&str>,
    ) -> Result<(), RoomRefusal> {
        let peer = requester.peer;
        let request = requester.request;
        self.as_member(requester, name, |guard, room| {
            guard.state.check_speaker(room.name())?;
            let mut members = room.lock();
            self.limits.check_list(&members, guard, data)?;
            self.limits.charge(guard, self.hearers(&members))?;
            if members.set_data(guard.id, data, guard.flushes) {
                self.neighbours.announce_member(&mut members, guard.id);
            }
            guard.flushes.extend(self.done(peer, request, room));
            Ok(())
        })
    }

    /// Sends a message of a member to another one, or to all others.
    pub fn send(
        &self,
        requester: &mut Requester<'_>,
        name: &str,
        dst: Option<&str>,
        message: impl FnOnce() -> Frame,
    ) -> Result<(), RoomRefusal> {
        let peer = requester.peer;
        let request = requester.request;
        self.as_member(requester, name, |guard, room| {
            guard.state.check_speaker(room.name())?;
            let mut members = room.lock();
            let from = guard.id;
            let sender = &guard.presence.sender;
            let message = message();
            if let Some(dst) = dst {
                members.catch_up_before_message(guard.flushes);
                if members.get(dst).is_none() {
                    return Err(RoomRefusal::NoSuchMember);
                }
                self.limits.charge(guard, deliveries(1, &message))?;
                self.delivery(&mut members, guard.flushes).send_to((from, sender), dst, message)?;
            } else {
                let others = members.len().saturating_sub(1);
                self.limits.charge(guard, deliveries(others, &message))?;
                let read = &mut Read::default();
                self.delivery(&mut members, guard.flushes).send_to_all((from, sender), message, read)?;
            }
            // Under the lock of the room, so that it tells the place of the message in the order.
            guard.flushes.extend(self.done(peer, request, room));
            Ok(())
        })
    }

    /// Writes a name of the state of a room. All members hear the value before the answer.
    pub fn write(
        &self,
        requester: &mut Requester<'_>,
        name: &str,
        write: StateWrite<'_>,
    ) -> Result<(), RoomRefusal> {
        let peer = requester.peer;
        let request = requester.request;
        write.check()?;
        self.as_member(requester, name, |guard, room| {
            guard.state.check_speaker(room.name())?;
            let mut members = room.lock();
            let value = write.value.map_or(0, str::len);
            self.limits.charge(guard, parts(members.len(), value))?;
            let flushes = &mut *guard.flushes;
            let mut writing = Writing { rooms: self, members: &mut members, flushes };
            if writing.write(guard.id, request, write)? {
                guard.flushes.extend(self.done(peer, request, room));
            }
            Ok(())
        })
    }

    /// Sends a message of a peer, which need not be a member, to all members, whose number it may name.
    /// `read` is kept for other rooms that get the same message.
    pub fn publish(
        &self,
        requester: &mut Requester<'_>,
        name: &str,
        message: impl FnOnce(usize) -> Frame,
        read: &mut Read,
    ) -> Result<(), RoomRefusal> {
        let Some(room) = self.store.room(name) else { return Ok(()) };
        let &mut Requester { peer, ref mut flushes, .. } = requester;
        let published = self.enter(peer, flushes, |guard| {
            let mut members = room.lock();
            let from = guard.id;
            let sender = &guard.presence.sender;
            let message = message(members.len());
            self.limits.charge(guard, deliveries(members.len(), &message))?;
            let sent =
                self.delivery(&mut members, guard.flushes).send_to_all((from, sender), message, read)?;
            if sent.unpaid > 0 { self.limits.charge(guard, sent.unpaid) } else { Ok(()) }
        });
        // A client that has lost its id says nothing.
        published.unwrap_or(Ok(()))
    }

    /// Sends a message of the app's server to all members, of all nodes. Returns their number, without those
    /// for whom too much waits.
    pub fn send_from_server(&self, name: &str, message: Frame) -> usize {
        let Some(room) = self.store.room(name) else { return 0 };
        Flushes::with(|flushes| {
            let mut members = room.lock();
            let app = PeerId::server();
            let read = &mut Read::default();
            let sent = self.delivery(&mut members, flushes).send_to_all((&app, &app), message, read);
            sent.map_or(0, |sent| members.len().saturating_sub(sent.lost))
        })
    }

    fn delivery<'a, 'room>(
        &'a self,
        members: &'a mut RoomGuard<'room>,
        flushes: &'a mut Flushes,
    ) -> Delivery<'a, 'room> {
        Delivery { rooms: self, members, flushes }
    }

    /// A node on which a member was has no message for it any more.
    pub fn settled(&self, node: NodeId, room: &str, id: &str, flushes: &mut Flushes) {
        let (Some(room), Ok(id)) = (self.store.room(room), PeerId::parse(id)) else { return };
        let mut members = room.lock();
        let Some(handover) = members.handover_mut(id.as_str()) else { return };
        // It may have been on several nodes, one after the other.
        if handover.answered(node) && !self.neighbours.ask_to_settle(room.name(), &id, handover) {
            self.delivery(&mut members, flushes).end_handover(&id);
        }
    }

    // Requests of those that watch ids.

    /// Has a peer watch ids, each of which `most` peers may watch.
    pub fn watch(
        &self,
        requester: &mut Requester<'_>,
        ids: &[PeerId],
        most: usize,
    ) -> Result<(), RoomRefusal> {
        let &mut Requester { peer, ref mut flushes, .. } = requester;
        for id in ids {
            if id == peer.id() {
                flushes.extend(self.frames.presence(id.as_str(), true).and_then(|frame| peer.reply(frame)));
                continue;
            }
            // Before, so that the answer is right at once, and after, because it may have come in between.
            self.seek_watched(id, flushes);
            let watched = self.enter(peer, flushes, |guard| self.watching(guard).watch(peer, id, most));
            self.seek_watched(id, flushes);
            watched.unwrap_or(Ok(())).inspect_err(|_| self.store.visit_soon(id))?;
        }
        self.confirm_ids(requester);
        Ok(())
    }

    /// Has a peer watch ids no longer.
    pub fn unwatch(&self, requester: &mut Requester<'_>, ids: &[PeerId]) -> Result<(), RoomRefusal> {
        let &mut Requester { peer, ref mut flushes, .. } = requester;
        if let Some(presence) = self.store.presence(peer.id()) {
            let mut guard = presence.lock(peer.id(), flushes);
            if guard.state.is_of(peer) {
                self.watching(&mut guard).stop(ids.iter().map(PeerId::as_str), true);
                self.store.retire_if_unused(&mut guard);
            }
        }
        self.confirm_ids(requester);
        Ok(())
    }

    fn watching<'a, 'presence>(&'a self, guard: &'a mut PresenceGuard<'presence>) -> Watching<'a, 'presence> {
        Watching { rooms: self, guard }
    }

    /// Shows the client of an id on this node to those that begin to watch it.
    fn seek_watched(&self, id: &PeerId, flushes: &mut Flushes) {
        if let Some(peer) = PeerHandle::find_with(&self.peers, id, |_| true) {
            self.enter(&peer, flushes, |guard| self.watching(guard).show());
        }
    }

    // Connections that come and go.

    /// A connection has got its id. Its peer may be in rooms from before.
    pub fn opened(&self, peer: &PeerHandle) {
        let is_elsewhere = || self.neighbours.members.lock().has_peer(peer.id());
        if self.store.presence(peer.id()).is_some() || self.watches.is_watched(peer.id()) || is_elsewhere() {
            Flushes::with(|flushes| self.enter(peer, flushes, |_| {}));
        }
    }

    /// Tells a client of changes for which it had no room when they happened.
    pub fn catch_up(&self, peer: &PeerHandle, flushes: &mut Flushes) {
        let Some(presence) = self.store.presence(peer.id()) else { return };
        let mut guard = presence.lock(peer.id(), flushes);
        if guard.state.is_of(peer) {
            for room in &guard.state.rooms {
                room.lock().catch_up(guard.id, STATE_PART, guard.flushes);
            }
            if presence.has_missed() && !guard.state.watched.is_empty() {
                self.watching(&mut guard).send_all(peer);
            }
        }
    }

    /// A connection has lost its id. Its peer stays in its rooms while it may come back.
    pub fn departed(&self, peer: &PeerHandle, parting: Parting) {
        Flushes::with(|flushes| self.depart(peer, parting, flushes));
    }

    fn depart(&self, peer: &PeerHandle, parting: Parting, flushes: &mut Flushes) {
        let Some(presence) = self.store.presence(peer.id()) else { return };
        let mut guard = presence.lock(peer.id(), flushes);
        if guard.state.is_retired || !guard.state.is_of(peer) {
            return;
        }
        let reclaim = self.router.live_config().load().limits.reclaim_timeout;
        let patience = match parting {
            Parting::ForGood => Duration::ZERO,
            Parting::PageGone => reclaim.min(RELOAD_TIME),
            Parting::Lost => reclaim,
        };
        if patience.is_zero() {
            self.remove_from_all(&mut guard, true);
            self.store.retire_if_unused(&mut guard);
        } else {
            let until = self.router.clock().now() + patience;
            guard.state.away_until = Some(until);
            self.store.visit(until, peer.id());
        }
    }

    /// Makes a presence that of a connection. Its client may have been in rooms on another node. A stranger
    /// that has got the id is not in the rooms of the one before, and a client whose proof does not list a
    /// room any more is not in it.
    fn adopt(
        &self,
        guard: &mut PresenceGuard<'_>,
        peer: &PeerHandle,
        (token, rights): (Token, Option<RoomRights>),
    ) {
        if guard.state.is_of(peer) {
            return;
        }
        if guard.state.token.as_ref() != Some(&token) {
            self.remove_from_all(guard, true);
        }
        let state = &mut *guard.state;
        state.digest = self.neighbours.digest(&token);
        state.peer = Some(peer.clone());
        state.token = Some(token);
        state.away_until = None;
        state.has_left = false;
        state.announced = self.neighbours.next_number();
        state.rights = rights;
        let address = peer.address();
        let prefix = AddressPrefix::of_remote(address);
        state.account = self.limits.deliveries.of_address(address);
        state.share_of_rooms = Some(self.limits.rooms.share(prefix));
        state.share_of_watched = Some(self.limits.watched.share(prefix));
        let mut known = std::mem::take(&mut state.rooms);
        let elsewhere = self.neighbours.rooms_of(peer.id(), state.digest);
        known.extend(elsewhere.iter().filter_map(|name| self.store.room(name.as_str())));
        self.watching(guard).go_on(peer, &elsewhere);
        for room in known {
            // Or it has come from another network.
            let is_open = self.frames.is_open_to(room.name(), peer.network());
            if !is_open || guard.state.right_in(room.name()).is_err() {
                self.remove(guard, &room, true);
                continue;
            }
            let mut members = room.lock();
            let before = members.node_of(peer.id());
            if guard.state.room(room.name().as_str()).is_some()
                || !members.come_back(guard.state.member(peer, None))
            {
                continue;
            }
            self.limits.charge_on_credit(guard, self.hearers(&members));
            // It may have been more than a listener before.
            if guard.state.check_speaker(room.name()).is_err() {
                members.set_data(peer.id(), None, guard.flushes);
            }
            self.neighbours.announce_member(&mut members, peer.id());
            members.catch_up(peer.id(), STATE_PART, guard.flushes);
            self.delivery(&mut members, guard.flushes).release(peer.id(), before);
            drop(members);
            guard.state.rooms.push(room);
        }
        if guard.state.is_shown {
            self.neighbours.announce_watched(guard.id.as_str(), guard.id, &guard.state);
        } else if self.watches.is_watched(peer.id()) {
            self.watching(guard).show();
        }
    }

    /// Ends memberships whose peers did not come back.
    pub fn sweep(&self) {
        if self.router.is_closing() {
            // Its members go to other nodes, which wait for them.
            return;
        }
        self.sweep_left();
        let now = self.router.clock().now();
        self.limits.deliveries.sweep(now);
        Flushes::with(|flushes| self.sweep_due(now, flushes));
    }

    /// Does what is due: lists, moves of members, and visits of presences.
    fn sweep_due(&self, now: Instant, flushes: &mut Flushes) {
        self.store.shared.send_lists(flushes);
        while let Some((room, id)) = self.neighbours.next_overdue(now) {
            if let Some(room) = self.store.room(room.as_str()) {
                let mut members = room.lock();
                if members.handover_mut(id.as_str()).is_some_and(|handover| handover.is_over(now)) {
                    self.delivery(&mut members, flushes).end_handover(&id);
                }
            }
        }
        while let Some((id, presence)) = self.store.next_visit(now) {
            let mut guard = presence.lock(&id, flushes);
            if guard.state.is_retired {
                continue;
            }
            if guard.state.away_until.is_some_and(|until| until <= now) {
                self.remove_from_all(&mut guard, false);
            }
            if guard.state.is_shown && !self.watches.is_watched(guard.id) {
                self.watching(&mut guard).hide(true);
            }
            self.store.retire_if_unused(&mut guard);
        }
    }

    // The other nodes.

    /// Another node has told something about its members.
    pub fn receive(&self, node: NodeId, news: &News<'_>, flushes: &mut Flushes) {
        Receiving { rooms: self, node, flushes }.receive(news);
    }

    fn sweep_left(&self) {
        let gone = self.neighbours.members.lock().take_left(self.router.clock().now());
        Flushes::with(|flushes| {
            for node in gone {
                let all = self.neighbours.members.lock().of_node(node, |_| true);
                let mut receiving = Receiving { rooms: self, node, flushes };
                all.iter().for_each(|(room, id)| receiving.forget(0, room.as_str(), id, &[], false));
            }
        });
    }

    /// Changes a member. Other nodes that are none of its places any more are not remembered either.
    fn with_places<R>(
        &self,
        members: &mut RoomGuard<'_>,
        id: &PeerId,
        act: impl FnOnce(&mut RoomGuard<'_>) -> R,
    ) -> R {
        let before: Vec<NodeId> = members.nodes_of(id).collect();
        let result = act(members);
        let gone = before.into_iter().filter(|node| !members.nodes_of(id).any(|other| other == *node));
        for node in gone {
            self.neighbours.members.lock().remove(node, members.room.name().as_str(), id.as_str());
        }
        result
    }

    /// A member may be seen with the number of another one, since another node tells of it. Members of this
    /// node that came later get others.
    fn settle_seats(&self, members: &mut RoomGuard<'_>, id: &PeerId, flushes: &mut Flushes) {
        for own in members.settle_seats(id, flushes) {
            self.neighbours.announce_member(members, &own);
        }
    }

    // Members of this node.

    /// Works on the presence of a connection. `None` if it has lost its id.
    fn enter<R>(
        &self,
        peer: &PeerHandle,
        flushes: &mut Flushes,
        act: impl FnOnce(&mut PresenceGuard<'_>) -> R,
    ) -> Option<R> {
        self.store.with_presence(peer.id(), flushes, |guard| {
            // Behind the lock: a newer connection that is registered since finds this presence.
            let result = peer.proof().map(|proof| {
                self.adopt(guard, peer, proof);
                act(guard)
            });
            self.store.retire_if_unused(guard);
            result
        })
    }

    /// Works on a room in which the peer is.
    fn as_member(
        &self,
        Requester { peer, flushes, .. }: &mut Requester<'_>,
        name: &str,
        act: impl FnOnce(&mut PresenceGuard<'_>, &Arc<Room>) -> Result<(), RoomRefusal>,
    ) -> Result<(), RoomRefusal> {
        let presence = self.store.presence(peer.id()).ok_or(RoomRefusal::NotMember)?;
        let mut guard = presence.lock(peer.id(), flushes);
        let room = guard.state.room(name).filter(|_| guard.state.is_of(peer)).cloned();
        let done = act(&mut guard, &room.ok_or(RoomRefusal::NotMember)?);
        self.store.retire_if_unused(&mut guard);
        done
    }

    fn remove_from_all(&self, guard: &mut PresenceGuard<'_>, for_good: bool) {
        for room in std::mem::take(&mut guard.state.rooms) {
            self.remove(guard, &room, for_good);
        }
        let mut watching = self.watching(guard);
        watching.stop_all(for_good);
        watching.hide(for_good);
    }

    /// Takes a peer out of one of its rooms, for good.
    fn part(&self, guard: &mut PresenceGuard<'_>, room: &Arc<Room>) {
        guard.state.rooms.retain(|known| !Arc::ptr_eq(known, room));
        guard.state.has_left = self.neighbours.exist();
        self.remove(guard, room, true);
    }

    /// Takes a member of this node out of a room. If it has gone with that, the others are told.
    fn remove(&self, guard: &mut PresenceGuard<'_>, room: &Arc<Room>, for_good: bool) {
        let mut members = room.lock();
        let is_last = members.is_last_here(guard.id);
        if is_last {
            self.emit(room, guard.id, |peer, room| Event::RoomLeft { peer, room });
        }
        // If it has moved on, the places before it are not the business of this node.
        let ends_former = for_good || is_last;
        let former = if ends_former { members.former(guard.id) } else { Vec::new() };
        let number = self.neighbours.next_number();
        if !for_good {
            members.depart(guard.id, number, self.late_until(), self.router.clock());
        }
        let are_told = self.neighbours.announce_gone(room.name(), guard.id, for_good, former, number);
        // A node that does not hear this may have it, and would not say so again.
        let stays_at = |place: &RemotePart| !(are_told && (for_good || ends_former && place.is_former));
        let flushes = &mut *guard.flushes;
        if self.with_places(&mut members, guard.id, |members| members.remove(guard.id, stays_at, flushes)) {
            self.limits.charge_on_credit(guard, self.hearers(&members));
        }
        self.settle_seats(&mut members, guard.id, guard.flushes);
        // A message that waits would come behind newer ones, if the member has joined on another node by
        // then.
        let absent = guard.state.peer.as_ref().filter(|_| guard.state.away_until.is_some());
        if let Some(peer) = absent.filter(|_| !members.contains(guard.id)) {
            let is_of_another = |of: String| of != self.frames.known(room.name().as_str());
            peer.drop_of_rooms(|message| self.frames.room_of(message).is_none_or(is_of_another));
        }
        self.store.retire_if_empty(&mut members);
    }

    /// Answers a request about a room that has no other answer, if the client wants one.
    fn done(&self, peer: &PeerHandle, request: Option<&str>, room: &Room) -> Option<Flush> {
        peer.reply(self.frames.done(Some(room.name().as_str()), request?)?)
    }

    /// As [`done`](Self::done), about ids.
    fn confirm_ids(&self, requester: &mut Requester<'_>) {
        let answer = requester.request.and_then(|request| self.frames.done(None, request));
        requester.flushes.extend(answer.and_then(|answer| requester.peer.reply(answer)));
    }

    /// The time by which no message arrives any more that is sent now.
    fn late_until(&self) -> Instant {
        self.router.clock().now() + self.peers.expire_timeout()
    }

    /// Sends an event about a member of this node, under the lock of its room, so that events have the order
    /// of the room.
    fn emit(&self, room: &Room, id: &PeerId, event: impl FnOnce(PeerAddress, RoomName) -> Event) {
        if self.frames.lists_members() {
            self.router.events().emit(|| event(self.peers.address(id), room.name().clone()));
        }
    }
}
