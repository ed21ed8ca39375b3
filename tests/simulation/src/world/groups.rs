//! Peers of Matchbox that come one after another, as their sessions let them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use peerbroker_config::Degraded;
use peerbroker_core::vocabulary::{RealmKind, RoomName};
use peerbroker_node::Node;
use peerbroker_protocols::matchbox::Matchbox;
use peerbroker_rooms::Rooms;

use super::visitors::Visitor;
use super::{LEASE, STEP, World, play};
use crate::checker::check;
use crate::history::{History, What};
use crate::sim::Fault;

const SIZE: usize = 3;
const QUERY: &str = "room=duel&next=3";

/// A peer as its client knows it.
#[derive(Default)]
pub(super) struct Player {
    /// The group in whose room it is.
    room: Option<RoomName>,
    /// The peers of its group of which it was told.
    told: BTreeSet<String>,
    /// Those that were told of it, and connect to it.
    met: BTreeSet<String>,
}

impl World {
    pub(super) fn open_player(&mut self) {
        let index = self.rng.below(self.nodes.len());
        self.open_player_at(index);
    }

    /// A client asks for the room.
    fn open_player_at(&mut self, index: usize) {
        let players = Rc::clone(&self.players);
        self.open_visitor(&players, index, "player", QUERY);
    }

    pub(super) fn close_player(&mut self) {
        let players = Rc::clone(&self.players);
        self.close_visitor(&players);
    }

    /// Sessions do what their groups want, and clients hear of each other.
    pub(super) fn play_in_groups(&self) {
        let mut players = self.players.borrow_mut();
        for player in players.iter_mut().filter(|player| self.is_running(player.node)) {
            let node = &self.nodes[player.node].as_ref().expect("its node").node;
            act(player, node, |what| self.note(what));
        }
        let is_over = |player: &Visitor<_, _>| self.is_running(player.node) && !player.lease.is_current();
        let gone: Vec<_> = players.extract_if(.., |player| is_over(player)).collect();
        // If a player was told last in this step that another one has come, or has gone.
        let mut told: BTreeMap<(String, String), bool> = BTreeMap::new();
        for player in players.iter_mut().filter(|player| self.is_running(player.node)) {
            // It answers pings.
            player.lease.mark_alive();
            for text in player.socket.texts() {
                let (what, id) = text.trim_matches(['{', '}']).split_once(':').expect("an event");
                let pair = (player.lease.id().as_str().to_owned(), id.trim_matches('"').to_owned());
                told.insert(pair, what == r#""NewPeer""#);
                self.note(What::Grouped { conn: player.conn, what: text });
            }
        }
        if !told.is_empty() {
            learn(&mut players, &told);
            self.check_sizes_of_groups(&players);
        }
        drop(players);
        for player in gone {
            self.end_visitor(player, "gave up");
        }
    }

    fn check_sizes_of_groups(&self, players: &[Visitor<Matchbox, Player>]) {
        let alive: BTreeSet<String> =
            players.iter().map(|player| player.lease.id().as_str().to_owned()).collect();
        for player in players {
            let known = player.model.told.union(&player.model.met);
            let group: BTreeSet<_> = known.filter(|id| alive.contains(*id)).collect();
            if group.len() >= SIZE {
                self.contradict(player, &format!("is in a group with {group:?}"));
            }
        }
    }

    /// Everybody has a place, and at most one group is not full.
    pub(super) fn check_settled_groups(&self) {
        let players = self.players.borrow();
        let mut open: BTreeMap<&RoomName, usize> = BTreeMap::new();
        for player in players.iter() {
            let node = &self.nodes[player.node].as_ref().expect("its node").node;
            let is_in = |room: &RoomName| rooms(node).members(room.as_str()).contains(player.lease.id());
            match &player.model.room {
                None => self.contradict(player, "waits for a place"),
                Some(room) if !is_in(room) => self.contradict(player, "is not in the room of its group"),
                Some(room) if player.session.client.is_open() => *open.entry(room).or_default() += 1,
                Some(_) => {}
            }
        }
        if open.len() > 1 || open.values().any(|members| *members >= SIZE) {
            let what = format!("these groups are open: {open:?}");
            self.note(What::Contradiction { node: 0, what });
        }
    }

    fn contradict(&self, player: &Visitor<Matchbox, Player>, what: &str) {
        let what = format!("{} {what}", player.lease.id().as_str());
        self.note(What::Contradiction { node: player.node, what });
    }

    /// The members of each group.
    fn groups(&self) -> Vec<usize> {
        let players = self.players.borrow();
        let mut groups: BTreeMap<&RoomName, usize> = BTreeMap::new();
        players
            .iter()
            .filter_map(|player| player.model.room.as_ref())
            .for_each(|room| *groups.entry(room).or_default() += 1);
        groups.into_values().collect()
    }
}

/// The session of a player goes on.
fn act(player: &mut Visitor<Matchbox, Player>, node: &Arc<Node>, note: impl Fn(What)) {
    let Visitor { conn, lease, session, model, .. } = player;
    session.go_on(node, lease);
    let group = session.client.group();
    if group == model.room.as_ref() {
        return;
    }
    let rooms = rooms(node);
    let is_in = |room: &&RoomName| rooms.members(room.as_str()).contains(lease.id());
    let room = group.filter(is_in).cloned();
    if room != model.room {
        note(What::Grouped { conn: *conn, what: format!("is in {room:?}, was in {:?}", model.room) });
        // Its client closes its connections. Those of which its node does not know have sent it nothing yet.
        model.met.clear();
        model.room = room;
    }
}

/// Of two only one is told, and opens or closes the connection of both. The other one may have been told the
/// end in the same step, or it has left the group, and the news of that is on its way.
fn learn(players: &mut [Visitor<Matchbox, Player>], told: &BTreeMap<(String, String), bool>) {
    let rooms: BTreeMap<String, Option<RoomName>> = players
        .iter()
        .map(|player| (player.lease.id().as_str().to_owned(), player.model.room.clone()))
        .collect();
    for Visitor { lease, model, .. } in players {
        let own = lease.id().as_str().to_owned();
        let of = |has_come: bool| {
            let pairs = told.iter().filter(move |(_, come)| **come == has_come).map(|(pair, _)| pair);
            pairs.filter(|(one, other)| *one == own || *other == own)
        };
        for (one, other) in of(true) {
            if *one == own {
                model.told.insert(other.clone());
            } else if rooms.get(one) == Some(&model.room) {
                model.met.insert(one.clone());
            }
        }
        for (one, other) in of(false) {
            let gone = if *one == own { other } else { one };
            model.told.remove(gone);
            model.met.remove(gone);
        }
    }
}

fn rooms(node: &Node) -> Arc<Rooms> {
    node.tenant("key").unwrap().rooms(RealmKind::Matchbox)
}

fn assert_fine(history: &History) {
    let faults = check(history);
    assert!(faults.is_empty(), "{history}\n{}", faults.join("\n"));
}

const fn steps(time: Duration) -> usize {
    (time.as_millis() / STEP.as_millis()) as usize
}

/// Clients come to these nodes in turns, for so many steps.
async fn come(world: &mut World, nodes: &[usize], rounds: usize) {
    for round in 0..rounds {
        world.open_player_at(nodes[round % nodes.len()]);
        world.pass(4).await;
    }
}

#[test]
fn clients_of_all_nodes_are_groups_of_their_size() {
    let mut groups = Vec::new();
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world: &mut World| {
        world.pass(20).await;
        come(world, &[0, 1, 2, 1], 13).await;
        world.pass(40).await;
        world.check_settled_groups();
        groups = world.groups();
    });
    assert_fine(&history);
    groups.sort_unstable();
    assert_eq!(groups, [1, 3, 3, 3, 3], "{history}");
}

