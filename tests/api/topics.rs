//! Topics at the root: the protocols of y-webrtc and of Trystero's ws-relay.

use std::time::Duration;

use peerbroker_config::{Dialect, Dialects};
use peerbroker_core::vocabulary::{Limit, RealmKind};
use peerbroker_events::Count;

use crate::harness::keys::{on_own_with_keys, plain_key};
use crate::harness::{RawClient, TestServer, on_both, on_own, on_own_with, wait_until};

pub fn subscribe(topics: &[&str]) -> String {
    format!(r#"{{"type":"subscribe","topics":{}}}"#, serde_json::to_string(topics).unwrap())
}

/// As y-webrtc writes it, and as its subscribers hear it from that many.
pub fn said(topic: &str, data: u64, clients: Option<usize>) -> String {
    let clients = clients.map_or_else(String::new, |clients| format!(r#","clients":{clients}"#));
    format!(r#"{{"type":"publish","topic":"{topic}","data":{data}{clients}}}"#)
}

/// Returns once the server has read what the client has sent before.
pub fn settle(client: &mut RawClient) {
    client.send(r#"{"type":"ping"}"#);
    client.expect(r#"{"type":"pong"}"#);
}

#[test]
fn a_publication_goes_to_all_subscribers_the_sender_too_with_their_number() {
    on_both(|server| {
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| server.guest(name));
        a.send(subscribe(&["doc"]));
        a.send(said("doc", 1, None));
        a.expect(said("doc", 1, Some(1)));
        b.send(subscribe(&["other", "doc"]));
        b.send(said("doc", 2, None));
        a.expect(said("doc", 2, Some(2)));
        b.expect(said("doc", 2, Some(2)));
        // A publisher need not subscribe.
        c.send(said("doc", 3, None));
        a.expect(said("doc", 3, Some(2)));
        b.expect(said("doc", 3, Some(2)));
        c.expect_quiet();
        b.send(r#"{"type":"unsubscribe","topics":["doc","unknown"]}"#);
        settle(&mut b);
        // A number that a client writes itself is replaced.
        a.send(r#"{"clients":7,"topic":"doc","type":"publish","data":{"x":[1, 2]}}"#);
        a.expect(r#"{"clients":1,"topic":"doc","type":"publish","data":{"x":[1, 2]}}"#);
        b.expect_quiet();
    });
}

#[test]
fn a_client_of_trystero_names_one_topic_and_hears_its_payload() {
    on_own(|server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        a.send(r#"{"type":"subscribe","topic":"t \"1\""}"#);
        settle(&mut a);
        b.send(r#"{"type":"publish","topic":"t \"1\"","payload":{"peerId":"b"}}"#);
        a.expect(r#"{"topic":"t \"1\"","payload":{"peerId":"b"}}"#);
        a.send(r#"{"type":"unsubscribe","topic":"t \"1\""}"#);
        settle(&mut a);
        b.send(r#"{"type":"publish","topic":"t \"1\"","payload":"again"}"#);
        settle(&mut b);
        a.expect_quiet();
    });
}

#[test]
fn a_subscription_ends_with_its_connection() {
    on_own(|server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        a.send(subscribe(&["doc"]));
        b.send(subscribe(&["doc"]));
        let topics = || server.tenant("peerjs").rooms(RealmKind::Guests);
        wait_until("two subscribers", || topics().members("doc").len() == 2);
        b.reset();
        wait_until("the end of a subscription", || topics().members("doc").len() == 1);
        a.send(said("doc", 1, None));
        a.expect(said("doc", 1, Some(1)));
        a.expect_closed_by_us(None);
        wait_until("the end of the topic", || topics().members("doc").is_empty());
    });
}

#[test]
fn keys_do_not_share_topics() {
    on_own_with_keys(&[plain_key("one"), plain_key("two")], |server, _| {
        let [mut one, mut two] = ["one", "two"].map(|key| server.guest_of(key, key));
        for client in [&mut one, &mut two] {
            client.send(subscribe(&["doc"]));
            settle(client);
        }
        one.send(said("doc", 1, None));
        one.expect(said("doc", 1, Some(1)));
        two.expect_quiet();
    });
}

#[test]
fn what_is_no_topic_is_ignored() {
    on_own(|server| {
        let mut client = server.guest("client");
        let long = "x".repeat(257);
        for text in [
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","topics":"doc"}"#,
            r#"{"type":"subscribe","topics":[1,null,["doc"],""]}"#,
            r#"{"type":"publish","data":1}"#,
            r#"{"type":"publish","topic":{"a":1}}"#,
            r#"{"type":"publish","topic":"nobody","data":1}"#,
            &subscribe(&[&long, "a\u{1}b"]),
            &said(&long, 1, None),
        ] {
            client.send(text);
        }
        settle(&mut client);
        assert!(server.tenant("peerjs").rooms(RealmKind::Guests).is_empty());
        // A member that is no topic does not spoil the others of its list.
        client.send(r#"{"type":"subscribe","topics":["\ud800",1e400,"doc"]}"#);
        client.send(said("doc", 1, None));
        client.expect(said("doc", 1, Some(1)));
        let longest = "x".repeat(256);
        client.send(subscribe(&[&longest]));
        client.send(said(&longest, 1, None));
        client.expect(said(&longest, 1, Some(1)));
    });
}

#[test]
fn a_client_has_64_topics_and_a_topic_as_many_subscribers_as_a_room_members() {
    let hits = |server: &TestServer, limit| server.node().counters().total(Count::LimitHits(limit));
    on_own_with(
        |config| config.key_settings.room_members = 2,
        |server| {
            let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| server.guest(name));
            let topics: Vec<String> = (0..65).map(|n| format!("t{n}")).collect();
            a.send(subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()));
            settle(&mut a);
            assert_eq!(hits(server, Limit::RoomsPerClient), 1);
            for client in [&mut b, &mut c] {
                client.send(subscribe(&["t0"]));
                settle(client);
            }
            assert_eq!(hits(server, Limit::RoomMembers), 1);
            a.send(said("t0", 1, None));
            a.expect(said("t0", 1, Some(2)));
            b.expect(said("t0", 1, Some(2)));
            a.send(said("t64", 1, None));
            settle(&mut a);
            c.expect_quiet();
        },
    );
}

fn deliveries(server: &TestServer) -> u64 {
    server.node().counters().total(Count::LimitHits(Limit::RoomDeliveries))
}

#[test]
fn a_client_that_publishes_too_fast_is_read_later_and_all_of_it_arrives() {
    const SENT: u64 = 80;
    on_own_with(
        |config| config.limits.room_deliveries_per_second = 10,
        |server| {
            let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
            for client in [&mut a, &mut b] {
                client.send(subscribe(&["doc"]));
                settle(client);
            }
            (1..=SENT).for_each(|n| b.send(said("doc", n, None)));
            b.send(r#"{"type":"ping"}"#);
            // With its subscription, two deliveries each exceed the burst of 100 then.
            let mut publications = (1..=SENT).map(|n| said("doc", n, Some(2)));
            publications.by_ref().take(50).for_each(|publication| a.expect(publication));
            a.expect_quiet();
            assert_eq!(deliveries(server), 1);
            for publication in publications {
                server.advance(Duration::from_millis(200));
                a.expect(publication);
            }
            server.advance(Duration::from_secs(1));
            (1..=SENT).for_each(|n| b.expect(said("doc", n, Some(2))));
            b.expect(r#"{"type":"pong"}"#);
        },
    );
}

#[test]
fn each_64_kib_of_a_publication_count_for_themselves() {
    on_own_with(
        |config| config.limits.room_deliveries_per_second = 1,
        |server| {
            let mut client = server.guest("client");
            client.send(subscribe(&["doc"]));
            // With its head it has more than four parts.
            let long = "x".repeat(4 * 64 * 1024);
            let publication = |data: &str| format!(r#"{{"type":"publish","topic":"doc","data":"{data}"}}"#);
            for data in [&long, &long, "short"] {
                client.send(publication(data));
            }
            let expect = |client: &mut RawClient, data: &str| {
                assert!(client.expect_text().starts_with(publication(data).trim_end_matches('}')));
            };
            for data in [&long, &long] {
                expect(&mut client, data);
            }
            wait_until("a pause", || deliveries(server) == 1);
            server.settle();
            server.advance(Duration::from_secs(1));
            expect(&mut client, "short");
        },
    );
}

#[test]
fn without_their_dialect_there_are_no_topics() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::Calls]),
        |server| {
            let mut client = server.guest("client");
            client.send(subscribe(&["doc"]));
            client.send(said("doc", 1, None));
            client.send(r#"{"type":"ping"}"#);
            client.expect_quiet();
            assert!(server.tenant("peerjs").existing_rooms(RealmKind::Guests).is_none());
        },
    );
}
