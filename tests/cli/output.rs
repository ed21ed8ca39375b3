//! The program's output.

use std::io::Read as _;

use crate::program::{Program, command};

#[test]
fn the_first_line_says_where_it_listens() {
    let mut program = Program::start(&["--path", "/x/"]);
    let port = program.address.port();
    let ended = program.stop();
    assert_eq!(ended.stdout[0], format!("Started PeerServer on 127.0.0.1, port: {port}, path: /x/"));
    let hint = format!("new Peer({{host: \"127.0.0.1\", port: {port}, path: \"/x/\", key: \"peerjs\"}})");
    assert!(ended.stdout.iter().any(|line| line.contains(&hint)), "{:?}", ended.stdout);
}

#[test]
fn the_default_host_is_shown_as_the_reference_shows_it() {
    let mut program = Program::start_command(&mut command(&["--port", "0"]));
    let port = program.address.port();
    let first = &program.stop().stdout[0];
    let expected =
        ["::", "0.0.0.0"].map(|host| format!("Started PeerServer on {host}, port: {port}, path: /"));
    assert!(expected.contains(first), "{first}");
}

#[test]
fn clients_that_come_and_go_leave_a_line_each() {
    let mut program = Program::start(&[]);
    let mut a = program.client("alice");
    assert_eq!(program.expect_event(), "Client connected: alice");
    let _b = program.client("bob");
    assert_eq!(program.expect_event(), "Client connected: bob");
    a.expect_closed_by_us(Some(1000));
    assert_eq!(program.expect_event(), "Client disconnected: alice");
}

#[test]
fn a_takeover_prints_a_line_and_the_replaced_socket_does_not() {
    let mut program = Program::start(&[]);
    let mut old = program.client("alice");
    assert_eq!(program.expect_event(), "Client connected: alice");
    let new = program.client("alice");
    assert_eq!(program.expect_event(), "Client connected: alice");
    old.expect_closed_with(Some(4001));
    drop((old, new));
    assert_eq!(program.expect_event(), "Client disconnected: alice");
    let _bob = program.client("bob");
    assert_eq!(program.expect_event(), "Client connected: bob");
}

#[test]
fn refused_sockets_and_requests_leave_a_line_in_the_log_alone() {
    let mut program = Program::start(&[]);
    let mut refused = program.connect("/peerjs?key=wrong&id=a&token=t");
    refused.expect_text();
    refused.expect_closed_with(None);
    program.get("/peerjs/id");
    program.get("/nothing");
    let mut a = program.client("a");
    a.send("nonsense");
    a.expect_nothing("a");
    drop((a, refused));
    let ended = program.stop();
    let events: Vec<&String> = ended.stdout.iter().filter(|line| line.contains("lient ")).collect();
    assert_eq!(events, ["Client connected: a", "Client disconnected: a"]);
    let log: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(log.len(), 2, "{log:#?}");
    for (line, told) in log.iter().zip(["asked for the key \"wrong\"", "GET \"/nothing\""]) {
        assert!(line.contains(" INFO ") && line.contains(told), "{line}");
    }
}

#[test]
fn an_id_cannot_forge_a_line_or_command_a_terminal() {
    let mut program = Program::start(&[]);
    let mut refused = program.connect("/peerjs?key=peerjs&id=a%0AClient%20connected:%20b&token=t");
    refused.expect_text();
    let mut refused = program.connect("/peerjs?key=peerjs&id=%1B[2J&token=t");
    refused.expect_text();
    // Rust does not call these control characters, but they must not be printed.
    let _odd = program.client("it%27s%20%C3%BC%20%E2%80%AE%E2%80%A8x");
    assert_eq!(program.expect_event(), "Client connected: it's ü \\u{202e}\\u{2028}x");
}

#[test]
fn nothing_from_outside_reaches_the_log_unescaped_and_no_token_any_output() {
    let mut program = Program::start_with_env(&[], &[("RUST_LOG", "trace")]);
    for target in [
        "/peerjs?key=peerjs&id=a&token=hushhush",
        "/peerjs?key=wrong&id=a&token=hushhush",
        "/peerjs?key=peerjs&id=a%0Ab&token=hushhush",
        "/peerjs?key=peerjs&id=b&token=hushhush%0A",
    ] {
        program.connect(target).expect_text();
    }
    program.get("/peerjs/someid/hushhush/offer?token=hushhush");
    program.request("/nothing?token=hushhush", "X-Odd: \x1b[2J\r\n");
    program.request("/%0a%1b[2J", "Origin: \x1b[31m\r\n");
    let mut bad = crate::raw_client::RawClient::connect(program.address, "bad");
    bad.send_raw("GET /peerjs?token=hushhush HTTP/1.1\r\nHost: h\r\nBad header\x1b[2J: hushhush\r\n\r\n");
    bad.expect_cut_off();
    let ended = program.stop();
    let all = format!("{}\n{}", ended.stdout.join("\n"), ended.stderr);
    assert!(ended.stderr.lines().count() > 10, "the log is on: {}", ended.stderr);
    for line in all.lines() {
        assert!(!line.contains("hushhush"), "{line}");
        assert!(!line.contains('\x1b'), "{line:?}");
    }
}

#[test]
fn the_log_can_be_json() {
    let env = [("RUST_LOG", "peerbroker=debug")];
    let mut program = Program::start_with_env(&["--log_format", "json"], &env);
    program.connect("/peerjs?key=wrong&id=a&token=t").expect_text();
    let ended = program.stop();
    assert!(!ended.stderr.is_empty());
    for line in ended.stderr.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect(line);
        for member in ["time", "level", "target", "message"] {
            assert!(record[member].is_string(), "{member} in {line}");
        }
    }
}

#[test]
fn a_reader_of_stdout_that_has_stopped_does_not_stop_the_server() {
    let (mut program, mut unread) = Program::start_unread(&[]);
    let long = "x".repeat(500);
    // More than the buffer of a pipe.
    for n in 0..300 {
        drop(program.client(&format!("{n}{long}")));
    }
    let (mut a, mut b) = (program.client("a"), program.client("b"));
    a.send(r#"{"type":"OFFER","dst":"b"}"#);
    b.expect(r#"{"type":"OFFER","src":"a","dst":"b"}"#);
    drop((a, b));
    assert!(program.stop().status.success());
    let mut rest = Vec::new();
    unread.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 1 << 15);
}

#[test]
fn a_closed_stdout_does_not_stop_the_server() {
    let (mut program, unread) = Program::start_unread(&[]);
    drop(unread);
    for id in ["a", "b", "c"] {
        program.client(id).expect_nothing(id);
    }
    assert_eq!(program.get("/peerjs/id").status, 200);
    assert!(program.stop().status.success());
}
