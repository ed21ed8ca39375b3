//! Webhooks about events, at a receiver that verifies each request with the published library.

mod bounds;
mod private;

use std::time::Duration;

use peerbroker_config::WebhookEvent;
use peerbroker_keys::Change;
use serde_json::json;

use crate::harness::keys::{enabled, key, on_own_with_keys_and, plain_key};
use crate::harness::messages::LEAVE;
use crate::harness::ops::with_api;
use crate::harness::receiver::{Receiver, SECRET, Says};
use crate::harness::{TestServer, Transport, on_own_with, token_of, wait_until};

fn server_for(receiver: &Receiver) -> TestServer {
    TestServer::start(Transport::Own, |config| config.webhooks.operator = receiver.webhook())
}

/// A server whose first event has been delivered.
fn started(receiver: &Receiver) -> TestServer {
    let server = server_for(receiver);
    assert_eq!(receiver.next().event["type"], "server.started");
    wait_until("the first event to be delivered", || server.webhooks().delivered == 1);
    server
}

fn pair(id: &str) -> [(String, String); 2] {
    ["peer.connected", "peer.disconnected"].map(|kind| (kind.to_owned(), id.to_owned()))
}

/// Longer than any delay before the second attempt.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(7);

#[test]
fn a_connection_is_announced_and_its_end_as_well_on_both_transports() {
    let receiver = Receiver::start();
    on_own_with(
        |config| config.webhooks.operator = receiver.webhook(),
        |server| {
            let mut client = server.client("alice");
            client.send(LEAVE);
            client.expect_closed_with(Some(1000));
            assert_eq!([receiver.next_of_peer(), receiver.next_of_peer()], pair("alice"));
        },
    );
}