#[test]
fn the_giver_of_places_dies_while_its_group_is_open_and_clients_wait_for_its_lease() {
    let mut groups = Vec::new();
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world: &mut World| {
        world.pass(20).await;
        // The first one's node gives the places.
        come(world, &[0, 1], 2).await;
        world.kill(0);
        come(world, &[1, 2], 11).await;
        world.pass(steps(LEASE * 3)).await;
        world.check_settled_groups();
        groups = world.groups();
    });
    assert_fine(&history);
    assert_eq!(groups, [3, 3, 3, 3], "{history}");
}

#[test]
fn neither_a_new_node_nor_a_store_that_is_away_splits_a_group() {
    for fault in [Fault::Stalled, Fault::Unreachable, Fault::Refused] {
        for away in [LEASE / 4, LEASE, LEASE * 2] {
            let mut groups = Vec::new();
            let history = play(World::new(1, LEASE, Degraded::Allow), async |world: &mut World| {
                world.pass(20).await;
                world.kill(2);
                world.pass(steps(LEASE * 2)).await;
                come(world, &[0, 1], 2).await;
                // It starts again.
                world.kill(2);
                come(world, &[2], 2).await;
                world.pass(20).await;
                world.store.set_fault(fault);
                world.pass(1).await;
                come(world, &[0, 1, 2], 6).await;
                world.pass(steps(away)).await;
                world.store.set_fault(Fault::None);
                world.pass(steps(LEASE * 4)).await;
                world.check_settled_groups();
                groups = world.groups();
            });
            assert_fine(&history);
            assert!(groups.iter().all(|members| *members <= SIZE), "{groups:?}\n{history}");
        }
    }
}

#[test]
fn a_node_that_slept_longer_than_its_lease_brings_nobody_back_into_a_group() {
    for sleeper in 0..2 {
        let history = play(World::new(1, LEASE, Degraded::Allow), async |world: &mut World| {
            world.pass(20).await;
            come(world, &[0, 1], 2).await;
            world.pause_for(sleeper, LEASE * 2);
            come(world, &[1 - sleeper, 2], 40).await;
            world.pass(steps(LEASE * 4)).await;
            world.check_settled_groups();
        });
        assert_fine(&history);
    }
}
