//! Limits and liveness at the root are those of PeerJS.
//!
//! Some run on both transports: a full outbox and a silent client are found by each.

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::Count;
use std::time::Duration;

use crate::harness::guests::{OFFER, call, join, offered, problem};
use crate::harness::http_client::{TIMEOUT, connect_with_small_buffer};
use crate::harness::wire::opcode;
use crate::harness::{
    RawClient, TestServer, Transport, messages, on_both, on_both_with, on_own, on_own_with, wait_until,
};

const FULL: &str = "Server has reached its concurrent user limit";
const ALIVE: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(20);
const STALL: Duration = Duration::from_secs(5);
const RECLAIM: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

#[test]
fn all_clients_of_a_key_share_its_limit() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 3,
        |server| {
            let (mut host, room) = server.host();
            let player = server.player(&mut host, &room, "anna");
            let peer = server.client("peer");
            server.begin_guest("refused", "/").expect_guest_refused(problem(FULL), 1013);
            let mut refused = server.begin("another", "t");
            refused.expect_accepted();
            refused.expect(messages::error(FULL));
            refused.expect_closed_with(None);
            // Peers and guests share the limit.
            peer.reset();
            server.wait_until_gone("peer");
            let second = server.player(&mut host, &room, "bert");
            player.reset();
            server.wait_for_guests(2);
            server.client("peer").expect_nothing("peer");
            drop(second);
            // A new id does not count towards the limit.
            server.wait_for_guests(1);
            for _ in 0..5 {
                host.start();
            }
            assert_eq!(server.guests().len(), 1);
        },
    );
}

#[test]
fn a_silent_guest_is_pinged_and_then_goes() {
    on_both(|server| {
        let (mut caller, _) = server.caller("caller");
        server.advance(PING - MS);
        caller.expect_quiet();
        server.advance(PING);
        caller.expect_ping();
        caller.pong(b"");
        caller.expect_quiet();
        server.advance(ALIVE - MS);
        caller.expect_ping();
        assert_eq!(server.guests().len(), 1);
        server.advance(MS);
        caller.expect_closed_with(None);
        wait_until("the guest to be gone", || server.guests().is_empty());
        assert_eq!(server.node().counters().total(Count::Closed(CloseReason::TimedOut)), 1);
    });
}

#[test]
fn a_guest_is_kept_alive_by_any_frame_also_behind_a_new_id() {
    on_own(|server| {
        let mut guest = server.guest("guest");
        for _ in 0..3 {
            guest.start();
            server.advance(ALIVE - MS);
            guest.expect_ping();
            guest.send("nonsense");
            guest.expect_quiet();
        }
        assert_eq!(server.guests().len(), 1);
    });
}

/// A guest that reads late, with small system buffers.
fn guest_that_reads_late(server: &TestServer) -> RawClient {
    let mut guest = RawClient::over(connect_with_small_buffer(server.address), "slow");
    guest.ends_its_side = server.transport == Transport::Actix;
    guest.send_raw(RawClient::handshake("/"));
    guest.expect_accepted();
    guest
}

/// Sends and advances the clock until the slow reader is closed, and reads the messages to it.
fn expect_slow_reader(server: &TestServer, sender: &mut RawClient, frame: &str, mut slow: RawClient) {
    wait_until("the slow reader to be closed", || {
        sender.send(frame);
        sender.ping(b"");
        while sender.next_frame("a pong").expect("a pong").opcode() != opcode::PONG {}
        server.advance(STALL);
        server.node().counters().total(Count::Closed(CloseReason::SlowReader)) == 1
    });
    let close = loop {
        let frame = slow.next_frame("what was sent, and the close").expect("a close frame");
        if frame.opcode() == opcode::CLOSE {
            break frame;
        }
    };
    assert_eq!(close.payload[..2], 4003_u16.to_be_bytes());
    assert_eq!(server.node().queued_bytes(), 0);
}

fn with_small_outboxes(test: impl Fn(&TestServer)) {
    on_both_with(
        |config| {
            config.limits.outbox_bytes = 128 << 10;
            config.limits.alive_timeout = TIMEOUT * 100_000;
            config.key_settings.messages_per_second = 0;
            config.close_timeout = TIMEOUT;
        },
        test,
    );
}

#[test]
fn a_callee_that_stops_reading_is_closed() {
    with_small_outboxes(|server| {
        let mut slow = guest_that_reads_late(server);
        let id = slow.start();
        let (mut caller, _) = server.caller("caller");
        let frame = call("x", &id, &format!(r#","filler":"{}""#, "x".repeat(32 << 10)));
        // More than the buffers of the system and actix-ws and the outbox hold.
        (0..500).for_each(|_| caller.send(&frame));
        caller.expect_quiet();
        expect_slow_reader(server, &mut caller, &frame, slow);
    });
}

#[test]
fn a_host_that_stops_reading_is_closed_and_its_room_with_it() {
    with_small_outboxes(|server| {
        let mut slow = guest_that_reads_late(server);
        let room = slow.create_room();
        let mut player = server.guest("anna");
        player.send(join(&room, "anna", OFFER));
        slow.expect(offered("anna"));
        let offer = format!(r#"{{"filler":"{}"}}"#, "x".repeat(32 << 10));
        let frame = join(&room, "anna", &offer);
        (0..500).for_each(|_| player.send(&frame));
        wait_until("its outbox to be full", || player.expect_text() == problem("wrong room"));
        expect_slow_reader(server, &mut player, &frame, slow);
        // It may come back, as after any loss.
        server.advance(RECLAIM);
        wait_until("the end of the room", || server.room_codes().is_empty());
    });
}
