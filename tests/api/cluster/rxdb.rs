//! Rooms of RxDB whose members are on different nodes.

use super::Nodes;
use crate::rxdb::{ROOM, join, joined, replica, signal};

#[test]
fn members_of_all_nodes_hear_of_each_other_and_signal() {
    let nodes = Nodes::start(2);
    let [(mut a, a_id), (mut b, b_id)] = [0, 1].map(|node| replica(&nodes[node], "replica"));
    a.send(join(ROOM));
    a.expect(joined(&[&a_id]));
    b.send(join(ROOM));
    a.expect(joined(&[&a_id, &b_id]));
    // The news of the other one may come later.
    while b.expect_text() != joined(&[&a_id, &b_id]) {}
    a.send(signal(&a_id, &b_id, r#""type":"offer""#));
    b.expect(signal(&a_id, &b_id, r#""type":"offer""#));
    b.send(signal(&b_id, &a_id, r#""type":"answer""#));
    a.expect(signal(&b_id, &a_id, r#""type":"answer""#));
    b.reset();
    a.expect(joined(&[&a_id]));
}
