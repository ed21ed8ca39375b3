//! Messages for absent peers. `crates/router/tests/house/stories/expiry.rs` has the rules of expiry.

use std::time::Duration;

use crate::harness::messages::{KINDS, forwarded, forwarded_offer, message, offer};
use crate::harness::{on_own, on_own_with};

const MS: Duration = Duration::from_millis(1);
const EXPIRE: Duration = Duration::from_millis(5000);

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

#[test]
fn a_refused_registration_gets_nothing_of_what_waits() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 2,
        |server| {
            let mut a = server.client("a");
            let c = server.client("c");
            a.send(offer("b", "1"));
            a.expect_nothing("a");
            for query in ["key=wrong&id=b&token=t", "key=peerjs&id=b&token=", "key=peerjs&id=b&token=t"] {
                let mut refused = server.connect_with_query(query);
                assert!(refused.expect_text().starts_with(r#"{"type":"ERROR""#));
                refused.expect_closed_with(None);
            }
            drop(c);
            server.wait_until_gone("c");
            server.client("b").expect(forwarded_offer("a", "b", "1"));
        },
    );
}

#[test]
fn a_message_that_waits_too_long_expires_and_its_sender_is_told_once() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.send(message("CANDIDATE", "b", "2"));
        a.expect_nothing("a");
        server.advance(EXPIRE - MS);
        a.expect_nothing("a");
        server.advance(MS);
        a.expect(r#"{"type":"EXPIRE","src":"b","dst":"a"}"#);
        server.advance(EXPIRE);
        a.expect_nothing("a");
        assert_eq!(server.node().queued_bytes(), 0);
        server.client("b").expect_nothing("b");
    });
}
