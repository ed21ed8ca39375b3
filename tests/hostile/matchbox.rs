//! Attacks on Matchbox's rooms and groups: on memory, and on other peers.

use std::net::TcpStream;

use crate::flow::connect_with_small_segments;
use crate::harness::{Target, with_address};
use crate::raw_client::RawClient;

/// A peer in a room. They are spread over addresses, so that limits of addresses do not stop them.
fn peer(stream: TcpStream, n: usize, room: &str) -> RawClient {
    let mut peer = RawClient::over(stream, &format!("peer-{n}"));
    let from = format!("198.51.{}.{}", 100 + n / 200, n % 200);
    peer.send_raw(with_address(&RawClient::handshake(&format!("/matchbox/{room}")), &from));
    peer.expect_accepted();
    assert!(peer.expect_text().starts_with(r#"{"IdAssigned":"#));
    peer
}

/// Each waits in a room with the longest name, and in a group of its own.
pub fn groups_that_are_never_full(target: &mut Target) {
    const PEERS: usize = 2000;
    for round in 0..4 {
        let room = |n| format!("{:x<64}?next={}", format!("{round}-{n}-"), 1_000_000 + n);
        let peers: Vec<_> = (0..PEERS).map(|n| peer(target.connect(), n, &room(n))).collect();
        target.expect_metric("peerbroker_rooms", PEERS);
        drop(peers);
        target.expect_metric("peerbroker_rooms", 0);
    }
}

/// A group has at most as many peers as a room. Peers of another group still find each other.
pub fn crowds_that_are_never_full(target: &mut Target) {
    const ROOMS: usize = 4;
    const MEMBERS: usize = 500;
    let room = |n: usize| format!("crowd-{}?next=1000000", n % ROOMS);
    let deaf: Vec<_> = (0..ROOMS * MEMBERS)
        .map(|n| peer(connect_with_small_segments(target.address), n, &room(n)))
        .collect();
    target.expect_metric("peerbroker_room_members", deaf.len());
    for n in 0..200 {
        peer(target.connect(), n, &room(n)).expect_closed_with(Some(4007));
    }
    for n in 0..20 {
        let mut one = peer(target.connect(), 5000 + n, "friends?next=2");
        let mut other = peer(target.connect(), 6000 + n, "friends?next=2");
        assert!(one.expect_text().starts_with(r#"{"NewPeer":"#));
        one.expect_closed_by_us(Some(1000));
        assert!(other.expect_text().starts_with(r#"{"PeerLeft":"#));
    }
    drop(deaf);
    target.expect_metric("peerbroker_room_members", 0);
}
