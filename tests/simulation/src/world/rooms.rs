//! Clients that meet in rooms, as their sessions let them.

use std::collections::BTreeMap;

use peerbroker_core::vocabulary::{PeerId, RealmKind, RoomName, Token};
use peerbroker_node::Node;
use peerbroker_rooms::{MAX_DATA_BYTES, Parting};
use peerbroker_router::{Departure, PeerHandle};

use super::{Client, IDS, PROBING, World, hear, note, say};
use crate::history::What;

const ROOMS: [&str; 2] = ["blue", "red"];

impl World {
    pub(super) fn act_in_a_room(&mut self) {
        let act = self.rng.below(10);
        let room = ROOMS[self.rng.below(ROOMS.len())];
        let pick = self.rng.below(100);
        let burst = 1 + self.rng.below(3);
        let to = IDS[self.rng.below(IDS.len())];
        let clients = self.clients.borrow();
        let able: Vec<&Client> = clients.iter().filter(|client| self.is_running(client.node)).collect();
        if able.is_empty() {
            return;
        }
        let client = able[pick % able.len()];
        match act {
            0..=2 => self.join(client, room, self.numbers),
            3 => self.leave_room(client, room),
            4 | 5 => self.update(client, room, self.numbers),
            act => (1..=burst as u32).for_each(|next| {
                // Private ones and those to all in turns, whose order is one.
                let is_private = act == 6 || act == 7 && next % 2 == 1;
                self.tell(client, room, is_private.then_some(to), self.numbers + next);
            }),
        }
        self.numbers += 3;
    }

