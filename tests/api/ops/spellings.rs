//! Spellings of a path: whoever may do something is told apart by the same name as what is done.

use std::cell::Cell;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use serde_json::json;

use crate::harness::keys::{key, plain_key};
use crate::harness::ops::with_api;
use peerbroker_keys::Change;

const ADMIN: &str = "a-token-of-the-operator";

const CASES: u32 = 128;

/// Keys of which some are spellings of others.
const KEYS: &[&str] = &["foo", "%66oo", "%2566oo", "f%6fo", "%", "%%36%36oo"];

/// The id of the only client of a key.
fn id_of(key: &str) -> String {
    let place = KEYS.iter().position(|known| *known == key);
    format!("client-{}", place.expect("a key"))
}

/// A spelling of a key in a path: some characters are escaped, some digits of escapes too, and so on.
fn spelling() -> impl Strategy<Value = String> {
    let escaped = |text: &str, which: &[bool]| {
        let mut which = which.iter().cycle();
        let escape = |c: char| match which.next() {
            Some(true) => format!("%{:02x}", u32::from(c)),
            _ => c.to_string(),
        };
        text.chars().map(escape).collect::<String>()
    };
    let rounds = vec(vec(any::<bool>(), 1..12), 0..4);
    let names = prop_oneof![select(KEYS).prop_map(str::to_owned), "[%foO6f025]{1,9}"];
    (names, rounds)
        .prop_map(move |(name, rounds)| rounds.iter().fold(name, |text, which| escaped(&text, which)))
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().expect("a number")),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/proptest-regressions/spellings.txt",
        ))),
        ..ProptestConfig::default()
    }
}

#[test]
fn no_spelling_of_a_path_reaches_another_key() {
    let others: Vec<_> = KEYS.iter().copied().filter(|name| *name != "%66oo").collect();
    let keys: Vec<_> = others.iter().map(|name| plain_key(name)).collect();
    let own = key("%66oo", Change { allow_discovery: Some(true.into()), ..Change::default() });
    let (server, api) = with_api(&[keys, vec![own]].concat(), Some(ADMIN), |_| {});
    let in_query = |name| utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
    let _clients: Vec<_> = KEYS.iter().map(|name| server.client_of(&in_query(name), &id_of(name))).collect();
    let admin = api.clone().with_token(ADMIN);
    let scopes = json!(["messages", "peers:read", "kick"]);
    let added = admin.post("/api/keys/%2566oo/tokens", &json!({"name": "own", "scopes": scopes}));
    let token = api.with_token(added.json["token"].as_str().expect("a token"));

    let reached = Cell::new(0);
    let mut runner = TestRunner::new(config());
    let outcome = runner.run(&spelling(), |spelled| {
        let listed = token.get(&format!("/api/keys/{spelled}/peers"));
        match listed.status {
            200 => {
                reached.set(reached.get() + 1);
                prop_assert_eq!(
                    listed.json["peers"][0]["id"].as_str(),
                    Some(&*id_of("%66oo")),
                    "{}",
                    spelled
                );
            }
            status => prop_assert!(matches!(status, 400 | 403 | 404), "{}: {}", spelled, status),
        }
        // Nobody has this id, so nobody of the own key is hurt: 404, and not 403.
        for other in &others {
            let path = format!("/api/keys/{spelled}/peers/{}", id_of(other));
            prop_assert_ne!(token.delete(&path).status, 204, "{}", path);
            prop_assert_ne!(token.post(&format!("{path}/messages"), &json!(1)).status, 202, "{}", path);
        }
        // Only the own key allows discovery.
        let public = server.get(&format!("/{spelled}/peers"));
        if public.status == 200 {
            prop_assert_eq!(public.text(), json!([id_of("%66oo")]).to_string(), "{}", spelled);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(reached.get() > 0, "no spelling is that of the own key");
}

#[test]
fn a_malformed_escape_has_no_meaning() {
    let (server, api) = with_api(&[plain_key("foo")], Some(ADMIN), |_| {});
    let _client = server.client_of("foo", "a");
    let api = api.with_token(ADMIN);
    for path in ["/api/keys/%%36%36oo/peers", "/api/keys/foo/peers/%", "/api/keys/%ff/peers", "/%zz"] {
        assert!(api.get(path).problem(400).contains("malformed percent-escape"), "{path}");
    }
    for path in [
        "/api/keys/%66%6F%6f/peers",
        "/%61pi/keys/foo/peers",
        "//api///keys//foo/peers",
        "/api/keys/foo/peers?limit=1",
    ] {
        assert_eq!(api.get(path).json["peers"][0]["id"], "a", "{path}");
    }
    assert_eq!(api.get("/api/keys/foo/peers/").status, 404);
}
