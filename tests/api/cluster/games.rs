//! Seats and state of a room whose members are on different nodes.

use serde_json::Value;

use super::Nodes;
use crate::harness::RawClient;

/// A member with a seat in the room `r`.
struct Player {
    client: RawClient,
    id: &'static str,
}

impl Player {
    fn join(nodes: &Nodes, node: usize, id: &'static str) -> Self {
        let mut client = nodes[node].client(id);
        client.send(r#"{"type":"ROOM-JOIN","room":"r","seat":true}"#);
        Player { client, id }
    }

    /// The next frame of a type.
    fn next(&mut self, kinds: &[&str]) -> Value {
        loop {
            let frame: Value = serde_json::from_str(&self.client.expect_text()).unwrap();
            if kinds.iter().any(|kind| frame["type"] == *kind) {
                return frame;
            }
        }
    }

    fn set(&mut self, name: &str, value: &str, version: u64) {
        self.client.send(format!(
            r#"{{"type":"ROOM-SET","room":"r","name":"{name}","value":{value},"version":{version},"request":1}}"#
        ));
    }

    /// True if its write was done.
    fn is_first(&mut self) -> bool {
        self.next(&["ROOM-OK", "ROOM-REFUSED"])["type"] == "ROOM-OK"
    }
}

/// One on each of three nodes, the one of the first node first.
fn three(nodes: &Nodes) -> [Player; 3] {
    let mut players = Vec::new();
    for (node, id) in [(0, "a"), (1, "b"), (2, "c")] {
        let mut player = Player::join(nodes, node, id);
        let list = player.next(&["ROOM-MEMBERS"]);
        let others = list["members"].as_array().unwrap().len() - 1;
        (others..players.len()).for_each(|_| drop(player.next(&["ROOM-JOINED"])));
        for before in &mut players {
            Player::next(before, &["ROOM-JOINED"]);
        }
        players.push(player);
    }
    players.try_into().ok().unwrap()
}

#[test]
fn of_members_of_all_nodes_that_write_at_once_one_is_the_first() {
    let nodes = Nodes::start(3);
    let mut players = three(&nodes);
    for round in 0..20 {
        let name = format!("buzz {round}");
        for player in &mut players {
            player.set(&name, &format!("\"{}\"", player.id), 0);
        }
        let first = players.each_mut().map(Player::is_first);
        assert_eq!(first.iter().filter(|first| **first).count(), 1, "{first:?}");
    }
    // A newcomer on another node than the first has all of it.
    let mut late = Player::join(&nodes, 1, "late");
    let list = late.next(&["ROOM-MEMBERS"]);
    assert_eq!(list["state"].as_array().unwrap().len(), 20);
    let seats: Vec<_> = list["members"].as_array().unwrap().iter().map(|of| of["seat"].as_u64()).collect();
    assert_eq!(seats, [Some(1), Some(2), Some(3), Some(4)]);
}

#[test]
fn a_state_outlives_the_node_that_has_ordered_it() {
    let mut nodes = Nodes::start(3);
    let [mut a, mut b, mut c] = three(&nodes);
    c.set("n", "1", 0);
    assert!(c.is_first());
    assert_eq!(b.next(&["ROOM-STATE"])["value"], 1);
    a.client.send(r#"{"type":"ROOM-LEAVE","room":"r"}"#);
    drop(nodes.nodes.remove(0));
    assert_eq!(b.next(&["ROOM-LEFT"])["id"], "a");
    assert_eq!(c.next(&["ROOM-LEFT"])["id"], "a");
    // The node of b decides now, and knows the version.
    let writes = |player: &mut Player, version| {
        player.set("n", "2", version);
        player.is_first()
    };
    assert_eq!([writes(&mut c, 0), writes(&mut b, 1), writes(&mut c, 1)], [false, true, false]);
}
