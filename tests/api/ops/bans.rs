//! Bans of addresses and networks, and the list of the busiest addresses.

use std::net::SocketAddr;
use std::time::Duration;

use peerbroker::{Config, PeerBroker};
use peerbroker_config::{Ban, TurnSecret};
use serde_json::{Value, json};

use crate::harness::api::Api;
use crate::harness::guests::problem;
use crate::harness::keys::plain_key;
use crate::harness::legacy::post;
use crate::harness::messages::{error, forwarded_offer, offer};
use crate::harness::ops::{with_api, with_api_on};
use crate::harness::relay_client::Line;
use crate::harness::turn_client::{Datagrams, Line as Way, SECRET, TurnClient, USERNAME, tcp};
use crate::harness::{RawClient, TestServer, wait_until};
use crate::media::{bound, call_of, sides};
use crate::turn::turn;

const HERE: &str = "X-Forwarded-For: 192.0.2.1\r\n";
const THERE: &str = "X-Forwarded-For: 192.0.2.2\r\n";
const BANNED: &str = "This address is banned";
const CLOSED: Option<u16> = Some(4008);

fn proxied(config: &mut Config) {
    config.proxied = true;
    config.address_limits.opens_per_second = 0;
}

/// A PeerJS client of a key and an address that has got OPEN.
fn client(server: &TestServer, headers: &str, key: &str, id: &str) -> RawClient {
    let mut client = server.begin_with(&server.target_of(key, id), headers);
    client.expect_accepted();
    client.expect_open();
    client
}

/// The status of a POST of PeerJS 0.3.x from an address.
fn posted(server: &TestServer, headers: &str, word: &str) -> u16 {
    let mut http = server.http();
    http.send(post(&server.post_target("z", word), headers, b""));
    http.head().status
}

/// The statuses of a WebSocket, a page, a question of PeerJS and a stream from an address.
fn statuses(server: &TestServer, headers: &str) -> [u16; 4] {
    let get = |target: String| server.request("GET", &target, headers).status;
    let mut socket = server.begin_with(&server.target_of("peerjs", "newcomer"), headers);
    let opened = socket.expect_response().status;
    let id = format!("{}peerjs/id", server.root());
    [opened, get(server.root()), get(id), posted(server, headers, "id?i=0")]
}

fn ban(api: &Api, ban: &Value) -> Value {
    let answer = api.post("/api/bans", ban);
    assert_eq!(answer.status, 201, "{}", answer.json);
    answer.json
}

fn end(api: &Api, path: &str) {
    let answer = api.delete(&format!("/api/bans/{path}"));
    assert_eq!(answer.status, 204, "{}", answer.json);
}

#[test]
fn a_banned_network_gets_403_everywhere_and_its_clients_are_closed() {
    let (server, api) = with_api(&[], None, proxied);
    let mut here = client(&server, HERE, "peerjs", "a");
    let mut there = client(&server, THERE, "peerjs", "b");
    let mut guest = server.begin_with(&server.root(), HERE);
    guest.expect_accepted();
    server.wait_for_guests(1);
    assert_eq!(statuses(&server, HERE), [101, 200, 200, 200]);

    let made = ban(&api, &json!({ "network": "192.0.2.1", "seconds": 3600 }));
    here.expect_closed_with(CLOSED);
    guest.expect_closed_with(CLOSED);
    assert_eq!(statuses(&server, HERE), [403; 4]);
    assert_eq!(posted(&server, HERE, "offer"), 403);
    let mut newcomer = server.begin_with(&server.target_of("peerjs", "a"), HERE);
    assert_eq!(newcomer.expect_response().text(), format!("{BANNED}\n"));
    assert_eq!(statuses(&server, THERE), [101, 200, 200, 200]);
    there.send(offer("b", "1"));
    there.expect(forwarded_offer("b", "b", "1"));

    assert_eq!(
        (&made["network"], &made["key"], &made["configured"]),
        (&json!("192.0.2.1"), &json!(null), &json!(false))
    );
    assert!(made["until"].as_u64().unwrap() > 1_700_000_000, "{made}");
    assert_eq!(api.get("/api/bans").json["bans"], json!([made]));
    end(&api, "192.0.2.1");
    assert_eq!(api.get("/api/bans").json["bans"], json!([]));
    let _here = client(&server, HERE, "peerjs", "a");

    // A network, in place of an address.
    ban(&api, &json!({ "network": "192.0.2.77/24" }));
    there.expect_closed_with(CLOSED);
    assert_eq!(api.get("/api/bans").json["bans"][0]["network"], "192.0.2.0/24");
    let wider = api.delete("/api/bans/192.0.2.9");
    assert_eq!(wider.status, 404);
    assert_eq!(wider.json["detail"], "there is no such ban: 192.0.2.0/24 is banned, so end that");
    end(&api, "192.0.2.0%2F24");
    let _there = client(&server, THERE, "peerjs", "b");
    ban(&api, &json!({ "network": "2001:db8::/32" }));
    end(&api, "2001:db8::/32");
    assert_eq!(api.delete("/api/bans/192.0.2.0/24").status, 404);
    assert_eq!(api.delete("/api/bans/192.0.2.0/33").status, 422);
}

