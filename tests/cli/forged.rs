//! Forged lines of the log.

use serde_json::json;

use crate::directory::Directory;
use crate::program::{Program, run};

/// The start of a forged line.
const FORGED: &str = "[2020-01-01T00:00:00Z INFO  peerbroker::audit] forged";
/// Characters that some programs treat as the end of a line, as invisible, or as a change of direction. Rust
/// does not call them control characters.
const ODD: [char; 5] = ['\u{2028}', '\u{2029}', '\u{202e}', '\u{feff}', '\u{e0001}'];

/// Forged texts: the line after every kind of line break.
fn forgeries() -> Vec<String> {
    let ends = ["\n", "\r\n", "\r", "\0", "\u{85}", "\u{b}", "\u{1b}[2K\u{1b}[1G"].map(str::to_owned);
    let odd = ODD.map(String::from);
    // The last one ends the quotes of a text.
    let quotes = [r#"" at the root (id "admin", from 10.0.0.1): "#.to_owned()];
    ends.into_iter().chain(odd).chain(quotes).map(|end| format!("a{end}{FORGED}")).collect()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Sends every forged text in every place to a program with its most detailed log. Returns all lines of the
/// log and of stdout.
fn heard(more: &[&str]) -> (Vec<String>, Vec<String>) {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    for text in forgeries() {
        run(&["keys", "add", "--data_dir", &data_dir, "--name", &text.replace('\0', "")], &[]);
    }
    let args = [&["--ops_port", "0", "--data_dir", &data_dir], more].concat();
    let mut program =
        Program::start_with_env(&args, &[("RUST_LOG", "peerbroker=trace,peerbroker_router=trace")]);
    let (api, _) = program.expect_api();
    let secret = json!({"method": "jwt", "kind": "secret", "value": "x".repeat(32)});
    assert_eq!(api.post("/api/keys", &json!({"key": "jwt", "auth": secret})).status, 201);
    let mut kicks = 0;
    for text in forgeries() {
        let odd = encoded(&text);
        for query in [
            format!("key={odd}&id=a&token=t"),
            format!("key=peerjs&id={odd}&token=t"),
            format!("key=peerjs&id=a&token={odd}"),
            format!("key=jwt&id={odd}&token={odd}"),
            format!("key=jwt&id=a&token=t&version={odd}"),
        ] {
            program.connect(&format!("/peerjs?{query}")).expect_text();
        }
        // A header has one line, so line breaks are replaced there.
        let value: String = text.chars().filter(|c| !c.is_control()).collect();
        let headers = format!("Origin: {value}\r\nX-Forwarded-For: {value}\r\nUser-Agent: {value}\r\n");
        program.request(&format!("/{odd}/peers"), &headers);
        program.request(&format!("/jwt/id?x={odd}"), &format!("Authorization: Bearer {odd}\r\n{headers}"));
        for body in [
            json!({"key": &text, "name": "by its key"}),
            json!({"key": format!("named {}", forgeries().iter().position(|one| *one == text).unwrap()), "name": &text}),
            json!({"origins": [&text]}),
            json!({"auth": {"method": "webhook", "url": format!("https://a.test/{text}?hushhush")}}),
            json!({"auth": {"method": "jwt", "kind": "jwks", "value": &text}}),
            json!({&text: 1}),
        ] {
            api.post("/api/keys", &body);
        }
        api.patch("/api/keys/jwt", &json!({"name": &text}));
        let kicked = api.delete(&format!("/api/keys/jwt/peers/{odd}"));
        assert_eq!(kicked.status, 404);
        if let Ok(mut client) = kick_target(&program, &odd) {
            assert_eq!(api.delete(&format!("/api/keys/peerjs/peers/{odd}")).status, 204);
            client.expect_closed_with(Some(4005));
            kicks += 1;
        }
        api.delete(&format!("/api/keys/{odd}"));
    }
    assert_eq!(kicks, ODD.len() + 1, "ids without control characters are no reason to refuse a client");
    let ended = program.stop();
    (ended.stderr.split_inclusive('\n').map(str::to_owned).collect(), ended.stdout)
}

/// A client with this id, unless it is refused.
fn kick_target(program: &Program, id: &str) -> Result<crate::raw_client::RawClient, String> {
    let mut client = program.connect(&format!("/peerjs?key=peerjs&id={id}&token=another"));
    match client.expect_text() {
        open if open == r#"{"type":"OPEN"}"# => Ok(client),
        other => Err(other),
    }
}

fn expect_harmless(line: &str) {
    let text = line.strip_suffix('\n').unwrap_or(line);
    assert!(!text.chars().any(|c| c.is_control() || ODD.contains(&c)), "{text:?}");
    assert!(!text.contains("hushhush"), "the query of a webhook: {text}");
    assert!(text.len() < 8 << 10, "a line of {} bytes", text.len());
}

/// The parts of a line that are in no quotes.
fn outside_quotes(line: &str) -> String {
    let mut is_inside = false;
    let mut is_escaped = false;
    let mut outside = String::new();
    for c in line.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_inside => is_escaped = true,
            '"' => is_inside = !is_inside,
            _ if !is_inside => outside.push(c),
            _ => {}
        }
    }
    outside
}

