//! Pipes: what two ends hear of each other, and what each limit does.

use std::time::Duration;

use peerbroker::Config;
use peerbroker_config::Ban;
use peerbroker_core::vocabulary::{CloseReason, Limit, Refusal};
use peerbroker_events::Count;
use peerbroker_keys::{Change, Origin};
use peerbroker_protocols::pipes::{PipeReport, Pipes};
use testkit::wire::{self, FIN, opcode};

use crate::harness::keys::{key, on_both_with_keys, plain_key};
use crate::harness::{RawClient, TestServer, on_both, on_both_with, on_own, on_own_with, wait_until};

pub const PIPE: &str = "AAAAAAAAAAAAAAAAAAAAAA";
pub const ONE: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
pub const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAg";
const THIRD: &str = "AAAAAAAAAAAAAAAAAAAAAw";

const WAITING: &str = r#"{"type":"WAITING"}"#;

/// The time for which an end may be alone, away, or stalled.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn opened(turn: u32) -> String {
    format!(r#"{{"type":"OPEN","turn":{turn}}}"#)
}

pub fn target(server: &TestServer, pipe: &str, end: &str) -> String {
    format!("{}pipe/{pipe}?key=peerjs&end={end}", server.root())
}

pub fn end_of(server: &TestServer, pipe: &str, end: &str) -> RawClient {
    let mut client = server.begin_at(&target(server, pipe, end));
    client.expect_accepted();
    client.name = format!("end {end} of {pipe}");
    client
}

/// Two ends that have met.
fn ends(server: &TestServer) -> (RawClient, RawClient) {
    let mut one = end_of(server, PIPE, ONE);
    let mut other = end_of(server, PIPE, OTHER);
    one.expect(opened(1));
    other.expect(opened(1));
    (one, other)
}

/// The next binary message, which may come in fragments.
pub fn message(client: &mut RawClient) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        let frame = client.next_frame("a part of a message").expect("a frame");
        let is_first = message.is_empty();
        let wanted = if is_first { opcode::BINARY } else { opcode::CONTINUATION };
        assert_eq!(frame.first & 0xF, wanted, "{}", client.name);
        message.extend(frame.payload);
        if frame.first & FIN != 0 {
            return message;
        }
    }
}

fn refused(server: &TestServer, target: &str, code: u16) {
    let mut client = server.begin_at(target);
    client.expect_accepted();
    client.expect_closed_with(Some(code));
}

fn pipes(server: &TestServer) -> usize {
    server.node().pipes()
}

/// Lets the sweeper find what is due.
fn advance(server: &TestServer, by: Duration) {
    server.advance(by);
    server.node().sweep();
}

#[test]
fn what_one_end_sends_comes_to_the_other_whole_and_in_order() {
    on_both(|server| {
        let (mut one, mut other) = ends(server);
        let sizes = [0, 1, 125, 126, 65_535, 65_536];
        for (at, size) in sizes.into_iter().enumerate() {
            let sent: Vec<u8> = (0..size).map(|n| (n * 7 + at) as u8).collect();
            one.send_binary(&sent);
            other.send_binary(&sent);
            assert_eq!(message(&mut other), sent, "{size}");
            assert_eq!(message(&mut one), sent, "{size}");
        }
        // In two frames, with a ping between them.
        one.send_raw(wire::frame(opcode::BINARY, b"two "));
        one.ping(b"?");
        one.send_raw(wire::frame(FIN | opcode::CONTINUATION, b"frames"));
        assert_eq!(one.expect_pong(), b"?");
        assert_eq!(message(&mut other), b"two frames");
        assert_eq!(server.node().counters().total(Count::PipesOpened), 1);
        other.expect_closed_by_us(Some(1000));
        one.expect_closed_with(CloseReason::PipeLeft.ending().code);
        wait_until("the pipe is over", || pipes(server) == 0);
    });
}

