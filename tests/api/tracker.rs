//! The tracker at the root: the protocol of WebTorrent.

use std::sync::Arc;

use peerbroker::Config;
use peerbroker_config::{Dialect, Dialects};
use peerbroker_core::vocabulary::Limit;
use peerbroker_events::Count;
use peerbroker_protocols::tracker::{MAX_SWARMS, Swarms};
use serde_json::{Value, json};

use crate::harness::keys::{on_own_with_keys_and, plain_key};
use crate::harness::{RawClient, TestServer, on_both_with, on_own, on_own_with, wait_until};

pub const INFO_HASH: &str = "torrent-torrent-torr";

pub fn with_tracker(config: &mut Config) {
    config.dialects = Dialects::from_iter(Dialect::ALL);
}

pub fn swarms(server: &TestServer) -> Arc<Swarms> {
    Arc::clone(&server.tenant("peerjs").guests().swarms)
}

/// The id of the peer of a letter.
pub fn id(peer: char) -> String {
    peer.to_string().repeat(20)
}

/// An announce of a torrent, with further members.
pub fn announce(info_hash: &str, peer: char, more: &Value) -> String {
    let mut frame = json!({ "action": "announce", "info_hash": info_hash, "peer_id": id(peer) });
    let members = frame.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    frame.to_string()
}

pub fn counted(info_hash: &str, complete: usize, incomplete: usize) -> String {
    let hash = json!(info_hash);
    format!(
        r#"{{"complete":{complete},"incomplete":{incomplete},"action":"announce","interval":120,"info_hash":{hash}}}"#
    )
}

pub fn refused(info_hash: &str, reason: &str) -> String {
    let reason = json!(reason);
    let hash = json!(info_hash);
    format!(r#"{{"action":"announce","failure reason":{reason},"info_hash":{hash}}}"#)
}

/// An offer or an answer, as its recipient hears it.
pub fn heard(kind: &str, text: &str, offer_id: &str, from: char) -> String {
    let from = id(from);
    format!(
        r#"{{"action":"announce","{kind}":{text},"offer_id":"{offer_id}","peer_id":"{from}","info_hash":"{INFO_HASH}"}}"#
    )
}

/// A member of the swarm of a torrent, which has this number of members then.
pub fn join(client: &mut RawClient, peer: char, left: u64, complete: usize, incomplete: usize) {
    client.send(announce(INFO_HASH, peer, &json!({ "event": "started", "left": left, "offers": [] })));
    client.expect(counted(INFO_HASH, complete, incomplete));
}

pub fn offers(ids: impl Iterator<Item = usize>) -> Value {
    ids.map(|n| json!({ "offer": { "type": "offer", "sdp": n }, "offer_id": n.to_string() })).collect()
}

#[test]
fn an_offer_goes_to_another_member_and_its_answer_comes_back() {
    on_both_with(with_tracker, |server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        join(&mut a, 'a', 7, 0, 1);
        let offer = r#"{"type":"offer","sdp":"v=0\r\n", "x":1.0}"#;
        let peer = id('b');
        b.send(format!(
            r#"{{"action":"announce","numwant":1,"info_hash":"{INFO_HASH}","peer_id":"{peer}","left":0,
                "offers":[{{"offer_id":"o1","offer":{offer}}}, {{"offer_id":"o2","offer":{{}}}}]}}"#
        ));
        b.expect(counted(INFO_HASH, 1, 1));
        a.expect(heard("offer", offer, "o1", 'b'));
        let answer = json!({ "to_peer_id": peer, "answer": { "type": "answer" }, "offer_id": "o1" });
        a.send(announce(INFO_HASH, 'a', &answer));
        b.expect(heard("answer", r#"{"type":"answer"}"#, "o1", 'a'));
        // An answer has no answer, nor has one for a peer that is not there.
        a.send(announce(INFO_HASH, 'a', &json!({ "to_peer_id": id('c'), "answer": {}, "offer_id": "o1" })));
        a.expect_quiet();
        b.expect_quiet();
    });
}

