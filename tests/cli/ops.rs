//! The flags of the operator's API.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use socket2::SockRef;

use crate::api::Api;
use crate::directory::Directory;
use crate::handover::command_with_socket;
use crate::program::{Program, command, run};
use crate::raw_client::RawClient;
use testkit::tls::trust;

const TOKEN: &str = "a-secret-of-sixteen-or-more";

/// A program with the API on a free port, and the end of the line about it.
pub fn start(args: &[&str], env: &[(&str, &str)]) -> (Program, Api, String) {
    let mut program = Program::start_with_env(args, env);
    let (api, rest) = program.expect_api();
    (program, api, rest)
}

#[test]
fn the_api_is_off_unless_it_has_a_port() {
    let mut program = Program::start(&["--admin_token", TOKEN, "--ops_host", "127.0.0.1"]);
    assert_eq!(program.get("/api/stats").status, 404);
    let ended = program.stop();
    assert!(!ended.stdout.iter().any(|line| line.contains("API")), "{:?}", ended.stdout);
}

/// The kernel accepts for a server that is stopped: its backlog, and one more.
#[cfg(target_os = "linux")]
#[test]
fn connections_above_the_backlog_are_counted() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&socket).listen(2).unwrap();
    let mut command = command_with_socket("main", &socket, &["--ops_port", "0", "--workers", "1"]);
    let mut program = Program::start_command(&mut command);
    let (api, _) = program.expect_api();
    let overflows = || -> u64 {
        let metrics = api.get("/metrics").response;
        let value = |line: &str| line.strip_prefix("peerbroker_accept_queue_overflows_total ")?.parse().ok();
        metrics.text().lines().find_map(value).expect("the metric")
    };
    let before = overflows();
    program.signal("-STOP");
    let waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(program.address).expect("room")).collect();
    let more = TcpStream::connect_timeout(&program.address, Duration::from_millis(1));
    program.signal("-CONT");
    assert!(more.is_err(), "no more room");
    drop(waiting);
    assert!(overflows() > before);
}

#[test]
fn the_api_is_on_loopback_and_its_token_comes_from_a_flag_a_variable_or_a_file() {
    let directory = Directory::new();
    let file = directory.file("token", &format!("{TOKEN}\n"));
    for (args, env, with_token) in [
        (&["--ops_port", "0"][..], &[][..], false),
        (&["--ops-port=0", "--admin_token", TOKEN], &[("PEERBROKER_ADMIN_TOKEN", "other")], true),
        (&[], &[("PEERBROKER_OPS_PORT", "0"), ("PEERBROKER_ADMIN_TOKEN", TOKEN)], true),
        (&["--ops_port", "0"], &[("PEERBROKER_ADMIN_TOKEN_FILE", &file)], true),
    ] {
        let (_program, api, rest) = start(args, env);
        assert!(api.address.ip().is_loopback(), "{args:?}");
        assert_eq!(!rest.contains("without a token"), with_token, "{rest}");
        assert!(rest.contains(&format!("dashboard for browsers on http://{}/", api.address)), "{rest}");
        let status = api.get("/api/stats").status;
        assert_eq!(status, if with_token { 401 } else { 200 }, "{args:?} {env:?}");
        if with_token {
            assert_eq!(api.with_token(TOKEN).get("/api/stats").status, 200, "{args:?} {env:?}");
        }
    }
}

