//! Attacks on the tracker: on other members of swarms, and on memory.

use crate::harness::{Target, with_address};
use crate::raw_client::RawClient;
use crate::wire;

/// A guest behind an address. They are spread, so that limits of addresses do not stop them.
fn guest(target: &Target, n: usize) -> RawClient {
    let mut client = RawClient::over(target.connect(), &format!("guest-{n}"));
    let from = format!("198.51.100.{}", n % 200);
    client.send_raw(with_address(&RawClient::handshake("/"), &from));
    client.expect_accepted();
    client
}

fn announce(info_hash: &str, peer: usize, more: &str) -> Vec<u8> {
    wire::text(&format!(
        r#"{{"action":"announce","info_hash":"{info_hash:0>20}","peer_id":"{peer:020}"{more}}}"#
    ))
}

/// Each guest announces ever new torrents, and hears that it has too many.
pub fn many_swarms(target: &mut Target) {
    const ATTACKERS: usize = 20;
    const MOST: usize = 256;
    let mut attackers: Vec<_> = (0..ATTACKERS).map(|n| guest(target, n)).collect();
    for (n, client) in attackers.iter_mut().enumerate() {
        for torrents in (0..1000).collect::<Vec<_>>().chunks(100) {
            let frames = torrents.iter().map(|torrent| announce(&format!("{n}-{torrent}"), n, ""));
            client.send_raw(frames.collect::<Vec<_>>().concat());
            for torrent in torrents {
                let told = client.expect_text();
                assert_eq!(told.contains("too many swarms"), *torrent >= MOST, "{told}");
            }
        }
    }
    target.expect_metric("peerbroker_swarms", ATTACKERS * MOST);
    drop(attackers);
    target.expect_metric("peerbroker_swarms", 0);
    target.expect_metric("peerbroker_swarm_members", 0);
}

/// A guest announces 10,000 torrents, and others name as many in one frame. A scrape of the most is still
/// answered.
pub fn ten_thousand_hashes(target: &mut Target) {
    const HASHES: usize = 10_000;
    const MOST: usize = 256;
    let hash = |n: usize| format!("{n:0>20}");
    let listed = |count| serde_json::json!((0..count).map(hash).collect::<Vec<_>>());
    let mut one = guest(target, 0);
    for torrents in (0..HASHES).collect::<Vec<_>>().chunks(100) {
        one.send_raw(torrents.iter().flat_map(|&n| announce(&hash(n), 0, "")).collect::<Vec<_>>());
        for &torrent in torrents {
            let told = one.expect_text();
            assert_eq!(told.contains("too many swarms"), torrent >= MOST, "{told}");
        }
    }
    let mut other = guest(target, 1);
    let scrape = |count| wire::text(&format!(r#"{{"action":"scrape","info_hash":{}}}"#, listed(count)));
    let too_many = wire::text(&format!(r#"{{"action":"announce","info_hash":{}}}"#, listed(HASHES)));
    for _ in 0..100 {
        other.send_raw(scrape(HASHES));
        assert!(other.expect_text().contains("a scrape has 1 to 100 info hashes"));
        other.send_raw(&too_many);
        assert!(other.expect_text().contains("invalid info_hash"));
        other.send_raw(scrape(100));
        assert_eq!(other.expect_text().matches(r#""incomplete":1"#).count(), 100);
    }
    target.expect_metric("peerbroker_swarms", MOST);
}

/// Announces with the most offers in a swarm whose other members do not read. Friends still find each other.
pub fn flooded_swarm(target: &mut Target) {
    const MEMBERS: usize = 300;
    let deaf: Vec<_> = (0..MEMBERS)
        .map(|n| {
            let mut member = guest(target, n);
            member.send_raw(announce("crowd", n, ""));
            member
        })
        .collect();
    target.expect_metric("peerbroker_swarm_members", MEMBERS);
    let offer = format!(r#"{{"offer":{{"sdp":"{}"}},"offer_id":"o"}}"#, "x".repeat(1024));
    let offers = format!(r#","offers":[{}]"#, vec![offer; 82].join(","));
    let mut friends = [1000, 1001].map(|n| guest(target, n));
    friends[0].send_raw(announce("friends", 1000, ""));
    assert!(friends[0].expect_text().contains(r#""incomplete":1"#));
    let mut attackers: Vec<_> = (0..20).map(|n| guest(target, 2000 + n)).collect();
    for round in 0..10 {
        for (n, attacker) in attackers.iter_mut().enumerate() {
            attacker.send_raw(announce("crowd", 2000 + n, &offers));
        }
        let offer = format!(r#","offers":[{{"offer":{{"sdp":{round}}},"offer_id":"o"}}]"#);
        friends[1].send_raw(announce("friends", 1001, &offer));
        assert!(friends[1].expect_text().contains(r#""incomplete":2"#));
        assert!(friends[0].expect_text().contains(&format!(r#""offer":{{"sdp":{round}}}"#)));
    }
    drop((deaf, attackers));
    target.expect_metric("peerbroker_swarm_members", 2);
}
