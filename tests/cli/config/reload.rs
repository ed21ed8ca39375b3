//! Reloads: by SIGHUP, and because the file has changed.

use std::fs;

use serde_json::{Value, json};

use super::{PLACE, start_with};
use crate::api::Api;
use crate::directory::Directory;
use crate::program::{Program, command};
use testkit::wait::wait_until;

fn configuration(api: &Api) -> Value {
    api.get("/api/stats").json["configuration"].clone()
}

/// Another file at the same path: it replaces the old one at once, as editors do it.
fn replace(directory: &Directory, name: &str, text: &str) {
    let new = directory.file("new", text);
    fs::rename(new, directory.at(name)).unwrap();
}

struct Live {
    directory: Directory,
    program: Program,
    api: Api,
}

impl Live {
    /// A program with this file.
    fn start(text: &str) -> Self {
        let directory = Directory::new();
        let file = directory.file("p.toml", &format!("{PLACE}ops_port = 0\n{text}"));
        let mut program = start_with(&file);
        let (api, _) = program.expect_api();
        Live { directory, program, api }
    }

    fn write(&self, text: &str) {
        replace(&self.directory, "p.toml", &format!("{PLACE}ops_port = 0\n{text}"));
    }

    /// True if a preflight of a page is answered for its origin.
    fn allows(&self, origin: &str) -> bool {
        let response = self.program.request("/", &format!("Origin: {origin}\r\n"));
        response.header("access-control-allow-origin").as_deref() == Some(origin)
    }
}

