//! Webhooks of the program: flags, options of keys, and the end.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use crate::directory::Directory;
use crate::program::{Ended, Program, run};

const SECRET: &str = "whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";

fn keys(directory: &Directory, args: &[&str]) -> Ended {
    let data_dir = directory.arg("data");
    run(&[&["keys"], args, &["--data_dir", &data_dir]].concat(), &[])
}

#[test]
fn wrong_flags_of_webhooks_end_the_program_with_what_is_wrong_and_never_show_a_secret() {
    let directory = Directory::new();
    let file = directory.file("secret", "whsec_dG9vLXNob3J0\n");
    let url = "http://localhost:1/";
    for (args, code, why) in [
        (&["--webhook", url][..], 2, "--webhook needs --webhook_secret or --webhook_secret_file"),
        (&["--webhook_secret", SECRET], 2, "--webhook_secret does nothing without --webhook"),
        (&["--webhook", "localhost:1", "--webhook_secret", SECRET], 2, "must begin with http://"),
        (&["--webhook", url, "--webhook_secret", "whsec_aHVzaA=="], 2, "24 to 64 bytes in base64"),
        (&["--webhook", url, "--webhook_secret_file", &file], 1, "24 to 64 bytes in base64"),
        (&["--webhook", url, "--webhook_secret_file", "/nowhere"], 1, "cannot read --webhook_secret_file"),
        (
            &["--webhook", url, "--webhook_secret", SECRET, "--webhook_events", "peer.gone"],
            2,
            "peer.connected",
        ),
    ] {
        let ended = run(&[&["config", "check"], args].concat(), &[]);
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("aHVza") && !ended.stderr.contains("dG9v"), "{}", ended.stderr);
    }
    let two = format!("{SECRET} {SECRET}");
    let env = [("PEERBROKER_WEBHOOK", url), ("PEERBROKER_WEBHOOK_SECRET", two.as_str())];
    let ended = run(&["config", "check", "--webhook_events", "peer.wanted"], &env);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_webhook_of_a_key_is_set_with_its_secret_and_taken_away_and_the_secret_is_never_shown() {
    let directory = Directory::new();
    let file = directory.file("secret", &format!("{SECRET}\n"));
    let url = "https://game.example.org/events";
    let added = keys(&directory, &["add", "-k", "game", "--webhook", url, "--webhook_secret_file", &file]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    let shown = |args: &[&str]| {
        let text = keys(&directory, args).stdout.join("\n");
        assert!(!text.contains("aHVza"), "{text}");
        text
    };
    assert!(shown(&["show", "game"]).contains(url));
    let json: Value = serde_json::from_str(&shown(&["show", "game", "--json"])).unwrap();
    assert_eq!(json["webhook"], serde_json::json!({"url": url}));
    let with_messages =
        ["set", "game", "--webhook", url, "--webhook_secret_file", &file, "--webhook_messages"];
    assert!(shown(&with_messages).contains(&format!("{url}, with messages of clients")));
    let json: Value = serde_json::from_str(&shown(&["show", "game", "--json"])).unwrap();
    assert_eq!(json["webhook"], serde_json::json!({"url": url, "messages": true}));
    for (args, code) in [
        (&["--webhook", url][..], 2),
        (&["--webhook_messages"], 2),
        (&["--webhook_secret_file", &file], 2),
        (&["--webhook", "game.example.org", "--webhook_secret_file", &file], 2),
        (&["--webhook", url, "--webhook_secret_file", "/nowhere"], 1),
    ] {
        let ended = keys(&directory, &[&["set", "game"], args].concat());
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {}", ended.stderr);
    }
    assert!(shown(&["set", "game", "--no_webhook"]).contains("Webhook         none"));
}

/// A server whose first event gets this answer, and the log after that.
fn log_after(head: &str, body: &str, words: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut program = Program::start(&["--webhook", &url, "--webhook_secret", SECRET]);
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    // It is an object whose last member is a text.
    while !request.ends_with(b"\"}") {
        let mut some = [0; 1024];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "the request breaks off");
        request.extend_from_slice(&some[..count]);
    }
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).unwrap();
    // The end of the program must not wait for a second answer.
    drop((stream, listener));
    program.expect_log(words);
    program.stop().stderr
}

#[test]
fn an_endpoint_that_answers_is_reachable_and_its_answer_is_in_the_log() {
    // As Discord answers an event.
    let long = format!("{{\"message\":\n \"Cannot send an\x1b empty message\"}}{}", "x".repeat(500));
    let fails = "the webhook of --webhook fails, and is tried again: it answers ";
    let words =
        format!("{fails}400 Bad Request: {{\"message\": \"Cannot send an\\u{{1b}} empty message\"}}xxx");
    let log = log_after("400 Bad Request", &long, &words);
    assert!(!log.contains("cannot be reached") && !log.contains(&"x".repeat(200)), "{log}");
    let advice = "Does it decode the base64 behind whsec_, and verify the body as it comes?";
    log_after("401 Unauthorized", "no", &format!("{fails}401 Unauthorized: no. {advice}\n"));
    let log = log_after("503 Service Unavailable", "", &format!("{fails}503 Service Unavailable\n"));
    assert!(!log.contains(advice), "{log}");
}

#[test]
fn the_end_of_the_program_says_how_many_events_could_not_be_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut program = Program::start(&["--webhook", &url, "--webhook_secret", SECRET]);
    // It takes the first request, and never answers.
    let (mut silent, _) = listener.accept().unwrap();
    assert!(silent.read(&mut [0; 16]).unwrap() > 0);
    let ended = program.stop();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.contains("2 events for webhooks could not be sent"), "{}", ended.stderr);
}
