//! PeerJS 0.3.x over HTTP: a stream of lines to receive messages, and a POST for each message sent.
//!
//! Some run on both transports: streams have other timeouts below HTTP in an app.

mod alive;
mod handover;
mod held;
mod order;
mod posts;
mod rate_limit;
mod urls;

use std::time::Duration;

use crate::harness::legacy::{FILLER, HEAD_START, MS};
use crate::harness::messages::{ID_TAKEN, KINDS, error, expired, forwarded, forwarded_offer, message, offer};
use crate::harness::{on_both, on_both_with};

const EXPIRE: Duration = Duration::from_secs(5);

#[test]
fn a_stream_begins_with_a_line_of_zeros_and_then_says_open() {
    on_both(|server| {
        // The harness expects the line of zeros.
        let mut stream = server.begin_stream("a", 0);
        let header = |name| stream.head.header(name).unwrap_or_default();
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(header("transfer-encoding"), "chunked");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-accel-buffering"), "no");
        server.settle();
        server.advance(HEAD_START);
        stream.expect_open();
        assert!(server.realm().contains("a"));
    });
}

#[test]
fn fillers_make_a_client_read_its_last_messages() {
    on_both(|server| {
        let mut a = server.stream("a");
        assert_eq!(a.chunk().as_deref(), Some(FILLER));
        assert_eq!(server.post("a", "offer", &offer("a", "1")).status, 200);
        while a.chunk().as_deref() == Some(FILLER) {}
        // A busy page may have read none of them.
        for _ in 0..5 {
            assert_eq!(a.chunk().as_deref(), Some(FILLER));
        }
    });
}

#[test]
fn a_stream_waits_a_second_for_its_websocket_before_it_is_greeted() {
    on_both(|server| {
        let mut stream = server.begin_stream("a", 0);
        server.settle();
        server.advance(HEAD_START - MS);
        server.settle();
        assert!(!server.realm().contains("a"));
        server.advance(MS);
        stream.expect_open();
        stream.expect_nothing(server, "a");
    });
}

