//! The relay of Nostr at the root, for events that nobody stores.

use std::time::Duration;

use peerbroker_config::{Dialect, Dialects};
use peerbroker_core::vocabulary::{Limit, RealmKind};
use peerbroker_events::Count;
use peerbroker_protocols::nostr::{FREE_FILTER_BYTES, Filters, MAX_FILTER_BYTES_OF_KEY};
use ring::digest::{SHA256, digest};
use secp256k1::{Keypair, SecretKey};
use serde_json::{Value, json};

use crate::harness::keys::{on_own_with_keys, plain_key};
use crate::harness::{RawClient, TestServer, on_both, on_own, on_own_with, wait_until};

const KIND: u32 = 21_234;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pair(secret: u8) -> Keypair {
    Keypair::from_secret_key(&SecretKey::from_secret_bytes([secret; 32]).unwrap())
}

pub fn author(secret: u8) -> String {
    hex(&pair(secret).x_only_public_key().0.to_byte_array())
}

/// An event that its author has signed.
fn event(secret: u8, kind: u32, created_at: u64, tags: Value, content: &str) -> Value {
    let author = author(secret);
    let signed = json!([0, author, created_at, kind, tags, content]).to_string();
    let hash = digest(&SHA256, signed.as_bytes());
    let sig = secp256k1::schnorr::sign_no_aux_rand(hash.as_ref(), &pair(secret)).to_byte_array();
    json!({
        "id": hex(hash.as_ref()), "pubkey": author, "created_at": created_at, "kind": kind, "tags": tags,
        "content": content, "sig": hex(&sig),
    })
}

/// As Trystero makes it.
pub fn about(topic: &str, content: &str) -> Value {
    event(1, KIND, 1_000, json!([["x", topic]]), content)
}

pub fn topics(topics: &[&str]) -> Value {
    json!({ "kinds": [KIND], "since": 1_000, "#x": topics })
}

fn expect(client: &mut RawClient, expected: &Value) {
    assert_eq!(serde_json::from_str::<Value>(&client.expect_text()).unwrap(), *expected);
}

pub fn subscribe(client: &mut RawClient, id: &str, filters: &[Value]) {
    let mut request = vec![json!("REQ"), json!(id)];
    request.extend_from_slice(filters);
    client.send(Value::from(request).to_string());
    expect(client, &json!(["EOSE", id]));
}

pub fn publish(client: &mut RawClient, event: &Value) {
    client.send(json!(["EVENT", event]).to_string());
    expect(client, &json!(["OK", event["id"], true, ""]));
}

/// Publishes something that is not accepted for a reason that begins so.
fn fail(client: &mut RawClient, event: &Value, reason: &str) {
    client.send(json!(["EVENT", event]).to_string());
    let answer: Value = serde_json::from_str(&client.expect_text()).unwrap();
    assert_eq!([&answer[0], &answer[1], &answer[2]], [&json!("OK"), &event["id"], &json!(false)]);
    assert!(answer[3].as_str().unwrap().starts_with(reason), "{answer}");
}

pub fn hear(client: &mut RawClient, id: &str, event: &Value) {
    expect(client, &json!(["EVENT", id, event]));
}

fn with(event: &Value, name: &str, value: Value) -> Value {
    let mut event = event.clone();
    event[name] = value;
    event
}

#[test]
fn subscribers_hear_an_event_with_the_id_that_they_gave_their_subscription() {
    on_both(|server| {
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| server.guest(name));
        subscribe(&mut a, "mine", &[topics(&["t", "other"])]);
        subscribe(&mut b, "\"yours\"", &[topics(&["t"])]);
        subscribe(&mut c, "c", &[topics(&["another"])]);
        // Text that is written in another way than ours is forwarded as it is.
        let said = about("t", "line\n\u{1}\u{7f} \"é\" \\ / 😀");
        publish(&mut b, &said);
        hear(&mut b, "\"yours\"", &said);
        hear(&mut a, "mine", &said);
        c.expect_quiet();
        a.send(r#"["CLOSE","mine"]"#);
        a.expect_quiet();
        let again = about("t", "again");
        publish(&mut b, &again);
        hear(&mut b, "\"yours\"", &again);
        a.expect_quiet();
    });
}