#[test]
fn a_token_that_only_reads_comes_from_a_flag_a_variable_or_a_file() {
    let directory = Directory::new();
    let file = directory.file("token", &format!("{TOKEN}\n"));
    let admin = ["--ops_port", "0", "--admin_token", "a-secret-of-the-operator"];
    for (name, path) in [("read_token", "/api/keys"), ("metrics_token", "/metrics")] {
        let flag = format!("--{name}");
        let file_variable = format!("PEERBROKER_{}_FILE", name.to_uppercase());
        for (args, env) in [(&[&*flag, TOKEN][..], &[][..]), (&[], &[(&*file_variable, &*file)])] {
            let (_program, api, _) = start(&[&admin, args].concat(), env);
            let api = api.with_token(TOKEN);
            assert_eq!(api.get(path).status, 200, "{args:?} {env:?}");
            assert_eq!(api.post("/api/keys", &json!({})).status, 403, "{args:?} {env:?}");
        }
        let same = run(&["config", "check", "--ops_port", "0", "--admin_token", TOKEN, &flag, TOKEN], &[]);
        assert_eq!(same.status.code(), Some(2), "{}", same.stderr);
        assert!(same.stderr.contains(&format!("{flag} and --admin_token are the same")), "{}", same.stderr);
        assert!(!same.stderr.contains(TOKEN), "{}", same.stderr);
    }
}

#[test]
fn a_wrong_token_of_a_server_without_an_admin_token_names_the_one_that_it_has() {
    for (flag, words) in
        [("--metrics_token", "the metrics token is wrong"), ("--read_token", "the read token")]
    {
        let (_program, api, _) = start(&["--ops_port", "0", flag, TOKEN], &[]);
        assert!(api.with_token("another-token-than-that").get("/metrics").problem(401).starts_with(words));
    }
}

#[test]
fn wrong_values_end_the_program_with_what_is_wrong_and_never_show_the_token() {
    let directory = Directory::new();
    let odd = directory.file("odd", "se cret of sixteen or more");
    let empty = directory.file("empty", "\n");
    let short = directory.file("short", "secret-of-15-ch\n");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    for (args, code, words) in [
        (&["--ops_port", "x"][..], 2, &["--ops_port", "65535"][..]),
        (
            &["--ops_port", "0", "--admin_token", "se cret of sixteen or more"],
            2,
            &["--admin_token", "no spaces"],
        ),
        (&["--ops_port", "0", "--admin_token", "secret-of-15-ch"], 2, &["--admin_token", "16 to 4096"]),
        (
            &["--ops_port", "0", "--admin_token_file", &short],
            1,
            &["--admin_token_file", "16 to 4096", "openssl"],
        ),
        (&["--ops_port", "0", "--admin_token", "a", "--admin_token_file", "b"], 2, &["cannot be used with"]),
        (
            &["--ops_port", "0", "--admin_token_file", "/nowhere/token"],
            1,
            &["--admin_token_file", "/nowhere"],
        ),
        (
            &["--ops_port", "0", "--admin_token_file", "/dev/zero"],
            1,
            &["--admin_token_file /dev/zero: it is not a regular file"],
        ),
        (
            &["--ops_port", "0", "--admin_token_file", "/"],
            1,
            &["--admin_token_file /: it is not a regular file"],
        ),
        (&["--ops_port", "0", "--admin_token_file", &odd], 1, &["--admin_token_file", "no spaces"]),
        (&["--ops_port", "0", "--admin_token_file", &empty], 1, &["--admin_token_file", "16 to 4096"]),
        (&["--ops_port", "0", "--ops_host", "nowhere.invalid"], 1, &["--ops_host nowhere.invalid"]),
        (&["--ops_port", &taken], 1, &["in use", "--ops_port"]),
    ] {
        let ended = run(&[&["--host", "127.0.0.1", "--port", "0"], args].concat(), &[]);
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {}", ended.stderr);
        assert!(words.iter().all(|word| ended.stderr.contains(word)), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("cret"), "{}", ended.stderr);
    }
    let help = run(&["--help"], &[("PEERBROKER_ADMIN_TOKEN", "a-secret")]);
    assert!(!help.stdout.concat().contains("a-secret"));
}

