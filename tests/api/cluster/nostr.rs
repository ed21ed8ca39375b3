//! Subscribers to events of Nostr that are on different nodes.

use peerbroker_config::Degraded;
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

#[test]
fn a_sender_on_another_node_uses_up_its_own_share_of_the_deliveries_here() {
    const SUBSCRIPTIONS: usize = 20;
    const EVENTS: usize = 20;
    let nodes = Nodes::start_with(2, Degraded::Allow, |config| {
        config.limits.room_deliveries_per_second = 0;
        config.limits.room_key_deliveries_per_second = 5;
    });
    let mut subscriber = nodes[1].guest("subscriber");
    (0..SUBSCRIPTIONS).for_each(|n| subscribe(&mut subscriber, &n.to_string(), &[topics(&["t"])]));
    let rooms = || nodes[0].tenant("peerjs").rooms(RealmKind::Guests);
    wait_until("the subscriber", || rooms().members("nostr #x t").len() == 1);
    let [mut busy, mut quiet] = [0, 1].map(|_| nodes[0].guest("publisher"));
    (0..EVENTS).for_each(|n| publish(&mut busy, &about("t", &n.to_string())));
    publish(&mut quiet, &about("t", "quiet"));
    let mut heard = 0;
    while !subscriber.expect_text().contains("quiet") {
        heard += 1;
    }
    // The burst is 50, and an event costs 19 here: the sender has paid for one on its node.
    assert!((1..6 * SUBSCRIPTIONS).contains(&heard), "{heard} of {}", EVENTS * SUBSCRIPTIONS);
}