#[test]
fn an_event_has_the_documented_fields_and_neither_tokens_nor_addresses() {
    let receiver = Receiver::start();
    let server = server_for(&receiver);
    let first = receiver.next().event;
    assert_eq!(
        (&first["type"], &first["data"]["version"]),
        (&json!("server.started"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let run = first["data"]["run"].as_str().unwrap();
    let mut client = server.client("alice");
    let connected = receiver.next();
    client.send(LEAVE);
    client.expect_closed_with(Some(1000));
    let gone = receiver.next();
    let connection = &connected.event["data"]["connection"];
    assert!(connection.as_str().unwrap().starts_with(&format!("{run}_")), "{connection}");
    assert_eq!(
        connected.event["data"],
        json!({"key": "peerjs", "realm": "peerjs", "id": "alice", "connection": connection})
    );
    let duration = gone.event["data"]["duration_ms"].as_u64().unwrap();
    assert_eq!(
        gone.event["data"],
        json!({
            "key": "peerjs", "realm": "peerjs", "id": "alice", "connection": connection, "reason": "left",
            "duration_ms": duration, "messages": 1, "bytes": LEAVE.len()
        })
    );
    assert_ne!(connected.id, gone.id);
    for told in [connected, gone] {
        let time = told.event["timestamp"].as_str().unwrap();
        assert!(time.len() == "2026-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{time}");
        assert!(!told.text.contains(&token_of("alice")) && !told.text.contains("127.0.0.1"), "{}", told.text);
    }
}

#[test]
fn an_event_that_fails_comes_again_with_its_id_and_before_the_end_of_its_connection() {
    let receiver = Receiver::start();
    let server = started(&receiver);
    receiver.answers("503 Service Unavailable");
    let client = server.client("alice");
    let first = receiver.next();
    drop(client);
    server.wait_until_gone("alice");
    // An event of another connection passes: so the end of the first one waits.
    let other = server.client("bob");
    assert_eq!(receiver.next_of_peer(), pair("bob")[0]);
    assert!(receiver.all().is_empty());
    wait_until("both answers to count as failures", || server.webhooks().retried == 2);
    receiver.answers("200 OK");
    drop(other);
    server.wait_until_gone("bob");
    server.advance(FIRST_RETRY_DELAY);
    wait_until("both pairs to be delivered", || server.webhooks().delivered == 5);
    let told = receiver.all();
    let of_alice: Vec<_> = told.iter().filter(|told| told.event["data"]["id"] == "alice").collect();
    assert_eq!(of_alice.len(), 2);
    assert_eq!((&of_alice[0].id, &of_alice[0].text), (&first.id, &first.text));
    assert_eq!(of_alice[1].event["type"], "peer.disconnected");
}

#[test]
fn an_endpoint_that_is_gone_gets_nothing_until_its_settings_change() {
    let receiver = Receiver::start();
    let server = started(&receiver);
    receiver.answers("410 Gone");
    let _alice = server.client("alice");
    assert_eq!(receiver.next_of_peer(), pair("alice")[0]);
    wait_until("the event to be given up", || server.webhooks().failed == 1);
    receiver.answers("200 OK");
    let bob = server.client("bob");
    wait_until("the next event to be given up", || server.webhooks().failed == 2);
    let url = format!("http://{}/other", receiver.address);
    server.reconfigure(|config| config.webhooks.operator = receiver.webhook_at(&url));
    drop(bob);
    // Its beginning was given up, and its end belongs to it.
    assert_eq!(receiver.next_of_peer(), pair("bob")[1]);
    let _carol = server.client("carol");
    assert_eq!(receiver.next_of_peer(), pair("carol")[0]);
}

#[test]
fn a_redirect_is_not_followed() {
    let receiver = Receiver::start();
    let elsewhere = Receiver::start();
    let location = format!("location: http://{}/\r\n", elsewhere.address);
    let server = started(&receiver);
    receiver.says(Says::Answer("307 Temporary Redirect", location));
    let _alice = server.client("alice");
    assert_eq!(receiver.next_of_peer(), pair("alice")[0]);
    wait_until("the answer to count as a failure", || server.webhooks().retried == 1);
    assert!(elsewhere.all().is_empty());
}

#[test]
fn each_of_the_secrets_signs_and_an_operator_may_choose_events() {
    let receiver = Receiver::start();
    let other = format!("whsec_{}", "b3RoZXI".repeat(8));
    let server = TestServer::start(Transport::Own, |config| {
        let mut webhook = receiver.webhook();
        let other = peerbroker_keys::WebhookSecret::parse(&other).unwrap();
        webhook.secrets.insert(0, other);
        config.webhooks.operator = webhook;
        config.webhooks.events = vec![WebhookEvent::PeerDisconnected];
    });
    drop(server.client("alice"));
    let told = receiver.next();
    assert_eq!(
        (&told.event["type"], &told.event["data"]["id"]),
        (&json!("peer.disconnected"), &json!("alice"))
    );
}

#[test]
fn an_announced_connection_has_its_end_whatever_is_wanted_by_then() {
    let receiver = Receiver::start();
    let server = started(&receiver);
    let alice = server.client("alice");
    let bob = server.client("bob");
    let mut announced = [receiver.next_of_peer().1, receiver.next_of_peer().1];
    announced.sort();
    assert_eq!(announced, ["alice", "bob"]);
    server.reconfigure(|config| config.webhooks.events = vec![WebhookEvent::PeerDisconnected]);
    drop(alice);
    assert_eq!(receiver.next_of_peer(), pair("alice")[1]);
    server.reconfigure(|config| config.webhooks.events = vec![WebhookEvent::PeerConnected]);
    drop(bob);
    assert_eq!(receiver.next_of_peer(), pair("bob")[1]);
    wait_until("each event to be delivered once", || {
        let totals = server.webhooks();
        totals.waiting == 0 && totals.delivered == 5
    });
}

#[test]
fn each_connection_of_a_takeover_has_its_own_pair() {
    let receiver = Receiver::start();
    let server = started(&receiver);
    let first = server.client("alice");
    let second = server.client("alice");
    drop((first, second));
    let told: Vec<_> = (0..4).map(|_| receiver.next().event).collect();
    let of = |kind: &str| {
        let events = told.iter().filter(|event| event["type"] == kind);
        let mut connections: Vec<_> = events.map(|event| event["data"]["connection"].to_string()).collect();
        connections.sort();
        connections
    };
    assert_eq!(of("peer.connected"), of("peer.disconnected"));
    assert_ne!(of("peer.connected")[0], of("peer.connected")[1]);
    assert!(told.iter().any(|event| event["data"]["reason"] == "replaced"), "{told:?}");
}

#[test]
fn joining_and_leaving_a_room_is_announced_by_name_and_coming_back_is_not() {
    let receiver = Receiver::start();
    let server = server_for(&receiver);
    let list_of =
        |id: &str| format!(r#"{{"type":"ROOM-MEMBERS","room":"lobby","members":[{{"id":"{id}"}}]}}"#);
    let enter = |id: &str| {
        let mut client = server.client(id);
        client.send(r#"{"type":"ROOM-JOIN","room":"lobby"}"#);
        client.expect(list_of(id));
        client
    };
    let mut alice = enter("alice");
    alice.send(LEAVE);
    alice.expect_closed_with(Some(1000));
    wait_until("three events to be delivered", || server.webhooks().delivered == 3);
    let kinds: Vec<_> = receiver.all().into_iter().map(|told| told.event["type"].to_string()).collect();
    assert!(kinds.len() == 3 && kinds.iter().all(|kind| !kind.contains("room")), "{kinds:?}");

    server.reconfigure(|config| {
        config.webhooks.events = vec![WebhookEvent::RoomJoined, WebhookEvent::RoomLeft];
    });
    let next_is = |kind: &str| {
        let event = receiver.next().event;
        let data = json!({"key": "peerjs", "realm": "peerjs", "id": "bob", "room": "lobby"});
        assert_eq!((&event["type"], &event["data"]), (&json!(kind), &data));
    };
    let bob = enter("bob");
    next_is("room.joined");
    bob.reset();
    server.wait_until_gone("bob");
    let mut bob = server.client("bob");
    bob.expect(list_of("bob"));
    bob.send(r#"{"type":"ROOM-LEAVE","room":"lobby"}"#);
    next_is("room.left");
    bob.send(r#"{"type":"ROOM-JOIN","room":"lobby"}"#);
    next_is("room.joined");
    bob.reset();
    // Its id is free before the room knows that it is away.
    wait_until("both ends of bob", || server.told_about("bob").len() == 4);
    server.advance(FIRST_RETRY_DELAY * 2);
    next_is("room.left");
    wait_until("the last event to be delivered", || server.webhooks().delivered == 7);
}

#[test]
fn a_call_of_an_absent_peer_tells_who_wants_whom_to_those_who_ask_for_it() {
    let receiver = Receiver::start();
    let server = server_for(&receiver);
    assert_eq!(receiver.next().event["type"], "server.started");
    server.reconfigure(|config| config.webhooks.events = vec![WebhookEvent::PeerWanted]);
    let mut alice = server.client("alice");
    let offer = r#"{"type":"OFFER","dst":"bob","payload":{"sdp":"secret"}}"#;
    alice.send(offer);
    alice.send(offer);
    let event = receiver.next().event;
    let data = json!({"key": "peerjs", "realm": "peerjs", "id": "bob", "from": "alice", "kind": "data"});
    assert_eq!((&event["type"], &event["data"]), (&json!("peer.wanted"), &data));
    let mut bob = server.client("bob");
    let forwarded = r#"{"type":"OFFER","src":"alice","dst":"bob","payload":{"sdp":"secret"}}"#;
    bob.expect(forwarded);
    bob.expect(forwarded);
    wait_until("both events to be delivered", || server.webhooks().delivered == 2);
}

#[test]
fn a_key_gets_the_events_of_its_clients_only_and_the_operator_all() {
    let operator = Receiver::start();
    let owner = Receiver::start();
    let webhook = Change { webhook: Some(owner.webhook()), concurrent_limit: Some(1), ..Change::default() };
    on_own_with_keys_and(
        |config| {
            config.webhooks.operator = operator.webhook();
            config.webhooks.private = true;
        },
        &[key("game", webhook), plain_key("other")],
        |server, keys| {
            let _other = server.client_of("other", "somebody");
            let mut player = server.client_of("game", "player");
            let told: Vec<_> = (0..2).map(|_| owner.next().event["type"].clone()).collect();
            assert!(told.contains(&json!("peer.connected")) && told.contains(&json!("key.limit_reached")));
            // The last events of the key go where the others went.
            keys.remove("game");
            player.expect_closed_with(Some(4004));
            let last = owner.next().event;
            assert_eq!(
                (&last["data"]["id"], &last["data"]["reason"]),
                (&json!("player"), &json!("key_revoked"))
            );
            let mut told: Vec<String> = (0..6).map(|_| operator.next().event["type"].to_string()).collect();
            told.sort();
            let expected = [
                "key.limit_reached",
                "key.removed",
                "peer.connected",
                "peer.connected",
                "peer.disconnected",
                "server.started",
            ];
            assert_eq!(told, expected.map(|kind| format!("{kind:?}")));
            assert!(owner.all().is_empty());
        },
    );
}

#[test]
fn a_disabled_key_and_a_changed_url_take_effect_at_once() {
    let before = Receiver::start();
    let after = Receiver::start();
    let to = |receiver: &Receiver| Change { webhook: Some(receiver.webhook()), ..Change::default() };
    on_own_with_keys_and(
        |config| config.webhooks.private = true,
        &[key("game", to(&before))],
        |server, keys| {
            let alice = server.client_of("game", "alice");
            assert_eq!(before.next_of_peer(), pair("alice")[0]);
            keys.change("game", to(&after));
            drop(alice);
            assert_eq!(after.next_of_peer(), pair("alice")[1]);
            let mut bob = server.client_of("game", "bob");
            assert_eq!(after.next_of_peer(), pair("bob")[0]);
            keys.change("game", enabled(false));
            bob.expect_closed_with(Some(4004));
            assert_eq!(after.next_of_peer(), pair("bob")[1]);
            assert!(before.all().is_empty());
        },
    );
}

#[test]
fn the_last_events_are_sent_before_the_server_ends() {
    let receiver = Receiver::start();
    let mut server = server_for(&receiver);
    let clients: Vec<_> = (0..50).map(|n| server.client(&format!("peer-{n}"))).collect();
    server.begin_stop();
    for mut client in clients {
        client.expect_closed_with(Some(1001));
    }
    server.join();
    let told = receiver.all();
    let count = |kind: &str| told.iter().filter(|told| told.event["type"] == kind).count();
    assert_eq!((count("peer.connected"), count("peer.disconnected")), (50, 50));
    assert_eq!(count("server.stopping"), 1);
}

#[test]
fn the_api_never_shows_a_secret_and_refuses_what_cannot_be_used() {
    let (_server, api) = with_api(&[], None, |_| {});
    let url = "https://example.org/hook?token=t";
    let webhook = json!({"url": url, "secrets": [SECRET]});
    let added = api.post("/api/keys", &json!({"key": "game", "webhook": webhook}));
    assert_eq!(added.status, 201);
    for answer in [added, api.get("/api/keys/game"), api.patch("/api/keys/game", &json!({"name": "x"}))] {
        assert_eq!(answer.json["webhook"], json!({"url": url}));
    }
    for (webhook, why) in [
        (json!({"url": url}), "needs a secret"),
        (json!({"url": "http://example.org/", "secrets": [SECRET]}), "must begin with https://"),
        (json!({"url": "ftp://example.org/", "secrets": [SECRET]}), "must begin with http"),
        (json!({"url": "", "secrets": [SECRET]}), "no URL"),
        (json!({"secrets": [SECRET]}), "url"),
        (json!({"url": url, "secrets": ["whsec_c2hvcnQ="]}), "24 to 64 bytes"),
    ] {
        let refused = api.patch("/api/keys/game", &json!({"webhook": webhook}));
        let problem = refused.problem(422);
        assert!(problem.contains(why), "{problem}");
        assert!(!problem.contains("c2hvcnQ") && !problem.contains(SECRET), "{problem}");
    }
    let webhook = json!({"url": url, "secrets": [SECRET], "messages": true});
    let with_messages = api.patch("/api/keys/game", &json!({"webhook": webhook}));
    assert_eq!(with_messages.json["webhook"], json!({"url": url, "messages": true}));
    let off = api.patch("/api/keys/game", &json!({"webhook": {"url": ""}}));
    assert_eq!(off.json["webhook"], json!({"url": ""}));
}