#[test]
fn a_ban_of_a_key_is_for_its_clients_alone() {
    let (server, api) = with_api(&[plain_key("app")], None, proxied);
    let mut app = client(&server, HERE, "app", "a");
    let mut other = client(&server, HERE, "peerjs", "a");
    ban(&api, &json!({ "network": "192.0.2.1", "key": "app" }));
    app.expect_closed_with(CLOSED);
    other.send(offer("a", "1"));
    other.expect(forwarded_offer("a", "a", "1"));

    let mut newcomer = server.begin_with(&server.target_of("app", "b"), HERE);
    newcomer.expect_accepted();
    newcomer.expect(error(BANNED));
    newcomer.expect_closed_with(CLOSED);
    let mut guest = server.begin_with(&server.root_of("app"), HERE);
    guest.expect_accepted();
    guest.expect_guest_refused(problem(BANNED), 4008);
    // Like one with a wrong key, a client gets an id, so that its WebSocket says why it is refused.
    for (key, told) in [("app", Some("banned")), ("peerjs", None)] {
        let answer = server.request("GET", &format!("{}{key}/id", server.root()), HERE);
        assert_eq!((answer.status, answer.header("x-peerbroker-key").as_deref()), (200, told), "{key}");
    }
    let _there = client(&server, THERE, "app", "b");
    assert_eq!(api.delete("/api/bans/192.0.2.1").status, 404, "it is of a key");
    end(&api, "192.0.2.1?key=app");
    let _here = client(&server, HERE, "app", "c");
}

#[test]
fn a_post_of_a_client_that_is_banned_for_its_key_alone_gets_403() {
    let (server, api) = with_api(&[plain_key("app")], None, proxied);
    ban(&api, &json!({ "network": "192.0.2.1", "key": "app" }));
    for (key, word, status) in
        [("app", "id?i=0", 403), ("app", "offer", 403), ("app", "leave", 403), ("peerjs", "id?i=0", 200)]
    {
        let mut http = server.http();
        http.send(post(&server.post_target_of(key, "z", word), HERE, b"{}"));
        assert_eq!(http.head().status, status, "{key} {word}");
    }
    for what in ["peers", "ice", "rooms/r/peers"] {
        let answer = server.request("GET", &format!("{}app/{what}", server.root()), HERE);
        assert_eq!((answer.status, answer.text()), (403, BANNED), "{what}");
    }
}