#[test]
fn many_small_messages_come_in_one_piece_each() {
    on_both(|server| {
        let (mut one, mut other) = ends(server);
        let all: Vec<u8> =
            (0..1000_u16).flat_map(|n| wire::frame(FIN | opcode::BINARY, &n.to_be_bytes())).collect();
        one.send_raw(all);
        for n in 0..1000_u16 {
            assert_eq!(message(&mut other), n.to_be_bytes());
        }
    });
}

#[test]
fn a_lost_end_may_come_back_and_a_new_socket_replaces_its_former_one() {
    on_both(|server| {
        let (one, mut other) = ends(server);
        one.reset();
        other.expect(WAITING);
        let mut one = end_of(server, PIPE, ONE);
        one.expect(opened(2));
        other.expect(opened(2));
        // Its network has changed, and the server does not know it yet.
        let mut newer = end_of(server, PIPE, ONE);
        one.expect_closed_with(CloseReason::Replaced.ending().code);
        newer.expect(opened(3));
        other.expect(opened(3));
        newer.send_binary(b"still there");
        assert_eq!(message(&mut other), b"still there");
        // A page that does not say that it leaves may come back, too.
        newer.expect_closed_by_us(None);
        other.expect(WAITING);
        assert_eq!(pipes(server), 1);
    });
}

#[test]
fn what_comes_while_the_other_end_is_away_is_dropped() {
    on_both(|server| {
        let mut one = end_of(server, PIPE, ONE);
        one.send_binary(b"too early");
        one.ping(b"read");
        one.expect_pong();
        let mut other = end_of(server, PIPE, OTHER);
        one.expect(opened(1));
        other.expect(opened(1));
        one.send_binary(b"in time");
        assert_eq!(message(&mut other), b"in time");
    });
}

#[test]
fn a_message_that_is_cut_off_ends_the_connection_that_has_its_beginning() {
    on_both(|server| {
        let half = &wire::frame(FIN | opcode::BINARY, &[7; 1000])[..500];
        // Its socket is lost, or replaced.
        for is_replaced in [false, true] {
            let (mut one, mut other) = ends(server);
            one.send_raw(half);
            let begun = other.next_frame("half a message").unwrap();
            assert_eq!((begun.first, begun.payload.len() < 1000), (opcode::BINARY, true));
            let mut newer = None;
            if is_replaced {
                newer = Some(end_of(server, PIPE, ONE));
                one.expect_closed_with(CloseReason::Replaced.ending().code);
            } else {
                one.reset();
            }
            // No text comes within a message.
            other.expect_closed_with(None);
            let mut other = end_of(server, PIPE, OTHER);
            let mut one = newer.unwrap_or_else(|| end_of(server, PIPE, ONE));
            let next = |end: &mut RawClient| loop {
                match end.expect_text() {
                    text if text == WAITING => {}
                    text => return text,
                }
            };
            // The newer socket had a turn with the connection that was over.
            let turn = next(&mut other);
            while next(&mut one) != turn {}
            one.send_binary(b"whole");
            assert_eq!(message(&mut other), b"whole");
            one.expect_closed_by_us(Some(1000));
            other.expect_closed_with(CloseReason::PipeLeft.ending().code);
            wait_until("the pipe is over", || pipes(server) == 0);
        }
    });
}

#[test]
fn nobody_gets_the_end_of_a_message_without_its_beginning() {
    on_both(|server| {
        let begun = wire::frame(opcode::BINARY, b"too ");
        let rest = wire::frame(FIN | opcode::CONTINUATION, b"early");
        let mut one = end_of(server, PIPE, ONE);
        one.send_raw(begun);
        one.ping(b"");
        one.expect_pong();
        let mut other = end_of(server, PIPE, OTHER);
        one.expect(opened(1));
        other.expect(opened(1));
        one.send_raw(rest);
        one.send_binary(b"in time");
        assert_eq!(message(&mut other), b"in time");
    });
}

