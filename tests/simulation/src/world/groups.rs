//! Peers of Matchbox that come one after another, as their sessions let them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use peerbroker::config::Degraded;
use peerbroker::node::Node;
use peerbroker::protocols::matchbox::Matchbox;
use peerbroker::rooms::Rooms;
use peerbroker::router::{Disconnect, IdLease};
use peerbroker::vocabulary::{CloseReason, RealmKind, RoomName};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::session::Session;
use super::{LEASE, STEP, World, note, open, play};
use crate::checker::check;
use crate::history::{Conn, History, What};
use crate::sim::Fault;
use crate::socket::Socket;

const ROOM: &str = "duel";
const SIZE: usize = 3;

pub(super) struct Player {
    conn: Conn,
    node: usize,
    lease: IdLease,
    socket: Socket,
    session: Session<Matchbox>,
    /// The group in whose room it is.
    room: Option<RoomName>,
    /// The peers of its group, as its client knows them: it was told of them, or they of it.
    known: BTreeSet<String>,
}

impl World {
    pub(super) fn open_player(&mut self) {
        let index = self.rng.below(self.nodes.len());
        self.open_player_at(index);
    }

    /// A client asks for the room.
    fn open_player_at(&mut self, index: usize) {
        let Some(handle) = self.nodes[index].as_mut().filter(|node| !node.pause.paused.get()) else { return };
        self.conns += 1;
        let conn = self.conns;
        let node = Arc::clone(&handle.node);
        let players = Rc::clone(&self.players);
        let history = Rc::clone(&self.history);
        let steps = Rc::clone(&self.steps);
        handle.opening.push(spawn_local(async move {
            let socket = Socket::default();
            let id = format!("player-{conn}");
            let realm = Arc::clone(rooms(&node).realm());
            let opened = timeout(Duration::from_secs(20), open(&node, &realm, &id, 0, &socket)).await;
            let Ok(Ok(lease)) = opened else {
                return note(&history, &steps, What::Refused { conn, id: "player", why: "unavailable" });
            };
            note(&history, &steps, What::Opened { conn, id: Box::leak(id.into()), token: 0, node: index });
            let query = format!("room={ROOM}&next={SIZE}");
            let session = Session::open(&node, &lease, &query);
            let room = None;
            let known = BTreeSet::new();
            players.borrow_mut().push(Player { conn, node: index, lease, socket, session, room, known });
        }));
    }

    pub(super) fn close_player(&mut self) {
        let mut players = self.players.borrow_mut();
        let able: Vec<usize> = (0..players.len()).filter(|at| self.is_running(players[*at].node)).collect();
        if able.is_empty() {
            return;
        }
        let player = players.swap_remove(able[self.rng.below(able.len())]);
        drop(players);
        self.end_player(player, "closed");
    }

    fn end_player(&self, Player { conn, lease, session, .. }: Player, why: &'static str) {
        self.note(What::Ended { conn, why });
        session.close(lease, Disconnect::ByServer(CloseReason::Left));
    }

    pub(super) fn kill_players(&self, index: usize) {
        for player in self.players.borrow_mut().extract_if(.., |player| player.node == index) {
            self.note(What::Ended { conn: player.conn, why: "killed" });
            // As for other clients.
            std::mem::forget(player);
        }
    }

    /// Sessions do what their groups want, and clients hear of each other.
    pub(super) fn play_in_groups(&self) {
        let mut players = self.players.borrow_mut();
        let mut ended = Vec::new();
        for player in players.iter_mut().filter(|player| self.is_running(player.node)) {
            let node = &self.nodes[player.node].as_ref().expect("its node").node;
            player.act(node, |what| self.note(what));
            if !player.lease.is_current() {
                ended.push(player.conn);
            }
        }
        let gone: Vec<Player> = players.extract_if(.., |player| ended.contains(&player.conn)).collect();
        // If a player was told last in this step that another one has come, or has gone.
        let mut told: BTreeMap<(String, String), bool> = BTreeMap::new();
        for player in players.iter_mut().filter(|player| self.is_running(player.node)) {
            // It answers pings.
            player.lease.mark_alive();
            for text in player.socket.texts() {
                let (what, id) = text.trim_matches(['{', '}']).split_once(':').expect("an event");
                let pair = (player.lease.id().to_string(), id.trim_matches('"').to_owned());
                told.insert(pair, what == r#""NewPeer""#);
                self.note(What::Grouped { conn: player.conn, what: text });
            }
        }
        let rooms: BTreeMap<String, Option<RoomName>> =
            players.iter().map(|player| (player.lease.id().to_string(), player.room.clone())).collect();
        for player in players.iter_mut() {
            let own = player.lease.id().to_string();
            // Of two only one is told, and opens or closes the connection of both. The other one may have been told the end in the same
            // step, or it has left the group, and the news of that is on its way.
            for has_come in [true, false] {
                for (one, other) in told.iter().filter(|(_, come)| **come == has_come).map(|(pair, _)| pair) {
                    let is_there = !has_come || rooms.get(one) == Some(&player.room);
                    if *one == own {
                        player.learn(other, has_come);
                    } else if *other == own && is_there {
                        player.learn(one, has_come);
                    }
                }
            }
        }
        let alive: BTreeSet<String> = players.iter().map(|player| player.lease.id().to_string()).collect();
        for player in players.iter() {
            let group: BTreeSet<_> = player.known.intersection(&alive).collect();
            if group.len() >= SIZE {
                let what = format!("{} is in a group with {group:?}", player.lease.id());
                self.note(What::Contradiction { node: player.node, what });
            }
        }
        drop(players);
        for player in gone {
            self.end_player(player, "gave up");
        }
    }

    /// Everybody has a place, and at most one group is not full.
    pub(super) fn check_settled_groups(&self) {
        let players = self.players.borrow();
        let mut open: BTreeMap<&RoomName, usize> = BTreeMap::new();
        for player in players.iter() {
            match &player.room {
                None => self.contradict(player, "waits for a place"),
                Some(room) if player.session.client.is_open() => *open.entry(room).or_default() += 1,
                Some(_) => {}
            }
        }
        if open.len() > 1 || open.values().any(|members| *members >= SIZE) {
            let what = format!("these groups are open: {open:?}");
            self.note(What::Contradiction { node: 0, what });
        }
    }

    fn contradict(&self, player: &Player, what: &str) {
        let what = format!("{} {what}", player.lease.id());
        self.note(What::Contradiction { node: player.node, what });
    }

    /// The members of each group.
    fn groups(&self) -> Vec<usize> {
        let players = self.players.borrow();
        let mut groups: BTreeMap<&RoomName, usize> = BTreeMap::new();
        players
            .iter()
            .filter_map(|player| player.room.as_ref())
            .for_each(|room| *groups.entry(room).or_default() += 1);
        groups.into_values().collect()
    }
}

impl Player {
    /// Another one is in its group, or no longer.
    fn learn(&mut self, other: &str, has_come: bool) {
        if has_come {
            self.known.insert(other.to_owned());
        } else {
            self.known.remove(other);
        }
    }

    fn act(&mut self, node: &Arc<Node>, note: impl Fn(What)) {
        self.session.go_on(node, &self.lease);
        let rooms = rooms(node);
        let is_in = |room: &&RoomName| rooms.members(room.as_str()).contains(self.lease.id());
        let room = self.session.client.group().filter(is_in).cloned();
        if room != self.room {
            let what = format!("is in {room:?}, was in {:?}", self.room);
            note(What::Grouped { conn: self.conn, what });
            self.room = room;
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