#[test]
fn a_hangup_puts_settings_in_force_and_closes_nobody() {
    let mut live = Live::start(
        "cors = ['https://a.example']\ndrain_timeout = 7\n[[api_key]]\nkey = 'old'\n[[api_key]]\nkey = 'kept'\n",
    );
    let mut a = live.program.client("a");
    let mut b = live.program.client("b");
    live.write(
        "cors = ['https://b.example']\nconnections_per_address = 7\nworkers = 1\nturn_secret = 'hushhushhushhush'\n\
         redis = 'redis://:hushhush@127.0.0.1'\nadmin_token = '0123456789abcdef'\nlog = 'info'\n\
         [[api_key]]\nkey = 'game'\n[[api_key]]\nkey = 'kept'\nname = 'new'\n",
    );
    live.program.signal("-HUP");
    wait_until("the new token", || live.api.get("/api/stats").status == 401);
    live.api = live.api.with_token("0123456789abcdef");
    wait_until("the reload", || !configuration(&live.api)["reloaded"].is_null());
    assert!(live.allows("https://b.example") && !live.allows("https://a.example"));
    assert_eq!(live.api.get("/api/log").json["filter"], "info");
    live.program.connect("/peerjs?key=game&id=x&token=t").expect_open();
    live.program.connect("/peerjs?key=old&id=x&token=t").expect_text();
    a.send(r#"{"type":"OFFER","dst":"b","payload":{}}"#);
    assert!(b.expect_text().contains("OFFER"));
    live.program.signal("-HUP");
    drop((a, b));
    let ended = live.program.stop();
    let log = &ended.stderr;
    for words in [
        "reloaded the configuration: cors https://a.example → https://b.example",
        "connections_per_address 1000 → 7",
        "admin_token changed",
        "log not set → info",
        "key \"old\" removed, key \"game\" added, key \"kept\" changed",
        "drain_timeout needs a restart; 7 stays",
        "workers needs a restart; 0 stays",
        "turn_secret changed",
        "redis needs a restart; not set stays",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("0123456789abcdef") && !log.contains("hushhush"), "{log}");
}

#[test]
fn a_changed_line_that_a_flag_or_a_variable_overrides_is_named_with_what_does() {
    let directory = Directory::new();
    let file = directory.file("live.toml", "messages_per_second = 100\n");
    let mut server = command(&["--config", &file, "--host", "127.0.0.1", "--port", "0"]);
    let args = ["--messages_per_second", "50", "--room_members", "20"];
    let mut program =
        Program::start_command(server.args(args).env("PEERBROKER_CONNECTIONS_PER_ADDRESS", "9"));
    let changed = "cors = 'https://a.example'\nroom_members = 20\nmessages_per_second = 200\nconnections_per_address = 8\n";
    replace(&directory, "live.toml", changed);
    program.expect_log(&format!(
        "connections_per_address ({file}, line 4) does nothing: PEERBROKER_CONNECTIONS_PER_ADDRESS overrides it"
    ));
    replace(&directory, "live.toml", &changed.replace("200", "300"));
    program.expect_log("nothing is different");
    let log = program.stop().stderr;
    let words =
        format!("messages_per_second ({file}, line 3) does nothing: --messages_per_second overrides it");
    assert_eq!(log.matches(&words).count(), 2, "{log}");
    assert_eq!(log.matches("connections_per_address (").count(), 1, "it is the same: {log}");
    assert!(!log.contains("room_members ("), "both say the same: {log}");
}

#[test]
fn a_changed_file_is_read_without_a_signal_and_a_wrong_one_changes_nothing() {
    let mut live = Live::start("cors = ['https://a.example']\n");
    let _client = live.program.client("a");
    live.write("cors = ['https://b.example']\n");
    wait_until("the new origin", || live.allows("https://b.example"));
    // Wrong as a file, as a value, together with others, and gone.
    for (text, words) in [
        ("prot = 1\n", "line 4: unknown setting"),
        ("cors = ['https://c.example']\npipes = 'x'\n", "invalid value 'x' for 'pipes ("),
        (
            "cors = ['https://c.example']\nregistration = 'open'\npages = false\n",
            "registration form is on the landing page",
        ),
        // Settings that need a restart must be valid too.
        ("cors = ['https://c.example']\nsslkey = '/nowhere'\n", "must be used together"),
    ] {
        live.write(text);
        wait_until(words, || {
            configuration(&live.api)["error"].as_str().is_some_and(|error| error.contains(words))
        });
        assert!(live.allows("https://b.example") && !live.allows("https://c.example"), "{text}");
    }
    // A pipe without a writer is no reason to wait.
    let pipe = live.directory.arg("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    live.write(&format!("admin_token_file = '{pipe}'\n"));
    let is_refused = |error: &str| error.contains("it is not a regular file");
    wait_until("the refusal", || configuration(&live.api)["error"].as_str().is_some_and(is_refused));
    fs::remove_file(live.directory.at("p.toml")).unwrap();
    let is_gone = |error: &str| error.contains("cannot read the configuration file");
    wait_until("the error", || configuration(&live.api)["error"].as_str().is_some_and(is_gone));
    live.write("cors = ['https://c.example']\n");
    wait_until("the new origin", || live.allows("https://c.example"));
    wait_until("the end of the error", || configuration(&live.api)["error"].is_null());
    assert!(!configuration(&live.api)["failed"].is_null());
    let ended = live.program.stop();
    assert!(ended.stderr.contains("the previous configuration stays active: "), "{}", ended.stderr);
    assert!(
        !ended
            .stdout
            .iter()
            .any(|line| line.starts_with("Client disconnected") && line != "Client disconnected: a")
    );
}

#[test]
fn a_flag_still_overrides_the_file_after_a_reload() {
    let directory = Directory::new();
    let file = directory.file("p.toml", "cors = ['https://a.example']\nallow_discovery = false\n");
    let args =
        ["--host", "127.0.0.1", "-p0", "--ops_port=0", "--cors", "https://flag.example", "--config", &file];
    let mut program = Program::start_command(&mut command(&args));
    let (api, _) = program.expect_api();
    assert_eq!(program.get("/peerjs/peers").status, 401);
    replace(&directory, "p.toml", "cors = ['https://b.example']\nallow_discovery = 'near'\n");
    program.signal("-HUP");
    wait_until("discovery", || program.get("/peerjs/peers").status == 200);
    let response = program.request("/", "Origin: https://flag.example\r\n");
    assert_eq!(response.header("access-control-allow-origin").as_deref(), Some("https://flag.example"));
    wait_until("the reload in the statistics", || !configuration(&api)["reloaded"].is_null());
}

#[test]
fn a_hangup_without_a_file_rereads_the_files_that_flags_name() {
    let directory = Directory::new();
    let token = directory.file("token", "0123456789abcdef");
    let mut program = Program::start(&["--ops_port", "0", "--admin_token_file", &token]);
    let (api, _) = program.expect_api();
    let _client = program.client("a");
    fs::write(&token, "fedcba9876543210").unwrap();
    program.signal("-HUP");
    wait_until("the new token", || {
        api.clone().with_token("fedcba9876543210").get("/api/stats").status == 200
    });
    assert_eq!(api.clone().with_token("0123456789abcdef").get("/api/stats").status, 401);
    fs::write(&token, "short").unwrap();
    program.signal("-HUP");
    let api = api.with_token("fedcba9876543210");
    wait_until("the error", || configuration(&api)["error"].is_string());
    assert_eq!(api.get("/api/keys/peerjs/peers").json["peers"].as_array().unwrap().len(), 1);
    let ended = program.stop();
    assert!(ended.stderr.contains("the secret in admin_token_file changed"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("fedcba"), "{}", ended.stderr);
}

/// As Kubernetes replaces a secret: a link leads to another directory.
#[test]
fn a_changed_file_of_a_token_is_read_without_a_signal_and_a_wrong_one_is_told_once() {
    let directory = Directory::new();
    for (version, secret) in [("v1", "0123456789abcdef"), ("v2", "fedcba9876543210"), ("v3", "short")] {
        fs::create_dir(directory.at(version)).unwrap();
        directory.file(&format!("{version}/admin"), secret);
        directory.file(&format!("{version}/metrics"), &secret.repeat(2));
    }
    let lead_to = |version: &str| {
        std::os::unix::fs::symlink(version, directory.at("next")).unwrap();
        fs::rename(directory.at("next"), directory.at("now")).unwrap();
    };
    lead_to("v1");
    let [admin, metrics] = ["now/admin", "now/metrics"].map(|name| directory.arg(name));
    let args = ["--ops_port", "0", "--admin_token_file", &admin, "--metrics_token_file", &metrics];
    let mut program = Program::start(&args);
    let (api, _) = program.expect_api();
    let status = |path: &str, token: &str| api.clone().with_token(token).get(path).status;
    assert_eq!(status("/metrics", &"0123456789abcdef".repeat(2)), 200);
    lead_to("v2");
    // The old token is asked for, because wrong ones are guesses, whose number is limited.
    wait_until("the old token is refused", || status("/api/stats", "0123456789abcdef") == 401);
    assert_eq!(status("/api/stats", "fedcba9876543210"), 200);
    assert_eq!(status("/metrics", &"fedcba9876543210".repeat(2)), 200);
    lead_to("v3");
    let new = api.clone().with_token("fedcba9876543210");
    wait_until("the error", || configuration(&new)["error"].is_string());
    lead_to("v1");
    wait_until("the token is refused again", || new.get("/api/stats").status == 401);
    assert_eq!(status("/api/stats", "0123456789abcdef"), 200);
    let log = program.stop().stderr;
    for words in ["the secret in admin_token_file changed", "the secret in metrics_token_file changed"] {
        assert_eq!(log.matches(words).count(), 2, "{log}");
    }
    let refused = "the previous configuration stays active: invalid value for '--admin_token_file'";
    assert_eq!(log.matches(refused).count(), 1, "{log}");
    assert!(!log.contains("fedcba"), "{log}");
}

#[test]
fn limits_that_shrink_leave_those_who_are_connected() {
    let mut live = Live::start("concurrent_limit = 5\n");
    let mut a = live.program.client("a");
    let _b = live.program.client("b");
    live.write("concurrent_limit = 1\n");
    live.program.signal("-HUP");
    wait_until("the reload", || !configuration(&live.api)["reloaded"].is_null());
    live.program.connect("/peerjs?key=peerjs&id=c&token=t").expect_text();
    a.send(r#"{"type":"OFFER","dst":"b","payload":{}}"#);
    assert_eq!(live.api.get("/api/keys/peerjs").json["clients"], json!(2));
    assert_eq!(live.program.stop().status.code(), Some(0));
}

#[test]
fn a_hangup_rereads_the_certificate() {
    let directory = Directory::new();
    let fixture =
        |name: &str| fs::read_to_string(format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR")));
    let key = directory.file("key.pem", &fixture("ec-pkcs8.key").unwrap());
    let cert = directory.file("cert.pem", &fixture("ec-chain.pem").unwrap());
    let token = directory.file("token", "0123456789abcdef");
    let args = ["--ops_port", "0", "--admin_token_file", &token, "--sslkey", &key, "--sslcert", &cert];
    let mut program = Program::start(&args);
    let (api, _) = program.expect_api();
    let api = api.with_token("0123456789abcdef");
    replace(&directory, "cert.pem", "no certificate");
    program.signal("-HUP");
    wait_until("a reload", || !configuration(&api)["reloaded"].is_null());
    // When the second one has failed, the first one is over.
    fs::write(&token, "short").unwrap();
    program.signal("-HUP");
    wait_until("the error", || configuration(&api)["error"].is_string());
    let ended = program.stop();
    assert!(ended.stderr.contains("the previous certificate stays in use: --sslcert "), "{}", ended.stderr);
}

/// As by `: > peerbroker.toml`, or by an editor on a full disk.
#[test]
fn an_emptied_file_takes_no_token_and_no_key_away() {
    let mut live = Live::start("admin_token = '0123456789abcdef'\n[[api_key]]\nkey = 'game'\n");
    let open = live.api.clone();
    live.api = live.api.with_token("0123456789abcdef");
    for text in ["", "\n\n"] {
        fs::write(live.directory.at("p.toml"), text).unwrap();
        live.program.expect_log("p.toml: it is empty. If that is meant, write a comment");
    }
    assert_eq!((open.get("/api/keys").status, live.api.get("/api/keys").status), (401, 200));
    live.program.connect("/peerjs?key=game&id=x&token=t").expect_open();
    let refused = crate::program::run(&["--config", &live.directory.arg("p.toml")], &[]);
    assert!(refused.stderr.contains("it is empty"), "a start is refused too: {}", refused.stderr);
}

#[test]
fn a_file_takes_settings_and_keys_away_only_if_two_looks_find_the_same() {
    let live = Live::start("admin_token = '0123456789abcdef'\n[[api_key]]\nkey = 'game'\n");
    live.write("");
    live.program.expect_log(
        "WARN  peerbroker::reload] the configuration file no longer has admin_token, the key \"game\"",
    );
    live.program.expect_log("reloaded the configuration: admin_token changed, key \"game\" removed");
    // More settings count at once, also by a signal.
    live.write("connections_per_address = 7\n");
    live.program.expect_log("reloaded the configuration: connections_per_address 1000 → 7");
    live.write("# none");
    live.program.signal("-HUP");
    live.program.expect_log("no longer has connections_per_address: that counts in 2 seconds");
    live.program.expect_log("reloaded the configuration: connections_per_address 7 → 1000");
}
