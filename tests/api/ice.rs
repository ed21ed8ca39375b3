//! `GET /{key}/ice`: the ICE servers for clients of a key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerbroker::{Config, PeerBroker};
use peerbroker_config::{Dialect, Dialects, IceConfig, OwnIceServers, TurnSecret};
use peerbroker_keys::{Auth, Change, JwtKey, Origin};
use serde_json::{Value, json};

use crate::harness::http_client::Response;
use crate::harness::keys::{key, on_own_with_keys, plain_key};
use crate::harness::{TestServer, on_own, on_own_with};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn with_servers(config: &mut Config) {
    config.ice = IceConfig {
        stun_urls: vec!["stun:stun.example.org".to_owned()],
        turn_urls: vec!["turn:turn.example.org?transport=udp".to_owned()],
        turn_secret: Some(TurnSecret::parse(SECRET).unwrap()),
        ttl: Duration::from_secs(3600),
        ..IceConfig::default()
    };
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn json_of(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// The seconds in a username, if its key is this one and its password the one of the secret.
fn expiry(turn: &Value, key: &str) -> u64 {
    let username = turn["username"].as_str().unwrap();
    let (expiry, named) = username.split_once(':').unwrap();
    assert_eq!(named, key);
    assert_eq!(turn["credential"], TurnSecret::parse(SECRET).unwrap().credential(username));
    expiry.parse().unwrap()
}

#[test]
fn clients_are_told_the_servers_with_credentials_of_their_key() {
    on_own_with(with_servers, |server| {
        let before = seconds();
        let answer = json_of(&server.get("/peerjs/ice"));
        let after = seconds();
        assert_eq!(answer["ttl"], 3600);
        assert_eq!(answer["iceServers"][0], json!({"urls": ["stun:stun.example.org"]}));
        let turn = &answer["iceServers"][1];
        assert_eq!(turn["urls"], json!(["turn:turn.example.org?transport=udp"]));
        assert!((before + 3600..=after + 3600).contains(&expiry(turn, "peerjs")), "{turn}");
        assert_eq!(answer["iceServers"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn without_any_server_the_list_is_empty() {
    on_own(|server| {
        assert_eq!(server.get("/peerjs/ice").text(), r#"{"iceServers":[],"ttl":86400}"#);
        assert_eq!(server.get("/peerjs/peerjs/ice/").text(), r#"{"iceServers":[],"ttl":86400}"#);
    });
}

#[test]
fn an_unknown_key_gets_no_credentials_and_a_key_may_have_them_turned_off() {
    let off = key("off", Change { ice_servers: Some(false), ..Change::default() });
    on_own_with_keys(&[off, plain_key("ä b:c")], |server, keys| {
        server.reconfigure(with_servers);
        let unknown = server.get("/unknown/ice");
        assert_eq!((unknown.status, unknown.text()), (401, "Unauthorized"));
        let refused = server.get("/off/ice");
        assert_eq!((refused.status, refused.text()), (403, "ICE servers are turned off for this key\n"));
        assert_eq!(server.get("/%FF/ice").status, 400);
        let answer = json_of(&server.get("/%C3%A4%20b:c/ice"));
        expiry(&answer["iceServers"][1], "ä b:c");

        keys.change("off", Change { ice_servers: Some(true), ..Change::default() });
        assert_eq!(server.get("/off/ice").status, 200);
        keys.change("off", Change { enabled: Some(false), ..Change::default() });
        assert_eq!(server.get("/off/ice").status, 401);
    });
}

#[test]
fn the_origins_of_a_key_hold() {
    let origins = Some(vec![Origin::parse("https://a.example").unwrap()]);
    on_own_with_keys(&[key("web", Change { origins, ..Change::default() })], |server, _| {
        let from = |origin| server.request("GET", "/web/ice", &format!("Origin: {origin}\r\n"));
        let admitted = from("https://a.example");
        assert_eq!(admitted.status, 200);
        assert_eq!(admitted.header("access-control-allow-origin").as_deref(), Some("https://a.example"));
        assert_eq!(from("https://b.example").status, 403);
    });
}

#[test]
fn a_token_has_to_be_valid_if_there_is_one() {
    let verify = JwtKey::Secret("a secret of thirty-two bytes or more".to_owned());
    let app = key("app", Change { auth: Some(Auth::Jwt { verify }), ..Change::default() });
    on_own_with_keys(&[app], |server, _| {
        let with = |headers| server.request("GET", "/app/ice", headers).status;
        assert_eq!((with("Authorization: Bearer nonsense\r\n"), with("")), (401, 200));
    });
}

#[test]
fn asking_counts_like_a_new_connection_of_the_address() {
    let configure = |config: &mut Config| {
        config.proxied = true;
        config.address_limits.opens_per_second = 1;
    };
    on_own_with(configure, |server| {
        let from = |address| server.request("GET", "/peerjs/ice", &format!("X-Forwarded-For: {address}\r\n"));
        for _ in 0..10 {
            assert_eq!(from("192.0.2.1").status, 200);
        }
        let refused = from("192.0.2.1");
        assert_eq!((refused.status, refused.header("retry-after").as_deref()), (429, Some("1")));
        assert_eq!(from("192.0.2.2").status, 200);
    });
}

#[test]
fn servers_of_an_embedding_program_come_first() {
    let own = OwnIceServers {
        stun_urls: vec!["stun:192.0.2.1:3479".to_owned()],
        tls_at_broker: true,
        ..OwnIceServers::default()
    };
    let server = TestServer::start_built(PeerBroker::builder().own_ice_servers(own), |config| {
        with_servers(config);
        config.proxied = true;
    });
    let behind = "X-Forwarded-Host: broker.example.org:8443\r\n";
    let answer = json_of(&server.request("GET", "/peerjs/ice", behind));
    assert_eq!(answer["iceServers"][0]["urls"][0], "stun:192.0.2.1:3479");
    assert_eq!(answer["iceServers"][1]["urls"][0], "turns:broker.example.org:8443?transport=tcp");
}

#[test]
fn without_peerjs_there_is_no_such_endpoint() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]),
        |server| {
            assert_eq!(server.get("/peerjs/ice").status, 404);
        },
    );
}