#[test]
fn members_are_counted_until_they_stop_or_their_connection_ends() {
    on_own_with(with_tracker, |server| {
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| server.guest(name));
        join(&mut a, 'a', 5, 0, 1);
        join(&mut b, 'b', 0, 1, 1);
        // Without an event, and with `Infinity`, which is null in JSON.
        c.send(announce(INFO_HASH, 'c', &json!({ "left": null })));
        c.expect(counted(INFO_HASH, 1, 2));
        a.send(announce(INFO_HASH, 'a', &json!({ "event": "completed", "left": 0 })));
        a.expect(counted(INFO_HASH, 2, 1));
        for event in ["completed", "update", "paused", "started", "empty", ""] {
            a.send(announce(INFO_HASH, 'a', &json!({ "event": event, "left": 3 })));
            a.expect(counted(INFO_HASH, 2, 1));
        }
        for _ in 0..2 {
            b.send(announce(INFO_HASH, 'b', &json!({ "event": "stopped", "offers": offers(0..2) })));
            b.expect(counted(INFO_HASH, 1, 1));
        }
        a.reset();
        wait_until("the end of a member", || swarms(server).memberships() == 1);
        c.send(announce(INFO_HASH, 'c', &json!({ "left": "0" })));
        c.expect(counted(INFO_HASH, 1, 0));
        c.expect_closed_by_us(None);
        wait_until("the end of the swarm", || swarms(server).is_empty());
        assert_eq!(swarms(server).memberships(), 0);
        b.expect_quiet();
    });
}

#[test]
fn each_offer_goes_to_one_member_at_random() {
    on_own_with(with_tracker, |server| {
        let mut members = ['a', 'b', 'c', 'd'].map(|peer| (server.guest(&peer.to_string()), peer));
        for (n, (member, peer)) in members.iter_mut().enumerate() {
            join(member, *peer, 1, 0, n + 1);
        }
        let [(a, _), others @ ..] = &mut members;
        let mut first = Vec::new();
        for round in 0..60 {
            a.send(announce(INFO_HASH, 'a', &json!({ "offers": offers(round * 5..round * 5 + 5) })));
            a.expect(counted(INFO_HASH, 0, 4));
            let mut went = others.each_mut().map(|(other, _)| {
                let frame: Value = serde_json::from_str(&other.expect_text()).unwrap();
                assert_eq!((&frame["peer_id"], &frame["info_hash"]), (&json!(id('a')), &json!(INFO_HASH)));
                frame["offer"]["sdp"].as_u64().unwrap() as usize
            });
            first.push(went.iter().position(|offer| *offer == round * 5));
            went.sort_unstable();
            // There are fewer members than offers.
            assert_eq!(went.to_vec(), (round * 5..round * 5 + 3).collect::<Vec<_>>());
        }
        a.expect_quiet();
        for other in [Some(0), Some(1), Some(2)] {
            assert!(first.contains(&other), "{first:?}");
        }
    });
}

