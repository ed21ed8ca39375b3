//! `--stdio`: the program as the child of another one, which sends commands and hears of clients.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::http_client::TIMEOUT;
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
    // The end of a replaced connection comes behind its successor.
    let mut second = program.connect("/peerjs?key=k&id=a&token=secret");
    second.expect_open();
    let heard = hear(&lines);
    assert!(heard["connection"].as_u64().unwrap() > connection, "{heard}");
    assert_eq!(hear(&lines), json!({"event": "disconnected", "id": "a", "connection": connection}));
    drop((first, second));
    assert_eq!(hear(&lines), json!({"event": "disconnected", "id": "a", "connection": heard["connection"]}));
}

#[test]
fn the_answer_to_sync_follows_what_clients_did_before() {
    let (program, mut stdin, stdout) = Program::start_stdio(&[]);
    let lines = lines(stdout);
    tell(&mut stdin, &json!({"do": "texts", "wanted": "all"}));
    assert_eq!(hear(&lines), json!({"event": "wanted"}));
    for number in 0..50 {
        let id = format!("client-{number}");
        let mut client = program.client(&id);
        // It has its OPEN.
        tell(&mut stdin, &json!({"do": "sync", "number": number}));
        let heard = hear(&lines);
        assert_eq!((&heard["event"], &heard["id"]), (&json!("connected"), &json!(id)));
        assert_eq!(hear(&lines), json!({"event": "synced", "number": number}));
        client.send("{\"type\":\"bye\"}");
        drop(client);
        let events = [hear(&lines), hear(&lines)];
        let events = events.map(|event| (event["event"].clone(), event["id"].clone()));
        assert_eq!(events, [(json!("text"), json!(id)), (json!("disconnected"), json!(id))]);
    }
}

#[test]
fn the_parent_sends_texts_to_clients_and_closes_connections() {
    let (program, mut stdin, stdout) = Program::start_stdio(&[]);
    let lines = lines(stdout);
    let mut client = program.client("a");
    let connection = hear(&lines)["connection"].as_u64().unwrap();
    for text in ["{\"type\":\"x\"}", "\u{2028}\n\"", "5"] {
        tell(&mut stdin, &json!({"do": "send", "id": "a", "connection": connection, "text": text}));
        client.expect(text);
    }
    // Neither of these is here, and an unknown command is no end.
    tell(&mut stdin, &json!({"do": "send", "id": "nobody", "connection": connection, "text": "x"}));
    tell(&mut stdin, &json!({"do": "send", "id": "a", "connection": connection + 1, "text": "x"}));
    tell(&mut stdin, &json!({"do": "close", "id": "a", "connection": connection + 1}));
    tell(&mut stdin, &json!({"do": "something"}));
    program.expect_log("a command on stdin is not understood");
    tell(&mut stdin, &json!({"do": "send", "id": "a", "connection": connection, "text": "still here"}));
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

/// Texts are lost to a parent that does not read, and the clients that are here come behind what waits.
#[test]
fn a_parent_that_lags_hears_of_its_losses_and_of_all_clients() {
    let (program, mut stdin, mut stdout) = Program::start_stdio(&[]);
    let mut first = program.client("a");
    tell(&mut stdin, &json!({"do": "texts", "wanted": "broken"}));
    for _ in 0..2 {
        stdout.read_line(&mut String::new()).unwrap();
    }
    for _ in 0..40 {
        first.send("x".repeat(500_000));
        first.ping(b"read");
        first.expect_pong();
    }
    let second = program.client("b");
    let lines = lines(stdout);
    let mut texts = 0;
    let mut heard = hear(&lines);
    while heard["event"] == "text" {
        texts += 1;
        heard = hear(&lines);
    }
    // 15 MiB.
    assert_eq!(texts, 31);
    // Clients that come are not lost.
    assert_eq!((&heard["event"], &heard["id"]), (&json!("connected"), &json!("b")));
    heard = hear(&lines);
    assert_eq!(heard["event"], json!("clients"));
    assert_eq!((&heard["lost_texts"], &heard["lost_events"]), (&json!(9), &json!(0)));
    let mut clients = heard["clients"].as_array().unwrap().clone();
    clients.sort_by_key(|client| client["connection"].as_u64());
    let of = |client: &Value| (client["id"].clone(), client["token"].clone());
    assert_eq!(
        clients.iter().map(of).collect::<Vec<_>>(),
        [(json!("a"), json!("t")), (json!("b"), json!("t"))]
    );
    program
        .expect_log("stdout was read too slowly: 9 messages of clients and 0 events are lost to its reader");
    first.send("y");
    assert_eq!(hear(&lines)["text"], json!("y"));
    drop((first, second));
}
