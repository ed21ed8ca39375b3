//! The page of a client goes away while its peers, or its next connection, are on other nodes.

use super::{Degraded, Nodes};
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::wait_until;

const LEAVE: &str = r#"{"type":"LEAVE","src":"a","dst":"b"}"#;

fn start() -> Nodes {
    Nodes::start_with(2, Degraded::Allow, |config| config.key_settings.leave_on_close = true)
}

#[test]
fn a_peer_on_another_node_hears_leave_as_sender_and_as_recipient() {
    let nodes = start();
    let mut b = nodes[1].client("b");
    let mut sender = nodes[0].client("a");
    sender.send(offer("b", "1"));
    b.expect(forwarded_offer("a", "b", "1"));
    sender.expect_closed_by_us(Some(1001));
    b.expect(LEAVE);

    let mut recipient = nodes[0].client("a");
    b.send(offer("a", "2"));
    recipient.expect(forwarded_offer("b", "a", "2"));
    recipient.expect_closed_by_us(Some(1001));
    b.expect(LEAVE);
    b.expect_nothing("b");
}

#[test]
fn a_connection_that_was_replaced_by_one_on_another_node_says_nothing() {
    let nodes = start();
    let mut old = nodes[0].client("a");
    let mut b = nodes[1].client("b");
    old.send(offer("b", "1"));
    b.expect(forwarded_offer("a", "b", "1"));
    let mut new = nodes[1].client("a");
    assert_eq!(old.expect_close(), Some(4001));
    old.close(Some(1001));
    old.expect_end();
    wait_until("the end of the session", || nodes[0].node().peers() == 0);
    // On the way of that LEAVE.
    let mut c = nodes[0].client("c");
    c.send(offer("b", "2"));
    b.expect(forwarded_offer("c", "b", "2"));
    new.expect_nothing("a");
}
