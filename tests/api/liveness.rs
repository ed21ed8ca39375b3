//! Liveness, and the ends of connections.
//!
//! Some run on both transports: each sees the end of a connection in its own way.

use std::time::Duration;

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::Count;

use crate::harness::messages::{HEARTBEAT, LEAVE, forwarded_offer, offer};
use crate::harness::wire::{self, FIN, opcode};
use crate::harness::{RawClient, TestServer, Told, on_both, on_both_with, wait_until};

const MS: Duration = Duration::from_millis(1);
const PING: Duration = Duration::from_secs(20);
const ALIVE: Duration = Duration::from_secs(60);

/// The way in which a client leaves.
type Way = fn(RawClient);

fn expect_gone_once(server: &TestServer, id: &str, why: CloseReason) {
    let told = [Told::Connected(id.into()), Told::Disconnected(id.into(), why)];
    wait_until("the end of a session", || server.told_about(id).len() >= 2);
    server.wait_until_gone(id);
    assert_eq!(server.told_about(id), told);
}

#[test]
fn a_client_that_answers_nothing_is_pinged_and_then_goes() {
    on_both(|server| {
        let mut a = server.client("a");
        server.advance(PING - MS);
        server.advance(MS);
        assert_eq!(a.expect_ping(), b"");
        server.advance(PING);
        a.expect_ping();
        server.advance(PING - MS);
        assert!(server.realm().contains("a"));
        server.advance(MS);
        assert!(!server.realm().contains("a"));
        a.expect_closed_with(None);
        expect_gone_once(server, "a", CloseReason::TimedOut);
        assert_eq!(server.node().counters().total(Count::Closed(CloseReason::TimedOut)), 1);
    });
}

#[test]
fn any_frame_is_a_sign_of_life() {
    on_both(|server| {
        let mut a = server.client("a");
        let frames = [
            wire::text(HEARTBEAT),
            wire::text("nonsense"),
            wire::frame(FIN | opcode::BINARY, b"\0"),
            wire::frame(FIN | opcode::PING, b""),
            wire::frame(FIN | opcode::PONG, b"unasked"),
        ];
        for frame in &frames {
            server.advance(ALIVE - MS);
            a.expect_ping();
            server.hear_frame(&mut a, "a", frame);
            if frame[0] == FIN | opcode::PING {
                a.expect_pong();
            }
        }
        server.advance(ALIVE - MS);
        a.expect_ping();
        assert!(server.realm().contains("a"));
        server.advance(MS);
        assert!(!server.realm().contains("a"));
    });
}

#[test]
fn messages_of_a_timed_out_client_are_ignored() {
    on_both(|server| {
        let mut a = server.client("a");
        server.advance(ALIVE);
        let mut b = server.client("b");
        a.send(offer("b", "1"));
        a.send(HEARTBEAT);
        a.expect_closed_with(None);
        b.expect_nothing("b");
    });
}

#[test]
fn a_timed_out_client_that_does_not_answer_its_close_is_cut_off() {
    on_both_with(
        |config| config.close_timeout = Duration::from_millis(50),
        |server| {
            let mut a = server.client("a");
            server.advance(ALIVE);
            assert_eq!(a.expect_close(), None);
            a.expect_end();
        },
    );
}

#[test]
fn a_peer_is_reported_as_gone_exactly_once_however_it_leaves() {
    on_both(|server| {
        let ways: [(&str, Way); 7] = [
            ("close", |mut client| client.close(Some(1000))),
            ("close-and-end", |mut client| client.expect_closed_by_us(None)),
            ("end", drop),
            ("reset", RawClient::reset),
            ("leave", |mut client| client.send(LEAVE)),
            ("violation", |mut client| client.send_raw(b"\xFF\xFF")),
            ("half-close", |mut client| client.shutdown_write()),
        ];
        let mut bystander = server.client("bystander");
        for (id, go) in ways {
            go(server.client(id));
            let why = if id == "violation" { CloseReason::ProtocolError } else { CloseReason::Left };
            expect_gone_once(server, id, why);
        }
        server.wait_for_peers(1);
        bystander.expect_nothing("bystander");
        assert_eq!(server.told_about("bystander").len(), 1);
    });
}

#[test]
fn a_client_that_ends_its_sending_direction_is_gone_after_what_it_sent() {
    on_both(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        a.send(offer("b", "1"));
        a.shutdown_write();
        b.expect(forwarded_offer("a", "b", "1"));
        server.wait_until_gone("a");
        a.expect_end();
    });
}

#[test]
fn the_peers_of_a_page_that_goes_away_hear_leave_where_their_key_wants_it() {
    let leave = r#"{"type":"LEAVE","src":"a","dst":"b"}"#;
    on_both_with(
        |config| config.key_settings.leave_on_close = true,
        |server| {
            let mut b = server.client("b");
            for (code, is_told) in [(None, false), (Some(1001), true)] {
                let mut a = server.client("a");
                a.send(offer("b", "1"));
                b.expect(forwarded_offer("a", "b", "1"));
                a.expect_closed_by_us(code);
                server.wait_until_gone("a");
                if is_told {
                    b.expect(leave);
                }
                b.expect_nothing("b");
            }
        },
    );
    on_both(|server| {
        let [mut a, mut b] = [server.client("a"), server.client("b")];
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
        a.expect_closed_by_us(Some(1001));
        server.wait_until_gone("a");
        b.expect_nothing("b");
    });
}
