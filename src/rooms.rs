//! Rooms: names under which peers of a key see each other, with small public data, and send to all at once.
//!
//! A peer is a member, not one of its connections: a client that comes back with its token within the reclaim timeout is still
//! in its rooms, and others do not notice. Each room has one lock, under which it changes and under which all its frames go
//! into outboxes. So all members hear one order, and each list is followed by exactly the changes after it.
//!
//! Locks are taken in this order: a [`Presence`], a [`Room`], a slot of the router.

mod presence;
mod room;

use std::collections::VecDeque;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::clock::millis;
use crate::dialect::rooms;
use crate::rate_limit::RateLimit;
use crate::router::{Flush, Peer, Router};
use crate::wire::{PeerId, RoomName, RoomRefusal, Token};
use presence::{Presence, State};
use room::{Member, Members, Room};

/// Most rooms in which one client is.
pub const MAX_ROOMS: usize = 16;

/// Most bytes of the data of a member, as JSON text.
pub const MAX_DATA_BYTES: usize = 1024;

/// Pause between two checks if the rate limit of a client without rooms may be forgotten.
const REST: u64 = 1000;

/// The rooms of the PeerJS clients of one key. An empty room does not exist.
pub struct Rooms {
    router: Arc<Router>,
    rooms: DashMap<RoomName, Arc<Room>>,
    presences: DashMap<PeerId, Arc<Presence>>,
    /// Presences that the sweeper has to visit, and when.
    due: Mutex<VecDeque<(u64, PeerId)>>,
    /// The rate limit of deliveries of all members.
    deliveries: RateLimit,
}

/// The part of a peer that sends a request, and the recipients that it fills.
pub struct Requester<'a> {
    /// The connection.
    pub peer: &'a Peer,
    /// The id of the request, as JSON text, for the answer.
    pub request: Option<&'a str>,
    /// Flushed by the caller, so that a batch for one recipient is written together.
    pub flushes: &'a mut Vec<Flush>,
}

impl Rooms {
    /// No room yet.
    pub fn new(router: Arc<Router>) -> Self {
        Rooms {
            router,
            rooms: DashMap::new(),
            presences: DashMap::new(),
            due: Mutex::default(),
            deliveries: RateLimit::default(),
        }
    }

    /// True if nothing has to be remembered.
    pub fn is_empty(&self) -> bool {
        self.presences.is_empty()
    }

    /// The number of rooms.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// The ids of the members of a room, sorted by their bytes.
    pub fn members(&self, room: &str) -> Vec<PeerId> {
        let room = self.rooms.get(room).map(|room| Arc::clone(&room));
        room.map(|room| room.lock().ids().cloned().collect()).unwrap_or_default()
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
        let peer = requester.peer;
        loop {
            let presence = Arc::clone(self.presences.entry(peer.id().clone()).or_default().value());
            let mut state = presence.lock();
            if state.is_retired {
                continue;
            }
            // Behind the lock: a newer connection that is registered since finds this presence.
            let joined = match peer.token() {
                Some(token) => {
                    self.adopt(&presence, &mut state, peer, token, requester.flushes);
                    self.join_as(&presence, &mut state, requester, name, data, most)
                }
                None => Ok(()),
            };
            self.retire_if_unused(&presence, &mut state, peer.id());
            return joined;
        }
    }

    fn join_as(
        &self,
        presence: &Presence,
        state: &mut State,
        requester: &mut Requester<'_>,
        name: RoomName,
        data: Option<&str>,
        most: usize,
    ) -> Result<(), RoomRefusal> {
        let Requester { peer, request, ref mut flushes } = *requester;
        let known = state.room(name.as_str()).cloned();
        if known.is_none() && state.rooms.len() >= MAX_ROOMS {
            return Err(RoomRefusal::TooManyRooms);
        }
        self.with_room(known, name, |room, members| {
            if !members.contains(peer.id()) && members.len() >= most {
                return Err(RoomRefusal::Full);
            }
            self.charge(presence, members.len())?;
            let data = data.map(Box::from);
            let member = Member { peer: peer.clone(), data };
            let change = match members.insert(member) {
                None => {
                    state.rooms.push(Arc::clone(room));
                    Some(rooms::joined(room.name(), peer.id().as_str(), members.data(peer.id())))
                }
                Some(old) if old.data.as_deref() == members.data(peer.id()) => None,
                Some(_) => Some(rooms::updated(room.name(), peer.id().as_str(), members.data(peer.id()))),
            };
            if let Some(change) = change {
                members.tell_others(peer.id(), change, flushes);
            }
            flushes.extend(peer.reply(members.list(room.name(), request)));
            Ok(())
        })
    }

