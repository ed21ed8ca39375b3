//! Takeovers of a stream by a WebSocket or the next stream.

use peerbroker_core::vocabulary::CloseReason;

use crate::harness::legacy::{HEAD_START, MS, StreamClient};
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::{TestServer, Told, on_own, wait_until};

/// Expects one event for each connection of `id` and one for each of its ends, `ends` in any order.
fn expect_told(server: &TestServer, id: &str, connected: usize, mut ends: Vec<CloseReason>) {
    wait_until("all ends", || server.told_about(id).len() >= connected + ends.len());
    let mut told = server.told_about(id);
    let before = told.len();
    told.retain(|told| *told != Told::Connected(id.into()));
    assert_eq!(before - told.len(), connected);
    for end in told {
        let Told::Disconnected(_, why) = end else { unreachable!() };
        let at = ends.iter().position(|end| *end == why);
        ends.remove(at.unwrap_or_else(|| panic!("one {why:?} too many")));
    }
    assert_eq!(ends, []);
}

#[test]
fn a_websocket_that_comes_within_the_head_start_is_greeted_alone() {
    on_own(|server| {
        let mut stream = server.begin_stream("a", 0);
        server.settle();
        server.advance(HEAD_START - MS);
        let mut client = server.client("a");
        stream.expect_end();
        server.advance(HEAD_START);
        client.expect_nothing("a");
        expect_told(server, "a", 1, vec![]);
    });
}

#[test]
fn a_renewed_stream_goes_on_without_an_open_and_the_older_one_ends() {
    on_own(|server| {
        let mut stream = server.stream("a");
        let mut b = server.client("b");
        for number in 1..4 {
            let renewed = server.renewed("a", number);
            stream.expect_end();
            stream = renewed;
            b.send(offer("a", &number.to_string()));
            stream.expect(forwarded_offer("b", "a", &number.to_string()));
        }
        assert_eq!(server.realm().len(), 2);
        let leave = server.post("a", "leave", r#"{"type":"LEAVE"}"#);
        assert_eq!(leave.status, 200);
        stream.expect_end();
        expect_told(
            server,
            "a",
            4,
            vec![CloseReason::Replaced, CloseReason::Replaced, CloseReason::Replaced, CloseReason::Left],
        );
    });
}

#[test]
fn a_first_stream_begins_anew_where_an_older_one_is_open() {
    on_own(|server| {
        let mut older = server.stream("a");
        let again = server.begin_stream("a", 0);
        older.expect_end();
        let mut again = server.greeted(again);
        again.expect_nothing(server, "a");
        expect_told(server, "a", 2, vec![CloseReason::Replaced]);
    });
}

#[test]
fn a_stream_with_a_later_number_that_follows_none_is_greeted() {
    on_own(|server| {
        let mut stream = server.begin_stream("a", 3);
        server.settle();
        server.advance(HEAD_START - MS);
        server.settle();
        assert!(!server.realm().contains("a"));
        server.advance(MS);
        stream.expect_open();
    });
}

#[test]
fn of_two_first_streams_at_once_one_is_greeted_and_goes_on_in_the_other() {
    on_own(|server| {
        let mut one = server.begin_stream("a", 0);
        let mut two = server.begin_stream("a", 0);
        server.settle();
        server.advance(HEAD_START);
        wait_until("a registration", || server.realm().contains("a"));
        server.settle();
        let marker = r#"{"type":"LEAVE","src":"a","dst":"a"}"#;
        assert_eq!(server.post("a", "leave", r#"{"type":"LEAVE","dst":"a"}"#).status, 200);
        // One stream continues and gets the message, and the other one ends. Either may have got the OPEN.
        let heard = |stream: &mut StreamClient| -> Vec<String> {
            let mut lines: Vec<String> = Vec::new();
            while lines.last().is_none_or(|last| last != marker) {
                let Some(line) = stream.next_line() else { break };
                lines.push(line);
            }
            lines
        };
        let mut lines = [heard(&mut one), heard(&mut two)].concat();
        lines.sort();
        assert_eq!(lines, [marker, r#"{"type":"OPEN"}"#]);
        assert_eq!(server.realm().len(), 1);
    });
}
