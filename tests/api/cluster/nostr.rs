//! Subscribers to events of Nostr that are on different nodes.

use peerbroker_core::vocabulary::RealmKind;

use super::Nodes;
use crate::harness::wait_until;
use crate::nostr::{about, hear, publish, subscribe, topics};

#[test]
fn subscribers_of_all_nodes_hear_an_event_with_their_own_ids() {
    let mut nodes = Nodes::start(2);
    let [mut a, mut b] = [0, 1].map(|node| nodes[node].guest("subscriber"));
    subscribe(&mut a, "of a", &[topics(&["t"])]);
    subscribe(&mut b, "of b", &[topics(&["u", "t"])]);
    let subscribers = |nodes: &Nodes, node: usize| {
        nodes[node].tenant("peerjs").rooms(RealmKind::Guests).members("nostr #x t").len()
    };
    wait_until("both", || (0..2).all(|node| subscribers(&nodes, node) == 2));
    // A node that comes later knows them too.
    nodes.add(peerbroker_config::Degraded::Allow, |_| {});
    wait_until("the list", || subscribers(&nodes, 2) == 2);
    let mut c = nodes[2].guest("publisher");
    let event = about("t", "hello");
    publish(&mut c, &event);
    hear(&mut a, "of a", &event);
    hear(&mut b, "of b", &event);
    b.send(r#"["CLOSE","of b"]"#);
    wait_until("the end of a subscription", || (0..3).all(|node| subscribers(&nodes, node) == 1));
    publish(&mut c, &event);
    hear(&mut a, "of a", &event);
    b.expect_quiet();
}