#[test]
fn a_ban_ends_relayed_calls_and_allocations_at_once() {
    let (relay, at_relay) = bound();
    let turn = turn(false, |_| {});
    let at_turn = turn.addresses()[0];
    let (server, api) = with_api_on(PeerBroker::builder().relay(relay).turn(turn), |config| {
        proxied(config);
        config.ice.turn_secret = Some(TurnSecret::parse(SECRET).unwrap());
    });
    let [mut a, mut b] = ["a", "b"].map(|id| client(&server, HERE, "peerjs", id));
    let used = || {
        let stats = api.get("/api/stats").json;
        [&stats["relay"]["calls"], &stats["turn"]["allocations"]].map(|count| count.as_u64().unwrap())
    };
    let ways: [fn(SocketAddr) -> Box<dyn Way>; 2] =
        [|at| Box::new(Datagrams::to(at)), |at| Box::new(tcp(at))];
    let allocate = |way: fn(SocketAddr) -> Box<dyn Way>| TurnClient::allocate_as(USERNAME, way(at_turn));
    // Their media come from another address than their WebSockets, so these stay.
    let begin = |a: &mut RawClient, b: &mut RawClient| {
        call_of(a, b, at_relay);
        server.advance(Duration::from_secs(1));
        let [one, other] = sides(at_relay);
        one.prove();
        other.prove();
        one.talk_to(&other);
        ([one, other], ways.map(|way| allocate(way).ok().unwrap()))
    };
    let began = begin(&mut a, &mut b);
    assert_eq!(used(), [1, 2]);
    ban(&api, &json!({ "network": "127.0.0.1", "key": "app" }));
    ban(&api, &json!({ "network": "192.0.2.7" }));
    assert_eq!(used(), [1, 2], "another key and another address");

    ban(&api, &json!({ "network": "127.0.0.1", "key": "peerjs" }));
    assert_eq!(used(), [0, 0]);
    let ended = &api.get("/api/stats").json["relay"]["transports"]["udp"];
    assert_eq!(ended, 1, "it was carried");
    for way in ways {
        assert_eq!(allocate(way).err(), Some(401));
    }
    drop(began);
    // The relay does not use the address for a later call either.
    call_of(&mut a, &mut b, at_relay);
    server.advance(Duration::from_secs(1));
    let [one, _] = sides(at_relay);
    one.check_in_vain();
    let dropped = api.get("/api/stats").json["relay"]["dropped"]["address"].as_u64();
    assert_eq!(dropped, Some(1));

    // A ban for all keys refuses connections too.
    end(&api, "127.0.0.1?key=peerjs");
    ban(&api, &json!({ "network": "127.0.0.0/8" }));
    for at in [at_relay, at_turn] {
        Line::open(at).expect_end();
    }
    end(&api, "127.0.0.0%2F8");
    let _began = begin(&mut a, &mut b);
}

#[test]
fn a_ban_of_the_configuration_is_active_at_once_and_no_operator_ends_it() {
    let (server, api) = with_api(&[], None, proxied);
    let mut here = client(&server, HERE, "peerjs", "a");
    server.reconfigure(|config| config.bans = vec![Ban::parse("192.0.2.0/31").unwrap()]);
    here.expect_closed_with(CLOSED);
    assert_eq!(api.get("/api/bans").json["bans"][0]["configured"], true);
    assert_eq!(api.delete("/api/bans/192.0.2.0%2F31").status, 409);
    server.reconfigure(|config| config.bans.clear());
    let _here = client(&server, HERE, "peerjs", "a");
}

#[test]
fn a_connection_of_a_banned_address_is_refused_before_its_request() {
    let (server, api) = with_api(&[], None, |_| {});
    ban(&api, &json!({ "network": "127.0.0.0/8" }));
    let mut silent = server.connect("silent");
    assert_eq!(silent.expect_response().status, 403);
    // The port of operators has no bans.
    end(&api, "127.0.0.0%2F8");
    let _client = server.client("a");
}

#[test]
fn a_ban_that_is_probably_not_meant_is_answered_with_a_warning() {
    let (_server, api) = with_api(&[], None, |_| {});
    for (network, warning) in [
        ("0.0.0.0/0", "a large part of the internet"),
        ("::/0", "a large part of the internet"),
        ("127.0.0.1", "programs of this machine, such as health checks"),
        ("::1", "programs of this machine"),
        ("192.0.2.0/24", ""),
        ("10.0.0.0/8", ""),
    ] {
        let made = ban(&api, &json!({ "network": network }));
        assert!(made["warning"].as_str().unwrap_or_default().contains(warning), "{made}");
        assert_eq!(made["warning"].is_null(), warning.is_empty(), "{made}");
    }
    let made = |key: &str| ban(&api, &json!({"network": "192.0.2.7", "key": key}))["warning"].take();
    assert_eq!(made("peerjss"), "it bans nobody: there is no key \"peerjss\"");
    assert!(made("peerjs").is_null());
}

