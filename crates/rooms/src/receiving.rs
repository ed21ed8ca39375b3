//! News of another node about its members, and their effect here.

use std::sync::Arc;

use super::Rooms;
use super::others::{GoneNews, MemberNews, MessageNews, News, OpenedNews, PrivateNews};
use super::presence::PresenceState;
use super::room::Room;
use super::watching::Watching;
use super::writing::Writing;
use peerbroker_core::vocabulary::{NodeId, PeerId, RoomName};
use peerbroker_router::{Flushes, PeerHandle};

/// A node, heard by the rooms of this one.
pub(super) struct Receiving<'a> {
    pub(super) rooms: &'a Rooms,
    /// The node that tells.
    pub(super) node: NodeId,
    /// The recipients here that have got something.
    pub(super) flushes: &'a mut Flushes,
}

impl Receiving<'_> {
    pub(super) fn receive(&mut self, news: &News<'_>) {
        match *news {
            News::Member(ref news) => self.member(news),
            News::Gone(ref news) => self.gone(news),
            News::Opened(OpenedNews { id, token }) => {
                if let Ok(id) = PeerId::parse(id) {
                    let is_stranger = |state: &PresenceState| state.token.is_none() || state.digest != token;
                    self.end_absence(&id, |state, _| is_stranger(state));
                    self.repeat_connected(&id, |_| true);
                }
            }
            News::Message(MessageNews { room, from, heard, ref except, frame }) => {
                if let (Some(room), Ok(from)) = (self.rooms.store.room(room), PeerId::of_sender(from))
                    && self.rooms.limits.may_receive(&from)
                {
                    let unpaid = room.lock().deliver_here(&from, frame.into(), heard, except, self.flushes);
                    self.rooms.limits.charge_sender(&from, unpaid);
                }
            }
            News::Private(PrivateNews { room, from, heard, to, frame }) => {
                if let (Some(room), Ok(from)) = (self.rooms.store.room(room), PeerId::of_sender(from)) {
                    room.lock().deliver_to(to, &from.in_rooms(), frame.into(), heard, self.flushes);
                }
            }
            News::Returned(PrivateNews { room, from, to, frame, .. }) => {
                if let (Some(room), Ok(from)) = (self.rooms.store.room(room), PeerId::of_sender(from)) {
                    let mut members = room.lock();
                    let mut delivery = self.rooms.delivery(&mut members, self.flushes);
                    delivery.take_back((&from, &from.in_rooms()), to, frame.into());
                }
            }
            News::State(ref news) => self.writing(news.room, |writing| writing.receive(news)),
            News::Write(ref news) => {
                let node = self.node;
                self.writing(news.room, |writing| writing.receive_write(node, news));
            }
            News::WriteRefused(ref news) => self.writing(news.room, |writing| writing.receive_refusal(news)),
            News::StateMissed(room) => {
                let node = self.node;
                self.writing(room, |writing| writing.tell_all(node));
            }
            // The swarms of the same clients hear it.
            News::Swarm(_) => {}
        }
    }

    /// Does something about the state of a room, if the room has members.
    fn writing(&mut self, room: &str, act: impl FnOnce(&mut Writing<'_, '_>)) {
        if let Some(room) = self.rooms.store.room(room) {
            act(&mut Writing { rooms: self.rooms, members: &mut room.lock(), flushes: self.flushes });
        }
    }

    fn member(&mut self, news: &MemberNews<'_>) {
        let &MemberNews { room, id, token, number, .. } = news;
        let (Ok(name), Ok(id)) = (RoomName::of_node(room), PeerId::parse(id)) else { return };
        let rooms = self.rooms;
        let node = self.node;
        let is_new = rooms.neighbours.members.lock().add(node, &name, &id, token);
        match name.watched() {
            None => rooms.store.with_room(None, name, |members| {
                let before = members.node_of(&id);
                members.record_elsewhere(&id, node, news, self.flushes);
                if members.state_version() < news.state {
                    let missed = News::StateMissed(members.room.name().as_str());
                    // Otherwise with the next member.
                    let _ = rooms.neighbours.deliver(&[(node, missed)]);
                }
                rooms.settle_seats(members, &id, self.flushes);
                rooms.delivery(members, self.flushes).release(&id, before);
            }),
            Some(watched) if watched == id => {
                rooms.watches.lock().set_places(&id, self.flushes, |places| {
                    // A list that repeats what is known does not change which node had it last.
                    if !places.iter().any(|place| place.0 == node && place.1 >= number) {
                        places.retain(|place| place.0 != node);
                        places.push((node, number));
                    }
                });
            }
            Some(watched) if is_new => {
                rooms.watches.lock().add_elsewhere(&watched, 1);
                rooms.seek_watched(&watched, self.flushes);
            }
            Some(_) => {}
        }
    }

    fn gone(&mut self, &GoneNews { room, id, for_good, ref former, number }: &GoneNews<'_>) {
        let Ok(id) = PeerId::parse(id) else { return };
        let ends_here = for_good || self.was_here_before(room, &id, former);
        // Before it is forgotten, so that the event of its end comes from that node alone.
        if ends_here {
            self.end_absence(&id, |_, known| known == room);
        }
        let former = if self.confirm_gone(room, &id, former) { &former[..] } else { &[] };
        self.forget(number, room, &id, former, for_good);
        if ends_here {
            self.repeat_connected(&id, |known| known == room);
        }
    }

    /// Has the nodes on which a member was before say so again if its client is still there: they may never
    /// hear from the node of its last connection that it has gone. False if too much waits for one of them.
    fn confirm_gone(&self, room: &str, id: &PeerId, former: &[(u64, u64)]) -> bool {
        let neighbours = &self.rooms.neighbours;
        let id_text = id.as_str();
        let mut news = Vec::new();
        for (node, _) in former {
            let node = NodeId::new(*node);
            let token = neighbours.members.lock().token_of(node, room, id);
            news.extend(token.map(|token| (node, News::Opened(OpenedNews { id: id_text, token }))));
        }
        neighbours.deliver(&news).is_ok()
    }

    /// True if a member has gone on the node to which it came from this one, and has not come back here
    /// since.
    fn was_here_before(&self, room: &str, id: &PeerId, former: &[(u64, u64)]) -> bool {
        let here = former.iter().find(|(node, _)| self.rooms.neighbours.own() == Some(NodeId::new(*node)));
        let Some((_, known)) = here else { return false };
        let Some(room) = self.rooms.store.room(room) else { return false };
        let mut members = room.lock();
        let has_moved_on = !members.is_only_at(id, self.node, former);
        members
            .own_mut(id)
            .is_some_and(|own| own.announced() <= *known && (own.peer.is_current() || !has_moved_on))
    }

    /// The node does not have a member any more, as its news of this number says; 0 if it sent none.
    pub(super) fn forget(
        &mut self,
        number: u64,
        room: &str,
        id: &PeerId,
        former: &[(u64, u64)],
        for_good: bool,
    ) {
        let rooms = self.rooms;
        let node = self.node;
        let was_known = rooms.neighbours.members.lock().remove(node, room, id.as_str());
        if let Some(watched) = RoomName::of_node(room).ok().and_then(|name| name.watched()) {
            if watched == *id {
                rooms.watches.lock().set_places(id, self.flushes, |places| {
                    places.retain(|(place, number)| {
                        let is_former =
                            |(node, until): &(u64, u64)| *place == NodeId::new(*node) && number <= until;
                        *place != node && !former.iter().any(is_former)
                    });
                });
            } else if was_known && rooms.watches.lock().add_elsewhere(&watched, -1) {
                rooms.store.visit_soon(&watched);
            }
            return;
        }
        let Some(room) = rooms.store.room(room) else { return };
        let mut members = room.lock();
        rooms.with_places(&mut members, id, |members| {
            // If it has moved on, it leaves its former places in time.
            let former = if for_good || members.is_only_at(id, node, former) { former } else { &[] };
            members.forget_elsewhere(id, (node, number), former, self.flushes);
        });
        rooms.settle_seats(&mut members, id, self.flushes);
        rooms.store.retire_if_empty(&mut members);
    }

    /// A peer that is away on this node will not come back to some of its rooms, as the node has told.
    fn end_absence(&mut self, id: &PeerId, ends: impl Fn(&PresenceState, &str) -> bool) {
        let rooms = self.rooms;
        let node = self.node;
        let Some(presence) = rooms.store.presence(id) else { return };
        let mut guard = presence.lock(id, self.flushes);
        if guard.state.away_until.is_none() {
            return;
        }
        let known = std::mem::take(&mut guard.state.rooms);
        let (gone, stay) = known.into_iter().partition(|room| ends(&guard.state, room.name().as_str()));
        guard.state.rooms = stay;
        let gone: Vec<Arc<Room>> = gone;
        for room in gone {
            let flushes = &mut *guard.flushes;
            rooms.with_places(&mut room.lock(), guard.id, |members| {
                members.forget_former(guard.id, node, flushes);
            });
            rooms.remove(&mut guard, &room, false);
        }
        // Decided before they change the presence, which `ends` reads.
        let ends_watch = |id: &str| ends(&guard.state, RoomName::of_watched(id).as_str());
        let unwatched: Vec<String> =
            guard.state.watched.iter().filter(|id| ends_watch(id)).map(str::to_owned).collect();
        let is_hidden = ends_watch(guard.id.as_str());
        let mut watching = Watching { rooms, guard: &mut guard };
        watching.stop(unwatched.iter().map(String::as_str), false);
        if is_hidden {
            watching.hide(false);
        }
        rooms.store.retire_if_unused(&mut guard);
    }

    /// After an outage, an id may have clients on two nodes. Where another node's news end the absence of one
    /// of them, the other one may be forgotten too: it is still a member.
    fn repeat_connected(&self, id: &PeerId, is_meant: impl Fn(&str) -> bool) {
        let neighbours = &self.rooms.neighbours;
        let Some(presence) = self.rooms.store.presence(id) else { return };
        let mut state = presence.lock_state();
        if !state.peer.as_ref().is_some_and(PeerHandle::is_current) {
            return;
        }
        for room in state.rooms.iter().filter(|room| is_meant(room.name().as_str())) {
            let mut members = room.lock();
            if let Some(own) = members.own_mut(id) {
                own.announce_again();
            }
            neighbours.announce_member(&mut members, id);
        }
        let is_meant = |id: &str| is_meant(RoomName::of_watched(id).as_str());
        let shown = state.is_shown.then(|| id.as_str());
        let watched = state.watched.iter().chain(shown).filter(|id| is_meant(id));
        let watched: Vec<String> = watched.map(str::to_owned).collect();
        if !watched.is_empty() {
            state.announced = neighbours.next_number();
        }
        watched.iter().for_each(|watched| neighbours.announce_watched(watched, id, &state));
    }
}
