//! The log: its filter, while the program runs too, and the connections in it.

mod quoted;

use serde_json::{Value, json};

use crate::ops::start;
use crate::program::Program;
use testkit::wait::wait_until;

/// The active filter of a program with these arguments.
fn filter(args: &[&str], env: &[(&str, &str)]) -> Value {
    let (_program, api, _) = start(&[&["--ops_port", "0"], args].concat(), env);
    api.get("/api/log").json["filter"].clone()
}

#[test]
fn the_filter_comes_from_the_flag_its_variable_or_that_of_rust() {
    let rust = ("RUST_LOG", "debug");
    assert_eq!(filter(&[], &[]), "warn,peerbroker=info,actix_http=off,redis=off");
    assert_eq!(filter(&["--quiet"], &[]), "warn,peerbroker::audit=info,actix_http=off,redis=off");
    assert_eq!(filter(&[], &[rust]), "debug");
    assert_eq!(filter(&[], &[rust, ("PEERBROKER_LOG", "info")]), "info");
    assert_eq!(filter(&["--log", "warn"], &[rust, ("PEERBROKER_LOG", "info")]), "warn");
}

#[test]
fn the_api_changes_the_filter_and_the_audit_says_so() {
    let (mut program, api, _) = start(&["--ops_port", "0"], &[]);
    let put = |body: Value| api.call("PUT", "/api/log", Some(&body));
    let changed = put(json!({"filter": "warn,peerbroker=debug"}));
    assert_eq!((changed.status, &changed.json["filter"]), (200, &json!("warn,peerbroker=debug")));
    assert_eq!(changed.json["configured"], "warn,peerbroker=info,actix_http=off,redis=off");
    let seen = program.client("seen");
    program.expect_log("\"seen\" of the key \"peerjs\" connected");
    for (body, status) in [
        (json!({"filter": "a=b"}), 422),
        (json!({"filter": ""}), 422),
        (json!({"filter": "info", "seconds": 0}), 422),
        (json!({"filter": "info", "minutes": 1}), 422),
    ] {
        assert_eq!(put(body).status, status);
    }
    assert_eq!(api.get("/api/log").json["filter"], "warn,peerbroker=debug");
    let ended = put(json!({"filter": null}));
    assert_eq!((&ended.json["filter"], &ended.json["seconds"]), (&ended.json["configured"], &Value::Null));
    // A second is over when the server says so.
    let timed = put(json!({"filter": "info", "seconds": 1}));
    assert_eq!((&timed.json["filter"], &timed.json["seconds"]), (&json!("info"), &json!(1)));
    wait_until("the end of the filter", || {
        let log = api.get("/api/log").json;
        log["filter"] == log["configured"]
    });
    let unseen = program.client("unseen");
    drop((seen, unseen));
    let log = program.stop().stderr;
    assert!(!log.contains("\"unseen\" of the key \"peerjs\" connected"), "{log}");
    for words in [
        "the API, from 127.0.0.1, changed the filter of the log: warn,peerbroker=debug",
        "changed the filter of the log: the configured one",
        "changed the filter of the log for 1 s: info",
        "the filter of the log is the configured one again",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn every_line_about_a_connection_has_its_number() {
    for format in ["text", "json"] {
        let (mut program, api, _) =
            start(&["--ops_port", "0", "--log", "warn,peerbroker=debug", "--log_format", format], &[]);
        let mut clients: Vec<_> = ["alice", "bob"].map(|id| (id, program.client(id))).into();
        let number =
            |id: &str| api.get(&format!("/api/keys/peerjs/peers/{id}")).json["connection_id"].as_u64();
        let numbers = clients.iter().map(|(id, _)| (*id, number(id).unwrap())).collect::<Vec<_>>();
        assert_ne!(numbers[0].1, numbers[1].1);
        let (_, mut bob) = clients.pop().unwrap();
        clients.iter_mut().for_each(|(_, client)| client.expect_closed_by_us(Some(1000)));
        assert_eq!(api.delete("/api/keys/peerjs/peers/bob").status, 204);
        bob.expect_closed_with(Some(4005));
        let ended = program.stop();
        for (id, number) in numbers {
            let lines = ended.stderr.lines().chain(ended.stdout.iter().map(String::as_str));
            // The lines of peerjs-server stay as they are.
            let lines: Vec<&str> =
                lines.filter(|line| line.contains(id) && !line.starts_with("Client ")).collect();
            let expected = if format == "json" { 4 } else { 2 } + usize::from(id == "bob");
            assert_eq!(lines.len(), expected, "{lines:#?}");
            for line in lines {
                let named = match format {
                    "json" => serde_json::from_str::<Value>(line).unwrap()["connection_id"] == number,
                    _ => line.contains(&format!("#{number}")),
                };
                assert!(named, "{number}: {line}");
            }
        }
    }
}

/// Programs read these lines, too.
#[test]
fn a_line_has_a_time_a_level_and_a_module() {
    let mut program = Program::start(&["--log", "peerbroker=debug"]);
    drop(program.client("a"));
    let log = program.stop().stderr;
    let line = log.lines().find(|line| line.contains("connected from 127.0.0.1")).expect(&log);
    assert!(line.starts_with('[') && line.contains(" DEBUG peerbroker::runtime::log_events] #"), "{line}");
}

#[test]
fn the_log_follows_a_message_and_names_one_that_is_lost() {
    let log = |level: &str| {
        let filter = format!("peerbroker::messages={level}");
        // One worker, so that the lines have an order.
        let mut program = Program::start(&["--workers", "1", "--log", &filter]);
        let mut alice = program.client("alice");
        alice.send(r#"{"type":"OFFER","dst":"bob","payload":1}"#);
        alice.send(r#"{"type":"LEAVE","dst":"nobody"}"#);
        alice.send(r#"{"type":"OFER","dst":"bob"}"#);
        alice.ping(b"");
        alice.expect_pong();
        let mut bob = program.client("bob");
        bob.expect_text();
        alice.send(r#"{"type":"OFFER","dst":"bob","payload":2}"#);
        bob.expect_text();
        let log = program.stop().stderr;
        let said = log.lines().map(|line| line.split_once("] ").expect("a prefix").1.to_owned());
        said.collect::<Vec<_>>()
    };
    let lost = r#"leave from "alice" to "nobody": lost, dropped_absent"#;
    let ignored = r#"#1 ("alice"): ignored a message that has no meaning"#;
    assert_eq!(log("info"), [""; 0]);
    assert_eq!(log("debug"), [lost, ignored]);
    assert_eq!(
        log("trace"),
        [
            r#"#1 ("alice") sent 40 bytes"#,
            r#"offer from "alice" to "bob": waits for its recipient"#,
            r#"#1 ("alice") sent 31 bytes"#,
            lost,
            r#"#1 ("alice") sent 27 bytes"#,
            ignored,
            r#"offer from "alice" to "bob": written to #2"#,
            r#"#1 ("alice") sent 40 bytes"#,
            r#"offer from "alice" to "bob": in the outbox of #2"#,
            r#"offer from "alice" to "bob": written to #2"#,
        ]
    );
}
