//! Attacks on Matchbox's rooms and groups: on memory.

use crate::harness::{Target, with_address};
use crate::raw_client::RawClient;

/// A peer in a room with the longest name, which waits for others in a group of its own.
fn waiting(target: &Target, round: usize, n: usize) -> RawClient {
    let mut peer = RawClient::over(target.connect(), &format!("peer-{n}"));
    let room = format!("/matchbox/{:x<64}?next=500", format!("{round}-{n}-"));
    let from = format!("198.51.{}.{}", 100 + n / 200, n % 200);
    peer.send_raw(with_address(&RawClient::handshake(&room), &from));
    peer.expect_accepted();
    assert!(peer.expect_text().starts_with(r#"{"IdAssigned":"#));
    peer
}

pub fn groups_that_are_never_full(target: &mut Target) {
    const PEERS: usize = 2000;
    for round in 0..4 {
        let peers: Vec<_> = (0..PEERS).map(|n| waiting(target, round, n)).collect();
        target.expect_metric("peerbroker_rooms", PEERS);
        drop(peers);
        target.expect_metric("peerbroker_rooms", 0);
    }
}
