//! The parts of the rooms of a key, compared with each other.

use std::collections::HashSet;
use std::sync::Arc;

use super::member::Member;
use super::room::Room;
use super::{Replicated, Rooms};
use peerbroker_core::vocabulary::{NodeId, PeerId};

/// Says what contradicts itself: for tests, while nothing else happens.
pub(super) fn contradiction(rooms: &Rooms) -> Option<String> {
    let latest = rooms.neighbours.latest_number();
    for room in rooms.store.all_rooms() {
        let members = room.lock();
        if let Some(contradiction) = members.contradiction(latest) {
            return Some(contradiction);
        }
        let known = rooms.neighbours.members.lock();
        for (id, _) in members.iter() {
            let is_unknown = |node: &NodeId| known.token_of(*node, room.name().as_str(), id).is_none();
            if let Some(node) = members.nodes_of(id).find(is_unknown) {
                return Some(format!("room {:?}: {id:?} of {node:?} is not listed", room.name()));
            }
        }
    }
    for node in rooms.nodes() {
        for (name, id) in rooms.neighbours.members.lock().of_node(node, |_| true) {
            let is_member = |room: Arc<Room>| room.lock().nodes_of(&id).any(|of_member| of_member == node);
            if name.watched().is_none() && !rooms.store.room(name.as_str()).is_some_and(is_member) {
                return Some(format!("room {name:?}: {id:?} of {node:?} is no member"));
            }
        }
    }
    let mut of_presences = HashSet::new();
    for (id, presence) in rooms.store.all_presences() {
        // Not locked any more when a room is.
        let its_rooms = presence.lock_state().rooms.clone();
        for room in its_rooms {
            if !room.lock().get(id.as_str()).is_some_and(Member::is_here) {
                return Some(format!("room {:?}: {id:?} is no member of this node", room.name()));
            }
            of_presences.insert((room.name().clone(), id.clone()));
        }
    }
    rooms.store.all_rooms().iter().find_map(|room| {
        let members = room.lock();
        let has_presence = |id: &PeerId| of_presences.contains(&(room.name().clone(), id.clone()));
        let mut here = members.iter().filter(|(_, member)| member.is_here());
        let (id, _) = here.find(|(id, _)| !has_presence(id))?;
        Some(format!("room {:?}: {id:?} has no presence in it", room.name()))
    })
}
