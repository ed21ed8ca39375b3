//! Groups of clients that come one after another: the first of a size are one, then the next ones, as
//! `?next=2` of Matchbox asks for.
//!
//! See matchbox_server 0.15.0, `src/state.rs`, `add_peer`: a client that leaves before its group is full
//! makes room for another one. A full group is never filled again.
//!
//! If its peers have hosts, the first client of a group is its host, and the group ends with it.
//!
//! In a cluster, a group is on the node that has opened it. Only that node ever gives its places, so a group
//! never has more clients than its size, whatever other nodes believe. If it is in doubt who has a place of
//! an open group, the group ends, and its clients take other places.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::random;
use tokio::sync::watch;

use super::{HOSTED, host_of};
use crate::key_state::{KeyPart, KeyState};
use crate::names::{GivenSeat, Hold, NO_SUCH_NAME, NameHolder, Names, SeatState, Seating};
use peerbroker_core::vocabulary::{InvalidName, PeerId, RoomName};
use peerbroker_router::Realm;

/// The room and the size of groups. Nothing fills a group of size 0, which has a host.
pub(super) type GroupKind = (RoomName, usize);

/// The groups of one key that are on this node.
#[derive(Default)]
pub struct Groups(Mutex<GroupsState>);

#[derive(Default)]
struct GroupsState {
    open: BTreeMap<GroupKind, Group>,
    /// Groups that clients want to open, if the other nodes let them. True if another node has got the right
    /// to since.
    opening: BTreeMap<GroupKind, bool>,
}

/// A group that is open.
struct Group {
    name: RoomName,
    /// The number of places that are taken.
    taken: usize,
    state: watch::Sender<SeatState>,
    /// In a cluster, the right to open groups of this kind: dropped once the group is not open any more.
    right: Option<Hold>,
}

/// A client asks the other nodes if it may open a group. Dropping it gives that up.
pub struct Opening {
    groups: Arc<Groups>,
    kind: GroupKind,
}

/// A client's place in a group of this node. Dropping it frees the place, unless the group is full.
pub struct GroupPlace {
    groups: Arc<Groups>,
    kind: GroupKind,
    group: RoomName,
    client: PeerId,
    state: watch::Receiver<SeatState>,
}

impl KeyPart for Groups {
    fn new(_key: &Arc<KeyState>) -> Self {
        Groups::default()
    }

    fn is_idle(&self) -> bool {
        let state = self.0.lock();
        state.open.is_empty() && state.opening.is_empty()
    }
}

impl Names for Groups {
    /// The name is a kind of groups.
    fn seat(
        self: Arc<Self>,
        name: &str,
        _wanted: &str,
        client: &PeerId,
        _holder: &NameHolder,
    ) -> Result<Seating, u8> {
        let place = kind_of(name).and_then(|kind| self.take(&kind, client)).ok_or(NO_SUCH_NAME)?;
        let group = place.room().as_str().to_owned();
        Ok(Seating::Given(Box::new(place), group))
    }

    /// The group ends, and its clients take other places.
    fn lose(&self, name: &str, _holder: &PeerId, _realm: Option<&Realm>) {
        if let Some(kind) = kind_of(name) {
            self.lose_right(&kind);
        }
    }

    fn lapse(&self) {
        let ended: Vec<Group> =
            self.0.lock().open.extract_if(.., |kind, _| kind.1 != 0).map(|(_, group)| group).collect();
        for group in ended {
            group.finish(SeatState::Lost);
        }
    }
}

impl Groups {
    /// Gives a client a place in the open group. `None` if there is none.
    pub fn take(self: &Arc<Self>, kind: &GroupKind, client: &PeerId) -> Option<GroupPlace> {
        self.place(kind, client, None)
    }

    /// Gives a client a place in the open group, or in a new one, which keeps this right.
    pub fn take_or_open(
        self: &Arc<Self>,
        kind: &GroupKind,
        client: &PeerId,
        right: Option<Hold>,
    ) -> Option<GroupPlace> {
        let taken = 0;
        let state = watch::Sender::new(SeatState::Open);
        let new = Group { name: new_name(kind, client).ok()?, taken, state, right };
        self.place(kind, client, Some(new))
    }

    /// A client is to open a group, once it may. `None` if there is one, or another client of this node is
    /// to.
    pub fn begin(self: &Arc<Self>, kind: &GroupKind) -> Option<Opening> {
        let state = &mut *self.0.lock();
        if state.open.contains_key(kind) || state.opening.contains_key(kind) {
            return None;
        }
        state.opening.insert(kind.clone(), false);
        Some(Opening { groups: Arc::clone(self), kind: kind.clone() })
    }

    /// The sizes of the open groups of a room.
    pub(super) fn open_sizes(&self, room: &RoomName) -> Vec<usize> {
        let all = (room.clone(), usize::MIN)..=(room.clone(), usize::MAX);
        self.0.lock().open.range(all).map(|((_, size), _)| *size).collect()
    }

    fn place(
        self: &Arc<Self>,
        kind: &GroupKind,
        client: &PeerId,
        mut new: Option<Group>,
    ) -> Option<GroupPlace> {
        let mut known = self.0.lock();
        let open = &mut known.open;
        if !open.contains_key(kind) {
            open.insert(kind.clone(), new.take()?);
        }
        let group = open.get_mut(kind)?;
        group.taken += 1;
        let groups = Arc::clone(self);
        let state = group.state.subscribe();
        let kind = kind.clone();
        let name = group.name.clone();
        let client = client.clone();
        let full = if kind.1 != 0 && group.taken >= kind.1 { open.remove(&kind) } else { None };
        drop(known);
        if let Some(group) = full {
            group.finish(SeatState::Closed);
        }
        Some(GroupPlace { groups, kind, group: name, client, state })
    }

