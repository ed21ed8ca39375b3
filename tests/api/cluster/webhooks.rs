//! Webhooks of several nodes: each sends the events of its own clients.

use std::collections::BTreeMap;

use peerbroker_config::Degraded;

use super::Nodes;
use crate::harness::receiver::Receiver;

#[test]
fn each_node_announces_its_own_connections_also_at_a_takeover_between_nodes() {
    let receiver = Receiver::start();
    let nodes = Nodes::start_with(2, Degraded::Allow, |config| config.webhooks.operator = receiver.webhook());
    let mut before = nodes[0].client("alice");
    let after = nodes[1].client("alice");
    before.expect_closed_with(Some(4001));
    drop(after);
    let mut pairs: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    while pairs.values().map(Vec::len).sum::<usize>() < 4 {
        let event = receiver.next().event;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        if event["data"]["id"] == "alice" {
            let connection = text(&event["data"]["connection"]);
            pairs.entry(connection).or_default().push((text(&event["type"]), text(&event["data"]["node"])));
        }
    }
    let mut pairs: Vec<_> = pairs.into_values().collect();
    pairs.sort_by(|a, b| a[0].1.cmp(&b[0].1));
    let pair_of = |node: &str| {
        ["peer.connected", "peer.disconnected"].map(|kind| (kind.to_owned(), node.to_owned())).to_vec()
    };
    assert_eq!(pairs, [pair_of("node-0"), pair_of("node-1")]);
}
