//! Tokens that may do a part of the API, for one key.

use serde_json::{Value, json};

use crate::harness::api::Api;
use crate::harness::keys::plain_key;
use crate::harness::ops::with_api;

const ADMIN: &str = "a-token-of-the-operator";

/// Adds a token to the key `one`.
fn add(api: &Api, name: &str, scopes: &Value) -> Api {
    let added = api.post("/api/keys/one/tokens", &json!({"name": name, "scopes": scopes}));
    assert_eq!(added.status, 201, "{}", added.json);
    api.clone().with_token(added.json["token"].as_str().unwrap())
}

#[test]
fn a_token_of_a_key_may_do_what_its_scopes_say_and_nothing_else() {
    let (server, api) = with_api(&[plain_key("one"), plain_key("two")], Some(ADMIN), |_| {});
    let api = api.with_token(ADMIN);
    let _a = server.client_of("one", "a");
    let _b = server.client_of("two", "a");
    let all: [(&str, &str, u16, &[&str]); 13] = [
        ("POST", "/api/keys/one/peers/a/messages", 202, &["messages"]),
        ("POST", "/api/keys/one/messages", 202, &["messages"]),
        ("POST", "/api/keys/one/rooms/nobody/messages", 404, &["messages"]),
        // The same key with an escape.
        ("POST", "/api/keys/%6Fne/messages", 202, &["messages"]),
        ("GET", "/api/keys/one/peers", 200, &["peers:read"]),
        ("GET", "/api/keys/one/peers/a", 200, &["peers:read"]),
        ("GET", "/api/keys/one/rooms", 200, &["peers:read"]),
        ("GET", "/api/keys/one/rooms/nobody/members", 200, &["peers:read"]),
        ("DELETE", "/api/keys/one/peers/nobody", 404, &["kick"]),
        ("POST", "/api/keys/two/messages", 403, &[]),
        ("GET", "/api/keys/one", 403, &[]),
        ("DELETE", "/api/keys/one", 403, &[]),
        ("POST", "/api/keys/one/tokens", 403, &[]),
    ];
    for scope in ["messages", "peers:read", "kick"] {
        let own = add(&api, scope, &json!([scope]));
        for (method, path, status, scopes) in all {
            let answer = own.call(method, path, (method == "POST").then(|| json!(1)).as_ref());
            let expected = if scopes.contains(&scope) { status } else { 403 };
            assert_eq!(answer.status, expected, "{scope}: {method} {path}");
            if expected == 403 {
                assert!(answer.problem(403).contains(&format!("key one, and no others: {scope}")));
            }
        }
        own.get("/metrics").problem(403);
    }
    let both = add(&api, "both", &json!(["messages", "kick"]));
    assert_eq!(both.delete("/api/keys/one/peers/a").status, 204);
    both.get("/api/keys/one/peers").problem(403);
}

#[test]
fn a_token_that_was_removed_or_made_up_is_wrong_and_no_text_or_hash_is_shown() {
    let (_server, api) = with_api(&[plain_key("one"), plain_key("two")], Some(ADMIN), |_| {});
    let api = api.with_token(ADMIN);
    let own = add(&api, "shop", &json!(["messages"]));
    assert_eq!(own.post("/api/keys/one/messages", &json!(1)).status, 202);

    let shown = api.get("/api/keys/one");
    let tokens = shown.json["tokens"].as_array().unwrap();
    assert_eq!((&tokens[0]["name"], &tokens[0]["scopes"]), (&json!("shop"), &json!(["messages"])));
    assert!(tokens[0].get("hash").is_none() && !shown.response.text().contains("pbk_"));

    // Another change keeps it, and it is no setting that could be set.
    assert_eq!(api.patch("/api/keys/one", &json!({"name": "new"})).status, 200);
    api.patch("/api/keys/one", &json!({"tokens": []})).problem(422);
    assert_eq!(own.post("/api/keys/one/messages", &json!(1)).status, 202);

    for wrong in ["pbk_b25l_", "pbk_b25l_x", "pbk_bm9uZQ_x", "pbk_"] {
        api.clone().with_token(wrong).post("/api/keys/one/messages", &json!(1)).problem(401);
    }
    assert_eq!(api.delete("/api/keys/one/tokens/shop").status, 204);
    own.post("/api/keys/one/messages", &json!(1)).problem(401);
    api.delete("/api/keys/one/tokens/shop").problem(404);
}

#[test]
fn a_token_needs_a_name_of_its_own_and_a_scope_and_a_key_has_sixteen() {
    let (_server, api) = with_api(&[plain_key("one")], None, |_| {});
    let try_add = |name: &str, scopes: Value| {
        api.post("/api/keys/one/tokens", &json!({"name": name, "scopes": scopes}))
    };
    try_add("", json!(["kick"])).problem(422);
    try_add("x", json!([])).problem(422);
    try_add("x", json!(["all"])).problem(422);
    try_add("a\nb", json!(["kick"])).problem(422);
    for number in 0..16 {
        assert_eq!(try_add(&number.to_string(), json!(["kick"])).status, 201);
    }
    assert!(try_add("0", json!(["kick"])).problem(409).contains("already"));
    assert!(try_add("17", json!(["kick"])).problem(409).contains("16"));
    api.post("/api/keys/peerjs/tokens", &json!({"name": "x", "scopes": ["kick"]})).problem(409);
    api.post("/api/keys/none/tokens", &json!({"name": "x", "scopes": ["kick"]})).problem(404);
}