#[test]
fn a_wrong_ban_is_refused() {
    let (_server, api) = with_api(&[], None, |_| {});
    for (wrong, named) in [
        (json!({ "network": "everybody" }), "network"),
        (json!({ "network": "192.0.2.1/33" }), "network"),
        (json!({ "network": "192.0.2.1,key=a" }), "network"),
        (json!({ "network": "192.0.2.1", "key": "" }), "key"),
        (json!({ "network": "192.0.2.1", "seconds": 0 }), "seconds"),
        (json!({ "network": "192.0.2.1", "for": 1 }), "for: no such member: there are network, key, seconds"),
        (
            json!({ "network": "192.0.2.1", "seconds": "5" }),
            "seconds: expected a whole number of 0 or more, not \"5\"",
        ),
        (json!({ "seconds": 5 }), "network is missing"),
    ] {
        let answer = api.post("/api/bans", &wrong);
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(answer.json["detail"].as_str().unwrap().contains(named), "{}", answer.json);
    }
    assert_eq!(api.delete("/api/bans/192.0.2.1").status, 404);
    assert_eq!(api.get("/api/bans").json["bans"], json!([]));
}

#[test]
fn the_busiest_addresses_come_first_with_their_connections_opens_and_limit_hits() {
    let (server, api) = with_api(&[], None, |config| {
        proxied(config);
        config.address_limits.connections = 2;
    });
    let _clients = ["a", "b"].map(|id| client(&server, HERE, "peerjs", id));
    let _there = client(&server, THERE, "peerjs", "c");
    for _ in 0..3 {
        assert_eq!(server.begin_with(&server.target_of("peerjs", "d"), HERE).expect_response().status, 429);
    }
    let _six = client(&server, "X-Forwarded-For: 2001:db8::7\r\n", "peerjs", "e");
    let line = |address: &str, connections: u32, hits: u32| json!({ "address": address, "connections": connections, "opened": connections, "limit_hits": hits, "banned": false });
    let addresses = |query: &str| api.get(&format!("/api/addresses{query}")).json["addresses"].take();
    let all = addresses("");
    assert_eq!(all[0], line("192.0.2.1", 2, 3));
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(addresses("?limit=1"), json!([line("192.0.2.1", 2, 3)]));
    assert_eq!(addresses("?search=2001"), json!([line("2001:db8::/64", 1, 0)]));
    ban(&api, &json!({ "network": "2001:db8::/64" }));
    assert_eq!(addresses("?search=2001")[0]["banned"], true);
    assert_eq!(api.get("/api/addresses?limit=0").status, 422);
}

#[test]
fn who_floods_or_guesses_is_named() {
    let (server, api) = with_api(&[], Some("a-token-of-the-operator"), |config| {
        proxied(config);
        config.address_limits.connections = 1;
    });
    let _client = client(&server, HERE, "peerjs", "a");
    for _ in 0..20 {
        server.begin_with(&server.target_of("peerjs", "b"), HERE).expect_response();
    }
    for _ in 0..60 {
        api.clone().with_token("a-guess-of-somebody").get("/api/keys");
    }
    let api = api.with_token("a-token-of-the-operator");
    let mistakes = || api.get("/api/mistakes").json["mistakes"].take();
    let times = |what: &str| {
        let all = mistakes();
        let found = all.as_array().unwrap().iter().find(|mistake| mistake["what"] == what);
        found.map_or(0, |mistake| mistake["times"].as_u64().unwrap())
    };
    let flood = "from 192.0.2.1 wanted a connection, and has as many as an address may";
    wait_until("the flood", || times(flood) == 20);
    wait_until("the guesses", || times("from 127.0.0.1 guessed tokens of the API") > 5);
}
