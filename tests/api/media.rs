//! Calls through the relay: what clients are told about it, and datagrams on real sockets.
//! `crates/relay/src/relay/tests` has its rules.

mod protocols;

use std::future::ready;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use peerbroker::{BoundRelay, Config, Listen, PeerBroker};
use peerbroker_config::{RelayConfig, WebhookEvent};
use peerbroker_keys::memory::MemoryKeys;
use peerbroker_keys::{KeyStore as _, RelayMode};
use serde_json::json;
use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteVec};

use crate::harness::api::Api;
use crate::harness::guests::{call, join};
use crate::harness::keys::plain_key;
use crate::harness::messages::{forwarded, message};
use crate::harness::ops::with_api_on;
use crate::harness::receiver::Receiver;
use crate::harness::relay_client::{Line, Side, candidate, payload, sdp};
use crate::harness::{RawClient, TestServer, wait_until};
use crate::matchbox::{self, with_matchbox};
use crate::rxdb::{replica, signal};
use crate::topics::{settle, subscribe};

const REAL: &str = "a=candidate:7 1 udp 2122 192.0.2.7 5 typ host";

/// A relay on loopback, and its address.
pub fn bound() -> (BoundRelay, SocketAddr) {
    let listen = vec![([127, 0, 0, 1], 0).into()];
    let relay = BoundRelay::bind(RelayConfig {
        listen,
        public: Vec::new(),
        tcp: true,
        tcp_port: Some(0),
        private: true,
    })
    .unwrap();
    let address = relay.addresses()[0];
    (relay, address)
}

/// A server with a relay, and the address of that.
fn with_relay(mode: RelayMode) -> (TestServer, SocketAddr) {
    let (relay, address) = bound();
    (TestServer::start_with_relay(relay, |config| config.key_settings.relay = mode), address)
}

/// The same with the API.
fn with_relay_and_api(configure: impl FnOnce(&mut Config)) -> (TestServer, Api, SocketAddr) {
    let (relay, address) = bound();
    let (server, api) = with_api_on(PeerBroker::builder().relay(relay), configure);
    (server, api, address)
}

/// Two clients call each other, and are told the relay.
pub fn call_of(a: &mut RawClient, b: &mut RawClient, relay: SocketAddr) {
    let line = candidate(relay);
    a.send(message("OFFER", "b", &payload("offer", "aufrag", &[])));
    b.expect(forwarded("OFFER", "a", "b", &payload("offer", "aufrag", &[&line])));
    b.send(message("ANSWER", "a", &payload("answer", "bufrag", &[])));
    a.expect(forwarded("ANSWER", "b", "a", &payload("answer", "bufrag", &[&line])));
}

#[test]
fn two_clients_talk_through_the_relay() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let mut a = server.client("a");
    let mut b = server.client("b");
    call_of(&mut a, &mut b, relay);
    server.advance(Duration::from_secs(1));
    let [one, other] = sides(relay);
    one.prove();
    other.prove();
    // The checks of both go through to the other one.
    one.answer(&one.receive());
    other.answer(&other.receive());
    assert!(Message::from_bytes(&one.receive()).unwrap().is_response());
    assert!(Message::from_bytes(&other.receive()).unwrap().is_response());
    for number in 128..160 {
        one.socket.send(&[number; 1000]).unwrap();
        assert_eq!(other.receive(), [number; 1000]);
        other.socket.send(&[number; 1000]).unwrap();
        assert_eq!(one.receive(), [number; 1000]);
    }
}

/// Both sides of a call of `a` and `b`, over UDP.
pub fn sides(relay: SocketAddr) -> [Side; 2] {
    [Side::new(relay, "aufrag", "bufrag"), Side::new(relay, "bufrag", "aufrag")]
}

