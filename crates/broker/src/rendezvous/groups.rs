//! Groups of clients that come one after another: the first of a size are one, then the next ones, as `?next=2` of Matchbox asks for.
//!
//! See matchbox_server 0.15.0, `src/state.rs`, `add_peer`: a client that leaves before its group is full makes room for another one. A full
//! group is never filled again.
//!
//! If its peers have hosts, the first client of a group is its host, and the group ends with it.
//!
//! In a cluster, one node gives the places in the groups of a room and a size. If another one begins to do so, it goes on with the groups
//! that have too few members. It does not know which of these have been full.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::random;

use crate::clock::millis;
use crate::dialect::matchbox::{HOSTED, host_of};
use crate::rooms::Rooms;
use crate::wire::{InvalidName, NodeId, PeerId, RoomName};

/// Interval at which a node looks for groups that another one has opened. Two of them may give places for a moment, because they hear of a
/// third one at different times.
const ADOPTION_INTERVAL: Duration = Duration::from_secs(5);

/// The groups of one key.
#[derive(Default)]
pub struct Groups(Mutex<State>);

#[derive(Default)]
struct State {
    /// Those that are not full, of each room and size: one, or several if another node has opened some.
    open: BTreeMap<Kind, Vec<Group>>,
    /// In a cluster, those that were full and have members, each with the clients to which this node has given places.
    full: HashMap<RoomName, HashSet<PeerId>>,
    /// The other nodes when this one looked for their groups, and the time at which it looks again.
    nodes: Vec<NodeId>,
    next_adoption: u64,
}

/// A cluster, as one of its nodes sees it.
pub struct Cluster<'a> {
    /// The rooms of all nodes.
    pub rooms: &'a Rooms,
    /// The other nodes that live.
    pub nodes: Vec<NodeId>,
    /// True if another node is to give the place, as far as this one knows: that one did not answer, or another one knows more.
    pub is_elsewhere: bool,
    /// The time.
    pub now: u64,
}

/// The room and the size of groups.
type Kind = (RoomName, usize);

/// A group that is not full yet.
struct Group {
    name: RoomName,
    /// The clients to which this node has given places.
    placed: HashSet<PeerId>,
    /// True if another node has given places, too: their clients are known as members of the room.
    is_adopted: bool,
}

/// A client's place in a group. Dropping it frees the place, unless the group is full.
pub struct GroupPlace {
    groups: Arc<Groups>,
    kind: Kind,
    group: RoomName,
    client: PeerId,
}

impl Groups {
    /// Gives a client that comes to a room a place in a group of a size. Nothing fills a group of size 0.
    pub fn take_place(
        self: &Arc<Self>,
        kind: Kind,
        client: PeerId,
        cluster: Option<Cluster<'_>>,
    ) -> Result<GroupPlace, InvalidName> {
        let State { open, full, nodes, next_adoption } = &mut *self.0.lock();
        let rooms = cluster.as_ref().map(|cluster| cluster.rooms);
        if let Some(cluster) =
            cluster.filter(|of| of.is_elsewhere || of.now >= *next_adoption || of.nodes != *nodes)
        {
            *next_adoption = cluster.now.saturating_add(millis(ADOPTION_INTERVAL));
            *nodes = cluster.nodes;
            adopt(open, full, cluster.rooms);
        }
        let is_full = |group: &Group| kind.1 != 0 && group.taken(rooms) >= kind.1;
        let mut groups = open.remove(&kind).unwrap_or_default();
        groups.retain(|group| !group.has_lost_host(rooms));
        full.extend(groups.extract_if(.., |group| is_full(group)).map(|full| (full.name, full.placed)));
        let mut group = match groups.pop() {
            Some(group) => group,
            None => Group::new(&kind, &client)?,
        };
        group.placed.insert(client.clone());
        let name = group.name.clone();
        if !is_full(&group) {
            groups.push(group);
        } else if rooms.is_some() {
            full.insert(name.clone(), group.placed);
        }
        if !groups.is_empty() {
            open.insert(kind.clone(), groups);
        }
        Ok(GroupPlace { groups: Arc::clone(self), kind, group: name, client })
    }
}

