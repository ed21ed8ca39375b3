//! `peerbroker doctor`: whole servers and broken ones, with real proxies where the fault is a proxy's.

mod authority;
mod broken;
mod certificates;
mod fake;
mod ice;
mod proxies;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use testkit::tools::fixture;

use self::fake::{http, serve};
use crate::directory::Directory;
use crate::program::{Program, command, run};

/// Longer than the program's own bound, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(180);

/// The result of an examination.
pub struct Examined {
    pub code: Option<i32>,
    pub json: Value,
}

impl Examined {
    /// The state of a check and everything that it says. The first that is not fine, if there are several of
    /// that name.
    pub fn of(&self, check: &str) -> (&str, String) {
        let checks = self.json["checks"].as_array().unwrap();
        let named = || checks.iter().filter(|found| found["check"] == check);
        let bad = |found: &&Value| found["state"] == "failed" || found["state"] == "warning";
        let found = named()
            .find(bad)
            .or_else(|| named().next())
            .unwrap_or_else(|| panic!("{check} in {}", self.json));
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        (found["state"].as_str().unwrap(), format!("{} -> {}", text("found"), text("advice")))
    }

    /// The check has this state and says all these words; the exit code fits.
    #[track_caller]
    pub fn expect(&self, check: &str, state: &str, words: &[&str]) {
        let (found, text) = self.of(check);
        assert_eq!(found, state, "{check}: {text}\n{}", self.json);
        for word in words {
            assert!(text.contains(word), "{word:?} in {check}: {text}");
        }
        if state == "failed" {
            assert_eq!((self.code, &self.json["ok"]), (Some(1), &false.into()));
        }
    }

    /// These checks alone have failed.
    #[track_caller]
    pub fn expect_failed(&self, expected: &[&str]) {
        let failed: Vec<&str> = self.json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|found| found["state"] == "failed")
            .map(|found| found["check"].as_str().unwrap())
            .collect();
        assert_eq!(failed, expected, "{}", self.json);
        assert_eq!(self.code, Some(i32::from(!expected.is_empty())));
    }
}

/// Runs the doctor until it ends. Returns its exit code and its stdout.
fn output(args: &[&str]) -> (Option<i32>, String) {
    let mut child = command(&[&["doctor"], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the program");
    let (read, text) = channel();
    let mut stdout = child.stdout.take().unwrap();
    thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        read.send(text)
    });
    let Ok(text) = text.recv_timeout(TIMEOUT) else {
        child.kill().unwrap();
        panic!("the doctor does not end: {args:?}");
    };
    (child.wait().unwrap().code(), text)
}

/// Examines a server.
pub fn examine(args: &[&str]) -> Examined {
    let (code, text) = output(&[args, &["--json"]].concat());
    Examined { code, json: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")) }
}

fn url(program: &Program) -> String {
    format!("http://{}", program.address)
}

#[test]
fn nothing_is_wrong_with_a_server_as_it_starts() {
    let program = Program::start(&["--allow_discovery"]);
    // As a person would say it: without a scheme, and as a page's console shows it.
    for place in
        [program.address.to_string(), format!("ws://{}/peerjs?key=peerjs&id=a&token=t", program.address)]
    {
        let examined = examine(&[&place]);
        examined.expect_failed(&[]);
        for (check, words) in [
            ("tcp", "answers at 127.0.0.1"),
            ("http", "answers over HTTP"),
            ("clock", "agree"),
            ("path", "at the path /"),
            ("key", "has the key 'peerjs'"),
            ("cors", "any origin"),
            ("proxy", "knows the address"),
            ("websocket", "opens"),
            ("peers", "two peers reach each other"),
            ("discovery", "may list the ids of peers of the key: 2 now"),
            ("ice", "names no STUN or TURN server"),
        ] {
            examined.expect(check, "ok", &[words]);
        }
        examined.expect("tls", "skipped", &["cannot use a broker without TLS"]);
    }
}

/// As a container does it, every ten seconds.
#[test]
fn a_health_check_needs_only_the_port() {
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let tls = ["--sslkey", key.to_str().unwrap(), "--sslcert", cert.to_str().unwrap()];
    for flags in [&["--path", "/x"][..], &tls] {
        let mut program = Program::start(flags);
        let port = program.address.port().to_string();
        let check = |args: &[&str], env: &[(&str, &str)]| {
            let ended = run(&[&["doctor", "--quick"], args].concat(), env);
            (ended.status.code(), ended.stdout)
        };
        let (code, lines) = check(&[], &[("PORT", &port)]);
        assert_eq!(code, Some(0), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("ok   health")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("websocket")), "{lines:?}");
        assert_eq!(check(&["--port", &port], &[]).0, Some(0));
        assert_eq!(check(&[&program.address.to_string()], &[]).0, Some(0));
        program.stop();
        assert_eq!(check(&["--port", &port], &[]).0, Some(1));
    }
    let ill = serve(|_| http("503 Service Unavailable", "", ""));
    let examined = examine(&["--quick", &ill.to_string()]);
    examined.expect_failed(&["health"]);
    examined.expect("health", "failed", &["/healthz answers 503"]);
}

