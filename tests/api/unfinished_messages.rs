//! Limits of unfinished messages, and of those that wait.
//!
//! Some run on both transports: each collects fragments.

use std::time::Duration;

use peerbroker::Config;

use crate::harness::guests::{OFFER, join, offered};
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::wire::{self, opcode};
use crate::harness::{RawClient, TestServer, on_both_with, on_own, on_own_with, wait_until};

const BOUND: usize = 100_000;
/// Free bytes per connection, outside the quota.
const FREE: usize = 16 << 10;
/// Players look for their host at this interval.
const LOOK: Duration = Duration::from_millis(250);
const TRY_AGAIN_LATER: u16 = 1013;

/// A client whose message is complete except for its end. Returns the end as well.
fn with_unfinished(server: &TestServer, id: &str) -> (RawClient, Vec<u8>) {
    let mut client = server.client(id);
    let rest = begin(&mut client);
    client.ping(b"all this");
    assert_eq!(client.expect_pong(), b"all this");
    (client, rest)
}

/// Has a client begin a message. Returns the end of that.
fn begin(client: &mut RawClient) -> Vec<u8> {
    let message = offer("me", &format!("\"{}\"", "x".repeat(BOUND - 1000)));
    let (begun, rest) = message.split_at(message.len() - 10);
    client.send_raw(wire::frame(opcode::TEXT, begun.as_bytes()));
    wire::frame(wire::FIN | opcode::CONTINUATION, rest.as_bytes())
}

#[test]
fn all_unfinished_messages_together_are_bounded() {
    on_both_with(
        |config| {
            config.max_message_bytes = BOUND;
            config.unfinished_total_bytes = 2 * BOUND - FREE;
        },
        |server| {
            let (mut first, first_rest) = with_unfinished(server, "first");
            let (second, _) = with_unfinished(server, "second");
            // A client that needs more is closed, whether its message is one frame or many.
            let mut third = server.client("third");
            let frame = wire::frame(wire::FIN | opcode::TEXT, &[b'x'; BOUND]);
            third.send_raw(&frame[..BOUND / 2]);
            assert_eq!(third.expect_close(), Some(TRY_AGAIN_LATER));
            let mut fourth = server.client("fourth");
            fourth.send_raw(wire::frame(opcode::TEXT, &[b'x'; 1000]));
            fourth.send_raw(wire::frame(opcode::CONTINUATION, &[b'x'; 1000]).repeat(60));
            assert_eq!(fourth.expect_close(), Some(TRY_AGAIN_LATER));
            // A message of usual size is forwarded, however it is split.
            let mut me = server.client("me");
            let payload = format!("\"{}\"", "y".repeat(10_000));
            for piece in wire::frame(wire::FIN | opcode::TEXT, offer("me", &payload).as_bytes()).chunks(100) {
                me.send_raw(piece);
            }
            me.expect(forwarded_offer("me", "me", &payload));
            // Finished and abandoned messages no longer count.
            first.send_raw(first_rest);
            me.expect_text();
            second.reset();
            server.wait_until_gone("second");
            for (mut client, rest) in ["fifth", "sixth"].map(|id| with_unfinished(server, id)) {
                client.send_raw(rest);
                me.expect_text();
            }
        },
    );
}

#[test]
fn messages_sent_with_the_handshake_count_towards_the_rate_limit() {
    on_own_with(
        |config| config.unfinished_total_bytes = 0,
        |server| {
            let target = server.target("early", "t");
            let mut early = server.connect("early");
            let frame = wire::frame(wire::FIN | opcode::TEXT, &[b'x'; 4 * FREE]);
            early.send_raw([RawClient::handshake(&target).into(), frame].concat());
            early.expect_accepted();
            early.expect_open();
            assert_eq!(early.expect_close(), Some(TRY_AGAIN_LATER));
        },
    );
}

#[test]
fn messages_that_wait_for_something_count_as_well() {
    let configure = |config: &mut Config| {
        config.max_message_bytes = BOUND;
        config.unfinished_total_bytes = 2 * BOUND - FREE;
    };
    on_both_with(configure, |server| {
        let (host, room) = server.host();
        host.reset();
        server.wait_until_hostless(&room);
        let offer = format!(r#"{{"sdp":"{}"}}"#, "x".repeat(BOUND - 1000));
        let waiting = ["anna", "bert"].map(|name| {
            let mut player = server.guest(name);
            player.send(join(&room, name, &offer));
            player
        });
        wait_until("two that wait", || server.node().unfinished_bytes() > BOUND);
        let mut third = server.guest("cleo");
        third.send(join(&room, "cleo", &offer));
        assert_eq!(third.expect_close(), Some(TRY_AGAIN_LATER));
        // One of usual size still waits, and what its client sends behind it.
        let mut small = server.guest("dora");
        small.send(join(&room, "dora", OFFER));
        let (mut host, again) = server.host();
        assert_eq!(again, room);
        server.advance(LOOK);
        let mut heard: Vec<usize> = (0..3).map(|_| host.expect_text().len()).collect();
        heard.sort_unstable();
        assert_eq!(heard[0], offered("dora").len());
        assert!(heard[1] > offer.len() && heard[2] > offer.len());
        assert_eq!(server.node().unfinished_bytes(), 0);
        drop(waiting);
    });
}

#[test]
fn a_client_that_leaves_while_its_message_waits_is_noticed() {
    on_own(|server| {
        let (host, room) = server.host();
        host.reset();
        server.wait_until_hostless(&room);
        let mut player = server.guest("anna");
        player.send(join(&room, "anna", &format!(r#"{{"sdp":"{}"}}"#, "x".repeat(4 * FREE))));
        wait_until("one that waits", || server.node().unfinished_bytes() > 0);
        player.reset();
        wait_until("its end", || {
            server.advance(LOOK);
            server.node().unfinished_bytes() == 0
        });
        assert!(server.room_codes().is_waiting(&room));
    });
}

#[test]
fn posts_that_are_handled_count_as_well() {
    on_own_with(
        |config| config.unfinished_total_bytes = 0,
        |server| {
            let mut a = server.client("a");
            let payload = |bytes| format!("\"{}\"", "x".repeat(bytes));
            assert_eq!(server.post("a", "offer", &offer("a", &payload(2 * FREE))).status, 429);
            assert_eq!(server.post("a", "offer", &offer("a", &payload(FREE / 2))).status, 200);
            a.expect(forwarded_offer("a", "a", &payload(FREE / 2)));
        },
    );
}
