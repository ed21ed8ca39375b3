//! Peers of Matchbox on different nodes.

use peerbroker_config::Degraded;

use super::{Nodes, membership};
use crate::harness::{RawClient, wait_until};
use crate::matchbox::{left, new_peer, newcomer, peer, rooms, signal, signalled, with_matchbox};

#[test]
fn peers_of_a_room_meet_across_nodes() {
    let nodes = Nodes::start_with(2, Degraded::Allow, with_matchbox);
    let [one, other] = [0, 1].map(|node| newcomer(&nodes[node], "/lobby"));
    // Nodes may hear of each other's peers at once, so their ids decide which of two makes the offer.
    let [(mut a, a_id), (mut b, b_id)] = if one.1 < other.1 { [one, other] } else { [other, one] };
    a.expect(new_peer(&b_id));
    a.send(signal(&b_id, r#"{"Offer":"v=0"}"#));
    b.expect(signalled(&a_id, r#"{"Offer":"v=0"}"#));
    b.send(signal(&a_id, r#"{"Answer":"v=0"}"#));
    a.expect(signalled(&b_id, r#"{"Answer":"v=0"}"#));
    b.reset();
    a.expect(left(&b_id));
}

/// Expects that these two are a group of their own.
fn expect_pair(one: &mut (RawClient, String), other: &mut (RawClient, String)) {
    // As above.
    let [(first, _), (_, its)] = if one.1 < other.1 { [one, other] } else { [other, one] };
    first.expect(new_peer(its));
}

/// Waits until all nodes have as many groups.
fn wait_for_groups(nodes: &Nodes, count: usize) {
    wait_until("groups", || nodes.nodes.iter().all(|node| rooms(node) == count));
}

/// Three nodes that know each other.
fn three() -> Nodes {
    let nodes = Nodes::start_with(3, Degraded::Allow, with_matchbox);
    let knows_all = |node| membership(node).view().members.iter().filter(|member| member.alive).count() == 3;
    wait_until("the list of nodes", || nodes.nodes.iter().all(knows_all));
    nodes
}

/// Rooms enough that each node gives the places of some.
const ROOMS: [&str; 8] =
    ["/a?next=2", "/b?next=2", "/c?next=2", "/d?next=2", "/e?next=2", "/f?next=2", "/g?next=2", "/?next=2"];

#[test]
fn those_that_come_one_after_another_are_a_group_on_whichever_node_they_are() {
    let nodes = three();
    for room in ROOMS {
        let [mut a, mut b, c] = [0, 1, 2].map(|node| newcomer(&nodes[node], room));
        expect_pair(&mut a, &mut b);
        wait_for_groups(&nodes, 2);
        // One that leaves before its group is full makes room.
        c.0.reset();
        wait_for_groups(&nodes, 1);
        let [mut d, mut e] = [1, 0].map(|node| newcomer(&nodes[node], room));
        expect_pair(&mut d, &mut e);
        // A full group is not filled again.
        b.0.reset();
        a.0.expect(left(&b.1));
        let [mut f, mut g] = [2, 1].map(|node| newcomer(&nodes[node], room));
        expect_pair(&mut f, &mut g);
        let mut all = [a, d, e, f, g];
        all.iter_mut().for_each(|(client, _)| client.expect_quiet());
        drop(all);
        wait_for_groups(&nodes, 0);
    }
}

#[test]
fn the_host_of_a_room_hears_of_peers_of_all_nodes() {
    let nodes = three();
    for round in 0..6 {
        let room = format!("/{round}?topology=client_server");
        let (mut host, host_id) = newcomer(&nodes[round % 3], &room);
        let mut clients = [0, 1, 2].map(|node| newcomer(&nodes[node], &room));
        let mut heard = clients.each_ref().map(|_| host.expect_text());
        let mut expected = clients.each_ref().map(|(_, id)| new_peer(id));
        heard.sort_unstable();
        expected.sort_unstable();
        assert_eq!(heard, expected);
        host.reset();
        for (client, _) in &mut clients {
            client.expect(left(&host_id));
        }
        drop(clients);
        wait_for_groups(&nodes, 0);
    }
}

#[test]
fn when_the_node_that_gives_places_is_gone_those_who_wait_are_in_other_groups() {
    let mut nodes = three();
    let rooms = ["/a?next=3", "/b?next=3", "/c?next=3"];
    // The node of the first one gives the places.
    let mut waiting = rooms.map(|room| {
        let mut first = peer(&nodes[2], room);
        let mut second = newcomer(&nodes[0], room);
        expect_pair(&mut first, &mut second);
        (first, second)
    });
    drop(nodes.nodes.pop());
    for (room, (first, (second, second_id))) in rooms.iter().zip(&mut waiting) {
        let mut third = newcomer(&nodes[1], room);
        let mut fourth = newcomer(&nodes[1], room);
        second.expect(left(&first.1));
        // Those of one node in their order, of two nodes the smaller id.
        let mut expected = [vec![], vec![fourth.1.clone()], vec![]];
        for (n, other) in [(1, &third.1), (2, &fourth.1)] {
            let (hears, of) = if *second_id < *other { (0, other.clone()) } else { (n, second_id.clone()) };
            expected[hears].push(of);
        }
        for (client, expected) in [second, &mut third.0, &mut fourth.0].into_iter().zip(expected) {
            let mut expected: Vec<String> = expected.iter().map(|id| new_peer(id)).collect();
            let mut heard: Vec<String> = expected.iter().map(|_| client.expect_text()).collect();
            expected.sort_unstable();
            heard.sort_unstable();
            assert_eq!(heard, expected);
            client.expect_quiet();
        }
    }
    wait_for_groups(&nodes, 3);
}
