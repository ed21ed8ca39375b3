//! Two connections that claim the same id.
//!
//! Some run on both transports: each closes the old socket and saves its outbox in its own way.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use peerbroker::wire::CloseReason;

use crate::harness::http_client::TIMEOUT;
use crate::harness::messages::{ID_TAKEN, LEAVE, WAITING, expired, forwarded_offer, offer};
use crate::harness::wire::opcode;
use crate::harness::{
    RawClient, TestServer, Told, on_both, on_both_with, on_own, on_own_with, wait_until, wire,
};

const PROBE: Duration = Duration::from_millis(3000);
const RECLAIM: Duration = Duration::from_secs(10);
/// A client that waits longer for its id is told so.
const TOLD: Duration = Duration::from_secs(2);
const MS: Duration = Duration::from_millis(1);

#[test]
fn the_same_token_takes_the_id_over_at_once_with_an_open_of_its_own() {
    on_both(|server| {
        let (mut old, mut b) = (server.client("a"), server.client("b"));
        let mut new = server.client("a");
        b.send(offer("a", "1"));
        new.expect(forwarded_offer("b", "a", "1"));
        new.send(offer("b", "2"));
        b.expect(forwarded_offer("a", "b", "2"));
        assert_eq!(old.expect_close(), Some(4001));
        assert_eq!(server.realm().len(), 2);
    });
}

#[test]
fn the_old_socket_is_closed_with_a_code_of_its_own() {
    on_both(|server| {
        let mut old = server.client("a");
        let mut new = server.client("a");
        old.expect_closed_with(Some(4001));
        new.expect_nothing("a");
    });
}

