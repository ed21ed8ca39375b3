//! The operator's API.

mod access;
mod bans;
mod described;
mod live;
mod load;
mod log;
mod measured;
mod messages;
pub mod metrics;
mod mistakes;
mod search;
mod session;
mod spellings;
mod tokens;

use serde_json::{Value, json};

use crate::harness::api::Api;
use crate::harness::http_client::HttpConnection;
use crate::harness::keys::{INVALID_KEY, plain_key};
use crate::harness::messages::{HEARTBEAT, error};
use crate::harness::ops::with_api;
use crate::harness::{on_own, wait_until};

fn keys_of(api: &Api, query: &str) -> (Vec<String>, Value) {
    let mut page = api.get(&format!("/api/keys{query}")).json;
    let keys = page["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned());
    (keys.collect(), page["next"].take())
}

#[test]
fn a_key_is_in_force_when_it_is_answered_and_not_when_it_is_removed() {
    let (server, api) = with_api(&[], None, |_| {});
    let added = api.post("/api/keys", &json!({"name": "My app", "concurrent_limit": 1}));
    assert_eq!(added.status, 201);
    let key = added.json["key"].as_str().unwrap();
    assert_eq!(key.len(), 24);
    assert_eq!(added.response.header("location"), Some(format!("/api/keys/{key}")));
    assert_eq!((&added.json["name"], &added.json["clients"]), (&json!("My app"), &json!(0)));

    let mut client = server.client_of(key, "a");
    let shown = api.get(&format!("/api/keys/{key}")).json;
    assert_eq!((&shown["clients"], &shown["built_in"]), (&json!(1), &json!(false)));
    let [used, created] = ["used", "created"].map(|time| shown[time].as_u64().expect(time));
    assert!(used >= created, "{shown}");

    assert_eq!(api.delete(&format!("/api/keys/{key}")).status, 204);
    client.expect_closed_with(Some(4004));
    server.newcomer_of(key, "b").expect_refused(error(INVALID_KEY));
    assert!(api.get(&format!("/api/keys/{key}")).problem(404).contains(key));
}

#[test]
fn a_change_of_a_key_applies_at_once_and_keeps_its_other_settings() {
    let (server, api) = with_api(&[plain_key("one")], None, |_| {});
    let changed = api.patch("/api/keys/one", &json!({"allow_discovery": true, "name": "new"}));
    assert_eq!(changed.status, 200);
    assert_eq!((&changed.json["allow_discovery"], &changed.json["enabled"]), (&json!(true), &json!(true)));
    assert_eq!(server.get("/one/peers").text(), "[]");

    let mut client = server.client_of("one", "a");
    let merge = api.send("PATCH", "/api/keys/one", "application/merge-patch+json", r#"{"enabled":false}"#);
    assert_eq!((merge.status, &merge.json["name"]), (200, &json!("new")));
    client.expect_closed_with(Some(4004));
    server.newcomer_of("one", "a").expect_refused(error(INVALID_KEY));

    let secret = "0123456789abcdef0123456789abcdef";
    let page = "https://a.example.org";
    let auth = json!({"auth": {"method": "jwt", "kind": "secret", "value": secret}, "origins": [page]});
    let changed = api.patch("/api/keys/one", &auth);
    assert_eq!(changed.json["auth"], json!({"method": "jwt", "kind": "secret"}));
    assert_eq!(changed.json["origins"], json!([page]));
    let all = api.get("/api/keys").response;
    assert!(!all.text().contains(secret), "a secret is shown nowhere");
}

#[test]
fn the_key_of_the_flags_is_shown_and_gives_way_to_a_stored_one() {
    let (server, api) = with_api(&[], None, |_| {});
    let shown = api.get("/api/keys/peerjs").json;
    assert_eq!((&shown["built_in"], &shown["created"]), (&json!(true), &json!(0)));
    assert!(api.patch("/api/keys/peerjs", &json!({"name": "x"})).problem(409).contains("flags"));
    api.delete("/api/keys/peerjs").problem(409);

    let mut client = server.client("a");
    assert_eq!(api.post("/api/keys", &json!({"key": "peerjs", "allow_discovery": true})).status, 201);
    assert_eq!(server.get("/peerjs/peers").text(), r#"["a"]"#);
    assert_eq!(api.delete("/api/keys/peerjs").status, 204);
    assert_eq!(api.get("/api/keys/peerjs").json["built_in"], true);
    assert_eq!(server.get("/peerjs/peers").status, 401);
    client.send(HEARTBEAT);
    server.hear(&mut client, "a");
}

#[test]
fn keys_come_in_pages() {
    let keys = ["d", "b", "a", "c"].map(plain_key);
    let (_server, api) = with_api(&keys, None, |_| {});
    let strings = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    assert_eq!(keys_of(&api, "?limit=2"), (strings(&["a", "b"]), json!("b")));
    assert_eq!(keys_of(&api, "?limit=2&after=b"), (strings(&["c", "d"]), json!("d")));
    assert_eq!(keys_of(&api, "?limit=2&after=d"), (strings(&["peerjs"]), Value::Null));
    assert_eq!(keys_of(&api, "").0.len(), 5);
    for query in ["?limit=0", "?limit=-1", "?limit=x", "?page=2"] {
        let answer = api.get(&format!("/api/keys{query}"));
        answer.problem(if query == "?limit=0" { 422 } else { 400 });
    }
}

#[test]
fn peers_are_shown_with_their_details() {
    let (server, api) = with_api(&[plain_key("one")], None, |_| {});
    let mut old = server.begin_at(&format!("{}&version=1.5.5", server.target_of("one", "b")));
    old.expect_accepted();
    old.expect_open();
    old.send(HEARTBEAT);
    old.send(HEARTBEAT);
    let _elsewhere = server.client("elsewhere");
    let peers = || api.get("/api/keys/one/peers").json["peers"].take();
    wait_until("two messages", || peers()[0]["messages"] == 2);
    let mut shown = peers();
    let since = shown[0]["since"].take();
    assert!(since.as_u64().is_some_and(|since| since > 1_700_000_000), "{since}");
    let expected = json!({
        "id": "b", "kind": "peerjs", "connection": "websocket", "connection_id": 1, "since": null,
        "address": "127.0.0.1", "client_version": "1.5.5", "messages": 2, "node": null
    });
    assert_eq!(shown, json!([expected]));

    let _a = server.client_of("one", "a");
    let first = api.get("/api/keys/one/peers?limit=1").json;
    assert_eq!((&first["peers"][0]["id"], &first["next"]), (&json!("a"), &json!("a")));
    assert_eq!(first["peers"][0]["client_version"], Value::Null);
    let second = api.get("/api/keys/one/peers?limit=1&after=a").json;
    assert_eq!((&second["peers"][0]["id"], &second["next"]), (&json!("b"), &Value::Null));
    api.get("/api/keys/two/peers").problem(404);
}

#[test]
fn a_client_that_is_kicked_hears_why_and_may_come_back() {
    let (server, api) = with_api(&[plain_key("one")], None, |_| {});
    let mut kicked = server.client_of("one", "a%2F%C3%BC");
    let mut other = server.client("a/ü");
    assert_eq!(api.delete("/api/keys/one/peers/a%2F%C3%BC").status, 204);
    kicked.expect_closed_with(Some(4005));
    api.delete("/api/keys/one/peers/a%2F%C3%BC").problem(404);
    api.delete("/api/keys/none/peers/a").problem(404);
    server.hear(&mut other, "a/ü");
    server.client_of("one", "a%2F%C3%BC");
}

#[test]
fn guests_are_shown_and_kicked_as_well() {
    let (server, api) = with_api(&[], None, |_| {});
    let mut guest = server.guest_of("peerjs", "a guest");
    guest.create_room();
    let peers = api.get("/api/keys/peerjs/peers").json["peers"].take();
    assert_eq!((&peers[0]["kind"], &peers[0]["messages"]), (&json!("guest"), &json!(1)));
    let id = peers[0]["id"].as_str().unwrap();
    assert_eq!(api.delete(&format!("/api/keys/peerjs/peers/{id}")).status, 204);
    guest.expect_closed_with(Some(4005));
}

#[test]
fn a_kick_ends_every_kind_of_connection() {
    on_own(|server| {
        let mut socket = server.client("socket");
        let mut stream = server.stream("stream");
        let mut guest = server.guest("a guest");
        let guest_id = server.guests().ids()[0].as_str().to_owned();
        let tenant = server.tenant("peerjs");
        for id in ["socket", "stream", &guest_id] {
            assert!(!tenant.kick(id).is_empty() && tenant.kick(id).is_empty(), "{id}");
        }
        socket.expect_closed_with(Some(4005));
        stream.expect_end();
        guest.expect_closed_with(Some(4005));
        assert!(tenant.is_empty());
    });
}

#[test]
fn the_shown_address_is_never_one_that_a_client_makes_up() {
    let address = |proxied, headers: &str| {
        let (server, api) = with_api(&[], None, |config| config.proxied = proxied);
        let mut client = server.begin_with(&server.target("a", "t"), headers);
        client.expect_accepted();
        client.expect_open();
        api.get("/api/keys/peerjs/peers").json["peers"][0]["address"].as_str().unwrap().to_owned()
    };
    assert_eq!(address(false, "X-Forwarded-For: 192.0.2.1\r\n"), "127.0.0.1");
    assert_eq!(address(false, "Forwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n"), "127.0.0.1");
    // The client's own text comes before the address that the proxy appends.
    assert_eq!(address(true, "X-Forwarded-For: 10.0.0.1, 198.51.100.9, 192.0.2.1\r\n"), "192.0.2.1");
    assert_eq!(address(true, "X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-For: 192.0.2.1\r\n"), "192.0.2.1");
}

#[test]
fn figures_follow_what_happens() {
    let (server, api) = with_api(&[plain_key("one")], None, |_| {});
    let _a = server.client("a");
    let _b = server.client_of("one", "b");
    let stats = api.get("/api/stats").json;
    let figures = ["keys", "clients", "connections", "slow_readers", "queued_bytes"].map(|name| &stats[name]);
    assert_eq!(figures, [2, 2, 2, 0, 0].map(|figure| json!(figure)).each_ref());
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn an_invalid_request_is_answered_with_a_problem_that_says_why() {
    let (_server, api) = with_api(&[plain_key("one")], None, |_| {});
    let short = json!({"auth": {"method": "jwt", "kind": "secret", "value": "short"}});
    let no_value = json!({"auth": {"method": "jwt", "kind": "pem"}});
    let no_file = json!({"auth": {"method": "jwt", "kind": "jwks", "value": "/nowhere/keys.json"}});
    for (body, word) in [
        (json!({"nam": "x"}), "nam"),
        (json!({"ice": true}), "ice: no such member: there are name, enabled, "),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"origins": ["example.org"]}), "origins: "),
        (
            json!({"name": "x", "concurrent_limit": -1}),
            "concurrent_limit: expected a whole number of 0 or more, not -1",
        ),
        (
            json!({"allow_rooms": "yes", "room_members": "yes"}),
            "allow_rooms: expected true or false, not \"yes\"",
        ),
        (json!({"relay": "on"}), "relay: expected fallback, always or off, not \"on\""),
        (json!({"auth": "jwt"}), "auth: expected an object with a method: none, jwt or webhook, not \"jwt\""),
        (json!({"auth": {"method": "webhook"}}), "auth: url is missing"),
        (json!({"auth": {"method": "webhook", "url": "ftp://x"}}), "auth"),
        (short, "32 are needed"),
        (no_value, "value"),
        (no_file, "cannot read /nowhere/keys.json"),
        (json!([]), "expected an object, not a list"),
    ] {
        let patched = api.patch("/api/keys/one", &body);
        assert!(patched.problem(422).contains(word), "{body}: {patched:?}");
        if body.is_object() {
            assert!(api.post("/api/keys", &body).problem(422).contains(word), "{body}");
        }
    }
    for key in [json!(""), json!("x".repeat(129)), json!("a\u{7}b"), json!(1)] {
        assert!(api.post("/api/keys", &json!({"key": key})).problem(422).contains("key: "));
    }
    assert!(api.post("/api/keys", &json!({"key": "one"})).problem(409).contains("one"));
    assert!(api.send("POST", "/api/keys", "application/json", "{").problem(400).contains("is not JSON"));
    api.send("POST", "/api/keys", "text/plain", "{}").problem(415);
    api.send("POST", "/api/keys", "", "{}").problem(415);
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    api.send("POST", "/api/keys", "application/json", &huge).problem(413);
    for (method, path) in
        [("POST", "/"), ("GET", "/nothing"), ("PUT", "/api/keys/one"), ("GET", "/api/keys/")]
    {
        api.call(method, path, None).problem(404);
    }
    assert_eq!(keys_of(&api, "").0.len(), 2, "nothing was added");
}

#[test]
fn the_root_of_the_api_is_an_index_of_its_operations_for_those_who_may_use_it() {
    let (_server, api) = with_api(&[], None, |_| {});
    let described = api.get("/api/openapi.json").json;
    for path in ["/", "/api", "/api/"] {
        let index = api.get(path);
        assert_eq!((index.status, &index.json["description"]), (200, &json!("/api/openapi.json")), "{path}");
        let operations = index.json["operations"].as_object().unwrap();
        let paths: Vec<_> = operations.keys().collect();
        assert_eq!(paths, described["paths"].as_object().unwrap().keys().collect::<Vec<_>>());
        assert_eq!(operations["/api/stats"]["GET"], "Shows statistics.");
        assert_eq!(operations["/api/keys/{key}"].as_object().unwrap().len(), 3);
    }
    let (_server, api) = with_api(&[], Some("0123456789abcdef"), |_| {});
    api.get("/").problem(401);
}

#[test]
fn texts_of_every_kind_are_only_texts() {
    let (server, api) = with_api(&[plain_key("one")], None, |_| {});
    for text in ["'; DROP TABLE keys; --", "../../etc/passwd", "%00", "a\"b", "<b>", "ключ", "a b/c?d#e"]
    {
        let added = api.post("/api/keys", &json!({"key": text}));
        assert_eq!((added.status, &added.json["key"]), (201, &json!(text)));
        let location = added.response.header("location").unwrap();
        assert_eq!(api.get(&location).json["key"], text);
        assert_eq!(api.delete(&location).status, 204, "{text}");
    }
    assert_eq!(keys_of(&api, "").0, ["one", "peerjs"]);
    server.client_of("one", "a");
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    let (_server, api) = with_api(&[], None, |_| {});
    for path in ["/readyz", "/healthz", "/metrics", "/api/stats", "/api/keys", "/", "/nothing"] {
        let mut connection = HttpConnection::open(api.address);
        let mut ask = |method: &str| {
            connection.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            connection.response(method == "HEAD")
        };
        let [get, head] = ["GET", "HEAD"].map(&mut ask);
        assert_eq!(
            (head.status, head.header("content-type")),
            (get.status, get.header("content-type")),
            "{path}"
        );
    }
}