    /// Another node has the right to open groups of a kind.
    fn lose_right(&self, kind: &GroupKind) {
        let mut known = self.0.lock();
        if let Some(is_lost) = known.opening.get_mut(kind) {
            *is_lost = true;
        }
        let lost = known.open.remove(kind);
        drop(known);
        let state = if kind.1 == 0 { SeatState::Closed } else { SeatState::Lost };
        if let Some(group) = lost {
            group.finish(state);
        }
    }

    /// Removes a group if it is open and `is_over`, which may change it.
    fn remove_if(&self, place: &GroupPlace, is_over: impl FnOnce(&mut Group) -> bool) -> Option<Group> {
        let open = &mut self.0.lock().open;
        let Entry::Occupied(mut known) = open.entry(place.kind.clone()) else { return None };
        let is_removed = known.get().name == place.group && is_over(known.get_mut());
        is_removed.then(|| known.remove())
    }
}

impl Opening {
    /// Opens the group, which keeps this right, and gives the client the first place.
    pub fn open(self, client: &PeerId, right: Hold) -> Option<GroupPlace> {
        let place = self.groups.take_or_open(&self.kind, client, Some(right))?;
        // It may have been lost before there was a group to end.
        if self.groups.0.lock().opening.get(&self.kind) == Some(&true) {
            self.groups.lose_right(&self.kind);
        }
        Some(place)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.groups.0.lock().opening.remove(&self.kind);
    }
}

/// The name of a kind of groups, among all nodes.
pub(super) fn name_of((room, size): &GroupKind) -> String {
    format!("{size}/{}", room.as_str())
}

fn kind_of(name: &str) -> Option<GroupKind> {
    let (size, room) = name.split_once('/')?;
    Some((RoomName::measured(room).ok()?, size.parse().ok()?))
}

/// A name that no group has had. Names of rooms of clients have no slash. The name of a group with a host
/// ends with the host's id.
fn new_name((room, size): &GroupKind, first: &PeerId) -> Result<RoomName, InvalidName> {
    let number: u64 = random();
    let room = room.as_str();
    RoomName::measured(&if room.ends_with(HOSTED) {
        format!("{room}/{size}-{number:016x}/{}", first.as_str())
    } else {
        format!("{room}/{size}/{number:016x}")
    })
}

impl Group {
    /// Nobody else comes. Without a lock, because the right may be given back.
    fn finish(self, state: SeatState) {
        self.state.send_replace(state);
        drop(self.right);
    }
}

impl GroupPlace {
    /// The room of the group, which no client can name.
    pub fn room(&self) -> &RoomName {
        &self.group
    }

    /// The state of the group.
    pub fn state(&self) -> watch::Receiver<SeatState> {
        self.state.clone()
    }
}

impl GivenSeat for GroupPlace {
    fn state(&self) -> Option<watch::Receiver<SeatState>> {
        Some(self.state.clone())
    }

    /// If the group is open and has a size, it ends.
    fn doubt(self: Box<Self>) -> Option<Box<dyn GivenSeat>> {
        let doubted = self.groups.remove_if(&self, |_| self.kind.1 != 0);
        if let Some(group) = doubted {
            group.finish(SeatState::Lost);
        }
        None
    }
}

impl Drop for GroupPlace {
    fn drop(&mut self) {
        let is_host = host_of(self.group.as_str()) == Some(self.client.as_str());
        let over = self.groups.remove_if(self, |group| {
            group.taken -= 1;
            is_host || group.taken == 0
        });
        if let Some(group) = over {
            group.finish(SeatState::Closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Groups {
        /// True if nobody waits.
        fn is_empty(&self) -> bool {
            self.is_idle()
        }
    }

    fn doubt(place: GroupPlace) {
        assert!(Box::new(place).doubt().is_none(), "given up");
    }

    fn take(groups: &Arc<Groups>, room: &str, size: usize) -> GroupPlace {
        let client = PeerId::parse(&format!("{:x}", random::<u64>())).unwrap();
        groups.take_or_open(&(RoomName::measured(room).unwrap(), size), &client, None).unwrap()
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
        let places = [("a", 2), ("a", 3), ("b", 2)].map(|(room, size)| take(&groups, room, size));
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

    #[test]
    fn an_open_group_ends_with_a_doubt_and_a_full_one_does_not() {
        let groups = Arc::new(Groups::default());
        let [full, other, open, doubted] = [(); 4].map(|()| take(&groups, "a", 2));
        assert_eq!(*full.state().borrow(), SeatState::Closed);
        doubt(other);
        groups.lapse();
        assert_eq!(*full.state().borrow(), SeatState::Closed);
        // These two are the next group, and full, too.
        doubt(doubted);
        assert_eq!(*open.state().borrow(), SeatState::Closed);
        let [waits, in_doubt] = [(); 2].map(|()| take(&groups, "a", 3));
        doubt(in_doubt);
        assert_eq!(*waits.state().borrow(), SeatState::Lost);
        let next = take(&groups, "a", 3);
        assert_ne!(next.room(), waits.room());
        // Its place is in none of them any more.
        drop(waits);
        assert!(!groups.is_empty());
        groups.lose_right(&(RoomName::measured("a").unwrap(), 3));
        assert_eq!(*next.state().borrow(), SeatState::Lost);
    }

    #[test]
    fn a_group_without_a_size_closes_with_its_host_and_has_no_other_end() {
        let groups = Arc::new(Groups::default());
        let [host, other, lost] = [(); 3].map(|()| take(&groups, "a/host", 0));
        groups.lapse();
        doubt(lost);
        assert_eq!(*other.state().borrow(), SeatState::Open);
        drop(host);
        assert_eq!(*other.state().borrow(), SeatState::Closed);
        assert!(groups.is_empty());
    }
}