#[test]
fn a_scrape_counts_swarms() {
    on_own_with(with_tracker, |server| {
        let mut a = server.guest("a");
        join(&mut a, 'a', 0, 1, 0);
        let one = format!(r#""{INFO_HASH}":{{"complete":1,"incomplete":0,"downloaded":1}}"#);
        let none = format!(r#""{}":{{"complete":0,"incomplete":0,"downloaded":0}}"#, id('é'));
        let expected = |files: &str| {
            format!(r#"{{"action":"scrape","files":{{{files}}},"flags":{{"min_request_interval":600}}}}"#)
        };
        a.send(json!({ "action": "scrape", "info_hash": INFO_HASH }).to_string());
        a.expect(expected(&one));
        a.send(json!({ "action": "scrape", "info_hash": [INFO_HASH, id('é')] }).to_string());
        a.expect(expected(&format!("{one},{none}")));
        for (info_hash, reason) in [
            (json!(null), "invalid info_hash"),
            (json!("short"), "invalid info_hash"),
            (json!([INFO_HASH, 5]), "invalid info_hash"),
            (json!([]), "a scrape has 1 to 100 info hashes"),
            (json!(vec![INFO_HASH; 101]), "a scrape has 1 to 100 info hashes"),
        ] {
            a.send(json!({ "action": "scrape", "info_hash": info_hash }).to_string());
            a.expect(json!({ "failure reason": reason }).to_string());
        }
        assert_eq!(swarms(server).len(), 1);
    });
}

#[test]
fn a_wrong_announce_is_refused_with_a_reason() {
    on_own_with(with_tracker, |server| {
        let mut a = server.guest("a");
        for wrong in [json!(5), json!(null), json!("x".repeat(19)), json!("x".repeat(21)), json!(id('Ā'))] {
            let invalid = |name: &str| json!({ "failure reason": format!("invalid {name}") }).to_string();
            a.send(announce(INFO_HASH, 'a', &json!({ "info_hash": wrong })));
            a.expect(invalid("info_hash"));
            a.send(announce(INFO_HASH, 'a', &json!({ "peer_id": wrong })));
            a.expect(invalid("peer_id"));
            a.send(announce(INFO_HASH, 'a', &json!({ "to_peer_id": wrong, "answer": {} })));
            a.expect(invalid("`to_peer_id` (required with `answer`)"));
        }
        for event in [json!("begun"), json!(1), json!({})] {
            a.send(announce(INFO_HASH, 'a', &json!({ "event": event })));
            a.expect(refused(INFO_HASH, "invalid event"));
        }
        assert!(swarms(server).is_empty());
        // These are no offers.
        for offers in [json!(7), json!({}), json!([null, 5, {}, { "offer": 1 }])] {
            a.send(announce(INFO_HASH, 'a', &json!({ "offers": offers })));
            a.expect(counted(INFO_HASH, 0, 1));
        }
    });
}

#[test]
fn the_id_of_a_member_is_its_own_until_it_leaves() {
    on_own_with(with_tracker, |server| {
        let [mut a, mut thief, mut c] = ["a", "thief", "c"].map(|name| server.guest(name));
        join(&mut a, 'a', 1, 0, 1);
        thief.send(announce(INFO_HASH, 'a', &json!({ "offers": offers(0..1) })));
        let ping = a.expect_ping();
        a.pong(&ping);
        thief.expect(refused(INFO_HASH, "another client has this peer_id"));
        thief.send(announce(INFO_HASH, 'a', &json!({ "event": "stopped" })));
        thief.expect(counted(INFO_HASH, 0, 1));
        c.send(announce(INFO_HASH, 'c', &json!({ "to_peer_id": id('a'), "answer": {}, "offer_id": "o" })));
        a.expect(heard("answer", "{}", "o", 'c'));
        a.reset();
        wait_until("the end of a member", || swarms(server).memberships() == 1);
        join(&mut thief, 'a', 1, 0, 2);
    });
}

#[test]
fn nobody_answers_in_the_name_of_another_client() {
    on_own_with(with_tracker, |server| {
        let [mut a, mut b, mut thief] = ["a", "b", "thief"].map(|name| server.guest(name));
        join(&mut a, 'a', 1, 0, 1);
        join(&mut b, 'b', 1, 0, 2);
        let answer = |event: &str| json!({ "event": event, "to_peer_id": id('b'), "answer": { "x": 1 }, "offer_id": "o" });
        // Of a member, or of nobody.
        for name in ['a', 'z'] {
            thief.send(announce(INFO_HASH, name, &answer("stopped")));
            thief.expect(counted(INFO_HASH, 0, 2));
        }
        thief.send(announce(INFO_HASH, 'a', &answer("update")));
        let ping = a.expect_ping();
        a.pong(&ping);
        thief.expect(refused(INFO_HASH, "another client has this peer_id"));
        b.expect_quiet();
        // A member that stops says no more either, and is none.
        a.send(announce(INFO_HASH, 'a', &answer("stopped")));
        a.expect(counted(INFO_HASH, 0, 1));
        b.expect_quiet();
    });
}

#[test]
fn many_ids_of_one_client_get_one_offer() {
    on_own_with(with_tracker, |server| {
        let [mut many, mut b, mut c, mut d] = ["many", "b", "c", "d"].map(|name| server.guest(name));
        for n in 0..100 {
            let name = json!({ "peer_id": format!("{n:020}") });
            many.send(announce(INFO_HASH, 'x', &name));
            many.expect(counted(INFO_HASH, 0, n + 1));
        }
        join(&mut b, 'b', 1, 0, 101);
        join(&mut c, 'c', 1, 0, 102);
        for round in 0..10 {
            d.send(announce(INFO_HASH, 'd', &json!({ "offers": offers(round * 5..round * 5 + 5) })));
            d.expect(counted(INFO_HASH, 0, 103));
            for other in [&mut many, &mut b, &mut c] {
                assert!(other.expect_text().contains(r#""offer":"#));
                other.expect_quiet();
            }
        }
        // Its other ids stay when it gives some up.
        for n in 1..100 {
            let name = json!({ "peer_id": format!("{n:020}"), "event": "stopped" });
            many.send(announce(INFO_HASH, 'x', &name));
            many.expect(counted(INFO_HASH, 0, 103 - n));
        }
        d.send(announce(INFO_HASH, 'd', &json!({ "offers": offers(0..5) })));
        d.expect(counted(INFO_HASH, 0, 4));
        many.expect_text();
        many.expect_quiet();
        assert_eq!(swarms(server).contradiction(), None);
    });
}

#[test]
fn a_client_that_lost_its_network_is_in_the_swarm_again_when_it_comes_back() {
    on_own_with(with_tracker, |server| {
        let [mut lost, mut back, mut b] = ["lost", "back", "b"].map(|name| server.guest(name));
        join(&mut b, 'b', 0, 1, 0);
        join(&mut lost, 'a', 1, 1, 1);
        back.send(announce(INFO_HASH, 'a', &json!({ "left": 1, "offers": offers(0..1) })));
        // In its turn.
        back.send(json!({ "action": "scrape", "info_hash": INFO_HASH }).to_string());
        lost.expect_ping();
        b.expect_quiet();
        server.advance(server.node().config().load().limits.probe_timeout);
        back.expect(counted(INFO_HASH, 1, 1));
        assert!(back.expect_text().contains(r#""complete":1,"incomplete":1"#));
        b.expect(heard("offer", &offers(0..1)[0]["offer"].to_string(), "0", 'a'));
        b.send(announce(INFO_HASH, 'b', &json!({ "to_peer_id": id('a'), "answer": {}, "offer_id": "0" })));
        back.expect(heard("answer", "{}", "0", 'b'));
        drop(lost);
        wait_until("the end of the first connection", || swarms(server).memberships() == 2);
        assert_eq!(swarms(server).counts(INFO_HASH.as_bytes().first_chunk().unwrap()).incomplete, 1);
    });
}

#[test]
fn a_client_may_be_two_members_and_in_many_swarms() {
    on_own_with(with_tracker, |server| {
        let mut a = server.guest("a");
        join(&mut a, 'a', 1, 0, 1);
        a.send(announce(INFO_HASH, 'b', &json!({ "offers": offers(0..2) })));
        a.expect(counted(INFO_HASH, 0, 2));
        a.expect(heard("offer", &offers(0..1)[0]["offer"].to_string(), "0", 'b'));
        let other = |n: usize| format!("{n:020}");
        for n in 2..MAX_SWARMS {
            a.send(announce(&other(n), 'a', &json!({})));
            a.expect(counted(&other(n), 0, 1));
        }
        a.send(announce(&other(0), 'a', &json!({})));
        a.expect(refused(&other(0), "you are in too many swarms"));
        let hits = server.node().counters().total(Count::LimitHits(Limit::SwarmsPerClient));
        assert_eq!((hits, swarms(server).memberships()), (1, MAX_SWARMS));
        // It may still change those that it has.
        a.send(announce(INFO_HASH, 'b', &json!({ "event": "stopped" })));
        a.expect(counted(INFO_HASH, 0, 1));
        a.send(announce(&other(0), 'a', &json!({})));
        a.expect(counted(&other(0), 0, 1));
    });
}

#[test]
fn offers_have_the_limit_of_deliveries_of_rooms() {
    on_own_with(
        |config| {
            with_tracker(config);
            config.limits.room_deliveries_per_second = 1;
        },
        |server| {
            let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
            join(&mut a, 'a', 1, 0, 1);
            for n in 0..10 {
                b.send(announce(INFO_HASH, 'b', &json!({ "offers": offers(n..n + 1) })));
                b.expect(counted(INFO_HASH, 0, 2));
                assert!(a.expect_text().contains(r#""offer":"#));
            }
            b.send(announce(INFO_HASH, 'b', &json!({ "offers": offers(0..1) })));
            b.expect(counted(INFO_HASH, 0, 2));
            b.expect(refused(INFO_HASH, "too many offers"));
            a.expect_quiet();
            assert_eq!(server.node().counters().total(Count::LimitHits(Limit::RoomDeliveries)), 1);
        },
    );
}

#[test]
fn keys_do_not_share_swarms() {
    on_own_with_keys_and(with_tracker, &[plain_key("one"), plain_key("two")], |server, _| {
        let [mut one, mut two] = ["one", "two"].map(|key| server.guest_of(key, key));
        join(&mut one, 'a', 1, 0, 1);
        join(&mut two, 'b', 1, 0, 1);
        two.send(announce(INFO_HASH, 'b', &json!({ "to_peer_id": id('a'), "answer": {} })));
        two.expect_quiet();
        one.expect_quiet();
    });
}

#[test]
fn the_tracker_is_off_by_default_and_messages_of_calls_keep_all_actions() {
    on_own(|server| {
        let mut a = server.guest("a");
        a.send(announce(INFO_HASH, 'a', &json!({})));
        a.send(json!({ "action": "scrape", "info_hash": INFO_HASH }).to_string());
        a.expect_quiet();
        assert!(swarms(server).is_empty());
    });
    on_own_with(with_tracker, |server| {
        let (mut a, _) = server.caller("a");
        let (mut b, b_id) = server.caller("b");
        a.send(json!({ "action": "announce", "data": { "remoteId": b_id } }).to_string());
        b.expect(r#"{"action":"announce","data":{}}"#);
        a.expect_quiet();
    });
}
