//! The time that a stream counts as alive, and the fate of its unsent messages.
//!
//! The embedded transport notices a disconnect only when it writes, so tests that start with one use
//! the server's own transport.
//!
//! Some run on both transports: a stream that is not read is seen below HTTP.

use std::time::Duration;

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::Count;

use crate::harness::http_client::TIMEOUT;
use crate::harness::legacy::{GRACE, HEAD_START, MS, StreamClient};
use crate::harness::messages::{ID_TAKEN, LEAVE, WAITING, error, expired, forwarded_offer, offer};
use crate::harness::{TestServer, Told, Transport, on_both, on_both_with, on_own, token_of, wait_until};

const PING: Duration = Duration::from_secs(20);
const STALL: Duration = Duration::from_secs(5);
const EXPIRE: Duration = Duration::from_secs(5);

/// The client leaves, and the server has noticed it.
fn leave(server: &TestServer, stream: StreamClient) {
    drop(stream);
    server.settle();
}

#[test]
fn an_open_stream_is_alive_without_a_word_of_its_client() {
    on_both(|server| {
        let mut a = server.stream("a");
        for _ in 0..10 {
            server.advance(PING);
            server.wait_until_heard("a");
        }
        a.expect_nothing(server, "a");
        assert_eq!(server.told_about("a").len(), 1);
    });
}

#[test]
fn the_holder_of_a_stream_is_not_asked_and_a_newcomer_is_refused_at_once() {
    on_both(|server| {
        let mut a = server.stream("a");
        for _ in 0..3 {
            let mut newcomer = server.begin("a", "another token");
            newcomer.expect_accepted();
            newcomer.expect(ID_TAKEN);
        }
        a.expect_nothing(server, "a");
    });
}

#[test]
fn a_stream_that_has_ended_counts_as_open_for_five_seconds_on_the_own_form() {
    on_own(|server| {
        let a = server.stream("a");
        leave(server, a);
        server.advance(GRACE - MS);
        let mut newcomer = server.begin("a", "another token");
        newcomer.expect_accepted();
        newcomer.expect(ID_TAKEN);
        assert!(server.realm().contains("a"));
        assert_eq!(server.told_about("a").len(), 1);
        server.advance(MS);
        server.wait_until_gone("a");
        wait_until("the end", || server.told_about("a").len() == 2);
        assert_eq!(server.told_about("a")[1], Told::Disconnected("a".into(), CloseReason::Left));
        server.client_with_token("a", "another token").expect_nothing("a");
    });
}

#[test]
fn a_stream_that_has_ended_is_renewed_within_its_grace_without_an_open_on_the_own_form() {
    on_own(|server| {
        let mut b = server.client("b");
        let mut a = server.stream("a");
        for number in 1..4 {
            leave(server, a);
            b.send(offer("a", &number.to_string()));
            b.expect_nothing("b");
            server.advance(GRACE - MS);
            a = server.renewed("a", number);
            a.expect(forwarded_offer("b", "a", &number.to_string()));
            // Another end starts another grace period.
            server.advance(MS);
        }
        server.advance(GRACE);
        a.expect_nothing(server, "a");
        assert!(server.realm().contains("a"));
    });
}

#[test]
fn a_websocket_that_follows_an_ended_stream_within_its_grace_gets_no_second_open_on_the_own_form() {
    on_own(|server| {
        let a = server.stream("a");
        let mut b = server.client("b");
        leave(server, a);
        b.send(offer("a", "1"));
        b.expect_nothing("b");
        let mut client = server.upgraded("a");
        client.expect(forwarded_offer("b", "a", "1"));
        server.advance(GRACE);
        client.expect_nothing("a");
    });
}

#[test]
fn unsent_messages_of_an_ended_stream_expire_after_its_grace_period_on_the_own_form() {
    on_own(|server| {
        let a = server.stream("a");
        let mut b = server.client("b");
        leave(server, a);
        b.send(offer("a", "1"));
        b.expect_nothing("b");
        server.advance(GRACE);
        server.wait_until_gone("a");
        wait_until("the message to wait", || server.node().queued_bytes() > 0);
        b.expect_nothing("b");
        server.advance(EXPIRE - MS);
        b.expect_nothing("b");
        server.advance(MS);
        b.expect(expired("a", "b"));
        assert_eq!(server.node().queued_bytes(), 0);
    });
}

#[test]
fn a_stream_that_ends_within_its_head_start_is_nobody_on_the_own_form() {
    on_own(|server| {
        let stream = server.begin_stream("a", 0);
        leave(server, stream);
        server.advance(HEAD_START);
        server.settle();
        server.advance(GRACE);
        server.settle();
        assert_eq!(server.told_about("a"), []);
        server.client_with_token("a", "another token").expect_nothing("a");
    });
}

#[test]
fn a_stream_that_ends_while_it_waits_for_its_id_leaves_the_greeting_to_its_websocket_on_the_own_form() {
    on_own(|server| {
        let mut holder = server.client_with_token("a", "another token");
        let stream = server.begin_stream("a", 0);
        server.settle();
        server.advance(HEAD_START);
        holder.expect_ping();
        // Both wait now, the stream first.
        let mut newcomer = server.begin("a", &token_of("a"));
        newcomer.expect_accepted();
        leave(server, stream);
        server.settle();
        server.advance(Duration::from_secs(2));
        newcomer.expect(WAITING);
        server.advance(Duration::from_secs(1));
        assert_eq!(holder.expect_close(), Some(4002));
        newcomer.expect_open();
        newcomer.expect_nothing("a");
    });
}