#[test]
fn changes_through_the_api_are_stored_and_logged_without_secrets() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let args = ["--ops_port", "0", "--data_dir", &data_dir];
    let secret = "0123456789abcdef0123456789abcdef";
    {
        let (mut program, api, _) = start(&args, &[]);
        let auth = json!({"method": "jwt", "kind": "secret", "value": secret});
        assert_eq!(api.post("/api/keys", &json!({"key": "kept", "auth": auth})).status, 201);
        assert_eq!(api.post("/api/keys", &json!({"key": "gone\u{2028}"})).status, 201);
        assert_eq!(api.patch("/api/keys/kept", &json!({"name": "a name"})).status, 200);
        assert_eq!(api.delete("/api/keys/gone%E2%80%A8").status, 204);
        let _client = program.client("a");
        assert_eq!(api.delete("/api/keys/peerjs/peers/a").status, 204);
        let log = program.stop().stderr;
        for line in [
            "added the key \"kept\"",
            "changed the key \"kept\"",
            "removed the key \"gone\\u{2028}\"",
            "kicked the peer \"a\" of the key \"peerjs\"",
        ] {
            let written = log.lines().find(|written| written.contains(line));
            let written = written.unwrap_or_else(|| panic!("no {line} in {log}"));
            assert!(written.contains("peerbroker::audit") && written.contains("127.0.0.1"), "{written}");
        }
        assert!(!log.contains(secret));
    }
    let (_program, api, _) = start(&args, &[]);
    let kept = api.get("/api/keys").json["keys"].take();
    let kept: Vec<_> = kept.as_array().unwrap().iter().map(|key| (&key["key"], &key["name"])).collect();
    assert_eq!(kept, [(&json!("kept"), &json!("a name")), (&json!("peerjs"), &json!("built in"))]);
}

#[test]
fn the_token_may_come_through_a_pipe() {
    for (token, code) in [("secret-of-16-chr", 0), ("secret-of-15-ch", 1)] {
        let args = ["config", "check", "--ops_port", "0", "--admin_token_file", "/dev/stdin"];
        let mut child = command(&args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // The line break of the file is the end of the token.
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{token}");
    }
}

#[test]
fn a_key_that_is_added_after_the_data_directory_was_removed_is_not_said_to_be_kept() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let (mut program, api, _) = start(&["--ops_port", "0", "--data_dir", &data_dir], &[]);
    assert_eq!(api.post("/api/keys", &json!({"key": "kept"})).status, 201);
    std::fs::remove_dir_all(&data_dir).unwrap();
    api.post("/api/keys", &json!({"key": "lost"})).problem(500);
    api.patch("/api/keys/kept", &json!({"name": "lost"})).problem(500);
    api.delete("/api/keys/kept").problem(500);
    let log = program.stop().stderr;
    let told = "peerbroker.db: it was removed or replaced while it was in use";
    assert!(log.matches(told).count() >= 3, "{log}");
    assert!(!log.contains("added the key \"lost\""), "{log}");
}

#[test]
fn the_api_is_served_by_https_with_the_certificate_of_clients() {
    let file = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let [key, cert] = ["ec-pkcs8.key", "ec-chain.pem"].map(file);
    let token = [("PEERBROKER_ADMIN_TOKEN", "0123456789abcdef")];
    let args = ["--sslkey", &key, "--sslcert", &cert, "--ops_port", "0", "--ops_tls"];
    let mut program = Program::start_with_env(&args, &token);
    let line =
        std::iter::repeat_with(|| program.expect_line()).find(|line| line.starts_with("The API")).unwrap();
    let address = line.split("https://").nth(1).and_then(|rest| rest.split_once("/api")).unwrap().0;
    let address = address.parse().unwrap();
    let ask = |head: &str, body: &str| {
        let mut client = RawClient::connect_tls(address, "operator", trust());
        client.send_raw(format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n",
            token[0].1
        ));
        client.send_raw(format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client.expect_response()
    };
    assert_eq!(ask("GET /api/stats", "").status, 200);
    let login = ask("POST /api/session", &format!("{{\"token\":\"{}\"}}", token[0].1));
    assert!(login.header("set-cookie").unwrap().ends_with("; Secure"), "{login:?}");
    let mut plain = RawClient::connect(address, "operator");
    plain.send_raw("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(plain.expect_response().text().contains("this port speaks HTTPS"));
}