#[test]
fn the_text_has_the_findings_of_the_json() {
    let program = Program::start(&["--path", "/x"]);
    let address = program.address.to_string();
    let json = examine(&[&address, "--key", "nope"]).json;
    let (code, text) = output(&[&address, "--key", "nope"]);
    assert_eq!(code, Some(1));
    assert!(!text.contains('\x1b'), "colour, although stdout is no terminal: {text}");
    let mut rest = text.as_str();
    for found in json["checks"].as_array().unwrap() {
        let mark = match found["state"].as_str().unwrap() {
            "ok" => "ok  ",
            "warning" => "warn",
            "failed" => "FAIL",
            _ => "skip",
        };
        let line =
            format!("{mark} {:<11} {}\n", found["check"].as_str().unwrap(), found["found"].as_str().unwrap());
        // The time of a connection differs.
        let line = line.split(" (").next().unwrap();
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} in {rest}"));
        rest = &rest[at + line.len()..];
        if let Some(advice) = found["advice"].as_str() {
            let at = rest.find(advice).unwrap_or_else(|| panic!("{advice:?} in {rest}"));
            rest = &rest[at + advice.len()..];
        }
    }
    assert_eq!(rest.trim(), "Failed: 2.");
}

#[test]
fn wrong_arguments_end_with_2_and_are_named() {
    for (args, words) in [
        (&["ftp://a.test"][..], "'ftp://a.test' is no URL of a broker"),
        (&["a.test", "--origin", "game"], "--origin 'game' is no page"),
        (&["a.test", "--ca", "/nothing.pem"], "cannot read --ca /nothing.pem"),
        (&["a.test", "--idle", "0"], "--idle"),
        (&["a.test", "--key", ""], "--key"),
    ] {
        let ended = run(&[&["doctor"], args].concat(), &[]);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_wrong_path_is_told_with_the_right_one_and_the_rest_is_examined_there() {
    let program = Program::start(&["--path", "/room"]);
    let examined = examine(&[&format!("{}/game", url(&program))]);
    examined.expect_failed(&["path"]);
    examined.expect(
        "path",
        "failed",
        &["no broker answers at the path /game/", "one does at /room/", "path: '/room/'"],
    );
    examined.expect("peers", "ok", &[]);
}

#[test]
fn the_port_of_the_api_is_told() {
    for token in [&[][..], &["--admin_token", "a-secret-of-sixteen-or-more"]] {
        let mut program = Program::start(&[&["--ops_port", "0"], token].concat());
        let (api, _) = program.expect_api();
        let examined = examine(&[&format!("http://{}", api.address)]);
        examined.expect("path", "failed", &["is that of the broker's API", "the port of --port"]);
    }
}

#[test]
fn an_app_at_the_path_of_the_broker_is_no_fault() {
    let data = Directory::new();
    data.file("index.html", "<!doctype html><title>My app</title>");
    let program = Program::start(&["--static_dir", &data.arg(".")]);
    let examined = examine(&[&url(&program)]);
    examined.expect_failed(&[]);
    // The file is for people; programs get the JSON of the broker.
    examined.expect("path", "ok", &["answers at the path /"]);
}

#[test]
fn a_wrong_key_is_told_with_the_built_in_one() {
    let program = Program::start(&["--key", "secret sauce"]);
    let examined = examine(&[&url(&program), "--key", "peerjs"]);
    examined.expect_failed(&["key"]);
    examined.expect("key", "failed", &["no key 'peerjs'", "built-in key is 'secret sauce'"]);
    examined.expect("rest", "skipped", &["websocket", "because of key"]);
    examine(&[&url(&program), "--key", "secret sauce"]).expect_failed(&[]);
}

#[test]
fn a_key_of_other_pages_is_told_with_what_the_page_would_get() {
    let data = Directory::new();
    let dir = data.arg("keys");
    let origins = ["--origin", "https://game.example"];
    let added = run(&[&["keys", "add", "--data_dir", &dir, "--key", "mine"], &origins[..]].concat(), &[]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    let program = Program::start(&["--data_dir", &dir]);
    let place = url(&program);
    examine(&[&place, "--key", "mine", "--origin", "https://game.example/index.html"]).expect_failed(&[]);
    let other = examine(&[&place, "--key", "mine", "--origin", "https://other.example"]);
    other.expect(
        "key",
        "failed",
        &["https://other.example may not use the key 'mine'", "keys set mine --origin"],
    );
    examine(&[&place, "--key", "mine"]).expect("key", "failed", &["certain origins", "--origin"]);
}

#[test]
fn a_key_that_requires_proofs_is_told() {
    let data = Directory::new();
    let dir = data.arg("keys");
    let secret = data.file("secret", "hushhush-hushhush-hushhush-hushhush");
    let added = run(&["keys", "add", "--data_dir", &dir, "--key", "mine", "--jwt_secret_file", &secret], &[]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    let program = Program::start(&["--data_dir", &dir]);
    let examined = examine(&[&url(&program), "--key", "mine"]);
    examined.expect_failed(&["websocket"]);
    examined.expect("websocket", "failed", &["Invalid token", "verified identities"]);
}

#[test]
fn pages_that_may_not_read_the_answers_are_told() {
    let program = Program::start(&["--cors", "https://game.example"]);
    let examined = examine(&[&url(&program), "--origin", "https://other.example"]);
    examined.expect_failed(&["cors"]);
    examined.expect("cors", "failed", &["https://other.example", "--cors"]);
    examine(&[&url(&program), "--origin", "https://game.example"]).expect_failed(&[]);
    examine(&[&url(&program)]).expect("cors", "skipped", &["--origin"]);
}

#[test]
fn a_key_without_room_for_a_second_client_is_told() {
    let program = Program::start(&["--concurrent_limit", "1"]);
    let examined = examine(&[&url(&program)]);
    examined.expect_failed(&["peers"]);
    examined.expect("peers", "failed", &["a second client cannot open", "limits"]);
    let _first = program.client("a");
    let examined = examine(&[&url(&program)]);
    examined.expect("websocket", "failed", &["concurrent user limit", "--concurrent_limit"]);
}

/// Operators read advice about clients in the log and on the dashboard.
#[test]
fn its_requests_are_no_mistakes_of_clients() {
    let data = Directory::new();
    let dir = data.arg("keys");
    let secret = data.file("secret", "hushhush-hushhush-hushhush-hushhush");
    for more in [&["proven", "--jwt_secret_file", &secret][..], &["mine", "--origin", "https://game.example"]]
    {
        let added = run(&[&["keys", "add", "--data_dir", &dir, "--key"], more].concat(), &[]);
        assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    }
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let tls = ["--sslkey", key.to_str().unwrap(), "--sslcert", cert.to_str().unwrap()];
    for flags in [&["--path", "/x"][..], &tls] {
        let flags =
            [flags, &["--data_dir", &dir, "--ops_port", "0", "--cors", "https://game.example"]].concat();
        let mut program = Program::start(&flags);
        let (api, _) = program.expect_api();
        let place = program.address.to_string();
        let plain = url(&program);
        for args in [
            &[&*place][..],
            &[&plain],
            &[&place, "--key", "nope"],
            &[&place, "--key", "proven"],
            &[&place, "--key", "mine", "--origin", "https://other.example"],
        ] {
            examine(args);
        }
        // Mistakes are noted in their order, and that of a real client is one.
        let client = TcpStream::connect(program.address).unwrap();
        if flags.contains(&"--sslkey") {
            (&client).write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            program.expect_log("speaks plain HTTP to the TLS port");
        } else {
            (&client).write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
            program.expect_log("speaks TLS to the plain port");
        }
        let mistakes = api.get("/api/mistakes").json["mistakes"].take();
        assert_eq!(mistakes.as_array().unwrap().len(), 1, "{mistakes}");
    }
}

#[test]
fn silent_connections_stay_open() {
    let program = Program::start(&[]);
    let examined = examine(&[&url(&program), "--idle", "2s"]);
    examined.expect("idle", "ok", &["stay open for 2 s"]);
}

#[test]
fn an_alive_timeout_ends_no_client_that_answers_pings() {
    let program = Program::start(&["--alive_timeout", "1500"]);
    examine(&[&url(&program), "--idle", "4"]).expect("idle", "ok", &[]);
}

#[test]
fn the_documentation_that_is_named_is_a_page_of_the_server() {
    let program = Program::start(&[]);
    let url = format!("http://{}/", program.address);
    let examined = examine(&[&url]);
    examined.expect("ice", "ok", &[&format!("{url}broker/docs/CALLS)")]);
    assert_eq!(program.get("/broker/docs/CALLS").status, 200);
}