#[test]
fn nobody_waits_for_longer_than_half_a_minute() {
    on_both(|server| {
        let mut alone = end_of(server, PIPE, ONE);
        alone.ping(b"");
        alone.expect_pong();
        advance(server, PATIENCE - Duration::from_secs(1));
        assert_eq!(pipes(server), 1);
        advance(server, Duration::from_secs(1));
        alone.expect_closed_with(CloseReason::PipeAlone.ending().code);
        wait_until("the pipe is over", || pipes(server) == 0);

        let (one, mut other) = ends(server);
        one.reset();
        other.expect(WAITING);
        advance(server, PATIENCE);
        other.expect_closed_with(CloseReason::PipeLeft.ending().code);
        wait_until("the pipe is over", || pipes(server) == 0);
    });
}

#[test]
fn an_end_from_which_nothing_comes_is_closed_and_may_come_back() {
    on_both(|server| {
        let (mut one, mut other) = ends(server);
        let idle = server.node().config().load().limits.pipe_idle_timeout();
        advance(server, idle - Duration::from_secs(1));
        other.send_binary(b"I am here");
        message(&mut one);
        advance(server, Duration::from_secs(1));
        one.expect_closed_with(None);
        other.expect(WAITING);
        end_of(server, PIPE, ONE).expect(opened(2));
    });
}

