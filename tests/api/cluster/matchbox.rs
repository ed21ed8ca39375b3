//! Peers of Matchbox on different nodes.

use peerbroker::config::Degraded;

use super::Nodes;
use crate::matchbox::{left, new_peer, peer, signal, signalled, with_matchbox};

#[test]
fn peers_of_a_room_meet_across_nodes_and_those_of_a_group_on_one() {
    let nodes = Nodes::start_with(2, Degraded::Allow, with_matchbox);
    let [one, other] = [0, 1].map(|node| peer(&nodes[node], "/lobby"));
    // Nodes may hear of each other's peers at once, so their ids decide which of two makes the offer.
    let [(mut a, a_id), (mut b, b_id)] = if one.1 < other.1 { [one, other] } else { [other, one] };
    a.expect(new_peer(&b_id));
    a.send(signal(&b_id, r#"{"Offer":"v=0"}"#));
    b.expect(signalled(&a_id, r#"{"Offer":"v=0"}"#));
    b.send(signal(&a_id, r#"{"Answer":"v=0"}"#));
    a.expect(signalled(&b_id, r#"{"Answer":"v=0"}"#));
    b.reset();
    a.expect(left(&b_id));
    let (mut c, _) = peer(&nodes[0], "/duel?next=2");
    let (mut d, _) = peer(&nodes[1], "/duel?next=2");
    let (_e, e_id) = peer(&nodes[1], "/duel?next=2");
    d.expect(new_peer(&e_id));
    c.expect_quiet();
}
