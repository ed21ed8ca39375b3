//! Messages of the app's server to its clients.

use std::time::Duration;

use serde_json::json;

use crate::harness::keys::plain_key;
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::ops::with_api;
use crate::harness::{RawClient, TestServer};

fn message(payload: &str) -> String {
    format!(r#"{{"type":"SERVER-MESSAGE","payload":{payload}}}"#)
}

fn room_message(payload: &str) -> String {
    format!(r#"{{"type":"SERVER-MESSAGE","room":"r","payload":{payload}}}"#)
}

/// A client in the room `r` with others.
fn member(server: &TestServer, id: &str, others: &[&str]) -> RawClient {
    let mut client = server.client(id);
    client.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    let mut ids = [others, &[id]].concat();
    ids.sort_unstable();
    let ids: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    client.expect(format!(r#"{{"type":"ROOM-MEMBERS","room":"r","members":[{}]}}"#, ids.join(",")));
    client
}

const TO_A: &str = "/api/keys/peerjs/peers/a/messages";
const TO_ALL: &str = "/api/keys/peerjs/messages";
const TO_ROOM: &str = "/api/keys/peerjs/rooms/r/messages";
const JSON: &str = "application/json";

#[test]
fn a_message_reaches_one_client_with_its_payload_as_it_was_sent() {
    let (server, api) = with_api(&[], None, |_| {});
    let [mut a, mut b] = [server.client("a"), server.client("b")];
    for payload in [r#"{ "n": 12345678901234567890, "n": 1e400 }"#, r#""text""#, "null", "[]"] {
        let sent = api.send("POST", TO_A, JSON, payload);
        assert_eq!((sent.status, sent.json), (202, json!({"reached": 1, "waits": false})));
        a.expect(message(payload));
    }
    b.expect_nothing("b");
    let absent = api.post("/api/keys/peerjs/peers/nobody/messages", &json!(1));
    assert!(absent.problem(404).contains("?wait=true"));
    api.post("/api/keys/unknown/peers/a/messages", &json!(1)).problem(404);
}

#[test]
fn a_message_reaches_all_clients_of_its_key_and_no_others() {
    let (server, api) = with_api(&[plain_key("other")], None, |_| {});
    let [mut a, mut b] = [server.client("a"), server.client("b")];
    let mut other = server.client_of("other", "a");
    let sent = api.post(TO_ALL, &json!({"news": 1}));
    assert_eq!((sent.status, sent.json), (202, json!({"reached": 2, "waits": false})));
    for (id, client) in [("a", &mut a), ("b", &mut b)] {
        client.expect(message(r#"{"news":1}"#));
        client.expect_nothing(id);
    }
    other.send(offer("a", "1"));
    other.expect(forwarded_offer("a", "a", "1"));
    api.post("/api/keys/unknown/messages", &json!(1)).problem(404);
}

#[test]
fn a_message_reaches_all_members_of_a_room_and_waits_for_those_that_come_back() {
    let (server, api) = with_api(&[plain_key("other")], None, |_| {});
    api.post(TO_ROOM, &json!(1)).problem(404);
    let mut a = member(&server, "a", &[]);
    let mut stranger = server.client("stranger");
    stranger.send(r#"{"type":"PRESENCE-WATCH","ids":["a"]}"#);
    stranger.expect(r#"{"type":"PRESENCE","id":"a","online":true}"#);
    let b = member(&server, "b", &["a"]);
    a.expect(r#"{"type":"ROOM-JOINED","room":"r","id":"b"}"#);
    b.reset();
    server.wait_until_gone("b");

    let payload = r#"{ "n": 12345678901234567890, "n": 1e400 }"#;
    let sent = api.send("POST", TO_ROOM, JSON, payload);
    assert_eq!((sent.status, sent.json), (202, json!({"reached": 2, "waits": false})));
    a.expect(room_message(payload));
    let mut b = server.client("b");
    b.expect(room_message(payload));
    b.expect(r#"{"type":"ROOM-MEMBERS","room":"r","members":[{"id":"a"},{"id":"b"}]}"#);
    stranger.expect_nothing("stranger");

    // Those that watch an id are in a room without a valid name.
    for path in ["peerjs/rooms/R", "other/rooms/r", "peerjs/rooms/%01a", "peerjs/rooms/%20"] {
        let path = format!("/api/keys/{path}/messages");
        assert!(api.post(&path, &json!(1)).problem(404).contains("room"), "{path}");
    }
    api.post("/api/keys/unknown/rooms/r/messages", &json!(1)).problem(404);
    a.expect_nothing("a");
}

#[test]
fn a_message_to_a_room_is_lost_for_a_member_for_whom_too_much_waits_and_nobody_gets_expire() {
    let (server, api) = with_api(&[], None, |config| config.limits.queue_messages = 1);
    let mut a = member(&server, "a", &[]);
    let b = member(&server, "b", &["a"]);
    a.expect(r#"{"type":"ROOM-JOINED","room":"r","id":"b"}"#);
    b.reset();
    server.wait_until_gone("b");
    for (number, reached) in [(1, 2), (2, 1)] {
        assert_eq!(api.post(TO_ROOM, &json!(number)).json["reached"], reached);
        a.expect(room_message(&number.to_string()));
    }
    a.expect_nothing("a");
}

#[test]
fn a_message_waits_for_an_absent_client_within_the_bounds_of_messages_and_expires_like_them() {
    let (server, api) = with_api(&[], None, |config| config.limits.queue_messages = 2);
    let waiting = format!("{TO_A}?wait=true");
    let mut sender = server.client("sender");
    for number in [1, 2] {
        let sent = api.post(&waiting, &json!(number));
        assert_eq!((sent.status, sent.json), (202, json!({"reached": 0, "waits": true})));
    }
    let mut a = server.client("a");
    a.expect(message("1"));
    a.expect(message("2"));
    a.expect_closed_by_us(None);
    server.wait_until_gone("a");

    (0..2).for_each(|number| assert_eq!(api.post(&waiting, &json!(number)).status, 202));
    // Those that were accepted stay.
    for number in [3, 4] {
        assert!(api.post(&waiting, &json!(number)).problem(429).contains("queue_messages"));
    }
    server.advance(Duration::from_secs(5));
    // Nobody is told: no client has sent it.
    sender.expect_nothing("sender");
    server.client("a").expect_nothing("a");
}

#[test]
fn a_message_that_peerjs_would_misunderstand_or_that_is_too_long_is_refused() {
    let (server, api) = with_api(&[], None, |config| config.max_message_bytes = 100);
    let mut a = member(&server, "a", &[]);
    for (path, message) in [(TO_A, message as fn(&str) -> String), (TO_ALL, message), (TO_ROOM, room_message)]
    {
        assert!(api.post(path, &json!({"connectionId": "dc_1"})).problem(422).contains("connectionId"));
        api.send("POST", path, JSON, "{").problem(400);
        api.send("POST", path, JSON, "").problem(400);
        api.send("POST", path, "text/plain", "1").problem(415);
        assert!(api.post(path, &json!("x".repeat(99))).problem(413).contains("100 bytes"));
        let longest = json!("x".repeat(98));
        assert_eq!(api.post(path, &longest).status, 202);
        a.expect(message(&longest.to_string()));
    }
    a.expect_nothing("a");
}
