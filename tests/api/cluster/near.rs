//! Clients of one network on several nodes.

use super::{Degraded, Nodes};
use crate::harness::wait_until;
use crate::near::{HERE, THERE, client, ids, near};

fn list(ids: &[&str]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    format!(r#"{{"type":"ROOM-MEMBERS","room":"~near","members":[{}]}}"#, ids.join(","))
}

#[test]
fn clients_of_one_network_find_each_other_on_all_nodes() {
    let nodes = Nodes::start_with(2, Degraded::Allow, near);
    let _clients = [
        client(&nodes[0], HERE, "a"),
        client(&nodes[1], HERE, "b"),
        client(&nodes[0], THERE, "c"),
        client(&nodes[1], "192.168.1.2", "d"),
        client(&nodes[0], "fd00::1", "e"),
    ];
    for node in 0..2 {
        // A node that has just joined is not asked yet.
        wait_until("both", || ids(&nodes[node], HERE, "") == r#"["a","b"]"#);
        assert_eq!(ids(&nodes[node], HERE, "?limit=1&after=a"), r#"["b"]"#);
        assert_eq!(ids(&nodes[node], THERE, ""), r#"["c"]"#);
        assert_eq!(ids(&nodes[node], "10.0.0.1", ""), r#"["d","e"]"#);
        assert_eq!(ids(&nodes[node], "198.51.100.1", ""), "[]");
    }
}

#[test]
fn the_room_of_a_network_has_members_on_all_nodes() {
    let nodes = Nodes::start_with(2, Degraded::Allow, near);
    let join = r#"{"type":"ROOM-JOIN","room":"~near"}"#;
    let mut a = client(&nodes[0], HERE, "a");
    a.send(join);
    a.expect(list(&["a"]));
    let mut c = client(&nodes[1], THERE, "c");
    c.send(join);
    c.expect(list(&["c"]));
    let mut b = client(&nodes[1], HERE, "b");
    b.send(join);
    if b.expect_text() == list(&["b"]) {
        b.expect(r#"{"type":"ROOM-JOINED","room":"~near","id":"a"}"#);
    }
    a.expect(r#"{"type":"ROOM-JOINED","room":"~near","id":"b"}"#);
    for dst in ["", r#","dst":"a""#] {
        b.send(format!(r#"{{"type":"ROOM-SEND","room":"~near","payload":1{dst}}}"#));
        a.expect(format!(r#"{{"type":"ROOM-MESSAGE","room":"~near","src":"b"{dst},"payload":1}}"#));
    }
    // It comes back on the other node, and from another network.
    let mut moved = client(&nodes[0], THERE, "b");
    a.expect(r#"{"type":"ROOM-LEFT","room":"~near","id":"b"}"#);
    moved.send(join);
    moved.expect(list(&["b", "c"]));
    c.expect(r#"{"type":"ROOM-JOINED","room":"~near","id":"b"}"#);
    a.expect_nothing("a");
}
