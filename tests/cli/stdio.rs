//! `--stdio`: the program as the child of another one, which sends commands and hears of clients.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::http_client::{HttpConnection, TIMEOUT};
use crate::program::Program;

fn tell(stdin: &mut ChildStdin, command: &Value) {
    writeln!(stdin, "{command}").unwrap();
}

/// Reads on a thread of its own, so that waiting for a line has a bound.
fn lines(stdout: BufReader<ChildStdout>) -> Receiver<String> {
    let (line, lines) = channel();
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
    lines
}

fn hear(lines: &Receiver<String>) -> Value {
    let line = lines.recv_timeout(TIMEOUT).expect("a line of stdout");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn the_parent_hears_of_clients_of_the_built_in_key() {
    let (program, _stdin, stdout) = Program::start_stdio(&["--key", "k"]);
    let lines = lines(stdout);
    let mut first = program.connect("/peerjs?key=k&id=a&token=secret");
    first.expect_open();
    let heard = hear(&lines);
    let connection = heard["connection"].as_u64().unwrap();
    assert_eq!(heard, json!({"event": "connected", "id": "a", "token": "secret", "connection": connection}));
    // A guest is none of them.
    drop(program.connect("/"));
    // A replaced connection is not the end of a client.
    let mut second = program.connect("/peerjs?key=k&id=a&token=secret");
    second.expect_open();
    let heard = hear(&lines);
    assert!(heard["connection"].as_u64().unwrap() > connection, "{heard}");
    drop((first, second));
    assert_eq!(hear(&lines), json!({"event": "disconnected", "id": "a", "connection": heard["connection"]}));
}

#[test]
fn the_parent_sends_texts_to_clients_and_closes_connections() {
    let (program, mut stdin, stdout) = Program::start_stdio(&[]);
    let lines = lines(stdout);
    let mut client = program.client("a");
    let connection = hear(&lines)["connection"].as_u64().unwrap();
    for text in ["{\"type\":\"x\"}", "\u{2028}\n\"", "5"] {
        tell(&mut stdin, &json!({"do": "send", "id": "a", "text": text}));
        client.expect(text);
    }
    // Neither of these is here, and an unknown command is no end.
    tell(&mut stdin, &json!({"do": "send", "id": "nobody", "text": "x"}));
    tell(&mut stdin, &json!({"do": "close", "id": "a", "connection": connection + 1}));
    tell(&mut stdin, &json!({"do": "something"}));
    program.expect_log("a command on stdin is not understood");
    tell(&mut stdin, &json!({"do": "send", "id": "a", "text": "still here"}));
    client.expect("still here");
    tell(&mut stdin, &json!({"do": "close", "id": "a", "connection": connection}));
    client.expect_closed_with(Some(4005));
    assert_eq!(hear(&lines), json!({"event": "disconnected", "id": "a", "connection": connection}));
}

#[test]
fn the_parent_sees_the_texts_that_it_asks_for() {
    let (program, mut stdin, stdout) = Program::start_stdio(&[]);
    let lines = lines(stdout);
    let mut client = program.client("a");
    let connection = hear(&lines)["connection"].clone();
    let texts = ["{\"type\":\"HEARTBEAT\"}", "{\"type\":\"unknown\"}", "{\"broken\"", "null"];
    for (wanted, seen) in
        [("none", &texts[..0]), ("all", &texts[..]), ("broken", &texts[2..]), ("none", &texts[..0])]
    {
        tell(&mut stdin, &json!({"do": "texts", "wanted": wanted}));
        assert_eq!(hear(&lines), json!({"event": "wanted"}));
        texts.iter().for_each(|text| client.send(text));
        client.ping(b"all read");
        client.expect_pong();
        for text in seen {
            assert_eq!(
                hear(&lines),
                json!({"event": "text", "id": "a", "connection": connection, "text": text})
            );
        }
    }
    drop(client);
    assert_eq!(hear(&lines), json!({"event": "disconnected", "id": "a", "connection": connection}));
}

#[test]
fn the_end_of_stdin_ends_it_and_signals_do_not() {
    let (mut program, stdin, _stdout) = Program::start_stdio(&[]);
    let mut client = program.client("a");
    for signal in ["-INT", "-TERM", "-INT"] {
        program.signal(signal);
        client.ping(b"still here");
        assert_eq!(client.expect_pong(), b"still here");
    }
    drop(stdin);
    client.expect_closed_with(Some(1001));
    drop(client);
    assert_eq!(program.wait().status.code(), Some(0));
}

/// Events are lost to a parent that does not read, and the clients that are here come instead.
#[test]
fn a_parent_that_lags_hears_of_all_clients_later() {
    let (program, mut stdin, mut stdout) = Program::start_stdio(&[]);
    let mut first = program.client("a");
    tell(&mut stdin, &json!({"do": "texts", "wanted": "broken"}));
    for _ in 0..2 {
        stdout.read_line(&mut String::new()).unwrap();
    }
    // More than a pipe holds: it is being written when its first byte is here, and nothing else can be.
    first.send("x".repeat(500_000));
    assert!(stdout.fill_buf().unwrap().starts_with(b"{"));
    let second = program.client("b");
    let mut http = HttpConnection::open(program.address);
    // Each is an event, and more than are kept.
    for _ in 0..9000 {
        assert_eq!(http.request("GET", "/nothing", "").status, 404);
    }
    let lines = lines(stdout);
    let heard = loop {
        let heard = hear(&lines);
        if heard["event"] == "clients" {
            break heard;
        }
    };
    let mut clients = heard["clients"].as_array().unwrap().clone();
    clients.sort_by_key(|client| client["connection"].as_u64());
    let of = |client: &Value| (client["id"].clone(), client["token"].clone());
    assert_eq!(
        clients.iter().map(of).collect::<Vec<_>>(),
        [(json!("a"), json!("t")), (json!("b"), json!("t"))]
    );
    drop((first, second));
}