#[test]
fn relayed_datagrams_are_counted_without_the_relays_own() {
    let (server, api, relay) = with_relay_and_api(|_| {});
    let mut a = server.client("a");
    let mut b = server.client("b");
    call_of(&mut a, &mut b, relay);
    server.advance(Duration::from_secs(1));
    let counted = || {
        let relay = &api.get("/api/stats").json["relay"];
        ["packets", "bytes"].map(|name| relay[name].as_u64().unwrap())
    };
    let [one, other] = sides(relay);
    // An answer to a question for the own address, a check of the relay, and the answer to that.
    one.socket.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish()).unwrap();
    one.receive();
    one.prove();
    one.check_in_vain();
    assert_eq!(counted(), [0, 0]);
    other.prove();
    // The checks of both.
    let checks = [one.receive(), other.receive()].map(|check| check.len() as u64);
    one.socket.send(&[0x80; 1000]).unwrap();
    other.receive();
    let expected = [3, checks.iter().sum::<u64>() + 1000];
    wait_until("the count of the last datagram", || counted() == expected);
}

#[test]
fn the_operator_sees_what_became_of_calls() {
    let receiver = Receiver::start();
    let (server, api, relay) = with_relay_and_api(|config| {
        config.webhooks.operator = receiver.webhook();
        config.webhooks.events =
            vec![WebhookEvent::CallRelayed, WebhookEvent::CallEnded, WebhookEvent::CallFailed];
    });
    let mut a = server.client("a");
    let mut b = server.client("b");
    call_of(&mut a, &mut b, relay);
    b.send(message("OFFER", "a", &payload("offer", "cufrag", &[])));
    a.expect_text();
    a.send(message("ANSWER", "b", &payload("answer", "dufrag", &[])));
    b.expect_text();
    server.advance(Duration::from_secs(1));
    let [one, other] = sides(relay);
    one.prove();
    other.prove();
    one.receive();
    other.receive();
    one.socket.send(&[0x80; 1000]).unwrap();
    other.receive();
    let call = json!({"key": "peerjs", "realm": "peerjs", "caller": "a", "callee": "b"});
    let told = receiver.next().event;
    assert_eq!((&told["type"], &told["data"]), (&json!("call.relayed"), &call));

    // The caller of the other call waits, and its callee does not come.
    let alone = Side::new(relay, "cufrag", "dufrag");
    alone.prove();
    server.advance(Duration::from_millis(4500));
    alone.check_in_vain();
    server.advance(Duration::from_secs(31));
    let mut told = [receiver.next().event, receiver.next().event];
    told.sort_by_key(|event| event["type"].to_string());
    let data = json!({"key": "peerjs", "realm": "peerjs", "caller": "a", "callee": "b",
        "transport": "udp", "duration_ms": 0, "bytes": 1000});
    assert_eq!((&told[0]["type"], &told[0]["data"]), (&json!("call.ended"), &data));
    let data = json!({"key": "peerjs", "realm": "peerjs", "caller": "b", "callee": "a",
        "reason": "callee_absent"});
    assert_eq!((&told[1]["type"], &told[1]["data"]), (&json!("call.failed"), &data));

    let failed = || api.get("/api/stats").json["failed_calls"].clone();
    wait_until("the failed call", || failed() != json!([]));
    let expected =
        json!([{"key": "peerjs", "caller": "b", "callee": "a", "reason": "callee_absent", "ago": 0}]);
    assert_eq!(failed(), expected);
    let stats = &api.get("/api/stats").json["relay"];
    assert_eq!((&stats["calls"], &stats["asked"]), (&json!(0), &json!(2)));
    assert_eq!((&stats["transports"]["udp"], &stats["failures"]["callee_absent"]), (&json!(1), &json!(1)));
    let metrics = api.get("/metrics").response.text().to_owned();
    for line in [
        r#"peerbroker_relay_calls_ended_total{outcome="relayed",detail="udp"} 1"#,
        r#"peerbroker_relay_calls_ended_total{outcome="failed",detail="callee_absent"} 1"#,
        r#"peerbroker_relay_calls_ended_total{outcome="direct",detail=""} 0"#,
        r#"peerbroker_relay_calls_seen_total{outcome="asked"} 2"#,
        r#"peerbroker_relay_call_seconds_bucket{le="1.0"} 1"#,
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line} in {metrics}");
    }
}

