//! One-to-one calls between nodes.

use super::Nodes;
use crate::harness::guests::{OFFER, call};

#[test]
fn a_call_goes_to_and_fro_between_nodes() {
    let nodes = Nodes::start(2);
    let (mut a, a_id) = nodes[0].caller("a");
    let (mut b, b_id) = nodes[1].caller("b");
    a.send(call("offer", &b_id, &format!(r#","offer":{OFFER}"#)));
    b.expect(call("offer", &a_id, &format!(r#","offer":{OFFER}"#)));
    b.send(call("answer", &a_id, r#","answer":{"type":"answer","sdp":"v=0"}"#));
    a.expect(r#"{"action":"answer","data":{"answer":{"type":"answer","sdp":"v=0"}}}"#);
    for n in 0..20 {
        a.send(call(&format!("a{n}"), &b_id, ""));
        b.send(call(&format!("b{n}"), &a_id, ""));
    }
    for n in 0..20 {
        b.expect(format!(r#"{{"action":"a{n}","data":{{}}}}"#));
        a.expect(format!(r#"{{"action":"b{n}","data":{{}}}}"#));
    }
}

#[test]
fn a_guest_is_called_on_another_node_under_its_last_id_only() {
    let nodes = Nodes::start(2);
    let (mut a, _) = nodes[0].caller("a");
    let (mut b, first) = nodes[1].caller("b");
    let second = b.start();
    let last = b.start();
    assert!(first != second && second != last);
    for (n, id) in [&first, &second, &last].into_iter().enumerate() {
        a.send(call(&format!("call{n}"), id, ""));
    }
    b.expect(r#"{"action":"call2","data":{}}"#);
    b.expect_quiet();
}
