//! Attacks on the operator's side: keys and tokens.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::flow::exchange;
use crate::harness::Target;
use crate::http_client::connect;
use crate::process::Process;

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
    let wrong = count("401");
    let refused = count("429");
    assert!((10..=200).contains(&wrong), "{wrong} guesses were looked at, at least 10 and at most 200");
    assert!(refused > 0, "guesses are refused after the burst");
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
    // Some 2.4 KiB for each, by what the allocator has returned before. Maps of their own would take three
    // times as much.
    assert!(grown < 3 * KEYS, "{KEYS} keys took {grown} KiB");
    assert_eq!(
        target.api.get("/api/stats").json["active_keys"],
        1,
        "only the key of the bystanders has clients"
    );
}
