//! Messages of the app's server to clients of any node.

use peerbroker_core::vocabulary::{ApiKey, PeerId, RealmKind};
use peerbroker_node::{Node, Sent};

use super::{Nodes, membership};
use crate::harness::wait_until;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn send(node: &Node, id: &str, payload: &str, waits: bool) -> Sent {
    let key = ApiKey::parse("peerjs").unwrap();
    let id = PeerId::parse(id).unwrap();
    wait(node.send(&key, &id, payload, waits))
}

fn message(payload: &str) -> String {
    format!(r#"{{"type":"SERVER-MESSAGE","payload":{payload}}}"#)
}

#[test]
fn a_message_goes_to_the_node_of_its_client_in_order_and_to_all_nodes() {
    let nodes = Nodes::start(2);
    let mut a = nodes[0].client("a");
    let mut b = nodes[1].client("b");
    for number in 0..10 {
        assert_eq!(send(nodes[0].node(), "b", &number.to_string(), false), Sent::Reached);
    }
    (0..10).for_each(|number| b.expect(message(&number.to_string())));
    assert_eq!(send(nodes[0].node(), "nobody", "1", false), Sent::Absent);

    wait_until("the other node", || membership(&nodes[0]).view().members.len() == 2);
    let key = ApiKey::parse("peerjs").unwrap();
    assert_eq!(wait(nodes[0].node().send_to_all(&key, "2")), 2);
    a.expect(message("2"));
    b.expect(message("2"));
}

#[test]
fn a_message_to_a_room_reaches_each_member_once_on_whichever_node_it_is() {
    let nodes = Nodes::start(3);
    let mut members: Vec<_> = (0..6).map(|number| nodes[number % 3].client(&number.to_string())).collect();
    members.iter_mut().for_each(|member| member.send(r#"{"type":"ROOM-JOIN","room":"r"}"#));
    for node in &nodes.nodes {
        wait_until("all members", || node.tenant("peerjs").rooms(RealmKind::PeerJs).members("r").len() == 6);
    }
    let key = ApiKey::parse("peerjs").unwrap();
    for (number, node) in nodes.nodes.iter().enumerate() {
        assert_eq!(node.node().send_to_room(&key, "r", &number.to_string()), 6);
    }
    for member in &mut members {
        let mut heard: Vec<String> = Vec::new();
        while heard.len() < 3 {
            let text = member.expect_text();
            heard.extend(text.contains("SERVER-MESSAGE").then_some(text));
        }
        heard.sort();
        let expected =
            ["0", "1", "2"].map(|n| format!(r#"{{"type":"SERVER-MESSAGE","room":"r","payload":{n}}}"#));
        assert_eq!(heard, expected);
    }
    (0..6).for_each(|number| members[number].expect_nothing(&number.to_string()));
}

#[test]
fn a_message_waits_on_its_node_for_a_client_that_opens_on_another() {
    let nodes = Nodes::start(2);
    assert_eq!(send(nodes[0].node(), "late", "1", true), Sent::Waits);
    let mut late = nodes[1].client("late");
    late.expect(message("1"));
    late.expect_nothing("late");
}