#[test]
fn a_browser_without_websockets_offers_and_answers_through_http_alone() {
    on_both(|server| {
        let mut a = server.stream("a");
        let mut b = server.stream("b");
        assert_eq!(server.post("a", "offer", &offer("b", r#"{"sdp":1}"#)).text(), "OK");
        b.expect(forwarded_offer("a", "b", r#"{"sdp":1}"#));
        assert_eq!(server.post("b", "answer", &message("ANSWER", "a", "2")).status, 200);
        a.expect(forwarded("ANSWER", "b", "a", "2"));
        for (from, to, heard) in [("a", "b", &mut b), ("b", "a", &mut a)] {
            assert_eq!(server.post(from, "candidate", &message("CANDIDATE", to, "3")).status, 200);
            heard.expect(forwarded("CANDIDATE", from, to, "3"));
        }
        assert_eq!(server.post("a", "leave", r#"{"type":"LEAVE","dst":"b"}"#).status, 200);
        b.expect(r#"{"type":"LEAVE","src":"a","dst":"b"}"#);
    });
}

#[test]
fn a_stream_and_a_websocket_exchange_messages_both_ways() {
    on_both(|server| {
        let mut old = server.stream("old");
        let mut new = server.client("new");
        for kind in KINDS {
            assert_eq!(server.post("old", &kind.to_lowercase(), &message(kind, "new", "1")).status, 200);
            new.expect(forwarded(kind, "old", "new", "1"));
            new.send(message(kind, "old", "2"));
            old.expect(forwarded(kind, "new", "old", "2"));
        }
        old.expect_nothing(server, "old");
        new.expect_nothing("new");
    });
}

#[test]
fn messages_sent_at_once_arrive_in_order_one_line_per_chunk() {
    on_both(|server| {
        let mut a = server.stream("a");
        let mut b = server.client("b");
        let mut c = server.client("c");
        let payload = |n: usize| format!("\"{n}{}\"", "x".repeat(n * 1000));
        b.send_raw(
            (0..4).flat_map(|n| crate::harness::wire::text(&offer("a", &payload(n)))).collect::<Vec<u8>>(),
        );
        b.expect_nothing("b");
        c.send(offer("a", "1"));
        // Senders take turns, and each sender's messages keep their order.
        let mut lines: Vec<String> = (0..5).map(|_| a.next_line().expect("a line")).collect();
        lines.retain(|line| *line != forwarded_offer("c", "a", "1"));
        assert_eq!(lines, [0, 1, 2, 3].map(|n| forwarded_offer("b", "a", &payload(n))));
    });
}

#[test]
fn a_payload_with_line_breaks_is_one_line_and_can_forge_none() {
    on_both(|server| {
        let mut a = server.stream("a");
        let mut b = server.client("b");
        b.send(offer("a", "{\n\"x\":\r\n1 }"));
        let forged = forwarded_offer("somebody else", "a", "2");
        b.send(offer("a", &format!("[\n{forged}\n]")));
        b.send(message("CANDIDATE", "a", "\n3\n"));
        // The harness expects one line in each chunk.
        a.expect(forwarded_offer("b", "a", "{ \"x\":\r 1 }"));
        a.expect(forwarded_offer("b", "a", &format!("[ {forged} ]")));
        assert_eq!(a.next_line().unwrap().replace(' ', ""), forwarded("CANDIDATE", "b", "a", "3"));
    });
}

#[test]
fn queued_messages_of_a_stream_follow_its_open() {
    on_both(|server| {
        let mut b = server.client("b");
        b.send(offer("a", "1"));
        b.send(message("CANDIDATE", "a", "2"));
        b.expect_nothing("b");
        let mut a = server.stream("a");
        a.expect(forwarded_offer("b", "a", "1"));
        a.expect(forwarded("CANDIDATE", "b", "a", "2"));
        a.expect_nothing(server, "a");
        assert_eq!(server.node().queued_bytes(), 0);
    });
}

#[test]
fn a_stream_hears_that_what_it_posted_has_expired() {
    on_both(|server| {
        let mut a = server.stream("a");
        assert_eq!(server.post("a", "offer", &offer("absent", "1")).status, 200);
        server.advance(EXPIRE - MS);
        a.expect_nothing(server, "a");
        server.advance(MS);
        a.expect(expired("absent", "a"));
        a.expect_nothing(server, "a");
    });
}

#[test]
fn a_post_that_can_reach_nobody_is_answered_and_expires_at_once() {
    on_both(|server| {
        let mut a = server.stream("a");
        assert_eq!(server.post("a", "offer", &offer("b\nb", "1")).status, 200);
        a.expect(expired("b\nb", "a"));
    });
}

#[test]
fn a_stream_whose_id_is_held_is_told_so_after_its_head_start_and_ends() {
    on_both(|server| {
        let mut holder = server.client_with_token("a", "another token");
        let mut stream = server.begin_stream("a", 0);
        server.settle();
        server.advance(HEAD_START);
        holder.expect_ping();
        holder.pong(b"");
        stream.expect(ID_TAKEN);
        stream.expect_end();
        holder.expect_nothing("a");
    });
}

#[test]
fn a_stream_takes_the_id_of_a_holder_that_does_not_answer() {
    on_both(|server| {
        let mut holder = server.client_with_token("a", "another token");
        let mut stream = server.begin_stream("a", 0);
        server.settle();
        server.advance(HEAD_START);
        holder.expect_ping();
        server.advance(Duration::from_secs(3));
        assert_eq!(holder.expect_close(), Some(4002));
        server.advance(Duration::from_secs(10));
        stream.expect_open();
    });
}

#[test]
fn streams_count_for_the_limit_and_hear_of_it() {
    on_both_with(
        |config| config.key_settings.concurrent_limit = 1,
        |server| {
            let mut a = server.stream("a");
            let mut refused = server.begin("b", "t");
            refused.expect_accepted();
            refused.expect(error("Server has reached its concurrent user limit"));
            let mut refused = server.begin_stream("b", 0);
            server.settle();
            server.advance(HEAD_START);
            refused.expect(error("Server has reached its concurrent user limit"));
            refused.expect_end();
            // A takeover does not count towards the limit.
            let mut renewed = server.renewed("a", 1);
            a.expect_end();
            renewed.expect_nothing(server, "a");
            let mut upgraded = server.upgraded("a");
            upgraded.expect_nothing("a");
            assert_eq!(server.realm().len(), 1);
        },
    );
}

#[test]
fn a_stream_stands_in_the_list_of_peers_where_it_registered_first() {
    on_both_with(
        |config| config.key_settings.allow_discovery = true.into(),
        |server| {
            let _b = server.client("b");
            let mut a = server.stream("a");
            let _c = server.client("c");
            let listed = || assert_eq!(server.get("/peerjs/peers").text(), r#"["b","a","c"]"#);
            listed();
            let mut renewed = server.renewed("a", 1);
            a.expect_end();
            listed();
            let _a = server.upgraded("a");
            renewed.expect_end();
            listed();
        },
    );
}
