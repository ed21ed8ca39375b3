//! Topics whose subscribers are on different nodes.

use std::time::Duration;

use peerbroker_config::ClusterConfig;
use peerbroker_core::vocabulary::{Limit, RealmKind};
use peerbroker_events::Count;

use super::Nodes;
use crate::harness::{TestServer, wait_until};
use crate::topics::{said, settle, subscribe};

#[test]
fn subscribers_of_all_nodes_hear_a_publication_with_the_number_of_all() {
    let mut nodes = Nodes::start(2);
    let [mut a, mut b] = [0, 1].map(|node| nodes[node].guest("subscriber"));
    let subscribers = |nodes: &Nodes, node: usize| {
        nodes[node].tenant("peerjs").rooms(RealmKind::Guests).members("doc").len()
    };
    a.send(subscribe(&["doc"]));
    b.send(subscribe(&["doc"]));
    wait_until("both", || (0..2).all(|node| subscribers(&nodes, node) == 2));
    // A room of the same name is another one.
    let mut member = nodes[0].client("member");
    member.send(r#"{"type":"ROOM-JOIN","room":"doc"}"#);
    assert!(member.expect_text().contains(r#""members":[{"id":"member"}]"#));
    for (from, n) in [(0, 1), (1, 2)] {
        [&mut a, &mut b][from].send(said("doc", n, None));
        a.expect(said("doc", n, Some(2)));
        b.expect(said("doc", n, Some(2)));
    }
    member.expect_nothing("member");
    // A node that comes later knows them too, and may publish to them.
    nodes.add(peerbroker_config::Degraded::Allow, |_| {});
    wait_until("the list", || subscribers(&nodes, 2) == 2);
    let mut c = nodes[2].guest("publisher");
    c.send(said("doc", 3, None));
    a.expect(said("doc", 3, Some(2)));
    b.expect(said("doc", 3, Some(2)));
    b.reset();
    wait_until("the end of a subscription", || subscribers(&nodes, 0) == 1);
    a.send(said("doc", 4, None));
    a.expect(said("doc", 4, Some(1)));
    settle(&mut c);
}

#[test]
fn a_publication_or_message_to_a_room_for_which_a_link_has_no_room_is_counted() {
    let mut nodes = Nodes::start(0);
    for _ in 0..2 {
        // A node may say something for as long as Redis stands still.
        let cluster = ClusterConfig { lease: Duration::from_secs(600), ..nodes.cluster() };
        nodes.push(TestServer::start_node(cluster, |config| config.key_settings.messages_per_second = 0));
    }
    let [mut publisher, mut subscriber] = [0, 1].map(|node| nodes[node].guest("guest"));
    subscriber.send(subscribe(&["doc"]));
    let mut member = nodes[0].client("member");
    let mut other = nodes[1].client("other");
    member.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    member.expect_text();
    other.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    assert!(member.expect_text().contains("ROOM-JOINED"));
    let known = || nodes[0].tenant("peerjs").rooms(RealmKind::Guests).members("doc").len();
    wait_until("the subscriber", || known() == 1);
    let dropped = || nodes[0].node().counters().total(Count::LimitHits(Limit::LinkBytes));

    nodes.redis.signal("-STOP");
    let text = "x".repeat(200_000);
    let publication = format!(r#"{{"type":"publish","topic":"doc","data":"{text}"}}"#);
    let mut sent = 0;
    while dropped() == 0 {
        assert!(sent < 100, "8 MiB");
        publisher.send(&publication);
        settle(&mut publisher);
        sent += 1;
    }
    // Its sender hears it, where the protocol has an answer.
    let of_topics = dropped();
    (0..40).for_each(|_| member.send(format!(r#"{{"type":"ROOM-SEND","room":"r","payload":"{text}"}}"#)));
    assert!(member.expect_text().contains("cluster_busy"));
    assert!(dropped() > of_topics);
    nodes.redis.signal("-CONT");
}
