//! Swarms whose members are on different nodes.

use std::time::Duration;

use peerbroker::Config;
use peerbroker_config::Degraded;
use peerbroker_protocols::tracker::{Counts, Hash};
use serde_json::json;

use super::Nodes;
use crate::harness::{RawClient, wait_until};
use crate::tracker::{INFO_HASH, announce, counted, heard, id, join, offers, refused, swarms, with_tracker};

fn start(count: usize) -> Nodes {
    Nodes::start_with(count, Degraded::Allow, configure)
}

fn configure(config: &mut Config) {
    with_tracker(config);
    config.limits.probe_timeout = Duration::from_millis(500);
}

fn info_hash() -> Hash {
    INFO_HASH.as_bytes().try_into().unwrap()
}

/// Waits until each node counts as many members.
fn settle(nodes: &Nodes, complete: usize, incomplete: usize) {
    for node in &nodes.nodes {
        wait_until("all members", || swarms(node).counts(&info_hash()) == Counts { complete, incomplete });
    }
}

/// Sends an offer, to which the only other member answers.
fn exchange((one, name): (&mut RawClient, char), (other, its): (&mut RawClient, char), members: [usize; 2]) {
    let [complete, incomplete] = members;
    one.send(announce(INFO_HASH, name, &json!({ "offers": offers(7..9) })));
    one.expect(counted(INFO_HASH, complete, incomplete));
    other.expect(heard("offer", &offers(7..8)[0]["offer"].to_string(), "7", name));
    other.send(announce(INFO_HASH, its, &json!({ "to_peer_id": id(name), "answer": {}, "offer_id": "7" })));
    one.expect(heard("answer", "{}", "7", its));
}

#[test]
fn members_of_all_nodes_are_one_swarm() {
    let mut nodes = start(2);
    let [mut a, mut b] = [0, 1].map(|node| nodes[node].guest("member"));
    join(&mut a, 'a', 0, 1, 0);
    settle(&nodes, 1, 0);
    join(&mut b, 'b', 5, 1, 1);
    settle(&nodes, 1, 1);
    exchange((&mut a, 'a'), (&mut b, 'b'), [1, 1]);
    exchange((&mut b, 'b'), (&mut a, 'a'), [1, 1]);
    b.send(announce(INFO_HASH, 'b', &json!({ "event": "completed" })));
    b.expect(counted(INFO_HASH, 2, 0));
    settle(&nodes, 2, 0);
    // A node that comes later knows them too.
    nodes.add(Degraded::Allow, configure);
    settle(&nodes, 2, 0);
    let mut c = nodes[2].guest("member");
    c.send(json!({ "action": "scrape", "info_hash": INFO_HASH }).to_string());
    assert!(c.expect_text().contains(r#""complete":2,"incomplete":0"#));
    a.send(announce(INFO_HASH, 'a', &json!({ "event": "stopped" })));
    a.expect(counted(INFO_HASH, 1, 0));
    settle(&nodes, 1, 0);
    c.send(announce(INFO_HASH, 'c', &json!({ "event": "started" })));
    c.expect(counted(INFO_HASH, 1, 1));
    exchange((&mut c, 'c'), (&mut b, 'b'), [1, 1]);
    b.reset();
    settle(&nodes, 0, 1);
    drop(c);
    settle(&nodes, 0, 0);
    assert!(nodes.nodes.iter().all(|node| swarms(node).is_empty()));
}

#[test]
fn an_id_is_that_of_one_member_on_all_nodes() {
    let nodes = start(2);
    let [mut a, mut thief] = [0, 1].map(|node| nodes[node].guest("member"));
    join(&mut a, 'a', 1, 0, 1);
    settle(&nodes, 0, 1);
    thief.send(announce(INFO_HASH, 'a', &json!({})));
    let ping = a.expect_ping();
    a.pong(&ping);
    thief.expect(refused(INFO_HASH, "another client has this peer_id"));
    settle(&nodes, 0, 1);
}

#[test]
fn a_member_that_lost_its_network_is_one_again_on_any_node() {
    let nodes = start(3);
    for (lost, back) in [(1, 2), (1, 0), (0, 2), (2, 2)] {
        let [mut lost, mut back, mut other] = [lost, back, 0].map(|node| nodes[node].guest("member"));
        join(&mut lost, 'a', 1, 0, 1);
        settle(&nodes, 0, 1);
        back.send(announce(INFO_HASH, 'a', &json!({ "left": 1 })));
        lost.expect_ping();
        back.expect(counted(INFO_HASH, 0, 1));
        lost.expect_close();
        drop(lost);
        settle(&nodes, 0, 1);
        // It may hear of the old connection's end first.
        other.send(announce(INFO_HASH, 'b', &json!({ "left": 1 })));
        other.expect_text();
        settle(&nodes, 0, 2);
        exchange((&mut other, 'b'), (&mut back, 'a'), [0, 2]);
        drop((back, other));
        settle(&nodes, 0, 0);
    }
}
