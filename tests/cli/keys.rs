//! The command `peerbroker keys`.

mod audited;
mod exported;
mod full_disk;
#[cfg(target_os = "linux")]
mod idle;
mod proofs;
mod refusals;
mod tokens;
mod unread;
mod unusable_files;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::directory::Directory;
use crate::program::{Ended, command, run};

/// `peerbroker keys` with these arguments, and the directory behind them.
fn keys(directory: &Directory, args: &[&str]) -> Ended {
    let data_dir = directory.arg("data");
    run(&[&["keys"], args, &["--data_dir", &data_dir]].concat(), &[])
}

/// The same; it must succeed.
fn done(directory: &Directory, args: &[&str]) -> Vec<String> {
    let ended = keys(directory, args);
    assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
    let is_quiet = ended.stderr.is_empty() || ended.stderr.starts_with("Created --data_dir ");
    assert!(is_quiet, "{args:?}: {}", ended.stderr);
    ended.stdout
}

/// The same; it must fail. Returns its error message.
fn refused(directory: &Directory, args: &[&str], code: i32) -> String {
    let ended = keys(directory, args);
    assert_eq!(ended.status.code(), Some(code), "{args:?}: {:?} {}", ended.stdout, ended.stderr);
    assert!(ended.stdout.is_empty(), "{args:?}: {:?}", ended.stdout);
    ended.stderr
}

fn shown(directory: &Directory, key: &str) -> Value {
    serde_json::from_str(&done(directory, &["show", key, "--json"]).concat()).expect("JSON")
}

fn listed(directory: &Directory) -> Vec<Value> {
    serde_json::from_str(&done(directory, &["list", "--json"]).concat()).expect("JSON")
}

#[test]
fn add_prints_the_key_alone_and_then_what_a_client_needs() {
    let directory = Directory::new();
    let lines = done(&directory, &["add"]);
    let key = &lines[0];
    assert!(key.len() >= 20 && key.chars().all(|c| c.is_ascii_alphanumeric()), "{key}");
    let snippet = lines.iter().find(|line| line.contains("new Peer({host: ")).expect("a snippet");
    assert!(snippet.contains(&format!("port: 9000, path: \"/\", key: \"{key}\"}})")), "{snippet}");
    assert!(lines.iter().any(|line| line.trim().starts_with("// ") && line.contains("your server")));
    assert_ne!(done(&directory, &["add"])[0], *key);
    assert_eq!(listed(&directory).len(), 2);
}

#[test]
fn origins_that_pages_of_others_have_too_are_taken_and_said_to_be_so() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "k"]);
    let told = |args: &[&str]| {
        let ended = keys(&directory, args);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
        ended.stderr
    };
    let null = "--origin null lets in pages of every site, because each may open a sandboxed frame, whose origin is null\n";
    assert_eq!(told(&["add", "-k", "app", "--origin=app://.", "--origin=null"]), null);
    assert_eq!(shown(&directory, "app")["origins"], json!(["app://.", "null"]));
    assert!(told(&["set", "k", "--origin=file://"]).starts_with("--origin file:// lets in every HTML file "));
    assert_eq!(told(&["set", "k", "--name", "the origins stay"]), "");
    assert_eq!(told(&["set", "k", "--origin=app://.", "--origin=capacitor://localhost"]), "");
}

#[test]
fn a_new_key_has_the_defaults_that_the_help_tells() {
    let directory = Directory::new();
    assert_eq!(done(&directory, &["add", "--key", "mykey"])[0], "mykey");
    let mut key = shown(&directory, "mykey");
    assert!(key.as_object_mut().unwrap().remove("created").unwrap().is_u64());
    let expected = json!({
        "key": "mykey", "name": "", "enabled": true, "origins": [], "allow_no_origin": false,
        "allow_discovery": false, "concurrent_limit": 5000, "messages_per_second": 200, "leave_on_close": false,
        "allow_rooms": true, "private_rooms": false, "room_members": 500, "id_style": "uuid", "relay": "fallback",
        "pipes": true, "ice_servers": true, "call_reports": false, "webhook": {"url": ""},
        "auth": {"method": "none"}, "used": null, "registered": false, "built_in": false,
    });
    assert_eq!(key, expected);
}