#[test]
fn a_limit_of_a_key_changes_for_a_running_call() {
    let (bound, relay) = bound();
    let store = Arc::new(MemoryKeys::new());
    store.add(plain_key("game")).unwrap();
    let (server, api) = with_api_on(PeerBroker::builder().relay(bound).keys(store), |_| {});
    let mut a = server.client_of("game", "a");
    let mut b = server.client_of("game", "b");
    call_of(&mut a, &mut b, relay);
    server.advance(Duration::from_secs(1));
    let [one, other] = sides(relay);
    one.prove();
    other.prove();
    one.receive();
    other.receive();
    let passes = || {
        one.socket.send(&[0x80; 1000]).unwrap();
        other.receive()
    };
    assert_eq!(passes(), [0x80; 1000]);
    let dropped = || api.get("/api/stats").json["relay"]["dropped"]["too_much"].as_u64().unwrap();
    assert_eq!(dropped(), 0);
    // Less than a datagram in ten seconds.
    api.patch("/api/keys/game", &json!({"relay_key_bytes_per_second": 100}));
    server.advance(Duration::from_secs(1));
    one.socket.send(&[0x80; 1000]).unwrap();
    wait_until("a dropped datagram", || dropped() == 1);
    let shown = api.patch("/api/keys/game", &json!({"relay_key_bytes_per_second": null})).json;
    assert_eq!(shown.get("relay_key_bytes_per_second"), None);
    server.advance(Duration::from_secs(1));
    assert_eq!(passes(), [0x80; 1000]);
}

#[test]
fn a_client_without_udp_talks_over_tcp() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let mut a = server.client("a");
    let mut b = server.client("b");
    call_of(&mut a, &mut b, relay);
    server.advance(Duration::from_secs(2));
    let [one, other] = sides(relay);
    other.prove();
    let mut line = Line::open(relay);
    line.send(&one.new_check());
    let check = line.receive();
    line.send(&one.answer_to(&check));
    // The check of the other one, which has waited.
    let check = line.receive();
    line.send(&one.answer_to(&check));
    other.answer(&other.receive());
    assert!(Message::from_bytes(&other.receive()).unwrap().is_response());
    assert!(Message::from_bytes(&line.receive()).unwrap().is_response());
    for number in 128..160 {
        line.send(&[number; 1000]);
        assert_eq!(other.receive(), [number; 1000]);
        other.socket.send(&[number; 1000]).unwrap();
        assert_eq!(line.receive(), [number; 1000]);
    }
    // It has closed its connection, and comes again.
    drop(line);
    let mut line = Line::open(relay);
    line.send(&one.new_check());
    let check = line.receive();
    line.send(&one.answer_to(&check));
    // The check has waited for the proof.
    assert!(!Message::from_bytes(&other.receive()).unwrap().is_response());
    line.send(&[200; 10]);
    assert_eq!(other.receive(), [200; 10]);
}

#[test]
fn a_connection_that_proves_nothing_is_closed() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let mut silent = Line::open(relay);
    let mut curious = Line::open(relay);
    curious.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish());
    curious.receive();
    thread::scope(|scope| {
        let ends = scope.spawn(|| [&mut silent, &mut curious].map(Line::expect_end));
        wait_until("both are closed", || {
            server.advance(Duration::from_secs(1));
            ends.is_finished()
        });
    });
}