#[test]
fn a_replaced_socket_is_not_heard_any_more() {
    on_both(|server| {
        let (mut old, mut b) = (server.client("a"), server.client("b"));
        let mut new = server.client("a");
        old.send(offer("b", r#""from the past""#));
        old.send(LEAVE);
        old.expect_closed_with(Some(4001));
        b.expect_nothing("b");
        new.expect_nothing("a");
        assert!(server.realm().contains("a"));
    });
}

#[test]
fn a_late_goodbye_does_not_remove_the_successor() {
    on_own(|server| {
        let old = server.client("a");
        let mut new = server.client("a");
        drop(old);
        let gone = Told::Disconnected("a".into(), CloseReason::Replaced);
        wait_until("the old socket's end", || server.told_about("a").contains(&gone));
        assert!(server.realm().contains("a"));
        assert_eq!(server.realm().len(), 1);
        new.expect_nothing("a");
    });
}

#[test]
fn the_end_of_the_new_socket_frees_the_id() {
    on_own(|server| {
        let _old = server.client("a");
        drop(server.client("a"));
        server.wait_until_gone("a");
        server.client_with_token("a", "another token").expect_nothing("a");
    });
}

#[test]
fn a_takeover_restarts_the_clock() {
    on_own_with(
        |config| config.limits.ping_interval = Duration::from_secs(3600),
        |server| {
            let _old = server.client("a");
            server.advance(Duration::from_millis(59_990));
            // The server has pinged it before, because three pings fit into the alive timeout.
            let mut new = server.client("a");
            server.advance(Duration::from_millis(19_999));
            assert!(server.realm().contains("a"));
            server.advance(MS);
            new.expect_ping();
            server.advance(Duration::from_millis(39_999));
            new.expect_ping();
            assert!(server.realm().contains("a"));
            server.advance(MS);
            assert!(!server.realm().contains("a"));
        },
    );
}

#[test]
fn a_takeover_keeps_its_place_in_the_list() {
    on_own_with(
        |config| config.key_settings.allow_discovery = true,
        |server| {
            let _others = [server.client("b"), server.client("a"), server.client("c")];
            let _again = server.client("b");
            assert_eq!(server.get("/peerjs/peers").text(), r#"["b","a","c"]"#);
        },
    );
}

#[test]
fn takeover_after_takeover_leaves_one_connection() {
    on_both(|server| {
        let mut b = server.client("b");
        let mut clients: Vec<RawClient> = (0..20).map(|_| server.client("a")).collect();
        let mut last = clients.pop().unwrap();
        for old in &mut clients {
            old.expect_closed_with(Some(4001));
        }
        b.send(offer("a", "1"));
        last.expect(forwarded_offer("b", "a", "1"));
        assert_eq!(server.realm().len(), 2);
    });
}

#[test]
fn a_holder_that_answers_keeps_its_id() {
    on_both(|server| {
        let mut holder = server.client("a");
        let mut newcomer = server.begin("a", "another token");
        assert!(holder.expect_ping().is_empty());
        server.settle();
        server.advance(TOLD);
        newcomer.expect_accepted();
        newcomer.expect(WAITING);
        server.advance(PROBE - TOLD - MS);
        holder.pong(b"");
        newcomer.expect(ID_TAKEN);
        newcomer.expect_closed_with(None);
        server.advance(PROBE);
        holder.expect_nothing("a");
    });
}

#[test]
fn any_frame_of_the_holder_answers_a_probe() {
    on_both(|server| {
        let mut holder = server.client("a");
        let frames = [wire::text(r#"{"type":"HEARTBEAT"}"#), wire::text("nonsense"), wire::frame(0x89, b"")];
        for frame in frames {
            let mut newcomer = server.begin("a", "another token");
            holder.expect_ping();
            holder.send_raw(&frame);
            newcomer.expect_accepted();
            newcomer.expect(ID_TAKEN);
        }
    });
}

#[test]
fn a_holder_that_does_not_answer_loses_its_id() {
    on_both(|server| {
        let mut holder = server.client("a");
        let mut b = server.client("b");
        let mut newcomer = server.begin("a", "another token");
        holder.expect_ping();
        server.settle();
        server.advance(TOLD);
        newcomer.expect_accepted();
        newcomer.expect(WAITING);
        server.advance(PROBE - TOLD - MS);
        assert_eq!(server.told_about("a"), [Told::Connected("a".into())]);
        server.advance(MS);
        holder.expect_closed_with(Some(4002));
        // Both have the same address, so it does not wait for the holder to come back.
        newcomer.expect_open();
        b.send(offer("a", "1"));
        newcomer.expect(forwarded_offer("b", "a", "1"));
        assert!(server.told_about("a").contains(&Told::Disconnected("a".into(), CloseReason::Evicted)));
        assert_eq!(server.realm().len(), 2);
    });
}

/// A client behind a proxy, which names its address.
fn begin_from(server: &TestServer, address: &str, id: &str, token: &str) -> RawClient {
    let target = server.target(id, token);
    let mut client = server.connect(&target);
    let header = format!("\r\nX-Forwarded-For: {address}\r\n\r\n");
    client.send_raw(RawClient::handshake(&target).replacen("\r\n\r\n", &header, 1));
    client
}

#[test]
fn an_id_is_kept_for_a_holder_that_did_not_answer_and_comes_back() {
    on_own_with(
        |config| config.proxied = true,
        |server| {
            let mut holder = server.client("a");
            let mut b = server.client("b");
            let mut newcomer = begin_from(server, "198.51.100.1", "a", "another token");
            holder.expect_ping();
            server.settle();
            server.advance(TOLD);
            newcomer.expect_accepted();
            newcomer.expect(WAITING);
            server.advance(PROBE - TOLD);
            holder.expect_closed_with(Some(4002));
            server.wait_until_gone("a");
            b.send(offer("a", "1"));
            server.advance(RECLAIM - Duration::from_secs(6));
            let mut back = server.client("a");
            back.expect(forwarded_offer("b", "a", "1"));
            newcomer.expect(ID_TAKEN);
            newcomer.expect_closed_with(None);
        },
    );
}

#[test]
fn a_holder_that_leaves_while_it_is_asked_loses_its_id_at_once() {
    on_both(|server| {
        for how in 0..3 {
            let mut holder = server.client("a");
            let mut newcomer = server.begin("a", &format!("another token {how}"));
            holder.expect_ping();
            match how {
                0 => holder.close(Some(1000)),
                1 => drop(holder),
                _ => holder.reset(),
            }
            newcomer.expect_accepted();
            newcomer.expect_open();
            drop(newcomer);
            server.wait_until_gone("a");
        }
    });
}

#[test]
fn of_two_newcomers_with_different_tokens_one_gets_the_id() {
    on_own(|server| {
        let mut holder = server.client("a");
        let newcomers = [server.begin("a", "second"), server.begin("a", "third")];
        holder.expect_ping();
        server.advance(PROBE);
        let (told, answers) = mpsc::channel();
        thread::scope(|scope| {
            for newcomer in newcomers {
                let told = told.clone();
                scope.spawn(move || answer_pings(newcomer, &told));
            }
            let mut answers = [answers.recv().unwrap(), answers.recv().unwrap()];
            answers.sort();
            assert_eq!(answers, [ID_TAKEN, r#"{"type":"OPEN"}"#]);
            server.node().close();
        });
    });

    // Returns the first text and answers all pings, including those of a late claim.
    fn answer_pings(mut client: RawClient, told: &mpsc::Sender<String>) {
        client.expect_accepted();
        while let Some(frame) = client.next_frame("an answer") {
            match frame.opcode() {
                opcode::PING => client.pong(&frame.payload),
                opcode::TEXT if frame.payload == WAITING.as_bytes() => {}
                opcode::TEXT => told.send(String::from_utf8(frame.payload).unwrap()).unwrap(),
                _ => return,
            }
        }
    }
}

#[test]
fn a_newcomer_that_gives_up_while_the_holder_is_asked_leaves_nothing() {
    on_both(|server| {
        let mut holder = server.client("a");
        let newcomer = server.begin("a", "another token");
        holder.expect_ping();
        drop(newcomer);
        holder.pong(b"");
        holder.expect_nothing("a");
        assert_eq!(server.told_about("a"), [Told::Connected("a".into())]);
    });
}

#[test]
fn a_reconnect_with_the_right_token_does_not_wait_for_a_probe() {
    on_own(|server| {
        let mut holder = server.client("a");
        let mut thief = server.begin("a", "another token");
        holder.expect_ping();
        let mut again = server.client("a");
        thief.expect_accepted();
        // The probed holder is gone, but the id has another holder.
        thief.expect(ID_TAKEN);
        again.expect_nothing("a");
    });
}

#[test]
fn messages_sent_between_two_connections_wait_for_the_second() {
    on_own(|server| {
        let (a, mut b) = (server.client("a"), server.client("b"));
        drop(a);
        server.wait_until_gone("a");
        b.send(offer("a", "1"));
        b.expect_nothing("b");
        let mut a = server.client("a");
        b.send(offer("a", "2"));
        a.expect(forwarded_offer("b", "a", "1"));
        a.expect(forwarded_offer("b", "a", "2"));
    });
}

#[test]
fn queued_messages_for_a_timed_out_peer_still_expire() {
    on_own(|server| {
        let (a, mut b) = (server.client("a"), server.client("b"));
        server.advance(Duration::from_secs(40));
        b.expect_ping();
        server.hear(&mut b, "b");
        server.advance(Duration::from_secs(20));
        drop(a);
        assert!(!server.realm().contains("a"));
        b.expect_ping();
        b.send(offer("a", "1"));
        b.expect_nothing("b");
        server.advance(Duration::from_secs(5));
        b.expect(expired("a", "b"));
    });
}

#[test]
fn across_takeovers_nothing_is_lost_doubled_or_out_of_order() {
    const COUNT: usize = 3000;
    on_both_with(
        |config| {
            config.close_timeout = TIMEOUT;
            config.limits.queue_messages = COUNT;
        },
        |server| {
            let (mut a, mut b) = (server.client("a"), server.client("b"));
            thread::scope(|scope| {
                scope.spawn(move || {
                    (0..COUNT).for_each(|n| a.send(offer("b", &n.to_string())));
                    a.expect_nothing("a");
                });
                let mut got = 0;
                while got < COUNT {
                    let next = server.client("b");
                    let mut old = std::mem::replace(&mut b, next);
                    // The old socket has got all its messages before the close frame. In the middle of a message
                    // it is cut off, and the new one gets that message complete.
                    while let Some(n) = next_number(&mut old) {
                        assert_eq!(n, got);
                        got += 1;
                    }
                    for _ in 0..COUNT.saturating_sub(got).min(100) {
                        assert_eq!(next_number(&mut b), Some(got));
                        got += 1;
                    }
                }
            });
            b.expect_nothing("b");
        },
    );

    fn next_number(client: &mut RawClient) -> Option<usize> {
        let frame = client.next_frame("a message, the close or the end")?;
        if frame.opcode() == opcode::CLOSE {
            return None;
        }
        let message: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap();
        message["payload"].as_u64().map(|n| n as usize)
    }
}
