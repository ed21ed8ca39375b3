//! The ids that nodes give to clients, and lists of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use peerbroker::PeerBroker;

use super::Nodes;

/// A node that gives "id 0", "id 1" and so on.
fn add_counting(nodes: &mut Nodes) {
    let count = AtomicUsize::new(0);
    let generate = move |_: &str| format!("id {}", count.fetch_add(1, Ordering::SeqCst));
    let node = crate::harness::TestServer::start_node_of(
        PeerBroker::builder().generate_id(generate),
        nodes.cluster(),
    );
    nodes.push(node);
}

#[test]
fn no_node_gives_an_id_that_a_client_of_another_node_has() {
    let mut nodes = Nodes::start(1);
    add_counting(&mut nodes);
    let _clients = (nodes[0].client("id 0"), nodes[0].client("id 1"), nodes[1].client("id 3"));
    let given = |nodes: &Nodes| nodes[1].get("/peerjs/id").text().to_owned();
    assert_eq!([given(&nodes), given(&nodes)], ["id 2", "id 4"]);
}

#[test]
fn a_node_that_cannot_ask_the_others_gives_ids_all_the_same() {
    let mut nodes = Nodes::start(1);
    add_counting(&mut nodes);
    let _here = nodes[1].client("id 0");
    nodes.redis.kill();
    assert_eq!(nodes[1].get("/peerjs/id").text(), "id 1");
}

#[test]
fn lists_of_all_nodes_count_like_opens_for_their_address() {
    let nodes = Nodes::start_with(1, super::Degraded::Allow, |config| {
        config.key_settings.allow_discovery = true.into();
        config.proxied = true;
        config.address_limits.opens_per_second = 1;
    });
    let list = |nodes: &Nodes, from: &str| {
        nodes[0].request("GET", "/peerjs/peers", &format!("X-Forwarded-For: {from}\r\n")).status
    };
    let answers: Vec<u16> = (0..30).map(|_| list(&nodes, "192.0.2.1")).collect();
    assert!(answers.starts_with(&[200; 10]) && answers.contains(&429), "{answers:?}");
    assert_eq!(list(&nodes, "192.0.2.2"), 200);
}
