//! Attacks on the operator's side: keys, tokens, proxies.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::flow::exchange;
use crate::harness::Target;
use crate::http_client::connect;
use crate::process::Process;
use crate::program::{Program, run};
use crate::raw_client::RawClient;

const WEAK_512: &str = "-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKQNdQckb57oA9rOM0tax9fiJb8ZYRB0
j+TxjLpd10URI0UFCjxW/Z9kWkHr6Y4ZQV7e8iaO62Kld36lfGRXro8CAwEAAQ==
-----END PUBLIC KEY-----
";
const COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAD6dFQUDHRJGq8W8CUcVYdnVIzN1Xk
/2Vp7vzmh3hL5TU=
-----END PUBLIC KEY-----
";

pub fn guessed_tokens(target: &mut Target) {
    let guess = |n: usize| {
        format!("GET /api/stats HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer a-wrong-token-{n:08}\r\n\r\n")
    };
    let guesses: String = (0..2000).map(guess).collect();
    let mut answers = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(3);
    exchange(&connect(target.api.address), guesses.as_bytes(), deadline, |bytes| {
        answers.extend_from_slice(bytes)
    });
    let answers = String::from_utf8_lossy(&answers);
    let count = |status: &str| answers.matches(&format!("HTTP/1.1 {status}")).count();
    let (wrong, refused) = (count("401"), count("429"));
    assert!((10..=200).contains(&wrong), "{wrong} guesses were looked at, at least 10 and at most 200");
    assert!(refused > 0, "guesses are refused after the burst");
}

pub fn short_token(_: &mut Target) {
    for token in ["x", "fifteen letters"] {
        let token = token.replace(' ', "-");
        let checked = run(&["--ops_port", "0", "--admin_token", &token, "--check_config"], &[]);
        assert!(!checked.status.success(), "a token of {} characters is accepted", token.len());
    }
}

pub fn keys_that_cannot_work(target: &mut Target) {
    let fixture = |name: &str| {
        let path = format!("{}/tests/fixtures/jwt/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("a fixture")
    };
    let jwt = |kind: &str, value: &str| json!({"method": "jwt", "kind": kind, "value": value});
    let broken = target.directory.file("jwks.json", r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#);
    let not_json = target.directory.file("not.json", "-----BEGIN PUBLIC KEY-----");
    let keys = [
        ("RSA of 512 bits", jwt("pem", WEAK_512)),
        ("RSA of 1,024 bits", jwt("pem", &fixture("small.pem"))),
        ("compressed P-256", jwt("pem", COMPRESSED)),
        ("another curve", jwt("pem", &fixture("k256.pem"))),
        ("a PEM as a secret", jwt("secret", &fixture("ec.pem"))),
        ("a key set without a key that works", jwt("jwks", &broken)),
        ("an invalid key set", jwt("jwks", &not_json)),
        ("a directory as a key set", jwt("jwks", &target.directory.arg(""))),
        ("a URL of another kind", json!({"method": "webhook", "url": "file:///etc/passwd"})),
        ("a URL without a host", json!({"method": "webhook", "url": "https:///auth"})),
    ];
    let stored: Vec<&str> = keys
        .iter()
        .filter(|(_, auth)| target.api.post("/api/keys", &json!({"auth": auth})).status != 422)
        .map(|(what, _)| *what)
        .collect();
    assert!(stored.is_empty(), "accepted: {stored:?}");
}

/// Stored keys on a machine of any number of cores: a key without clients has no map of its own.
pub fn many_keys(target: &mut Target) {
    const KEYS: u64 = 8_000;
    let resident = || Process(target.program.id()).resident().expect("its memory") >> 10;
    let before = resident();
    for number in 0..KEYS {
        let key = json!({"key": format!("key-{number:05}"), "name": format!("App {number}")});
        assert_eq!(target.api.post("/api/keys", &key).status, 201);
    }
    let grown = resident().saturating_sub(before);
    // Some 2.4 KiB for each, by what the allocator has returned before. Maps of their own would take three times as much.
    assert!(grown < 3 * KEYS, "{KEYS} keys took {grown} KiB");
    assert_eq!(
        target.api.get("/api/stats").json["active_keys"],
        1,
        "only the key of the bystanders has clients"
    );
}

pub fn claimed_addresses(_: &mut Target) {
    let mut careless = Program::start(&["--proxied"]);
    let clients: Vec<RawClient> = (0..10).map(|n| careless.client(&n.to_string())).collect();
    drop(clients);
    let log = careless.stop().stderr;
    assert_eq!(log.matches("X-Forwarded-For").count(), 1, "one warning: {log:?}");
}
