//! `peerbroker keys export` and `import`: from one place to another, while servers run.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::{Directory, done, keys, listed, refused};
use crate::program::{Program, command, run};
use crate::redis_server::RedisServer;
use testkit::wait::wait_until;

const SECRET: &str = "hushhush-hushhush-hushhush-hushhush";

const SIGNING: &str = "whsec_aHVzaGh1c2gtaHVzaGh1c2gtaHVzaGh1c2g=";

/// Two keys, one of them with secrets and an origin.
fn with_keys() -> Directory {
    let directory = Directory::new();
    let secret = directory.file("secret", SECRET);
    done(&directory, &["add", "-k", "plain", "--name", "Plain"]);
    done(&directory, &["add", "-k", "proved", "--jwt_secret_file", &secret, "--origin", "https://a.test"]);
    let signing = directory.file("signing", SIGNING);
    let webhook = ["--webhook", "https://a.test/events", "--webhook_secret_file", &signing];
    done(&directory, &[&["set", "proved"][..], &webhook].concat());
    directory
}

fn export(directory: &Directory, name: &str) -> String {
    let file = directory.arg(name);
    let ended = keys(directory, &["export", &file]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stdout.is_empty());
    file
}

#[test]
fn an_export_has_everything_and_only_its_owner_can_read_it() {
    let from = with_keys();
    let ended = keys(&from, &["export", &from.arg("keys.json")]);
    assert_eq!(
        ended.stderr,
        "Exported 2 keys, with the secret of 1: whoever can read it can sign tokens or events.\n"
    );
    let mode = fs::metadata(from.at("keys.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(from.at("keys.json")).unwrap();
    assert!(text.contains(SECRET) && text.contains(SIGNING));
    let to_stdout = keys(&from, &["export"]);
    assert_eq!(to_stdout.stdout.join("\n") + "\n", text);

    let to = Directory::new();
    assert_eq!(done(&to, &["import", &from.arg("keys.json")]), ["Imported 2 keys."]);
    assert_eq!(listed(&to), listed(&from));
    assert_eq!(fs::read(export(&to, "again.json")).unwrap(), text.as_bytes());
}

/// A pipe of Node is a socket.
#[test]
fn an_import_reads_a_socket_at_stdin() {
    let from = with_keys();
    let to = Directory::new();
    let text = fs::read_to_string(export(&from, "keys.json")).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(text.as_bytes()).unwrap();
    drop(ours);
    let mut import = command(&["keys", "import", "-", "--data_dir", &to.arg("data")]);
    let ended = import.stdin(OwnedFd::from(theirs)).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(listed(&to), listed(&from));
}

#[test]
fn a_file_that_exists_is_not_overwritten() {
    let directory = with_keys();
    directory.file("precious", "precious");
    let text = refused(&directory, &["export", &directory.arg("precious")], 1);
    assert!(text.contains("precious exists already, and is not overwritten"), "{text}");
    assert_eq!(fs::read(directory.at("precious")).unwrap(), b"precious");
    let text = refused(&directory, &["export", &directory.arg("no/such/directory")], 1);
    assert!(text.contains("cannot write"), "{text}");
}

#[test]
fn a_key_that_exists_stops_the_import_unless_it_is_to_be_overwritten() {
    let from = with_keys();
    let to = Directory::new();
    let file = export(&from, "keys.json");
    done(&to, &["add", "-k", "proved", "--name", "theirs"]);
    done(&to, &["add", "-k", "other"]);
    let text = refused(&to, &["import", &file], 1);
    assert_eq!(
        text,
        "error: the key proved exists already, so nothing was imported; --replace overwrites keys that exist\n"
    );
    assert_eq!(listed(&to).len(), 2);
    assert_eq!(done(&to, &["import", "--replace", &file]), ["Imported 2 keys."]);
    let names: Vec<Value> = listed(&to).into_iter().map(|key| json!([key["key"], key["name"]])).collect();
    let [plain, proved, other] = [["plain", "Plain"], ["proved", ""], ["other", ""]].map(|key| json!(key));
    assert_eq!(names.len(), 3);
    assert!([plain, proved, other].iter().all(|key| names.contains(key)), "{names:?}");
}

#[test]
fn a_file_with_a_fault_changes_nothing_and_names_it() {
    let directory = Directory::new();
    let key = |change: Value| {
        let mut key = json!({"key": "k", "name": "", "created": 1, "used": null, "registered": false});
        key.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        key
    };
    let file = |keys: Vec<Value>| json!({"peerbroker_keys": 1, "keys": keys}).to_string();
    let good = key(json!({"key": "good"}));
    let after_good = |bad: Value| file(vec![good.clone(), bad]);
    let whole = file(vec![good.clone()]);
    for (text, why) in [
        (whole[..whole.len() / 2].to_owned(), "is not a whole export of keys"),
        ("[]".to_owned(), "is not a whole export of keys"),
        (json!({"peerbroker_keys": 2, "keys": []}).to_string(), "has version 2 of the format"),
        (after_good(json!(7)), "entry 2 of"),
        ("key,name\na,A\n".to_owned(), "`peerbroker keys export FILE` makes one"),
        (json!({"users": [1]}).to_string(), "it is not an object with a list `keys`"),
        (json!({"keys": {"a": {}}}).to_string(), "its member `keys` is not a list"),
        (after_good(json!({"key": "k"})), "is not a key: it lacks `name`\n"),
        (
            after_good(json!({"origin": "https://a.test"})),
            "it lacks `key`; it lacks `name`; there is no setting origin:",
        ),
        (
            after_good(json!({"key": "", "relay": "on", "webhook": {"secrets": []}, "colour": 1, "size": 2})),
            "it lacks `name`; there is no setting colour, size: correct its name, or use a newer program, if one wrote the file; \
             key: it is empty; relay: unknown variant `on`, expected one of `fallback`, `always`, `off`; webhook: missing field `url`",
        ),
        (after_good(key(json!({"key": ""}))), "it is empty"),
        (after_good(key(json!({"name": "a\nb"}))), "no control characters"),
        (after_good(key(json!({"orgins": ["https://a.test"]}))), "there is no setting orgins"),
        (after_good(key(json!({"origins": ["a.test"]}))), "entry 2 of"),
        (
            after_good(key(json!({"auth": {"method": "jwt", "kind": "secret", "value": "short"}}))),
            "entry 2 of",
        ),
        (after_good(key(json!({"key": "good"}))), "the key good is in an earlier entry, too"),
    ] {
        let path = directory.file("keys.json", &text);
        for args in [&["import", &path][..], &["import", "--replace", &path]] {
            let error = refused(&directory, args, 1);
            assert!(error.contains(&path) && error.contains(why), "{text}: {error}");
        }
        assert!(!directory.at("data").exists(), "{text}");
    }
    let error = refused(&directory, &["import", &directory.arg("absent")], 1);
    assert!(error.contains("cannot read"), "{error}");
    // The other members are fine as they are.
    let path = directory.file("keys.json", &whole);
    assert_eq!(done(&directory, &["import", &path]), ["Imported 1 key."]);
    // As an editor may leave them.
    let path = directory.file(
        "keys.json",
        &file(vec![key(json!({"key": "edited", "tokens": [], "relay_calls_per_key": null}))]),
    );
    assert_eq!(done(&directory, &["import", &path]), ["Imported 1 key."]);
}

#[test]
fn keys_move_from_a_directory_to_redis_and_back_while_servers_run() {
    let from = with_keys();
    let back = Directory::new();
    let redis = RedisServer::start();
    let url = redis.url();
    let in_directory = Program::start(&["--data_dir", &from.arg("data")]);
    let in_redis = Program::start(&["--redis", &url, "--keys", "redis"]);
    let is_known = |program: &Program| program.get("/plain/id").header("x-peerbroker-key").is_none();
    assert!(is_known(&in_directory) && !is_known(&in_redis));

    let file = export(&from, "keys.json");
    let ended = run(&["keys", "import", "--redis", &url, &file], &[]);
    assert_eq!(ended.stdout, ["Imported 2 keys."], "{}", ended.stderr);
    wait_until("the running node knows the keys", || is_known(&in_redis));

    let again = back.arg("keys.json");
    let ended = run(&["keys", "export", "--redis", &url, &again], &[]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(fs::read(&again).unwrap(), fs::read(&file).unwrap());
    done(&back, &["import", &again]);
    assert_eq!(listed(&back), listed(&from));
}

#[test]
fn what_is_missing_in_a_file_has_its_default() {
    let directory = Directory::new();
    let file =
        directory.file("keys.json", r#"{"keys":[{"key":"a","name":""},{"key":"b","name":"B","created":5}]}"#);
    assert_eq!(done(&directory, &["import", &file]), ["Imported 2 keys."]);
    let listed = listed(&directory);
    let [b, a] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&b["key"], &b["name"], &b["created"]), (&json!("b"), &json!("B"), &json!(5)));
    assert_eq!((&a["key"], &a["registered"]), (&json!("a"), &json!(false)));
    assert!(a["created"].as_u64() > Some(1_700_000_000), "{a}");
}

#[test]
fn an_import_of_many_keys_is_one_line_of_the_audit_and_so_is_their_end() {
    const COUNT: usize = 10_000;
    let directory = Directory::new();
    let entries: Vec<_> = (0..COUNT).map(|n| json!({"key": format!("k{n}"), "name": "n"})).collect();
    let file = directory.file("keys.json", &json!({"keys": entries}).to_string());
    let mut program = Program::start(&["--data_dir", &directory.arg("data"), "--ops_port", "0", "--quiet"]);
    let (api, _) = program.expect_api();
    done(&directory, &["import", &file]);
    wait_until("the keys are active", || program.get("/k9999/id").header("x-peerbroker-key").is_none());
    assert_eq!(api.post("/api/keys", &json!({"key": "one"})).status, 201);
    program.expect_log("added the key \"one\"");
    let log = program.stop().stderr;
    let audit: Vec<&str> =
        log.lines().filter_map(|line| Some(line.split_once("peerbroker::audit] ")?.1)).collect();
    assert_eq!(audit.len(), 2, "{log}");
    assert_eq!(audit[0], "another process imported 10000 keys");
}
