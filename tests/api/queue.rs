//! Messages for absent peers.

use std::time::Duration;

use crate::harness::messages::{KINDS, expired, forwarded, forwarded_offer, message, offer};
use crate::harness::{on_own, on_own_with};

const MS: Duration = Duration::from_millis(1);
const EXPIRE: Duration = Duration::from_millis(5000);

#[test]
fn queued_messages_follow_the_open_of_their_recipient() {
    on_own(|server| {
        let mut a = server.client("a");
        for (n, kind) in KINDS.iter().enumerate() {
            a.send(message(kind, "b", &n.to_string()));
        }
        a.expect_nothing("a");
        let mut b = server.client("b");
        for (n, kind) in KINDS.iter().enumerate() {
            b.expect(forwarded(kind, "a", "b", &n.to_string()));
        }
        b.expect_nothing("b");
        assert_eq!(server.node().queued_bytes(), 0);
    });
}

#[test]
fn messages_of_all_senders_are_delivered_in_order_of_arrival() {
    on_own(|server| {
        let (mut a, mut c) = (server.client("a"), server.client("c"));
        for n in 0..3 {
            a.send(offer("b", &format!("{n}")));
            a.expect_nothing("a");
            c.send(offer("b", &format!("{n}")));
            c.expect_nothing("c");
        }
        let mut b = server.client("b");
        for n in 0..3 {
            b.expect(forwarded_offer("a", "b", &format!("{n}")));
            b.expect(forwarded_offer("c", "b", &format!("{n}")));
        }
    });
}

#[test]
fn queued_messages_are_delivered_to_the_next_client_with_any_token() {
    on_own(|server| {
        let mut a = server.client("a");
        server.client_with_token("b", "first").close(None);
        server.wait_until_gone("b");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        server.client_with_token("b", "second").expect(forwarded_offer("a", "b", "1"));
    });
}

#[test]
fn queued_messages_are_delivered_once() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        let mut b = server.client("b");
        b.expect(forwarded_offer("a", "b", "1"));
        drop(b);
        server.wait_until_gone("b");
        server.client("b").expect_nothing("b");
    });
}

#[test]
fn messages_outlive_their_sender() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        drop(a);
        server.wait_until_gone("a");
        server.client("b").expect(forwarded_offer("a", "b", "1"));
    });
}

#[test]
fn a_refused_registration_gets_nothing_of_what_waits() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 2,
        |server| {
            let (mut a, c) = (server.client("a"), server.client("c"));
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

#[test]
fn after_an_expiry_a_later_message_starts_anew() {
    on_own(|server| {
        let mut a = server.client("a");
        for n in 0..3 {
            a.send(offer("b", &n.to_string()));
            a.expect_nothing("a");
            server.advance(EXPIRE);
            a.expect(expired("b", "a"));
        }
        a.send(offer("b", "4"));
        a.expect_nothing("a");
        server.client("b").expect(forwarded_offer("a", "b", "4"));
    });
}

#[test]
fn a_delivery_before_the_expiry_means_no_expire() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        server.advance(EXPIRE - MS);
        server.client("b").expect(forwarded_offer("a", "b", "1"));
        server.advance(EXPIRE);
        a.expect_nothing("a");
    });
}

#[test]
fn a_conversation_has_one_clock_from_its_first_message() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        server.advance(EXPIRE - MS);
        a.send(offer("b", "just before"));
        a.send(message("CANDIDATE", "b", "2"));
        a.expect_nothing("a");
        server.advance(MS);
        a.expect(expired("b", "a"));
        a.expect_nothing("a");
        server.client("b").expect_nothing("b");
    });
}

#[test]
fn each_sender_has_a_clock_of_its_own() {
    on_own(|server| {
        let (mut a, mut c) = (server.client("a"), server.client("c"));
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        server.advance(EXPIRE - MS);
        c.send(offer("b", "2"));
        c.expect_nothing("c");
        server.advance(MS);
        a.expect(expired("b", "a"));
        c.expect_nothing("c");
        server.client("b").expect(forwarded_offer("c", "b", "2"));
        server.advance(EXPIRE);
        c.expect_nothing("c");
    });
}

#[test]
fn each_absent_peer_expires_with_a_notice_of_its_own() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.send(offer("c", "1"));
        a.expect_nothing("a");
        server.advance(EXPIRE);
        let mut notices = [a.expect_text(), a.expect_text()];
        notices.sort();
        assert_eq!(notices, [expired("b", "a"), expired("c", "a")]);
        a.expect_nothing("a");
    });
}

#[test]
fn pairs_that_look_alike_do_not_hide_each_other() {
    on_own(|server| {
        let (mut a, mut a_b) = (server.client("a"), server.client("a_b"));
        let (mut proto, mut odd) = (server.client("__proto"), server.client("__proto__"));
        a.send(offer("b_c", "1"));
        a.expect_nothing("a");
        a_b.send(offer("c", "1"));
        a_b.expect_nothing("a_b");
        proto.send(offer("_", "1"));
        proto.expect_nothing("__proto");
        odd.send(offer("constructor", "1"));
        odd.expect_nothing("__proto__");
        server.advance(EXPIRE);
        a.expect(expired("b_c", "a"));
        a_b.expect(expired("c", "a_b"));
        proto.expect(expired("_", "__proto"));
        odd.expect(expired("constructor", "__proto__"));
    });
}

#[test]
fn expire_goes_to_the_current_holder_of_the_senders_id() {
    on_own(|server| {
        let mut first = server.client_with_token("a", "first");
        first.send(offer("b", "1"));
        first.expect_nothing("a");
        drop(first);
        server.wait_until_gone("a");
        let mut second = server.client_with_token("a", "second");
        server.advance(EXPIRE);
        second.expect(expired("b", "a"));
    });
}

#[test]
fn an_expire_for_a_sender_that_is_gone_is_dropped() {
    on_own(|server| {
        let mut a = server.client("a");
        a.send(offer("b", "1"));
        a.expect_nothing("a");
        drop(a);
        server.wait_until_gone("a");
        server.advance(EXPIRE);
        assert_eq!(server.node().queued_bytes(), 0);
        server.client("a").expect_nothing("a");
    });
}

#[test]
fn an_id_that_nobody_can_have_is_answered_with_expire_at_once() {
    on_own(|server| {
        let mut a = server.client("a");
        let long = "x".repeat(513);
        a.send(offer(&long, "1"));
        a.expect(expired(&long, "a"));
        a.send(r#"{"type":"OFFER","dst":"line\nbreak","payload":1}"#);
        a.expect(expired("line\nbreak", "a"));
        a.expect_nothing("a");
        assert_eq!(server.node().queued_bytes(), 0);
    });
}

#[test]
fn peers_are_not_told_when_another_leaves() {
    on_own(|server| {
        let (mut a, mut b) = (server.client("a"), server.client("b"));
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
        drop(b);
        server.wait_until_gone("b");
        a.expect_nothing("a");
    });
}

#[test]
fn another_expire_timeout_is_kept() {
    on_own_with(
        |config| config.limits.expire_timeout = Duration::from_millis(100),
        |server| {
            let mut a = server.client("a");
            a.send(offer("b", "1"));
            a.expect_nothing("a");
            server.advance(Duration::from_millis(99));
            a.expect_nothing("a");
            server.advance(MS);
            a.expect(expired("b", "a"));
        },
    );
}
