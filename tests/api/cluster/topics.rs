//! Topics whose subscribers are on different nodes.

use peerbroker::wire::RealmKind;

use super::Nodes;
use crate::harness::wait_until;
use crate::topics::{said, settle, subscribe};

#[test]
fn subscribers_of_all_nodes_hear_a_publication_with_the_number_of_all() {
    let mut nodes = Nodes::start(2);
    let [mut a, mut b] = [0, 1].map(|node| nodes[node].guest("subscriber"));
    let subscribers =
        |nodes: &Nodes, node: usize| nodes[node].tenant("peerjs").hub(RealmKind::Guests).members("doc").len();
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
    nodes.add(peerbroker::config::Degraded::Allow, |_| {});
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