#[test]
fn a_stream_that_left_within_its_grace_can_say_leave_on_the_own_form() {
    on_own(|server| {
        let a = server.stream("a");
        leave(server, a);
        assert_eq!(server.post("a", "leave", LEAVE).status, 200);
        assert!(!server.realm().contains("a"));
        wait_until("the end", || server.told_about("a").len() == 2);
    });
}

#[test]
fn a_client_that_ends_its_sending_direction_has_left_on_the_own_form() {
    on_own(|server| {
        let mut a = server.stream("a");
        a.shutdown_write();
        a.expect_end();
        server.settle();
        server.advance(GRACE);
        server.wait_until_gone("a");
    });
}

#[test]
fn a_stream_that_is_not_read_is_closed_and_what_it_did_not_get_expires() {
    let payload = |n: usize| format!("\"{n} {}\"", "x".repeat(200_000));
    on_both_with(
        |config| {
            config.limits.outbox_bytes = 1000;
            config.limits.alive_timeout = TIMEOUT * 100_000;
        },
        |server| {
            let mut b = server.client("b");
            let stream = server.begin_stream_over(
                server.http_that_reads_late(),
                "a",
                &server.post_target("a", "id?i=0"),
            );
            let mut a = server.greeted(stream);
            let told = forwarded_offer("b", "b", "1");
            let mut sent = 0;
            let mut expiries = 0;
            let slow = || server.node().counters().total(Count::Closed(CloseReason::SlowReader));
            wait_until("the end of its patience", || {
                b.send(offer("a", &payload(sent)));
                b.send(offer("b", "1"));
                while b.expect_text() != told {
                    expiries += 1;
                }
                sent += 1;
                server.advance(STALL);
                slow() == 1
            });
            assert!(!server.realm().contains("a"));
            let mut got = 0;
            let mut last = None;
            while let Some(line) = a.next_line() {
                let number = (0..sent).find(|n| line == forwarded_offer("b", "a", &payload(*n)));
                assert!(number.is_some() && number > last, "{number:?} behind {last:?}");
                got += 1;
                last = number;
            }
            assert!(expiries > 0 && got < sent, "{got} of {sent}, {expiries} expired");
        },
    );
}

#[test]
fn streams_end_cleanly_when_the_server_stops() {
    let mut server = TestServer::start(Transport::Own, |_| {});
    let mut streams: Vec<_> = (0..5).map(|n| server.stream(&format!("a{n}"))).collect();
    let mut client = server.client("b");
    server.begin_stop();
    for stream in &mut streams {
        stream.expect_end();
    }
    client.expect_closed_with(Some(1001));
    // The server waits until its clients have closed.
    drop((streams, client));
    server.join();
    let gone = Told::Disconnected("a0".into(), CloseReason::Shutdown);
    assert_eq!(server.told_about("a0")[1..], [gone]);
}

#[test]
fn a_stream_in_its_head_start_does_not_hold_up_the_end_of_the_server() {
    let mut server = TestServer::start(Transport::Own, |_| {});
    let _stream = server.begin_stream("a", 0);
    let _held = server.begin_post("c", "offer", &offer("b", "1"));
    server.begin_stop();
    server.join();
}

#[test]
fn a_stream_within_its_grace_does_not_hold_up_the_end_of_the_server() {
    let mut server = TestServer::start(Transport::Own, |config| config.close_timeout = TIMEOUT);
    let a = server.stream("a");
    leave(&server, a);
    server.begin_stop();
    server.join();
    assert_eq!(server.told_about("a")[1..], [Told::Disconnected("a".into(), CloseReason::Shutdown)]);
}

#[test]
fn a_stream_that_is_not_read_does_not_hold_up_the_end_of_the_server() {
    let configure = |config: &mut peerbroker::Config| config.close_timeout = Duration::from_millis(50);
    let mut server = TestServer::start(Transport::Own, configure);
    let mut b = server.client("b");
    let target = server.post_target("a", "id?i=0");
    let stream = server.begin_stream_over(server.http_that_reads_late(), "a", &target);
    let _a = server.greeted(stream);
    // The first is larger than the system's buffers, so the second waits.
    for bytes in [900_000, 200_000] {
        b.send(offer("a", &format!("\"{}\"", "x".repeat(bytes))));
    }
    b.expect_nothing("b");
    server.begin_stop();
    b.expect_closed_with(Some(1001));
    server.join();
}

#[test]
fn nobody_is_admitted_through_a_stream_while_the_server_stops() {
    on_both(|server| {
        let mut a = server.stream("a");
        server.node().close();
        a.expect_end();
        for (id, number) in [("a", 1), ("b", 0)] {
            let mut late = server.begin_stream(id, number);
            server.settle();
            server.advance(HEAD_START);
            late.expect(error("Server is stopping"));
            late.expect_end();
        }
        assert!(server.realm().is_empty());
    });
}