/// Learns of groups that another node has opened, and forgets those without members.
fn adopt(
    open: &mut BTreeMap<Kind, Vec<Group>>,
    full: &mut HashMap<RoomName, HashSet<PeerId>>,
    rooms: &Rooms,
) {
    // This node may hear later that they have joined.
    full.retain(|group, placed| !placed.is_empty() || rooms.contains(group.as_str()));
    let mut known = HashSet::new();
    open.retain(|_, groups| {
        groups.retain(|group| group.taken(Some(rooms)) > 0);
        known.extend(groups.iter().map(|group| group.name.clone()));
        !groups.is_empty()
    });
    for (name, members) in rooms.behind(None) {
        if let Some((name, kind)) = parse(&name)
            && (kind.1 == 0 || members < kind.1)
            && !full.contains_key(&name)
            && !known.contains(&name)
        {
            let group = Group { name, placed: HashSet::new(), is_adopted: true };
            if !group.has_lost_host(Some(rooms)) {
                open.entry(kind).or_default().push(group);
            }
        }
    }
}

/// The room and the size of a group, by its name. `None` for any other room.
fn parse(name: &str) -> Option<(RoomName, Kind)> {
    let mut parts = name.rsplitn(3, '/').skip(1);
    let (size, room) = (parts.next()?.parse().ok()?, parts.next()?);
    Some((RoomName::measured(name).ok()?, (RoomName::measured(room).ok()?, size)))
}

impl Group {
    /// One that a client opens. Names of rooms of clients have no slash. The end tells groups from each other: it is the id of the host, or
    /// random.
    fn new((room, size): &Kind, first: &PeerId) -> Result<Self, InvalidName> {
        let name = if room.as_str().ends_with(HOSTED) {
            format!("{room}/{size}/{first}")
        } else {
            format!("{room}/{size}/{:016x}", random::<u64>())
        };
        Ok(Group { name: RoomName::measured(&name)?, placed: HashSet::new(), is_adopted: false })
    }

    /// True if its host is gone: nobody else comes to it.
    fn has_lost_host(&self, rooms: Option<&Rooms>) -> bool {
        host_of(self.name.as_str()).is_some_and(|host| {
            let is_member = |rooms: &Rooms| {
                self.is_adopted && rooms.members(self.name.as_str()).iter().any(|id| id.as_str() == host)
            };
            !self.placed.contains(host) && !rooms.is_some_and(is_member)
        })
    }

    /// The number of places that are taken.
    fn taken(&self, rooms: Option<&Rooms>) -> usize {
        let rooms = rooms.filter(|_| self.is_adopted);
        let members = rooms.into_iter().flat_map(|rooms| rooms.members(self.name.as_str()));
        self.placed.len() + members.filter(|member| !self.placed.contains(member)).count()
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
        let mut state = self.groups.0.lock();
        if let Some(placed) = state.full.get_mut(&self.group) {
            placed.remove(&self.client);
        }
        let Some(groups) = state.open.get_mut(&self.kind) else { return };
        let is_host = host_of(self.group.as_str()) == Some(self.client.as_str());
        groups.retain_mut(|group| {
            let is_left = group.name == self.group && group.placed.remove(&self.client);
            !is_left || !is_host && (group.is_adopted || !group.placed.is_empty())
        });
        if groups.is_empty() {
            state.open.remove(&self.kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Groups {
        /// True if nobody waits.
        fn is_empty(&self) -> bool {
            self.0.lock().open.is_empty()
        }
    }

    fn take(groups: &Arc<Groups>, room: &str, size: usize) -> GroupPlace {
        let client = PeerId::parse(&format!("{:x}", random::<u64>())).unwrap();
        groups.take_place((RoomName::parse(room).unwrap(), size), client, None).unwrap()
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