#[test]
fn an_end_that_does_not_read_stops_the_other_and_ends_the_pipe() {
    on_both_with(unlimited, |server| {
        let (mut one, mut other) = ends(server);
        // Until the sockets of both, and what the server keeps, are full.
        let record = wire::frame(FIN | opcode::BINARY, &[7; 64 << 10]);
        let mut rest = &record[..];
        wait_until("the pipe is full", || {
            while let sent @ 1.. = one.send_what_fits(rest) {
                rest = rest.get(sent..).filter(|rest| !rest.is_empty()).unwrap_or(&record);
            }
            report(server).is_stalled
        });
        wait_until("the pipe is over", || {
            advance(server, PATIENCE);
            server.tenant("peerjs").part::<Pipes>().reports(1).is_empty()
        });
        let closed = std::iter::from_fn(|| other.next_frame("a close frame"))
            .find(|frame| frame.opcode() == opcode::CLOSE);
        let code = closed.map(|frame| u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
        assert_eq!(code, CloseReason::PipeStalled.ending().code);
    });
}

pub fn report(server: &TestServer) -> PipeReport {
    server.tenant("peerjs").part::<Pipes>().reports(1).remove(0)
}

pub fn unlimited(config: &mut Config) {
    config.pipes.total_bytes_per_second = 0;
}

#[test]
fn what_is_no_record_ends_the_pipe() {
    on_both(|server| {
        let frame = |first, payload: &[u8]| wire::frame(first, payload);
        let too_big = frame(FIN | opcode::BINARY, &[0; (64 << 10) + 1]);
        for (sent, reason) in [
            (frame(FIN | opcode::TEXT, b"a text"), CloseReason::WrongMessage),
            (frame(opcode::TEXT, b"a"), CloseReason::WrongMessage),
            (too_big, CloseReason::TooBig),
            (frame(FIN | opcode::CONTINUATION, b"of nothing"), CloseReason::ProtocolError),
        ] {
            let (mut one, mut other) = ends(server);
            one.send_raw(sent);
            other.expect_closed_with(CloseReason::PipeLeft.ending().code);
            one.expect_closed_with(reason.ending().code);
            wait_until("the pipe is over", || pipes(server) == 0);
        }
    });
}

#[test]
fn a_third_end_a_wrong_id_and_a_wrong_key_are_refused() {
    on_both(|server| {
        let (mut one, mut other) = ends(server);
        refused(server, &target(server, PIPE, THIRD), 4014);
        for pipe in ["short", &"A".repeat(23), "AAAAAAAAAAAAAAAAAAAAAB", "%41AAAAAAAAAAAAAAAAAAAAA"] {
            refused(server, &target(server, pipe, ONE), 4014);
        }
        refused(server, &target(server, PIPE, "short"), 4014);
        refused(server, &format!("{}pipe/{PIPE}?key=peerjs", server.root()), 4014);
        refused(server, &format!("{}pipe/{PIPE}?key=unknown&end={ONE}", server.root()), 4014);
        let refusals = server.node().counters();
        assert_eq!(refusals.total(Count::Refused(Refusal::PipeTaken)), 1);
        assert_eq!(refusals.total(Count::Refused(Refusal::InvalidPipe)), 6);
        assert_eq!(refusals.total(Count::Refused(Refusal::InvalidKey)), 1);
        // The pipe goes on.
        one.send_binary(b"on");
        assert_eq!(message(&mut other), b"on");
    });
}

#[test]
fn a_key_may_have_no_pipes_and_a_server_none_at_all() {
    let keys = [key("without", Change { pipes: Some(false), ..Change::default() })];
    on_both_with_keys(&keys, |server, _| {
        refused(server, &format!("{}pipe/{PIPE}?key=without&end={ONE}", server.root()), 4014);
        assert_eq!(server.node().counters().total(Count::Refused(Refusal::PipesOff)), 1);
    });
    on_both_with(
        |config| config.pipes.total = 0,
        |server| {
            refused(server, &target(server, PIPE, ONE), 4014);
        },
    );
}

#[test]
fn pipes_end_once_their_key_or_the_server_may_have_none() {
    let both_end = |server: &TestServer, (mut one, mut other): (RawClient, RawClient)| {
        server.node().sweep();
        one.expect_closed_with(Some(4014));
        other.expect_closed_with(Some(4014));
        wait_until("the pipe is over", || pipes(server) == 0);
    };
    on_both_with_keys(&[key("peerjs", Change::default())], |server, keys| {
        let ends = ends(server);
        keys.change("peerjs", Change { pipes: Some(false), ..Change::default() });
        both_end(server, ends);
    });
    on_own(|server| {
        let ends = ends(server);
        server.reconfigure(|config| config.pipes.total = 0);
        both_end(server, ends);
    });
}

#[test]
fn of_pings_that_come_together_the_last_one_is_answered() {
    on_both(|server| {
        let (mut one, _other) = ends(server);
        let pings: Vec<u8> =
            (0..2000_u16).flat_map(|n| wire::frame(FIN | opcode::PING, &n.to_be_bytes())).collect();
        one.send_raw(pings);
        let mut pongs = 1;
        while one.expect_pong() != 1999_u16.to_be_bytes() {
            pongs += 1;
        }
        assert!(pongs < 200, "{pongs}");
    });
}

#[test]
fn a_page_of_another_origin_gets_no_pipe() {
    let origins = vec![Origin::parse("https://app.test").unwrap()];
    on_both_with_keys(
        &[key("of-app", Change { origins: Some(origins), ..Change::default() })],
        |server, _| {
            let target = format!("{}pipe/{PIPE}?key=of-app&end={ONE}", server.root());
            let mut foreign = server.begin_with(&target, "Origin: https://evil.test\r\n");
            foreign.expect_accepted();
            foreign.expect_closed_with(Some(4014));
            let mut own = server.begin_with(&target, "Origin: https://app.test\r\n");
            own.expect_accepted();
            own.ping(b"");
            own.expect_pong();
        },
    );
}

#[test]
fn each_limit_of_pipes_refuses_the_next_one_and_is_counted() {
    for (limit, key) in [(Limit::Pipes, "other"), (Limit::PipesPerKey, "peerjs")] {
        on_own_with(
            |config| {
                config.pipes.total = 1;
                config.keys = vec![plain_key("other")];
            },
            |server| {
                let (mut one, mut other) = ends(server);
                let of_key = format!("key={key}");
                refused(server, &target(server, OTHER, ONE).replace("key=peerjs", &of_key), 1013);
                assert_eq!(server.node().counters().total(Count::LimitHits(limit)), 1, "{limit:?}");
                one.expect_closed_by_us(Some(1000));
                other.expect_closed_with(CloseReason::PipeLeft.ending().code);
                wait_until("the pipe is over", || pipes(server) == 0);
                end_of(server, OTHER, ONE);
            },
        );
    }
}

#[test]
fn the_ends_of_an_address_are_limited() {
    let configure = |config: &mut Config| {
        config.proxied = true;
        config.pipes.total = 40;
    };
    on_both_with(configure, |server| {
        let of = |address: &str, pipe: &str, end: &str| {
            let mut client =
                server.begin_with(&target(server, pipe, end), &format!("X-Forwarded-For: {address}\r\n"));
            client.expect_accepted();
            client
        };
        let mut one = of("192.0.2.1", PIPE, ONE);
        let mut other = of("192.0.2.1", PIPE, OTHER);
        one.expect(opened(1));
        other.expect(opened(1));
        of("192.0.2.1", ONE, ONE).expect_closed_with(Some(1013));
        assert_eq!(server.node().counters().total(Count::LimitHits(Limit::PipesPerAddress)), 1);
        let mut neighbour = of("192.0.2.2", ONE, ONE);
        neighbour.ping(b"");
        neighbour.expect_pong();
        // One that comes back is not another one.
        let mut again = of("192.0.2.1", PIPE, ONE);
        again.expect(opened(2));
        assert_eq!(pipes(server), 2);
    });
}

#[test]
fn above_a_rate_nothing_is_read_until_its_time() {
    on_own_with(
        |config| config.pipes.total_bytes_per_second = 8000,
        |server| {
            let (mut one, mut other) = ends(server);
            // A burst of ten seconds, and more.
            for at in 0..3_u8 {
                one.send_binary(&[at; 8000]);
            }
            assert_eq!(message(&mut other), [0; 8000]);
            wait_until("it is above the rate", || {
                server.node().counters().total(Count::LimitHits(Limit::PipeBytes)) > 0
            });
            for at in 1..3_u8 {
                let mut next = None;
                wait_until("the next message is read", || {
                    server.advance(Duration::from_secs(1));
                    next = other.has_input().then(|| message(&mut other));
                    next.is_some()
                });
                assert_eq!(next.unwrap(), [at; 8000]);
            }
        },
    );
}

#[test]
fn a_banned_end_is_closed_and_the_other_hears_that_it_has_left() {
    on_both_with(
        |config| config.proxied = true,
        |server| {
            let of = |address: &str, end: &str| {
                let mut client =
                    server.begin_with(&target(server, PIPE, end), &format!("X-Forwarded-For: {address}\r\n"));
                client.expect_accepted();
                client
            };
            let mut banned = of("192.0.2.1", ONE);
            let mut other = of("192.0.2.2", OTHER);
            banned.expect(opened(1));
            other.expect(opened(1));
            server.reconfigure(|config| config.bans = vec![Ban::parse("192.0.2.1").unwrap()]);
            banned.expect_closed_with(CloseReason::Banned.ending().code);
            other.expect_closed_with(CloseReason::PipeLeft.ending().code);
        },
    );
}

#[test]
fn a_revoked_key_and_a_stopping_server_end_pipes() {
    let keys = [key("mine", Change::default())];
    on_both_with_keys(&keys, |server, keys| {
        let end = |end: &str| {
            let mut client = server.begin_at(&format!("{}pipe/{PIPE}?key=mine&end={end}", server.root()));
            client.expect_accepted();
            client
        };
        let mut one = end(ONE);
        let mut other = end(OTHER);
        one.expect(opened(1));
        other.expect(opened(1));
        keys.remove("mine");
        one.expect_closed_with(CloseReason::KeyRevoked.ending().code);
        other.expect_closed_with(CloseReason::KeyRevoked.ending().code);
    });
    on_own(|server| {
        let (mut one, mut other) = ends(server);
        server.node().close();
        one.expect_closed_with(CloseReason::Shutdown.ending().code);
        other.expect_closed_with(CloseReason::Shutdown.ending().code);
        refused(server, &target(server, PIPE, ONE), 1001);
    });
}
