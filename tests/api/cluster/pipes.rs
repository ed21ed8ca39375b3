//! Pipes whose ends are on different nodes.

use peerbroker::{Config, PeerBroker};
use peerbroker_config::{Ban, Degraded};
use peerbroker_core::vocabulary::CloseReason;
use testkit::wire::{self, FIN, opcode};

use super::Nodes;
use crate::harness::{RawClient, TestServer, Transport, wait_until};
use crate::pipes::{ONE, OTHER, PIPE, end_of, message, opened, target, unlimited};

const WAITING: &str = r#"{"type":"WAITING"}"#;

/// Two ends that have met.
fn ends(one: &TestServer, other: &TestServer) -> (RawClient, RawClient) {
    let mut first = end_of(one, PIPE, ONE);
    first.ping(b"");
    first.expect_pong();
    let mut second = end_of(other, PIPE, OTHER);
    first.expect(opened(1));
    second.expect(opened(1));
    (first, second)
}

#[test]
fn two_ends_meet_whichever_nodes_they_are_on() {
    let nodes = Nodes::start(2);
    let (mut one, mut other) = ends(&nodes[0], &nodes[1]);
    for size in [1, 65_535, 65_536] {
        let sent: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
        one.send_binary(&sent);
        assert_eq!(message(&mut other), sent, "{size}");
        other.send_binary(&sent);
        assert_eq!(message(&mut one), sent, "{size}");
    }
    other.expect_closed_by_us(Some(1000));
    one.expect_closed_with(CloseReason::PipeLeft.ending().code);
    wait_until("the pipe is over", || nodes.nodes.iter().all(|node| node.node().pipes() == 0));
    // Its name is free: the ends may meet again, the other way round.
    let (mut other, mut one) = ends(&nodes[1], &nodes[0]);
    one.send_binary(b"again");
    assert_eq!(message(&mut other), b"again");
}

#[test]
fn an_end_at_a_broker_in_an_app_has_its_pipe_on_another_node() {
    let mut nodes = Nodes::start(1);
    let app = TestServer::start_node_on(Transport::Actix, PeerBroker::builder(), nodes.cluster());
    nodes.push(app);
    let (mut one, mut other) = ends(&nodes[0], &nodes[1]);
    let sent: Vec<u8> = (0..65_536).map(|n| (n * 7) as u8).collect();
    for _ in 0..20 {
        one.send_binary(&sent);
        other.send_binary(&sent);
    }
    for _ in 0..20 {
        assert!(message(&mut other) == sent, "to the app");
        assert!(message(&mut one) == sent, "from the app");
    }
    one.reset();
    other.expect(WAITING);
    let mut one = end_of(&nodes[1], PIPE, ONE);
    one.expect(opened(2));
    other.expect(opened(2));
    one.ping(b"hi");
    one.expect_pong();
    one.expect_closed_by_us(Some(1000));
    other.expect_closed_with(CloseReason::PipeLeft.ending().code);
    wait_until("the pipe is over", || nodes.nodes.iter().all(|node| node.node().pipes() == 0));
}

#[test]
fn ends_that_come_at_once_meet() {
    let nodes = Nodes::start(2);
    let mut one = nodes[0].begin_at(&target(&nodes[0], PIPE, ONE));
    let mut other = nodes[1].begin_at(&target(&nodes[1], PIPE, OTHER));
    one.expect_accepted();
    other.expect_accepted();
    one.expect(opened(1));
    other.expect(opened(1));
    one.send_binary(b"hi");
    assert_eq!(message(&mut other), b"hi");
}

#[test]
fn an_end_may_come_back_on_another_node() {
    let nodes = Nodes::start(3);
    let (one, mut other) = ends(&nodes[0], &nodes[1]);
    one.reset();
    other.expect(WAITING);
    let mut one = end_of(&nodes[2], PIPE, ONE);
    one.expect(opened(2));
    other.expect(opened(2));
    other.reset();
    one.expect(WAITING);
    let mut other = end_of(&nodes[0], PIPE, OTHER);
    one.expect(opened(3));
    other.expect(opened(3));
    one.send_binary(b"still there");
    assert_eq!(message(&mut other), b"still there");
}

#[test]
fn the_ends_of_a_node_that_has_gone_meet_on_another_one() {
    let mut nodes = Nodes::start(3);
    let (mut one, mut other) = ends(&nodes[0], &nodes[1]);
    nodes.nodes.remove(0);
    one.expect_cut_off();
    other.expect_cut_off();
    let mut one = end_of(&nodes[1], PIPE, ONE);
    let mut other = end_of(&nodes[0], PIPE, OTHER);
    one.expect(opened(1));
    other.expect(opened(1));
    one.send_binary(b"still there");
    assert_eq!(message(&mut other), b"still there");
}

#[test]
fn an_end_that_does_not_read_stops_the_other_across_nodes() {
    let nodes = Nodes::start_with(2, Degraded::Allow, unlimited);
    let (mut one, mut other) = ends(&nodes[0], &nodes[1]);
    // Until all sockets on the way are full.
    let record = wire::frame(FIN | opcode::BINARY, &[7; 64 << 10]);
    let mut rest = &record[..];
    let mut sent = 0;
    wait_until("the pipe is full", || {
        while let count @ 1.. = one.send_what_fits(rest) {
            sent += count;
            rest = rest.get(count..).filter(|rest| !rest.is_empty()).unwrap_or(&record);
        }
        crate::pipes::report(&nodes[0]).is_stalled
    });
    // Once it reads, all comes in order.
    for _ in 0..sent / record.len() {
        assert_eq!(message(&mut other), [7; 64 << 10]);
    }
}

#[test]
fn the_node_of_an_end_may_end_it() {
    let proxied = |config: &mut Config| config.proxied = true;
    let nodes = Nodes::start_with(2, Degraded::Allow, proxied);
    let mut one = end_of(&nodes[0], PIPE, ONE);
    one.ping(b"");
    one.expect_pong();
    let mut other = nodes[1].begin_with(&target(&nodes[1], PIPE, OTHER), "X-Forwarded-For: 192.0.2.1\r\n");
    other.expect_accepted();
    one.expect(opened(1));
    other.expect(opened(1));
    // The address of the end came with it.
    nodes[1].reconfigure(|config| config.bans = vec![Ban::parse("192.0.2.1").unwrap()]);
    other.expect_cut_off();
    one.expect(WAITING);
    nodes[0].reconfigure(|config| config.bans = vec![Ban::parse("192.0.2.1").unwrap()]);
    one.expect_closed_with(CloseReason::PipeLeft.ending().code);
}

#[test]
fn a_ticket_is_good_for_one_end_once() {
    let nodes = Nodes::start(2);
    let (_one, _other) = ends(&nodes[0], &nodes[1]);
    for ticket in ["x", "AAAAAAAAAAAAAAAAAAAAAA"] {
        let mut stranger = nodes[0].begin_at(&format!("{}&ticket={ticket}", target(&nodes[0], PIPE, ONE)));
        stranger.expect_accepted();
        stranger.expect_closed_with(Some(4014));
    }
}

#[test]
fn without_redis_the_ends_of_one_node_still_meet() {
    let mut nodes = Nodes::start(2);
    nodes.redis.kill();
    let mut one = end_of(&nodes[0], PIPE, ONE);
    let mut other = end_of(&nodes[0], PIPE, OTHER);
    one.expect(opened(1));
    other.expect(opened(1));
}
