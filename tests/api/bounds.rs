//! Everything that can grow has a limit.
//!
//! Some run on both transports: each has its own buffers.

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::Count;
use std::time::Duration;

use crate::harness::http_client::{TIMEOUT, connect_with_small_buffer};
use crate::harness::messages::{expired, forwarded_offer, offer};
use crate::harness::wire::opcode;
use crate::harness::{RawClient, TestServer, Transport, on_both_with, token_of};
use serde_json::Value;

/// Time that a client with a full outbox may read nothing.
const STALL: Duration = Duration::from_secs(5);

/// A client that reads late, with small system buffers.
fn client_that_reads_late(server: &TestServer, id: &str) -> RawClient {
    let mut client = RawClient::over(connect_with_small_buffer(server.address), id);
    client.ends_its_side = server.transport == Transport::Actix;
    client.send_raw(RawClient::handshake(&server.target(id, &token_of(id))));
    client.expect_accepted();
    client.expect_open();
    client
}

fn payload(n: usize, len: usize) -> String {
    format!("\"{n:06} {}\"", "x".repeat(len))
}

/// The number in a payload.
fn number(message: &str) -> usize {
    let message: Value = serde_json::from_str(message).unwrap();
    message["payload"].as_str().unwrap()[..6].parse().unwrap()
}

/// Sends numbers from `first` until the recipient's outbox is full. Returns the next number.
fn fill(sender: &mut RawClient, id: &str, to: &str, first: usize) -> usize {
    for sent in first..first + 2000 {
        sender.send(offer(to, &payload(sent, 32 << 10)));
        sender.send(offer(id, "\"told\""));
        let told = forwarded_offer(id, id, "\"told\"");
        let answer = sender.expect_text();
        if answer != told {
            assert_eq!(answer, expired(to, id));
            sender.expect(told);
            return sent + 1;
        }
    }
    panic!("the outbox is bounded");
}

#[test]
fn a_client_that_stops_reading_is_closed_and_what_did_not_expire_waits() {
    on_both_with(
        |config| {
            config.limits.outbox_bytes = 128 << 10;
            config.limits.alive_timeout = TIMEOUT * 100_000;
            config.close_timeout = TIMEOUT;
        },
        |server| {
            let mut slow = client_that_reads_late(server, "slow");
            let mut a = server.client("a");
            let mut behind = fill(&mut a, "a", "slow", 0);
            assert!(server.realm().contains("slow"), "it may only be slow");
            // actix may still take all that a full outbox has: then that is filled again.
            for _ in 0..100 {
                a.send(offer("slow", &payload(behind, 32 << 10)));
                a.expect_nothing("a");
                server.settle();
                server.advance(STALL);
                if !server.realm().contains("slow") {
                    break;
                }
                behind = fill(&mut a, "a", "slow", behind + 1);
            }
            assert_eq!(server.node().counters().total(Count::Closed(CloseReason::SlowReader)), 1);

            let mut next = 0;
            let close = loop {
                let frame = slow.next_frame("what was sent, and the close").expect("a close frame");
                match frame.opcode() {
                    opcode::CLOSE => break frame,
                    opcode::PING => continue,
                    _ => {}
                }
                let text = String::from_utf8(frame.payload).unwrap();
                let got = number(&text);
                assert_eq!(text, forwarded_offer("a", "slow", &payload(got, 32 << 10)));
                assert!((next..behind).contains(&got), "{got} is later, and not the last");
                next = got + 1;
            };
            assert_eq!(close.payload[..2], 4003_u16.to_be_bytes());
            let mut slow = server.client("slow");
            slow.expect(forwarded_offer("a", "slow", &payload(behind, 32 << 10)));
            slow.expect_nothing("slow");
            a.expect_nothing("a");
        },
    );
}

#[test]
fn a_client_that_is_flooded_is_read_before_it_reads_and_afterwards() {
    on_both_with(
        |config| config.limits.outbox_bytes = 128 << 10,
        |server| {
            let mut slow = client_that_reads_late(server, "slow");
            let mut a = server.client("a");
            let mut friend = server.client("friend");
            for round in 0..10 {
                fill(&mut a, "a", "slow", 0);
                slow.send(offer("friend", &round.to_string()));
                friend.expect(forwarded_offer("slow", "friend", &round.to_string()));
                slow.ping(b"all");
                while slow.next_frame("a pong").expect("a pong").opcode() != opcode::PONG {}
                slow.send(offer("friend", "\"again\""));
                friend.expect(forwarded_offer("slow", "friend", "\"again\""));
            }
        },
    );
}

#[test]
fn messages_in_the_outbox_of_a_dead_socket_wait_for_the_next_one() {
    on_both_with(
        |config| {
            config.limits.outbox_bytes = 64 << 20;
            config.limits.queue_bytes = 64 << 20;
        },
        |server| {
            let slow = client_that_reads_late(server, "slow");
            let mut a = server.client("a");
            // More than the buffers of the system and actix-ws, less than the queue limit.
            let count = 300;
            for n in 0..count {
                a.send(offer("slow", &payload(n, 64 << 10)));
            }
            a.expect_nothing("a");
            slow.reset();
            server.wait_until_gone("slow");
            let mut again = server.client("slow");
            let missed = number(&again.expect_text());
            assert!(missed < count);
            for n in missed + 1..count {
                again.expect(forwarded_offer("a", "slow", &payload(n, 64 << 10)));
            }
            again.expect_nothing("slow");
        },
    );
}

#[test]
fn a_takeover_loses_nothing_that_the_old_socket_did_not_read() {
    on_both_with(
        |config| {
            config.limits.outbox_bytes = 64 << 20;
            config.limits.queue_bytes = 64 << 20;
            config.close_timeout = TIMEOUT;
        },
        |server| {
            let mut old = client_that_reads_late(server, "slow");
            let mut a = server.client("a");
            let count = 300;
            for n in 0..count {
                a.send(offer("slow", &payload(n, 64 << 10)));
            }
            a.expect_nothing("a");
            let mut new = server.client("slow");
            let mut got = 0;
            // In the middle of a message it is cut off, and the new one gets that message complete.
            while let Some(frame) = old.next_frame("what was sent, and the end") {
                if frame.opcode() == opcode::CLOSE {
                    assert_eq!(frame.payload[..2], 4001_u16.to_be_bytes());
                    break;
                }
                let wanted = forwarded_offer("a", "slow", &payload(got, 64 << 10));
                assert_eq!(String::from_utf8(frame.payload).unwrap(), wanted);
                got += 1;
            }
            assert!(got < count);
            for n in got..count {
                new.expect(forwarded_offer("a", "slow", &payload(n, 64 << 10)));
            }
            new.expect_nothing("slow");
        },
    );
}
