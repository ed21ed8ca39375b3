//! The messages of a call, on both transports. `tests/smoke.rs` has a few of them for `make check`.

use std::time::Duration;

use crate::harness::messages::{KINDS, expired, forwarded, message, offer};
use crate::harness::on_both;

#[test]
fn smoke_two_clients_call_each_other_and_hang_up() {
    on_both(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        for kind in KINDS.into_iter().chain(["LEAVE"]) {
            a.send(message(kind, "b", r#"{"sdp":"v=0"}"#));
            b.expect(forwarded(kind, "a", "b", r#"{"sdp":"v=0"}"#));
            b.send(message(kind, "a", r#"{"sdp":"v=1"}"#));
            a.expect(forwarded(kind, "b", "a", r#"{"sdp":"v=1"}"#));
        }
        a.expect_closed_by_us(Some(1000));
        server.wait_until_gone("a");
        b.expect_nothing("b");
    });
}

#[test]
fn smoke_an_absent_peer_gets_what_waits_or_its_sender_hears_that_it_expired() {
    on_both(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.send(offer("c", "2"));
        a.expect_nothing("a");
        server.client("b").expect(forwarded("OFFER", "a", "b", "1"));
        server.advance(Duration::from_secs(5));
        a.expect(expired("c", "a"));
        a.expect_nothing("a");
    });
}

#[test]
fn smoke_a_fresh_id_and_the_greeting_come_over_http() {
    on_both(|server| {
        assert_eq!(server.get("/peerjs/id").text().len(), 36);
        assert!(server.get("/").text().starts_with('{'));
    });
}