    pub(super) fn act_in_a_game(&mut self) {
        let [act, pick, room, seat, host] = [10, 100, ROOMS.len(), 5, 4].map(|end| self.rng.below(end));
        let name = self.rng.below(3);
        let seen = self.rng.below(12);
        let value = self.numbers;
        self.numbers += 1;
        let room = ROOMS[room];
        let clients = self.clients.borrow();
        let able: Vec<&Client> = clients.iter().filter(|client| self.is_running(client.node)).collect();
        if able.is_empty() {
            return;
        }
        let client = able[pick % able.len()];
        let seat = if seat == 0 { "true".to_owned() } else { seat.to_string() };
        // Some writes delete, some know the version that is there.
        let value = if value.is_multiple_of(5) { String::new() } else { format!(r#","value":{value}"#) };
        let seen = if seen > 5 { String::new() } else { format!(r#","version":{seen}"#) };
        match act {
            0..=2 => drop(self.ask(
                client,
                &format!(
                    r#"{{"type":"ROOM-JOIN","room":"{room}","data":{},"seat":{seat},"host":{}}}"#,
                    data(self.numbers),
                    host > 0,
                ),
            )),
            3 => self.leave_room(client, room),
            _ => drop(self.ask(
                client,
                &format!(r#"{{"type":"ROOM-SET","room":"{room}","name":"{name}"{value}{seen}}}"#),
            )),
        }
    }

    /// All members write a name that is new, and only the first of each room may.
    pub(super) async fn race(&mut self) {
        for client in self.clients.borrow().iter() {
            for room in ROOMS {
                let by = client.conn;
                self.ask(
                    client,
                    &format!(
                        r#"{{"type":"ROOM-SET","room":"{room}","name":"winner","value":{by},"version":0,"request":"race"}}"#
                    ),
                );
            }
        }
        self.pass(PROBING).await;
    }

    /// Every member tells each of its rooms something.
    pub(super) async fn probe_rooms(&mut self) {
        for client in self.clients.borrow().iter() {
            for room in ROOMS {
                self.numbers += 1;
                self.tell(client, room, None, self.numbers);
            }
        }
        self.pass(PROBING).await;
    }

    pub(super) fn join(&self, client: &Client, room: &'static str, number: u32) {
        self.join_with(client, room, &data(number));
    }

    /// With as much data as a member may have.
    pub(super) fn join_long(&self, client: &Client, room: &'static str, number: u32) {
        self.join_with(client, room, &long_data(number, MAX_DATA_BYTES));
    }

    fn join_with(&self, client: &Client, room: &'static str, data: &str) {
        let text = format!(r#"{{"type":"ROOM-JOIN","room":"{room}","data":{data}}}"#);
        assert!(self.ask(client, &text), "{text}");
    }

    pub(super) fn leave_room(&self, client: &Client, room: &'static str) {
        // The others are in no room.
        if self.ask(client, &format!(r#"{{"type":"ROOM-LEAVE","room":"{room}"}}"#)) {
            self.note(What::Set { conn: client.conn, room, data: None });
        }
    }

    pub(super) fn update(&self, client: &Client, room: &'static str, number: u32) {
        let data = data(number);
        if self.ask(client, &format!(r#"{{"type":"ROOM-UPDATE","room":"{room}","data":{data}}}"#)) {
            self.note(What::Set { conn: client.conn, room, data: Some(data) });
        }
    }

    pub(super) fn tell(&self, client: &Client, room: &'static str, to: Option<&'static str>, number: u32) {
        self.tell_text(client, room, to, number, &data(number));
    }

    pub(super) fn tell_long(&self, client: &Client, room: &'static str, number: u32) {
        self.tell_text(client, room, None, number, &long_data(number, 16 * 1024));
    }

    fn tell_text(
        &self,
        client: &Client,
        room: &'static str,
        to: Option<&'static str>,
        number: u32,
        text: &str,
    ) {
        let dst = to.map(|to| format!(r#","dst":"{to}""#)).unwrap_or_default();
        if self.ask(client, &format!(r#"{{"type":"ROOM-SEND","room":"{room}"{dst},"payload":{text}}}"#)) {
            note(&self.history, &self.steps, What::Told { conn: client.conn, room, to, number });
        }
    }

    /// The members of rooms, as a node knows them.
    pub(super) fn members_of(&self, node: usize, names: &[&str]) -> Vec<Vec<String>> {
        let node = &self.nodes[node].as_ref().expect("a node").node;
        let rooms = node.tenant("key").unwrap().rooms(RealmKind::PeerJs);
        let of = |room: &&str| rooms.members(room).iter().map(|id| id.as_str().to_owned()).collect();
        names.iter().map(of).collect()
    }

    /// Sends a request. False if it is refused.
    fn ask(&self, client: &Client, text: &str) -> bool {
        // Later messages are behind the answer.
        hear(client.conn, &client.socket, &self.history, &self.steps);
        say(self.node_of(client), &client.lease, text);
        !client.socket.contains("ROOM-REFUSED")
    }

    pub(super) fn node_of(&self, client: &Client) -> &Node {
        &self.nodes[client.node].as_ref().expect("its node").node
    }
}

fn data(number: u32) -> String {
    format!("{{\"n\":{number}}}")
}

fn long_data(number: u32, len: usize) -> String {
    let short = format!("{{\"n\":{number},\"x\":\"\"}}");
    short.replace("\"\"", &format!("\"{}\"", "x".repeat(len - short.len())))
}

/// The rooms of a client, as its session knows them before it has its id.
pub(super) fn of_client(node: &Node, id: &PeerId, token: &Token) -> Vec<RoomName> {
    let rooms = node.tenant("key").and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs));
    rooms.map(|rooms| rooms.rooms_of(id, token, None)).unwrap_or_default()
}

/// A session has begun.
pub(super) fn opened(node: &Node, peer: &PeerHandle) {
    if let Some(rooms) = node.tenant("key").and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs)) {
        rooms.opened(peer);
    }
}

/// A session has ended.
pub(super) fn depart(node: &Node, departure: Departure, for_good: bool) {
    if let Some(rooms) = node.tenant("key").and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs)) {
        rooms.departed(&departure.peer, if for_good { Parting::ForGood } else { Parting::Lost });
    }
}

pub(super) fn contradiction(node: &Node) -> Option<String> {
    node.tenant("key")?.existing_rooms(RealmKind::PeerJs)?.contradiction()
}

pub(super) fn members(node: &Node) -> BTreeMap<&'static str, Vec<String>> {
    let Some(rooms) = node.tenant("key").and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs)) else {
        return BTreeMap::new();
    };
    let of = |room: &str| rooms.members(room).iter().map(|id| id.as_str().to_owned()).collect();
    ROOMS.into_iter().map(|room| (room, of(room))).collect()
}