#[test]
fn a_subscription_that_is_sent_again_replaces_the_one_before() {
    on_own(|server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        subscribe(&mut a, "s", &[topics(&["one", "two"])]);
        subscribe(&mut a, "s", &[topics(&["two", "three"])]);
        for topic in ["one", "two", "three"] {
            publish(&mut b, &about(topic, "hello"));
        }
        hear(&mut a, "s", &about("two", "hello"));
        hear(&mut a, "s", &about("three", "hello"));
        a.expect_quiet();
        // Two subscriptions to one topic hear an event each.
        subscribe(&mut a, "s2", &[topics(&["two"])]);
        let event = about("two", "both");
        publish(&mut b, &event);
        hear(&mut a, "s", &event);
        hear(&mut a, "s2", &event);
        a.send(r#"["CLOSE","s"]"#);
        a.expect_quiet();
        publish(&mut b, &event);
        hear(&mut a, "s2", &event);
        a.expect_quiet();
    });
}

#[test]
fn an_id_is_the_same_however_it_is_written() {
    on_own(|server| {
        let mut a = server.guest("a");
        subscribe(&mut a, "a", &[topics(&["one"])]);
        a.send(r##"["REQ","\u0061",{"#x":["two"]}]"##);
        expect(&mut a, &json!(["EOSE", "a"]));
        publish(&mut a, &about("one", "hello"));
        publish(&mut a, &about("two", "hello"));
        hear(&mut a, "a", &about("two", "hello"));
        a.send(r#"["CLOSE","\u0061"]"#);
        a.expect_quiet();
        assert!(server.tenant("peerjs").rooms(RealmKind::Guests).members("nostr #x two").is_empty());
    });
}

#[test]
fn an_event_is_heard_if_it_fits_all_conditions_of_a_filter_and_once() {
    on_own(|server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        let tags = json!([["x", "t", "more"], ["x", "u"], ["p", "you"], ["long", "z"], ["y"], []]);
        let event = event(1, KIND, 1_000, tags, "hello");
        let fitting = [
            json!({ "#x": ["t", "u"] }),
            json!({ "#x": ["u"], "#p": ["me", "you"] }),
            json!({ "kinds": [1, KIND] }),
            json!({ "authors": [author(2), author(1)] }),
            json!({ "kinds": [KIND], "authors": [author(1)], "ids": [event["id"]] }),
            json!({ "#p": ["you"], "since": 1_000, "until": 1_000, "limit": 0, "search": { "any": [1] } }),
        ];
        let others = [
            json!({ "#x": ["T"] }),
            json!({ "#x": ["t"], "#p": ["me"] }),
            json!({ "#x": ["t"], "kinds": [KIND + 1] }),
            json!({ "#x": ["t"], "authors": [author(2)] }),
            json!({ "#x": ["t"], "ids": [author(2)] }),
            json!({ "#x": ["t"], "since": 1_001 }),
            json!({ "#x": ["t"], "until": 999 }),
            json!({ "#y": [""] }),
            json!({ "authors": [author(2)] }),
        ];
        for (n, filter) in fitting.iter().chain(&others).enumerate() {
            subscribe(&mut a, &n.to_string(), std::slice::from_ref(filter));
        }
        // One of several filters is enough, and an event that fits two of them is one.
        subscribe(&mut a, "all", &[others[0].clone(), fitting[0].clone(), fitting[2].clone()]);
        publish(&mut b, &event);
        let mut heard: Vec<String> = Vec::new();
        for _ in 0..=fitting.len() {
            let frame: Value = serde_json::from_str(&a.expect_text()).unwrap();
            assert_eq!([&frame[0], &frame[2]], [&json!("EVENT"), &event]);
            heard.push(frame[1].as_str().unwrap().to_owned());
        }
        heard.sort_unstable();
        assert_eq!(heard, ["0", "1", "2", "3", "4", "5", "all"]);
        a.expect_quiet();
    });
}

#[test]
fn an_event_that_is_not_its_authors_or_would_be_stored_is_refused() {
    on_own(|server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        subscribe(&mut a, "s", &[json!({ "#x": ["t"] })]);
        let good = about("t", "hello");
        for kind in [0, 1, 19_999, 30_000] {
            fail(&mut b, &event(1, kind, 1_000, json!([["x", "t"]]), "hello"), "blocked: ");
        }
        fail(&mut b, &with(&good, "content", json!("bye")), "invalid: the id");
        fail(&mut b, &with(&good, "tags", json!([["x", "u"]])), "invalid: the id");
        fail(&mut b, &with(&good, "created_at", json!(1_001)), "invalid: the id");
        fail(&mut b, &with(&good, "pubkey", json!(author(2))), "invalid: the id");
        fail(&mut b, &with(&good, "id", json!("00")), "invalid: the id");
        fail(&mut b, &with(&good, "content", json!(7)), "invalid: ");
        fail(&mut b, &with(&good, "sig", about("t", "other")["sig"].clone()), "invalid: the signature");
        fail(&mut b, &with(&good, "sig", json!("zz")), "invalid: the signature");
        fail(&mut b, &with(&good, "sig", Value::Null), "invalid: the signature");
        let many: Vec<_> = (0..31).map(|n| json!(["x", n.to_string()])).collect();
        fail(&mut b, &event(1, KIND, 1_000, many.into(), ""), "invalid: too many tags");
        a.expect_quiet();
        publish(&mut b, &good);
        hear(&mut a, "s", &good);
    });
}

