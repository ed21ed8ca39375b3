//! A list of all members of this node, for another one.

use std::sync::Arc;

use super::Rooms;
use super::others::{HubName, MemberNews, News};
use super::presence::Presence;
use super::room::Room;
use crate::wire::{PeerId, RoomName};

/// Members of this node that another node has still to hear of. It is read in steps, so that a long one fills no link.
pub struct OwnMembers {
    of: Arc<Rooms>,
    rooms: Vec<Arc<Room>>,
    presences: Vec<(PeerId, Arc<Presence>)>,
}

impl OwnMembers {
    /// For a node that does not know them. It hears later changes in order with the list.
    pub fn of(of: Arc<Rooms>) -> Self {
        let (mut rooms, mut presences) = (of.store.all_rooms(), of.store.all_presences());
        // In an order that no hash decides.
        rooms.sort_unstable_by(|a, b| a.name().as_str().cmp(b.name().as_str()));
        presences.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        OwnMembers { of, rooms, presences }
    }

    /// Tells of one more room, or of all that one more client watches. False at its end.
    pub fn tell_more(&mut self, mut each: impl FnMut(HubName<'_>, &News<'_>)) -> bool {
        let hub = self.of.neighbours.hub();
        if let Some(room) = self.rooms.pop() {
            let members = room.lock();
            for (id, member) in members.iter() {
                // One that has moved is away here.
                if let Some(own) = member.here() {
                    let (room, data) = (room.name().as_str(), own.data.as_deref());
                    let (token, number) = (own.token, own.announced());
                    each(hub, &News::Member(MemberNews { room, id: id.as_str(), token, number, data }));
                }
            }
            return true;
        }
        let Some((id, presence)) = self.presences.pop() else { return false };
        let state = presence.lock_state();
        let (token, number) = (state.digest, state.announced);
        let mut watched = |watched: &str| {
            let room = RoomName::of_watched(watched);
            let news = MemberNews { room: room.as_str(), id: id.as_str(), token, number, data: None };
            each(hub, &News::Member(news));
        };
        state.watched.iter().for_each(&mut watched);
        // One that has moved is away here.
        if state.is_shown && (state.away_until.is_none() || !self.of.watches.lock().is_elsewhere(&id)) {
            watched(id.as_str());
        }
        true
    }
}
