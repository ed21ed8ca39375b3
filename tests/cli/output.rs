//! The program's output.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::program::{Program, command, run};

#[test]
fn the_first_line_says_where_it_listens() {
    for given in ["/x", "x", "/x/"] {
        let mut program = Program::start(&["--path", given]);
        let port = program.address.port();
        let ended = program.stop();
        let line = format!("Started PeerServer on 127.0.0.1, port: {port}, path: /x");
        assert_eq!(ended.stdout[0], line, "--path {given}");
        let hint = format!("new Peer({{host: \"127.0.0.1\", port: {port}, path: \"/x/\", key: \"peerjs\"}})");
        assert!(ended.stdout.iter().any(|line| line.contains(&hint)), "{:?}", ended.stdout);
        let shown = run(&["config", "show", "--path", given], &[]).stdout;
        assert!(shown.iter().any(|line| line.starts_with("path = \"/x\" ")), "{shown:?}");
    }
}

/// The lines of stdout of a program that has started.
fn started(args: &[&str]) -> Vec<String> {
    let mut program = Program::start_command(&mut command(&[&["--port", "0"], args].concat()));
    let port = program.address.port().to_string();
    program.stop().stdout.iter().map(|line| line.replace(&port, "PORT")).collect()
}

/// A camera works at `localhost`, and another device needs the address of the network.
#[test]
fn the_addresses_for_this_machine_and_for_others_have_a_line_each() {
    let lines = started(&["--path", "/x"]);
    assert!(lines.iter().any(|line| line == "  Local:   http://localhost:PORT/x/"), "{lines:#?}");
    if let Some(ip) = peerbroker::lan_address() {
        assert!(lines.contains(&format!("  Network: http://{ip}:PORT/x/")), "{lines:#?}");
    }
    assert!(!lines.concat().contains("Other devices"), "{lines:#?}");
    let lines = started(&["--host", "127.0.0.1"]);
    assert!(
        lines.contains(&"  Other devices cannot reach it, because --host is 127.0.0.1.".to_owned()),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line == "  Local:   http://127.0.0.1:PORT/"), "{lines:#?}");
    assert!(!lines.concat().contains("Network:") && !lines.concat().contains("They reach"), "{lines:#?}");
}

/// A proxy of the same machine may be in front of the broker, so these ports follow flags of their own.
#[test]
fn a_host_for_this_machine_only_says_which_ports_of_calls_others_reach() {
    let told = |flags: &[&str]| {
        let lines = started(&[&["--host", "127.0.0.1"], flags].concat());
        lines.into_iter().find(|line| line.contains("They reach"))
    };
    let words = |flag: &str| format!("  They reach the ports of {flag}; {flag} 127.0.0.1 closes these.");
    assert_eq!(told(&["--turn", "0.0.0.0:0"]), Some(words("--turn")));
    assert_eq!(told(&["--relay", "0.0.0.0:0"]), Some(words("--relay")));
    assert_eq!(told(&["--turn", "127.0.0.1:0"]), None);
}

#[test]
fn a_directory_without_an_index_names_a_page_of_it() {
    let directory = crate::directory::Directory::new();
    directory.file("z.html", "");
    directory.file("quiz.html", "");
    let static_dir = directory.arg("");
    let args = ["--path", "/x", "--static_dir", &static_dir];
    let words =
        "  --static_dir has no index.html, so /x/ is the landing page. Open /x/quiz.html for that file.";
    assert!(started(&args).contains(&words.to_owned()), "{:#?}", started(&args));
    directory.file("index.html", "");
    assert!(!started(&args).concat().contains("--static_dir"));
}

