//! Messages for absent peers. `crates/router/tests/house/stories/expiry.rs` has the rules of expiry.

use crate::harness::messages::{KINDS, forwarded, forwarded_offer, message, offer};
use crate::harness::on_own;

#[test]
fn queued_messages_follow_the_open_of_their_recipient() {
    on_own(|server| {
        let mut a = server.client("a");
        let mut c = server.client("c");
        // Whose token the next client has does not matter.
        server.client_with_token("b", "first").close(None);
        server.wait_until_gone("b");
        for (n, kind) in KINDS.iter().enumerate() {
            a.send(message(kind, "b", &n.to_string()));
            a.expect_nothing("a");
            c.send(offer("b", &n.to_string()));
            c.expect_nothing("c");
        }
        let mut b = server.client("b");
        for (n, kind) in KINDS.iter().enumerate() {
            b.expect(forwarded(kind, "a", "b", &n.to_string()));
            b.expect(forwarded_offer("c", "b", &n.to_string()));
        }
        b.expect_nothing("b");
        assert_eq!(server.node().queued_bytes(), 0);
        drop(b);
        server.wait_until_gone("b");
        server.client("b").expect_nothing("b");
    });
}