#[test]
fn everything_can_be_given_when_a_key_is_added_and_changed_later() {
    let directory = Directory::new();
    let options = [
        "--name=Ünsere App",
        "--origin",
        "https://a.example.org/",
        "--origin",
        "https://*.example.net",
        "--allow_no_origin",
        "--allow-discovery=true",
        "-c",
        "7",
        "--messages-per-second",
        "0",
        "--leave-on-close",
        "--id-style",
        "words",
        "--pipes=false",
        "--ice-servers=false",
        "--call-reports",
        "--allow-rooms=false",
        "--private-rooms",
        "--room-members=9",
        "--expire-timeout=2m",
        "--relay_calls_per_key=3",
        "--relay-bytes-per-second=20Mbit/s",
        "--relay_key_bytes_per_second=0",
        "--auth",
        "webhook",
        "--auth-url",
        "https://example.org/auth",
    ];
    done(&directory, &[&["add", "-k", "added"], &options[..]].concat());
    done(&directory, &["add", "-k", "changed"]);
    done(&directory, &[&["set", "changed"], &options[..]].concat());
    for key in ["added", "changed"] {
        let shown = shown(&directory, key);
        for (member, value) in [
            ("name", json!("Ünsere App")),
            ("leave_on_close", json!(true)),
            ("origins", json!(["https://a.example.org", "https://*.example.net"])),
            ("allow_no_origin", json!(true)),
            ("allow_discovery", json!(true)),
            ("concurrent_limit", json!(7)),
            ("messages_per_second", json!(0)),
            ("allow_rooms", json!(false)),
            ("private_rooms", json!(true)),
            ("room_members", json!(9)),
            ("id_style", json!("words")),
            ("pipes", json!(false)),
            ("ice_servers", json!(false)),
            ("call_reports", json!(true)),
            ("expire_timeout", json!(120_000)),
            ("relay_calls_per_key", json!(3)),
            ("relay_bytes_per_second", json!(2_500_000)),
            ("relay_key_bytes_per_second", json!(0)),
            ("auth", json!({"method": "webhook", "url": "https://example.org/auth"})),
        ] {
            assert_eq!(shown[member], value, "{member} of {key}");
        }
    }
}

#[test]
fn a_key_has_the_relays_limits_of_the_server_until_it_has_its_own_and_again_later() {
    let directory = Directory::new();
    let told = |args: &[&str]| done(&directory, args).into_iter().find(|line| line.starts_with("Call rate"));
    done(&directory, &["add", "-k", "k"]);
    let rates = |rate: &str| Some(format!("Call rate       {rate}"));
    assert_eq!(told(&["show", "k"]), rates("as the server has it"));
    assert_eq!(
        told(&["set", "k", "--relay_bytes_per_second", "10Mbit/s"]),
        rates("1250000 bytes per second")
    );
    assert_eq!(told(&["set", "k", "--relay_bytes_per_second", "0"]), rates("no limit"));
    assert_eq!(told(&["set", "k", "--relay_bytes_per_second", "server"]), rates("as the server has it"));
    assert_eq!(shown(&directory, "k").get("relay_bytes_per_second"), None);
}

#[test]
fn set_changes_what_is_named_and_nothing_else() {
    let directory = Directory::new();
    let origins = ["--origin", "https://a.test", "--origin", "https://b.test"];
    done(&directory, &[&["add", "-k", "k", "--name", "n", "--allow_discovery"], &origins[..]].concat());
    let mut expected = shown(&directory, "k");
    for (args, member, value) in [
        (&["--concurrent_limit", "3"][..], "concurrent_limit", json!(3)),
        (&["--origin", "https://c.test"], "origins", json!(["https://c.test"])),
        (&["--allow_discovery", "false"], "allow_discovery", json!(false)),
        (&["--allow_discovery", "near"], "allow_discovery", json!("near")),
        (&["--allow_discovery=pin"], "allow_discovery", json!("pin")),
        (&["--allow_discovery"], "allow_discovery", json!(true)),
        (&["--name", ""], "name", json!("")),
        (&["--no_origins"], "origins", json!([])),
    ] {
        let lines = done(&directory, &[&["set", "k"], args].concat());
        assert_eq!(lines[0], "Changed:");
        expected[member] = value;
        assert_eq!(shown(&directory, "k"), expected, "{args:?}");
    }
}

#[test]
fn a_key_can_be_disabled_enabled_and_removed() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "k"]);
    assert_eq!(done(&directory, &["disable", "k"]), ["Disabled k."]);
    assert_eq!(shown(&directory, "k")["enabled"], false);
    assert_eq!(done(&directory, &["enable", "k"]), ["Enabled k."]);
    assert_eq!(shown(&directory, "k")["enabled"], true);
    assert_eq!(done(&directory, &["remove", "k"]), ["Removed k."]);
    assert_eq!(done(&directory, &["list"]), ["There are no keys."]);
    assert_eq!(done(&directory, &["list", "--json"]), ["[]"]);
}