#[test]
fn behind_a_proxy_no_address_of_this_machine_is_given_to_clients() {
    let lines = started(&["--proxied"]);
    assert!(
        lines.concat().contains("Clients use the host and port of the proxy in front (--proxied)"),
        "{lines:#?}"
    );
    assert!(!lines.concat().contains("new Peer(") && !lines.concat().contains("http"), "{lines:#?}");
    let json = started(&["--proxied", "--log_format", "json"]);
    assert!(json[0].contains(r#""url":null"#), "{json:#?}");
}

/// The first certificate is for `localhost` and 127.0.0.1, the other one for a host elsewhere.
#[test]
fn with_a_certificate_only_hosts_that_it_covers_are_shown() {
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let lines = started(&["--sslkey", &key, "--sslcert", &cert]);
    assert!(lines.iter().any(|line| line == "  Local:   https://localhost:PORT/"), "{lines:#?}");
    assert!(lines.concat().contains(r#"new Peer({host: "localhost""#), "{lines:#?}");
    assert!(lines.concat().contains("secure: true"), "{lines:#?}");
    assert!(!lines.concat().contains("Network:"), "{lines:#?}");

    let elsewhere = started(&["--sslkey", &key, "--sslcert", &fixture("elsewhere.pem")]);
    assert!(elsewhere.contains(&"  Network: https://elsewhere.test:PORT/".to_owned()), "{elsewhere:#?}");
    assert!(!elsewhere.concat().contains("Local:"), "{elsewhere:#?}");
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
    let told = ["asked for the key \"wrong\"", "GET \"/nothing\"", "it begins with \"nonsense\""];
    assert_eq!(log.len(), told.len(), "{log:#?}");
    for (line, told) in log.iter().zip(told) {
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

/// The lines of stdout or of the log as objects. Each has the four members that all have.
fn records<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).expect(line);
        for member in ["time", "level", "target", "message"] {
            assert!(record[member].is_string(), "{member} in {line}");
        }
        record
    };
    lines.into_iter().map(record).collect()
}

#[test]
fn every_line_can_be_json_with_its_fields() {
    let env = [("RUST_LOG", "peerbroker=debug")];
    let mut program = Program::start_with_env(&["--log_format", "json", "--ops_port", "0"], &env);
    let (api, _) = program.expect_api();
    program.connect("/peerjs?key=wrong&id=a&token=t").expect_text();
    let mut alice = program.client("alice");
    alice.send(r#"{"type":"HEARTBEAT"}"#);
    let mut newer = program.client("alice");
    alice.expect_closed_with(Some(4001));
    assert_eq!(api.post("/api/keys", &json!({"key": "mine", "name": "n"})).status, 201);
    newer.expect_closed_by_us(Some(1000));
    let ended = program.stop();

    let stdout = records(ended.stdout.iter().map(String::as_str));
    let events: Vec<_> = stdout.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let expected =
        ["started", "api_started", "connected", "connected", "disconnected", "disconnected", "stopped"];
    let sorted = |mut events: Vec<_>| {
        events.sort_unstable();
        events
    };
    // The end of the old connection may be told before or after the beginning of the new one.
    assert_eq!(sorted(events), sorted(expected.to_vec()), "{stdout:#?}");
    let of = |event: &str| stdout.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let connected = of("connected")[0];
    assert_eq!((&connected["key"], &connected["id"]), (&json!("peerjs"), &json!("alice")));
    assert_eq!(connected["message"], "Client connected: alice");
    assert_eq!(connected["address"], "127.0.0.1");
    let reasons: Vec<_> = of("disconnected").iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["replaced", "left"]);
    assert!(of("disconnected").iter().all(|line| line["duration_ms"].is_u64() && line["id"] == "alice"));

    let log = records(ended.stderr.lines());
    let audit = log.iter().find(|line| line["target"] == "peerbroker::audit").expect("a line of the audit");
    assert_eq!((&audit["action"], &audit["actor"]), (&json!("key_added"), &json!("api")));
    assert_eq!((&audit["key"], &audit["address"]), (&json!("mine"), &json!("127.0.0.1")));
    assert_eq!(audit["settings"]["name"], "n");
}

#[test]
fn the_error_that_ends_the_program_and_the_result_of_a_check_can_be_json() {
    let ended = run(&["--log_format", "json", "--static_dir", "/no/such/directory"], &[]);
    let errors = records(ended.stderr.lines());
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0]["level"], "ERROR");
    assert!(errors[0]["message"].as_str().unwrap().contains("--static_dir /no/such/directory"));
    for (args, env, words) in [
        (&["--log_format", "json", "--port", "x"][..], &[][..], "invalid value 'x' for '--port"),
        (&["--no_such_flag", "--log_format=json"], &[], "unexpected argument '--no_such_flag'"),
        (&["--turn_ttl", "-1"], &[("PEERBROKER_LOG_FORMAT", "json")], "--turn_ttl"),
    ] {
        let ended = run(args, env);
        let errors = records(ended.stderr.lines());
        assert_eq!((ended.status.code(), errors.len()), (Some(2), 1), "{errors:#?}");
        assert!(errors[0]["message"].as_str().unwrap().contains(words), "{errors:#?}");
    }
    let ended = run(&["--log_format", "xml", "--port", "x"], &[]);
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    let ended = run(&["keys", "no_such_command"], &[("PEERBROKER_LOG_FORMAT", "json")]);
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    let ended = run(&["config", "check", "--log_format", "json", "--concurrent_limit", "0"], &[]);
    assert_eq!(
        records(ended.stdout.iter().map(String::as_str))[0]["message"],
        "The configuration is valid. No file was read: --config names one."
    );
    assert_eq!(records(ended.stderr.lines())[0]["level"], "WARN");
}

#[test]
fn a_reader_of_stdout_that_has_stopped_does_not_stop_the_server() {
    let (mut program, mut unread) = Program::start_unread(&[]);
    let long = "x".repeat(500);
    // More than the buffer of a pipe.
    for n in 0..300 {
        drop(program.client(&format!("{n}{long}")));
    }
    let mut a = program.client("a");
    let mut b = program.client("b");
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