#[test]
fn a_relay_may_do_without_tcp() {
    let listen = vec![([127, 0, 0, 1], 0).into()];
    let config = RelayConfig { listen, public: Vec::new(), tcp: false, tcp_port: None, private: true };
    let relay = BoundRelay::bind(config).unwrap();
    let address = relay.addresses()[0];
    let server = TestServer::start_with_relay(relay, |_| {});
    let mut a = server.client("a");
    let mut b = server.client("b");
    a.send(message("OFFER", "b", &payload("offer", "aufrag", &[])));
    let line = format!("a=candidate:1 1 udp 255 {} {} typ host", address.ip(), address.port());
    b.expect(forwarded("OFFER", "a", "b", &payload("offer", "aufrag", &[&line])));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_client_that_is_needed_is_told_another_candidate() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let mut a = server.client("a");
    let mut b = server.client("b");
    call_of(&mut a, &mut b, relay);
    server.advance(Duration::from_secs(1));
    let one = Side::new(relay, "aufrag", "bufrag");
    one.prove();
    one.check_in_vain();
    b.expect_nothing("b");
    server.advance(Duration::from_millis(1001));
    one.check_in_vain();
    let ip = relay.ip();
    let port = relay.port();
    for told in [
        format!("candidate:3 1 udp 254 {ip} {port} typ host"),
        format!("candidate:4 1 tcp 126 {ip} {port} typ host tcptype passive"),
    ] {
        let payload =
            format!(r#"{{"candidate":{{"candidate":"{told}","sdpMLineIndex":0}},"connectionId":"dc_1"}}"#);
        b.expect(forwarded("CANDIDATE", "a", "b", &payload));
    }
}

#[test]
fn other_messages_and_descriptions_without_ice_are_not_touched() {
    let (server, _) = with_relay(RelayMode::Fallback);
    let mut a = server.client("a");
    let mut b = server.client("b");
    let real = format!(r#"{{"candidate":{{"candidate":"{REAL}"}}}}"#);
    for (kind, payload) in [
        ("CANDIDATE", real.as_str()),
        ("OFFER", "1"),
        ("ANSWER", r#"{"sdp":{"sdp":"v=0\r\n"}}"#),
        // Nobody has offered anything.
        ("ANSWER", &payload("answer", "bufrag", &[])),
    ] {
        a.send(message(kind, "b", payload));
        b.expect(forwarded(kind, "a", "b", payload));
    }
}

#[test]
fn a_key_may_have_no_relay() {
    let (server, _) = with_relay(RelayMode::Off);
    let mut a = server.client("a");
    let mut b = server.client("b");
    a.send(message("OFFER", "b", &payload("offer", "aufrag", &[REAL])));
    b.expect(forwarded("OFFER", "a", "b", &payload("offer", "aufrag", &[REAL])));
}

#[test]
fn a_key_may_have_all_calls_relayed_and_addresses_withheld() {
    let (server, relay) = with_relay(RelayMode::Always);
    let mut a = server.client("a");
    let mut b = server.client("b");
    a.send(message("OFFER", "b", &payload("offer", "aufrag", &[REAL])));
    b.expect(forwarded("OFFER", "a", "b", &payload("offer", "aufrag", &[&candidate(relay)])));
    a.send(message("CANDIDATE", "b", &format!(r#"{{"candidate":{{"candidate":"{REAL}"}}}}"#)));
    a.send(message("LEAVE", "b", "1"));
    b.expect(forwarded("LEAVE", "a", "b", "1"));
}

#[test]
fn where_all_calls_are_relayed_nothing_that_a_client_sends_tells_an_address() {
    let (relay, _) = bound();
    let app = PeerBroker::builder().relay(relay).on_app_message(|message| ready(message.payload));
    let server = TestServer::start_built(app, |config| {
        with_matchbox(config);
        config.key_settings.relay = RelayMode::Always;
    });
    let described = |ufrag: &str| format!(r#"{{"note":"{}"}}"#, sdp(ufrag, &[REAL]));
    let text = described("aufrag");
    let hears = |client: &mut RawClient| {
        let told = client.expect_text();
        assert!(told.contains("ufrag0123") && !told.contains("192.0.2.7"), "{told}");
    };

    let mut a = server.client("a");
    let mut b = server.client("b");
    b.send(r#"{"type":"ROOM-JOIN","room":"r"}"#);
    b.expect_text();
    a.send(format!(r#"{{"type":"ROOM-JOIN","room":"r","data":{text}}}"#));
    hears(&mut b);
    a.expect_text();
    a.send(format!(r#"{{"type":"ROOM-UPDATE","room":"r","data":{}}}"#, described("bufrag")));
    hears(&mut b);
    a.send(format!(r#"{{"type":"ROOM-SEND","room":"r","payload":{text}}}"#));
    hears(&mut b);
    a.send(message("LEAVE", "b", &text));
    hears(&mut b);
    a.send(format!(r#"{{"type":"SERVER-MESSAGE","payload":{text},"request":1}}"#));
    hears(&mut a);

    let mut subscriber = server.guest("subscriber");
    subscriber.send(subscribe(&["doc"]));
    settle(&mut subscriber);
    for member in ["payload", "data"] {
        subscriber.send(format!(r#"{{"type":"publish","topic":"doc","{member}":{text}}}"#));
        hears(&mut subscriber);
    }

    let [(mut one, one_id), (mut other, other_id)] = ["one", "other"].map(|name| replica(&server, name));
    one.send(signal(&one_id, &other_id, &format!(r#""type":"renegotiate","more":{text}"#)));
    hears(&mut other);

    let (mut one, _) = matchbox::peer(&server, "/r");
    let (mut other, other_id) = matchbox::newcomer(&server, "/r");
    one.expect(matchbox::new_peer(&other_id));
    one.send(matchbox::signal(&other_id, &text));
    hears(&mut other);

    let mut one = server.guest("one");
    let mut other = server.guest("other");
    one.start();
    let other_id = other.start();
    one.send(call("reject", &other_id, &format!(r#","more":{text}"#)));
    hears(&mut other);
    let room = other.create_room();
    one.send(join(&room, "ann", &text));
    hears(&mut other);

    let torrent = "t".repeat(20);
    let announce = |peer: &str, rest: &str| {
        format!(r#"{{"action":"announce","info_hash":"{torrent}","peer_id":"{}",{rest}}}"#, peer.repeat(20))
    };
    other.send(announce("b", r#""left":1"#));
    other.expect_text();
    one.send(announce("a", &format!(r#""offers":[{{"offer_id":"1","offer":{text}}}]"#)));
    hears(&mut other);
}

#[test]
fn a_description_without_an_end_of_its_last_line_gets_the_candidate() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let mut a = server.client("a");
    let mut b = server.client("b");
    let trimmed = payload("offer", "aufrag", &["a=max-message-size:262144"]).replace(r"262144\r\n", "262144");
    a.send(message("OFFER", "b", &trimmed));
    let more = ["a=max-message-size:262144", &candidate(relay)];
    b.expect(forwarded("OFFER", "a", "b", &payload("offer", "aufrag", &more)));
}

#[test]
fn offers_end_with_their_client() {
    let (server, relay) = with_relay(RelayMode::Fallback);
    let line = candidate(relay);
    let mut a = server.client("a");
    let mut b = server.client("b");
    let offer = |more: &[&str]| payload("offer", "aufrag", more);
    a.send(message("OFFER", "b", &offer(&[])));
    b.expect(forwarded("OFFER", "a", "b", &offer(&[&line])));
    a.send(r#"{"type":"LEAVE"}"#);
    a.expect_closed_with(Some(1000));
    server.wait_until_gone("a");
    server.advance(Duration::from_secs(1));
    server.advance(Duration::from_secs(5));
    // Somebody else has the id by now, or the same client with another description.
    let mut a = server.client("a");
    b.send(message("ANSWER", "a", &payload("answer", "bufrag", &[])));
    a.expect(forwarded("ANSWER", "b", "a", &payload("answer", "bufrag", &[])));
}

/// The members of the data of a signal.
pub fn signal_of_y_webrtc(from: &str, to: &str, kind: &str, ufrag: &str, more: &[&str]) -> String {
    let sdp = sdp(ufrag, more);
    format!(
        r#""to":"{to}","from":"{from}","type":"signal","token":null,"signal":{{"type":"{kind}","sdp":"{sdp}"}}"#
    )
}

#[test]
fn two_relays_do_not_share_a_port() {
    let (_server, address) = with_relay(RelayMode::Fallback);
    let listen = vec![address];
    let again = BoundRelay::bind(RelayConfig {
        listen,
        public: Vec::new(),
        tcp: true,
        tcp_port: None,
        private: true,
    });
    let error = again.err().expect("a port that is taken").to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}

#[test]
fn the_relay_tells_clients_their_own_address() {
    let (_server, relay) = with_relay(RelayMode::Fallback);
    let side = Side::new(relay, "", "");
    side.socket.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish()).unwrap();
    let answer = side.receive();
    let answer = Message::from_bytes(&answer).unwrap();
    let mapped = answer.attribute::<stun_types::attribute::XorMappedAddress>().unwrap();
    assert_eq!(mapped.addr(answer.transaction_id()), side.socket.local_addr().unwrap());
}

/// A call that the relay has carried something for.
fn carried(server: &TestServer, relay: SocketAddr) -> [Side; 2] {
    let mut a = server.client("a");
    let mut b = server.client("b");
    call_of(&mut a, &mut b, relay);
    server.advance(Duration::from_secs(1));
    let sides = [Side::new(relay, "aufrag", "bufrag"), Side::new(relay, "bufrag", "aufrag")];
    sides.iter().for_each(Side::prove);
    let [one, other] = &sides;
    one.talk_to(other);
    sides
}

#[test]
fn a_server_that_stops_ends_its_calls_when_both_clients_have_heard_it() {
    let (mut server, relay) = with_relay(RelayMode::Fallback);
    let sides = carried(&server, relay);
    server.begin_stop();
    // Virtual time stands still, so the server waits for both.
    sides.iter().for_each(Side::expect_revoked);
    server.join_while_time_passes();
}

#[test]
fn a_server_that_stops_does_not_wait_for_calls_without_the_relay() {
    let (mut server, relay) = with_relay(RelayMode::Fallback);
    let mut a = server.client("a");
    let mut b = server.client("b");
    call_of(&mut a, &mut b, relay);
    server.advance(Duration::from_secs(1));
    let sides = [Side::new(relay, "aufrag", "bufrag"), Side::new(relay, "bufrag", "aufrag")];
    sides.iter().for_each(Side::prove);
    drop((a, b));
    server.begin_stop();
    server.join();
}

#[test]
fn calls_go_on_when_the_server_stops_until_their_time_has_passed() {
    const MINUTES: Duration = Duration::from_secs(600);
    let listen = vec![([127, 0, 0, 1], 0).into()];
    let config = RelayConfig { listen, public: Vec::new(), tcp: true, tcp_port: Some(0), private: true };
    let relay = BoundRelay::bind(config.clone()).unwrap();
    let address = relay.addresses()[0];
    let settings = Listen { relay_drain_timeout: Some(MINUTES), ..Listen::default() };
    let mut server = TestServer::start_built_on(PeerBroker::builder().relay(relay), settings, |_| {});
    let [one, other] = carried(&server, address);
    server.begin_stop();
    // The port is free for the next server.
    let config = RelayConfig { listen: vec![address], ..config };
    wait_until("a free port", || BoundRelay::bind(config.clone()).is_ok());
    for _ in 0..20 {
        server.advance(Duration::from_secs(29));
        one.talk_to(&other);
        other.talk_to(&one);
        one.exchange_checks(&other);
    }
    server.advance(Duration::from_secs(21));
    for side in [&one, &other] {
        side.expect_revoked();
    }
    server.join_while_time_passes();
}