#[test]
fn list_is_a_table_with_one_line_for_each_key() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "a-long-key", "--name", "My game", "--origin", "https://a.test"]);
    let origins = ["--origin", "https://b.test", "--origin", "https://c.test"];
    done(&directory, &[&["add", "-k", "k"], &origins[..]].concat());
    done(&directory, &["disable", "k"]);
    let lines = done(&directory, &["list"]);
    let cells: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(cells[0], ["KEY", "NAME", "STATE", "AUTH", "ORIGINS", "CREATED", "LAST USED"]);
    assert_eq!(cells.len(), 3);
    // Both may be of the same second, and are sorted by their text then.
    assert_eq!(cells[1][..5], ["a-long-key", "My game", "enabled", "none", "https://a.test"]);
    assert_eq!(cells[2][..5], ["k", "-", "disabled", "none", "https://b.test +1"]);
    let created = cells[1][5];
    assert!(created.len() == "2026-01-02 03:04Z".len() && created.ends_with('Z'), "{created}");
    assert_eq!(cells[1][6], "never");
    let column = |line: &str, word: &str| line.find(word).unwrap();
    assert_eq!(column(&lines[0], "STATE"), column(&lines[1], "enabled"));
    assert_eq!(column(&lines[0], "STATE"), column(&lines[2], "disabled"));
}

#[test]
fn show_tells_all_of_one_key() {
    let directory = Directory::new();
    done(
        &directory,
        &["add", "-k", "k", "--name", "My game", "--origin", "https://a.test", "--allow_no_origin"],
    );
    let lines = done(&directory, &["show", "k"]);
    let text = lines.join("\n");
    for part in ["Key             k\n", "My game", "enabled", "5000 at most"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let column = lines[0].find(" k").unwrap() + 1;
    let origins = lines.iter().position(|line| line.contains("https://a.test")).unwrap();
    assert_eq!(lines[origins + 1].trim(), "and clients without an Origin");
    for line in &lines {
        assert!(line[..column].ends_with("  ") && !line[column..].starts_with(' '), "{column}: {line:?}");
    }
}

#[test]
fn a_key_that_looks_like_an_option_can_be_named() {
    let directory = Directory::new();
    assert_eq!(done(&directory, &["add", "--key=--json"])[0], "--json");
    let data_dir = directory.arg("data");
    let ended = run(&["keys", "remove", "--data_dir", &data_dir, "--", "--json"], &[]);
    assert_eq!(ended.stdout, ["Removed --json."]);
}

#[test]
fn nothing_that_is_printed_commands_a_terminal() {
    let directory = Directory::new();
    assert_eq!(done(&directory, &["add", "-k", "a\u{202e}b", "--name", "c\u{2028}d"])[0], "a\\u{202e}b");
    for args in [&["list"][..], &["show", "a\u{202e}b"], &["disable", "a\u{202e}b"]] {
        let text = done(&directory, args).join("\n");
        assert!(!text.contains(['\u{202e}', '\u{2028}']), "{text:?}");
    }
}

#[test]
fn the_directory_may_come_from_the_environment() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let env = [("PEERBROKER_DATA_DIR", data_dir.as_str())];
    assert_eq!(run(&["keys", "add", "--key", "k"], &env).stdout[0], "k");
    assert_eq!(run(&["keys", "list", "--data-dir", &data_dir], &[]).stdout.len(), 2);
    for env in [&[][..], &[("PEERBROKER_DATA_DIR", "")]] {
        let ended = run(&["keys", "list"], env);
        assert_eq!(ended.status.code(), Some(2));
        assert!(ended.stderr.contains("--data_dir"), "{}", ended.stderr);
    }
}

#[test]
fn variables_of_the_server_do_not_affect_the_keys_command() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let env = [("PORT", "x"), ("PEERBROKER_SSLKEY", "/no/such/key"), ("PEERBROKER_KEY", "server")];
    let ended = run(&["keys", "add", "--data_dir", &data_dir], &env);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_ne!(ended.stdout[0], "server");
}

#[test]
fn the_help_lists_commands_and_options() {
    let help = |args: &[&str]| {
        let ended = run(args, &[]);
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
        ended.stdout.join("\n")
    };
    let text = help(&["keys", "--help"]);
    for part in
        ["add", "list", "show", "set", "enable", "disable", "remove", "peerbroker keys add --data_dir data"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    for command in ["add", "set"] {
        let text = help(&["keys", command, "--help"]);
        for part in ["--data_dir", "--origin", "--auth", "--jwks_file", "webhook:"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert!(help(&["--help"]).contains("keys"));
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "k"]);
    let data_dir = directory.arg("data");
    let mut child = command(&["keys", "list", "--data_dir", &data_dir])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    drop(child.stdout.take());
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_key_that_cannot_be_printed_is_an_error() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let stdout = fs::File::options().write(true).open(full).unwrap();
    let output = command(&["keys", "add", "--data_dir", &data_dir]).stdout(stdout).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to stdout"));
}