    /// Has a peer part from a room.
    pub fn leave(&self, requester: &mut Requester<'_>, name: &str) -> Result<(), RoomRefusal> {
        self.as_member(requester, name, |presence, state, requester, room| {
            state.rooms.retain(|known| !Arc::ptr_eq(known, room));
            self.remove(presence, room, requester.peer.id(), requester.flushes);
            requester.confirm(room);
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
        self.as_member(requester, name, |presence, _, requester, room| {
            let id = requester.peer.id();
            let mut members = room.lock();
            self.charge(presence, members.len())?;
            if members.set_data(id, data) {
                members.tell_others(id, rooms::updated(room.name(), id.as_str(), data), requester.flushes);
            }
            requester.confirm(room);
            Ok(())
        })
    }

    /// Sends a message of a member to another one, or to all others.
    pub fn send(
        &self,
        requester: &mut Requester<'_>,
        name: &str,
        dst: Option<&str>,
        payload: Option<&str>,
    ) -> Result<(), RoomRefusal> {
        self.as_member(requester, name, |presence, _, requester, room| {
            let peer = requester.peer;
            let members = room.lock();
            let message = rooms::message(room.name(), peer.id().as_str(), dst, payload);
            match dst {
                Some(dst) => {
                    let member = members.get(dst).ok_or(RoomRefusal::NoSuchMember)?;
                    self.charge(presence, 1)?;
                    member.deliver(peer, message, requester.flushes);
                }
                None => {
                    self.charge(presence, members.len().saturating_sub(1))?;
                    members.deliver_to_others(peer, message, requester.flushes);
                }
            }
            // Under the lock of the room, so that it tells the place of the message in the order.
            requester.confirm(room);
            Ok(())
        })
    }

    // Connections that come and go.

    /// A connection has got its id. Its peer may be in rooms from before.
    pub fn opened(&self, peer: &Peer) {
        let mut flushes = Vec::new();
        let Some(presence) = self.presence(peer.id()) else { return };
        let mut state = presence.lock();
        if let Some(token) = peer.token().filter(|_| !state.is_retired) {
            self.adopt(&presence, &mut state, peer, token, &mut flushes);
            self.retire_if_unused(&presence, &mut state, peer.id());
        }
    }

    /// A connection has lost its id. If it is not `for_good`, its peer stays in its rooms for the reclaim timeout.
    pub fn departed(&self, peer: &Peer, for_good: bool) {
        let mut flushes = Vec::new();
        let Some(presence) = self.presence(peer.id()) else { return };
        let mut state = presence.lock();
        if state.is_retired || !state.is_of(peer) {
            return;
        }
        let reclaim = millis(self.router.live_config().load().limits.reclaim_timeout);
        if for_good || reclaim == 0 {
            self.remove_from_all(&presence, &mut state, peer.id(), &mut flushes);
            self.retire_if_unused(&presence, &mut state, peer.id());
        } else {
            let until = self.router.clock().now().saturating_add(reclaim);
            state.away_until = Some(until);
            self.due.lock().push_back((until, peer.id().clone()));
        }
    }

    /// Makes a presence that of a connection. A stranger that has got the id is not in the rooms of the one before.
    fn adopt(
        &self,
        presence: &Presence,
        state: &mut State,
        peer: &Peer,
        token: Token,
        flushes: &mut Vec<Flush>,
    ) {
        if state.is_of(peer) {
            return;
        }
        if state.token.as_ref() != Some(&token) {
            self.remove_from_all(presence, state, peer.id(), flushes);
        }
        (state.peer, state.token, state.away_until) = (Some(peer.clone()), Some(token), None);
        for room in &state.rooms {
            let mut members = room.lock();
            presence.rate.charge(cost(members.len()), self.rates().0, self.router.clock().now());
            members.reconnect(peer);
            flushes.extend(peer.reply(members.list(room.name(), None)));
        }
    }

    /// Ends memberships whose peers did not come back.
    pub fn sweep(&self) {
        let now = self.router.clock().now();
        let mut flushes = Vec::new();
        while let Some(id) = self.next_due(now) {
            let Some(presence) = self.presence(&id) else { continue };
            let mut state = presence.lock();
            if state.is_retired {
                continue;
            }
            if state.away_until.is_some_and(|until| until <= now) {
                self.remove_from_all(&presence, &mut state, &id, &mut flushes);
            }
            self.retire_if_unused(&presence, &mut state, &id);
        }
    }

    fn next_due(&self, now: u64) -> Option<PeerId> {
        self.due.lock().pop_front_if(|(at, _)| *at <= now).map(|(_, id)| id)
    }

    // Presences and rooms.

    fn presence(&self, id: &PeerId) -> Option<Arc<Presence>> {
        self.presences.get(id).map(|presence| Arc::clone(&presence))
    }

    /// Works on a room in which the peer is.
    fn as_member(
        &self,
        requester: &mut Requester<'_>,
        name: &str,
        act: impl FnOnce(&Presence, &mut State, &mut Requester<'_>, &Arc<Room>) -> Result<(), RoomRefusal>,
    ) -> Result<(), RoomRefusal> {
        let peer = requester.peer;
        let presence = self.presence(peer.id()).ok_or(RoomRefusal::NotMember)?;
        let mut state = presence.lock();
        let room = state.room(name).filter(|_| state.is_of(peer)).cloned();
        let done = act(&presence, &mut state, requester, &room.ok_or(RoomRefusal::NotMember)?);
        self.retire_if_unused(&presence, &mut state, peer.id());
        done
    }

    /// Works on a room under its lock, and creates it if there is none.
    fn with_room<R>(
        &self,
        known: Option<Arc<Room>>,
        name: RoomName,
        act: impl FnOnce(&Arc<Room>, &mut Members) -> R,
    ) -> R {
        loop {
            let room = known.clone().unwrap_or_else(|| {
                let room =
                    self.rooms.entry(name.clone()).or_insert_with(|| Arc::new(Room::new(name.clone())));
                Arc::clone(&room)
            });
            let mut members = room.lock();
            if members.is_retired {
                continue;
            }
            let result = act(&room, &mut members);
            self.retire_if_empty(&room, &mut members);
            return result;
        }
    }

    fn remove_from_all(&self, presence: &Presence, state: &mut State, id: &PeerId, flushes: &mut Vec<Flush>) {
        for room in std::mem::take(&mut state.rooms) {
            self.remove(presence, &room, id, flushes);
        }
    }

    /// Takes a member out of a room, and tells the others.
    fn remove(&self, presence: &Presence, room: &Arc<Room>, id: &PeerId, flushes: &mut Vec<Flush>) {
        let mut members = room.lock();
        members.remove(id);
        // It cannot be refused, so it is on credit.
        presence.rate.charge(cost(members.len()), self.rates().0, self.router.clock().now());
        members.tell_others(id, rooms::left(room.name(), id.as_str()), flushes);
        self.retire_if_empty(room, &mut members);
    }

    fn retire_if_empty(&self, room: &Arc<Room>, members: &mut Members) {
        if members.is_empty() {
            members.is_retired = true;
            self.rooms.remove_if(room.name(), |_, there| Arc::ptr_eq(there, room));
        }
    }

    /// Forgets a presence without rooms, once its rate limit is rested: joining and leaving must give no new burst.
    fn retire_if_unused(&self, presence: &Arc<Presence>, state: &mut State, id: &PeerId) {
        if !state.rooms.is_empty() {
            return;
        }
        let now = self.router.clock().now();
        if presence.rate.is_rested(now) {
            state.is_retired = true;
            self.presences.remove_if(id, |_, there| Arc::ptr_eq(there, presence));
        } else {
            self.due.lock().push_back((now + REST, id.clone()));
        }
    }

    // Rate limits.

    /// The rates of deliveries per second, of one member and of all.
    fn rates(&self) -> (u32, u32) {
        let limits = &self.router.live_config().load().limits;
        (limits.room_deliveries_per_second, limits.room_key_deliveries_per_second)
    }

    /// Charges deliveries to a member, and to all of the key.
    fn charge(&self, presence: &Presence, deliveries: usize) -> Result<(), RoomRefusal> {
        let ((own, all), now, count) = (self.rates(), self.router.clock().now(), cost(deliveries));
        presence.rate.try_charge(count, own, now).map_err(|_| RoomRefusal::TooFast)?;
        self.deliveries.try_charge(count, all, now).map_err(|_| {
            presence.rate.refund(count, own);
            RoomRefusal::KeyTooFast
        })
    }
}

/// A request costs at least one delivery.
fn cost(deliveries: usize) -> u32 {
    u32::try_from(deliveries).unwrap_or(u32::MAX).max(1)
}

impl Requester<'_> {
    /// Answers a request that has no other answer, if the client wants one.
    fn confirm(&mut self, room: &Room) {
        if let Some(request) = self.request {
            self.flushes.extend(self.peer.reply(rooms::done(room.name(), request)));
        }
    }
}