#[test]
fn no_text_of_anybody_forges_a_line_of_the_log_or_of_stdout() {
    let (log, stdout) = heard(&[]);
    let audits = log.iter().filter(|line| line.contains(" peerbroker::audit] ")).count();
    let denied = log.iter().filter(|line| line.contains("is denied")).count();
    assert!(audits > 3 * ODD.len() && denied > ODD.len(), "{audits} and {denied} in {log:#?}");
    for line in &log {
        expect_harmless(line);
        assert!(line.starts_with("[20") && !line.starts_with("[2020"), "{line}");
        assert!(!outside_quotes(line).contains(FORGED), "{line}");
    }
    assert!(stdout.iter().any(|line| line.contains(" connected")), "{stdout:#?}");
    for line in &stdout {
        expect_harmless(line);
        assert!(!line.starts_with("[2020"), "{line}");
    }
}

#[test]
fn no_text_of_anybody_forges_a_line_of_the_log_in_json() {
    let (log, _) = heard(&["--log_format", "json"]);
    let audits = log.iter().filter(|line| line.contains("peerbroker::audit")).count();
    assert!(audits > 3 * ODD.len(), "{audits} in {log:#?}");
    for line in &log {
        expect_harmless(line);
        let record: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(record["target"].as_str().unwrap().starts_with("peerbroker"), "{line}");
    }
}

/// Few texts, because the log has at most 32 different mistakes a minute.
#[test]
fn no_message_of_a_client_forges_or_floods_a_line_of_the_log() {
    let mut program =
        Program::start_with_env(&[], &[("RUST_LOG", "peerbroker=trace,peerbroker_router=trace")]);
    for text in [&forgeries()[forgeries().len() - 1], &format!("a\u{2028}{FORGED}"), &"x".repeat(500_000)] {
        for (target, message) in [
            ("/", json!({"action": text})),
            ("/", json!([text])),
            ("/", json!(text)),
            ("/", json!({"type": "subscribe", "topics": [text]})),
            ("/rxdb", json!({"type": "join", "room": text})),
            ("/rxdb", json!({text: 1})),
            ("/peerjs?key=peerjs&id=say&token=t", json!({"type": "OFFER", "dst": text})),
            ("/peerjs?key=peerjs&id=say&token=t", json!({"type": text})),
        ] {
            let mut client = program.connect(target);
            client.send(message.to_string());
            client.close(Some(1000));
            while client.next_frame("the end").is_some() {}
        }
    }
    let ended = program.stop();
    assert!(ended.stderr.contains("at the root, which does nothing") && ended.stderr.contains("lost, "));
    for line in ended.stderr.split_inclusive('\n') {
        expect_harmless(line);
        assert!(!outside_quotes(line).contains(FORGED), "{line}");
    }
}