/// A client waits for the answer that belongs to its command.
#[test]
fn a_message_that_nobody_understands_is_answered_with_a_reason() {
    on_own(|server| {
        let mut client = server.guest("client");
        let event = about("t", "hello");
        let id = event["id"].as_str().unwrap();
        let refused = [
            with(&event, "kind", json!(KIND.to_string())),
            with(&event, "tags", json!([["x", 1]])),
            with(&event, "tags", json!(vec![["x", "t"]; 300])),
            with(&event, "tags", Value::Null),
            with(&event, "created_at", json!(1000.5)),
            json!({ "id": id }),
        ];
        let event = |event: &Value| (json!(["EVENT", event]).to_string(), format!(r#"["OK","{id}",false,"#));
        let notice = |text: &str| (text.to_owned(), r#"["NOTICE","#.to_owned());
        let closed =
            |id: &str, filters: &str| (format!(r#"["REQ",{id}{filters}]"#), format!(r#"["CLOSED",{id},"#));
        let unread = [
            r#"["EVENT"]"#,
            r#"["EVENT",[]]"#,
            r#"["EVENT",{"id":7}]"#,
            r#"["REQ"]"#,
            r#"["REQ",7,{"kinds":[20001]}]"#,
            r#"["AUTH","challenge"]"#,
            r#"["COUNT","s",{}]"#,
            r#"["NEG-OPEN","s",{}]"#,
            r#"["foo"]"#,
            "[]",
            "[1,2]",
            r#"[""]"#,
            "[null]",
            "[{}]",
        ];
        let long = format!(r#""{}""#, "x".repeat(65));
        let filter = r#",{"kinds":[20001]}"#;
        let of_requests = [closed(r#""s""#, ""), closed(r#""""#, filter), closed(&long, filter)];
        let all = refused.iter().map(event).chain(unread.map(notice)).chain(of_requests);
        for (text, begin) in all {
            client.send(&text);
            let answer = client.expect_text();
            assert!(answer.starts_with(&begin) && answer.contains("\"invalid: "), "{text}: {answer}");
        }
        let many: Vec<String> = (0..251).map(|n| n.to_string()).collect();
        for filter in [
            json!({}),
            json!([]),
            json!({ "#x": "t" }),
            json!({ "#x": [1] }),
            json!({ "#x": [] }),
            json!({ "#x": many }),
            json!({ "kinds": ["a"] }),
            json!({ "kinds": [KIND], "since": "now" }),
            json!({ "ids": [author(1)] }),
            json!({ "#x": ["x".repeat(600)] }),
        ] {
            client.send(json!(["REQ", "s", filter]).to_string());
            let answer: Value = serde_json::from_str(&client.expect_text()).unwrap();
            assert_eq!([&answer[0], &answer[1]], [&json!("CLOSED"), &json!("s")], "{filter}: {answer}");
        }
        client.send(r#"["CLOSE","unknown"]"#);
        client.expect_quiet();
        assert!(server.tenant("peerjs").rooms(RealmKind::Guests).is_empty());
    });
}

#[test]
fn a_client_has_256_topics_and_64_subscriptions_and_a_topic_as_many_subscribers_as_a_room_members() {
    on_own_with(
        |config| config.key_settings.room_members = 2,
        |server| {
            let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| server.guest(name));
            let name = |n: usize| format!("{n:064}");
            let names: Vec<String> = (0..250).map(name).collect();
            let of = |range: std::ops::Range<usize>| {
                topics(&names[range].iter().map(String::as_str).collect::<Vec<_>>())
            };
            subscribe(&mut a, "s", &[of(0..250)]);
            let closed = |client: &mut RawClient, id: &str, filter: &Value| {
                client.send(json!(["REQ", id, filter]).to_string());
                let answer: Value = serde_json::from_str(&client.expect_text()).unwrap();
                assert_eq!([&answer[0], &answer[1]], [&json!("CLOSED"), &json!(id)], "{answer}");
                assert!(answer[2].as_str().unwrap().starts_with("error: "), "{answer}");
            };
            closed(&mut a, "t", &topics(&["a", "b", "c", "d", "e", "f", "g"]));
            subscribe(&mut a, "t", &[topics(&["a", "b", "c", "d", "e", "f"])]);
            subscribe(&mut b, "s", &[of(0..1)]);
            // One that is full is left out, and the others are heard. Trystero never uses a relay again that
            // has sent CLOSED.
            c.send(json!(["REQ", "s", of(0..2)]).to_string());
            expect(&mut c, &json!(["NOTICE", "error: The room is full"]));
            expect(&mut c, &json!(["EOSE", "s"]));
            let event = about(&names[1], "for those who are there");
            publish(&mut b, &event);
            hear(&mut a, "s", &event);
            hear(&mut c, "s", &event);
            c.send(r#"["CLOSE","s"]"#);
            let hits = server.node().counters().total(Count::LimitHits(Limit::RoomMembers));
            assert_eq!(hits, 1);
            for n in 0..64 {
                subscribe(&mut c, &n.to_string(), &[topics(&["c"])]);
            }
            closed(&mut c, "64", &topics(&["c"]));
            let event = about(&names[249], "the last one");
            publish(&mut b, &event);
            hear(&mut a, "s", &event);
        },
    );
}

#[test]
fn keys_do_not_share_events_and_subscriptions_end_with_their_connection() {
    on_own_with_keys(&[plain_key("one"), plain_key("two")], |server, _| {
        let [mut one, mut two] = ["one", "two"].map(|key| server.guest_of(key, key));
        for client in [&mut one, &mut two] {
            subscribe(client, "s", &[topics(&["t"])]);
        }
        let event = about("t", "hello");
        publish(&mut one, &event);
        hear(&mut one, "s", &event);
        two.expect_quiet();
        one.reset();
        let rooms = || server.tenant("one").rooms(RealmKind::Guests);
        wait_until("the end of the subscription", || rooms().members("nostr #x t").is_empty());
    });
}

#[test]
fn a_client_of_topics_cannot_forge_an_event() {
    on_own(|server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        subscribe(&mut a, "s", &[topics(&["t"])]);
        let event = about("t", "hello");
        for forged in [json!({ "data": event }), json!({ "payload": ["EVENT", event] }), event] {
            let mut publication = forged;
            publication["type"] = json!("publish");
            publication["topic"] = json!("nostr #x t");
            b.send(publication.to_string());
        }
        b.expect_quiet();
        a.expect_quiet();
    });
}

#[test]
fn a_client_that_publishes_too_fast_is_read_later_and_all_of_it_arrives() {
    on_own_with(
        |config| config.limits.room_deliveries_per_second = 1,
        |server| {
            let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
            subscribe(&mut a, "s", &[topics(&["t"])]);
            let events: Vec<Value> = (0..20).map(|n| about("t", &n.to_string())).collect();
            events.iter().for_each(|event| b.send(json!(["EVENT", event]).to_string()));
            // A burst of ten deliveries, one on credit, and then one in a second.
            events[..11].iter().for_each(|event| hear(&mut a, "s", event));
            a.expect_quiet();
            let hits = server.node().counters().total(Count::LimitHits(Limit::RoomDeliveries));
            assert_eq!(hits, 1);
            for event in &events[11..] {
                server.advance(Duration::from_secs(1));
                hear(&mut a, "s", event);
            }
        },
    );
}

/// A filter of one topic, for events with a tag of each other letter.
fn narrow(topic: &str, letters: std::ops::RangeInclusive<u8>) -> Value {
    let mut filter = json!({ "#x": [topic] });
    letters.for_each(|letter| filter[format!("#{}", char::from(letter))] = json!(["1"]));
    filter
}

#[test]
fn each_frame_of_an_event_is_a_delivery_and_so_are_many_comparisons() {
    on_own_with(
        |config| config.limits.room_deliveries_per_second = 1,
        |server| {
            let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
            for n in 0..6 {
                subscribe(&mut a, &n.to_string(), &[topics(&["t"])]);
            }
            let events = ["1", "2", "3"].map(|content| about("t", content));
            events.iter().for_each(|event| b.send(json!(["EVENT", event]).to_string()));
            // A burst of ten deliveries, and two on credit.
            let hear = |a: &mut RawClient, event| {
                (0..6).for_each(|n| expect(a, &json!(["EVENT", n.to_string(), event])));
            };
            hear(&mut a, &events[0]);
            hear(&mut a, &events[1]);
            a.expect_quiet();
            server.advance(Duration::from_secs(2));
            hear(&mut a, &events[2]);

            // 20 filters with 11 conditions, of which the last but one fails: three deliveries, and one to
            // the room.
            let [mut c, mut d] = ["c", "d"].map(|name| server.guest(name));
            let filters = vec![narrow("u", b'a'..=b'k'); 10];
            for id in ["1", "2"] {
                subscribe(&mut c, id, &filters);
            }
            let mut tags: Vec<Value> = (b'a'..=b'j').map(|letter| json!([char::from(letter), "1"])).collect();
            tags.extend([json!(["k", "2"]), json!(["x", "u"])]);
            for n in 0..4 {
                d.send(json!(["EVENT", event(2, KIND, 1_000 + n, json!(tags), "")]).to_string());
            }
            (0..4).for_each(|_| assert!(d.expect_text().starts_with("[\"OK\"")));
            let paid = || server.node().counters().total(Count::LimitHits(Limit::RoomDeliveries));
            wait_until("its pause", || paid() == 2);
            c.expect_quiet();
        },
    );
}

#[test]
fn what_filters_keep_is_charged_to_a_quota_of_the_key() {
    on_own(|server| {
        let [mut a, mut b] = ["a", "b"].map(|name| server.guest(name));
        let filters = || server.tenant("peerjs").part::<Filters>().0.clone();
        let long: Vec<String> = (0..120).map(|n| format!("{n:0250}")).collect();
        let filter = json!({ "#x": long });
        subscribe(&mut a, "s", std::slice::from_ref(&filter));
        assert_eq!(filters().used(), filter.to_string().len() - FREE_FILTER_BYTES);
        a.send(r#"["CLOSE","s"]"#);
        a.expect_quiet();
        assert_eq!(filters().used(), 0);
        // Very short ones take more than twice their text, and count as half of that.
        let short = vec![json!({ "#a": ["b"] }); 16];
        (0..16).for_each(|n| subscribe(&mut b, &n.to_string(), &short));
        assert!(16 * json!(short).to_string().len() < FREE_FILTER_BYTES && filters().used() > 0);
        b.reset();
        wait_until("the end of its subscriptions", || filters().used() == 0);
        let mut others = filters().share(None);
        others.set(MAX_FILTER_BYTES_OF_KEY + FREE_FILTER_BYTES).unwrap();
        a.send(json!(["REQ", "s", filter]).to_string());
        expect(&mut a, &json!(["NOTICE", "error: the clients of the key have too long filters"]));
        assert_eq!(server.node().counters().total(Count::LimitHits(Limit::KeyFilterBytes)), 1);
        // Most clients have few.
        subscribe(&mut a, "s", &[topics(&["t"])]);
    });
}

fn ask(server: &TestServer, accept: &str) -> (u16, Option<String>, String) {
    let answer = server.request("GET", "/", &format!("Accept: {accept}\r\nOrigin: http://page\r\n"));
    let text = answer.text().to_owned();
    assert!(answer.header("access-control-allow-origin").is_some());
    (answer.status, answer.header("content-type"), text)
}

#[test]
fn the_root_tells_what_the_relay_is_and_takes() {
    on_both(|server| {
        let (status, kind, text) = ask(server, "text/html;q=0.1, Application/Nostr+JSON;q=1");
        assert_eq!((status, kind.as_deref()), (200, Some("application/nostr+json")));
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["supported_nips"], json!([1, 11]));
        assert_eq!(document["limitation"]["max_subscriptions"], 64);
        assert_eq!(document["software"], "https://github.com/peerbroker/peerbroker");
        let (_, kind, text) = ask(server, "*/*");
        assert!(kind.unwrap().starts_with("application/json") && text.contains("PeerJS Server"), "{text}");
    });
}

#[test]
fn without_their_dialect_there_are_no_events() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::PeerJs, Dialect::Topics]),
        |server| {
            let mut client = server.guest("client");
            client.send(json!(["REQ", "s", topics(&["t"])]).to_string());
            client.send(json!(["EVENT", about("t", "hello")]).to_string());
            client.expect_quiet();
            assert!(server.tenant("peerjs").existing_rooms(RealmKind::Guests).is_none());
            assert_ne!(ask(server, "application/nostr+json").1.as_deref(), Some("application/nostr+json"));
        },
    );
}
