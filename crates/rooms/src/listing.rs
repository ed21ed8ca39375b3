//! Lists of all members of a node: that of this one for another one, and those of others.

use std::sync::Arc;
use std::time::Duration;

use super::Rooms;
use super::others::{MemberNews, News, OwnList, PrivateNews, RealmName, Replicated};
use super::presence::Presence;
use super::receiving::Receiving;
use super::room::Room;
use peerbroker_core::vocabulary::{NodeId, PeerId, RoomName};
use peerbroker_router::Flushes;

impl Replicated for Rooms {
    fn own_list(self: Arc<Self>) -> Box<dyn OwnList> {
        let mut rooms = self.store.all_rooms();
        let mut presences = self.store.all_presences();
        // In an order that no hash decides.
        rooms.sort_unstable_by(|a, b| a.name().as_str().cmp(b.name().as_str()));
        presences.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Box::new(OwnMembers { of: self, rooms, presences })
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.neighbours.members.lock().nodes()
    }

    fn begin_list(&self, node: NodeId) {
        self.neighbours.members.lock().begin_list(node);
    }

    fn end_list(&self, node: NodeId, flushes: &mut Flushes) {
        let unnamed = self.neighbours.members.lock().of_node(node, |is_named| !is_named);
        let mut receiving = Receiving { rooms: self, node, flushes };
        unnamed.iter().for_each(|(room, id)| receiving.forget(0, room.as_str(), id, &[], false));
    }

    fn succeed(&self, former: NodeId, node: NodeId, flushes: &mut Flushes) {
        let all = self.neighbours.members.lock().of_node(former, |_| true);
        let rename = |name, id| self.neighbours.members.lock().rename(former, node, name, id);
        for of_room in all.chunk_by(|(room, _), (other, _)| room == other) {
            let Some((name, _)) = of_room.first() else { continue };
            if let Some(watched) = name.watched() {
                for (_, id) in of_room {
                    let mut watches = self.watches.lock();
                    if !rename(name, id) && *id != watched {
                        // Both lives have told of it.
                        watches.add_elsewhere(&watched, -1);
                    }
                }
                self.watches.lock().set_places(&watched, flushes, |places| {
                    if places.iter().any(|place| place.0 == node) {
                        places.retain(|place| place.0 != former);
                    }
                    places.iter_mut().filter(|place| place.0 == former).for_each(|place| place.0 = node);
                });
            } else if let Some(room) = self.store.room(name.as_str()) {
                let mut members = room.lock();
                let held = members.take_held(former, self.router.clock());
                of_room.iter().for_each(|(_, id)| _ = rename(name, id));
                members.rename(former, node);
                self.delivery(&mut members, flushes).release_all(node, held);
            }
        }
    }

    /// The members of a node that is gone have some time to come back to another node, or to be listed by the
    /// next life of the same one, which lost its lease. Then they have gone.
    fn lose_node(&self, node: NodeId, patience: Duration) {
        let until = self.router.clock().now() + patience;
        let is_new = self.neighbours.members.lock().record_left(node, until);
        if is_new {
            // Behind messages that are handed over to it just now.
            let all = self.neighbours.members.lock().of_node(node, |_| true);
            let rooms = all.iter().filter_map(|(room, _)| self.store.room(room.as_str()));
            for room in rooms {
                let members = room.lock();
                // Its last writes may have come to this node alone.
                members.state_news(Some(node)).for_each(|write| self.neighbours.announce_state(write));
            }
        }
        if patience.is_zero() {
            self.sweep_left();
        }
    }

    fn give_back(&self) {
        for (id, presence) in self.store.all_presences() {
            let state = presence.lock_state();
            let Some(peer) = state.peer.as_ref().filter(|peer| !peer.is_current()) else { continue };
            for (sender, message) in peer.take_of_rooms() {
                let named = self.frames.room_of(&message);
                let is_meant =
                    |room: &&Arc<Room>| named.as_deref() == Some(self.frames.known(room.name().as_str()));
                let room = state.rooms.iter().find(is_meant);
                let Some(room) = room else { continue };
                let from = sender.outside_rooms();
                let node = room.lock().node_of(&from);
                let [room, from, to] = [room.name().as_str(), from.as_str(), id.as_str()];
                self.neighbours
                    .give_back(node, PrivateNews { room, from, heard: 0, to, frame: (&message).into() });
            }
        }
    }
}

/// Members of this node that another node has still to hear of.
struct OwnMembers {
    of: Arc<Rooms>,
    rooms: Vec<Arc<Room>>,
    presences: Vec<(PeerId, Arc<Presence>)>,
}

impl OwnList for OwnMembers {
    /// Tells of one more room, or of all that one more client watches.
    fn send_more(&mut self, each: &mut dyn FnMut(RealmName<'_>, &News<'_>)) -> bool {
        let name = self.of.neighbours.realm_name();
        if let Some(room) = self.rooms.pop() {
            let members = room.lock();
            let state = members.state_version();
            for (id, member) in members.iter() {
                // One that has moved is away here.
                if let Some(own) = member.here() {
                    let room = room.name().as_str();
                    let (data, seat) = own.facts();
                    let token = own.token;
                    let number = own.announced();
                    let news = MemberNews { room, id: id.as_str(), token, number, data, seat, state };
                    each(name, &News::Member(news));
                }
            }
            // Both may have decided for a while, so each hears the writes of the other.
            members.state_news(None).for_each(|write| each(name, &News::State(write)));
            return true;
        }
        let Some((id, presence)) = self.presences.pop() else { return false };
        let state = presence.lock_state();
        let token = state.digest;
        let number = state.announced;
        let mut watched = |watched: &str| {
            let room = RoomName::of_watched(watched);
            each(name, &News::Member(MemberNews::of_id(&room, &id, token, number)));
        };
        state.watched.iter().for_each(&mut watched);
        // One that has moved is away here.
        if state.is_shown && (state.away_until.is_none() || !self.of.watches.lock().is_elsewhere(&id)) {
            watched(id.as_str());
        }
        true
    }
}
