//! Groups of clients that come one after another: the first of a size are one, then the next ones, as `?next=2` of Matchbox asks for.
//!
//! See matchbox_server 0.15.0, `src/state.rs`, `add_peer`: a client that leaves before its group is full makes room for another one. A full
//! group is never filled again.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::random;

use crate::wire::{InvalidName, RoomName};

/// The groups of one key that are not full yet: of each room and size, the latest one. So there are at most as many as clients that wait.
#[derive(Default)]
pub struct Groups {
    open: Mutex<BTreeMap<(RoomName, usize), Open>>,
}

/// A group that is not full yet.
struct Open {
    group: RoomName,
    waiting: usize,
}

/// A client's place in a group. Dropping it frees the place, unless the group is full.
pub struct GroupPlace {
    groups: Arc<Groups>,
    of: (RoomName, usize),
    group: RoomName,
}

impl Groups {
    /// Gives a client that has come to a room a place in a group of a size. Nothing fills a group of size 0.
    pub fn take_place(self: &Arc<Self>, room: &RoomName, size: usize) -> Result<GroupPlace, InvalidName> {
        let of = (room.clone(), size);
        let mut open = self.open.lock();
        let (group, waiting) = match open.get(&of) {
            Some(Open { group, waiting }) => (group.clone(), *waiting),
            // Names of rooms of clients have no slash. The number tells the groups of several nodes from each other.
            None => (RoomName::of_topic(&format!("{room}/{size}/{:016x}", random::<u64>()))?, 0),
        };
        let waiting = waiting + 1;
        if waiting == size {
            open.remove(&of);
        } else {
            open.insert(of.clone(), Open { group: group.clone(), waiting });
        }
        drop(open);
        Ok(GroupPlace { groups: Arc::clone(self), of, group })
    }

    /// True if nobody waits.
    pub fn is_empty(&self) -> bool {
        self.open.lock().is_empty()
    }
}

impl GroupPlace {
    /// The room of the group, which no client can name.
    pub fn room(&self) -> &RoomName {
        &self.group
    }
}

impl Drop for GroupPlace {
    fn drop(&mut self) {
        let mut open = self.groups.open.lock();
        if let Some(waits) = open.get_mut(&self.of).filter(|open| open.group == self.group) {
            waits.waiting -= 1;
            if waits.waiting == 0 {
                open.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(groups: &Arc<Groups>, room: &str, size: usize) -> GroupPlace {
        groups.take_place(&RoomName::parse(room).unwrap(), size).unwrap()
    }

    #[test]
    fn each_group_has_the_next_ones_that_come() {
        let groups = Arc::new(Groups::default());
        let places: Vec<_> = (0..6).map(|_| take(&groups, "a", 3)).collect();
        let rooms: Vec<_> = places.iter().map(GroupPlace::room).collect();
        assert!(rooms[0] == rooms[1] && rooms[1] == rooms[2] && rooms[3] == rooms[4] && rooms[4] == rooms[5]);
        assert_ne!(rooms[2], rooms[3]);
        assert!(groups.is_empty());
        assert_ne!(take(&groups, "b", 1).room(), take(&groups, "b", 1).room());
    }

    #[test]
    fn a_room_and_a_size_have_groups_of_their_own() {
        let groups = Arc::new(Groups::default());
        let places = [("a", 2), ("a", 3), ("b", 2), ("a", 0)].map(|(room, size)| take(&groups, room, size));
        for (n, place) in places.iter().enumerate() {
            assert!(places[..n].iter().all(|other| other.room() != place.room()));
        }
        drop(places);
        assert!(groups.is_empty());
    }

    #[test]
    fn a_place_in_a_group_that_is_not_full_is_free_again() {
        let groups = Arc::new(Groups::default());
        let [first, second] = [(); 2].map(|()| take(&groups, "a", 3));
        let room = first.room().clone();
        drop(first);
        let [third, fourth] = [(); 2].map(|()| take(&groups, "a", 3));
        assert!([&second, &third, &fourth].iter().all(|place| *place.room() == room));
        // It was full, so nobody else comes.
        drop(third);
        let fifth = take(&groups, "a", 3);
        assert_ne!(*fifth.room(), room);
        drop((second, fourth));
        assert!(!groups.is_empty());
        drop(fifth);
        assert!(groups.is_empty());
    }
}
