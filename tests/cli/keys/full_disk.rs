//! Keys on a disk without space, in a namespace of its own.

use std::fs;
use std::process::Command;

use crate::directory::Directory;
use crate::program::{self, Program};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::KeyStore as _;
use peerbroker_keys::sqlite::{FILE_NAME, SqliteKeys};
use serde_json::json;
use testkit::tools::lacks;
use testkit::wait::wait_until;

/// Fills a small disk, runs the commands, and becomes the server. Its stdout has only the lines of the
/// server.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=512k none "$1" || exit 9
"$0" keys add --key kept --data_dir "$1/data" >&2
"$0" keys token add kept ci --scope kick --data_dir "$1/data" >&2
dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null
said() { echo "$1:"; shift; "$@"; echo "code $?"; }
{
    said list "$0" keys list --data_dir "$1/data"
    said add "$0" keys add --key new --data_dir "$1/data"
    said backup "$0" backup --data_dir "$1/data" "$1/copy"
    said elsewhere "$0" backup --data_dir "$1/data" "$2"
    echo server:
} >&2 2>&1
exec "$0" --host 127.0.0.1 --port 0 --ops_port 0 --data_dir "$1/data"
"#;

#[test]
fn keys_can_be_read_and_every_change_says_that_the_disk_is_full_until_it_is_not() {
    let namespace = ["--user", "--map-root-user", "--mount"];
    let allowed = Command::new("unshare").args(namespace).arg("true").status();
    if !allowed.is_ok_and(|status| status.success()) {
        return lacks("this user may not make namespaces");
    }
    let directory = Directory::new();
    fs::create_dir(directory.at("disk")).unwrap();
    let disk = directory.arg("disk");
    let copy = directory.arg("copy");
    let mut shell = Command::new("unshare");
    shell.args(namespace).args(["sh", "-c", SCRIPT]).arg(program::path()).args([&disk, &copy]);
    let mut program = Program::start_command(&mut shell);
    let (api, _) = program.expect_api();

    let full = format!("no space left on the disk of {disk}");
    program.expect_log("no space left on the disk of --data_dir ");
    let connect = || program.connect("/peerjs?key=kept&id=a&token=t").expect_text();
    assert!(connect().contains("OPEN"));
    let answer = api.post("/api/keys", &json!({"key": "new"}));
    assert!(answer.problem(507).contains(&full), "{answer:?}");
    // Bans and changes of keys are active at once, and none takes back another.
    let answers = [
        api.post("/api/bans", &json!({"network": "192.0.2.7"})),
        api.delete("/api/keys/kept/tokens/ci"),
        api.patch("/api/keys/kept", &json!({"concurrent_limit": 0})),
        api.patch("/api/keys/kept", &json!({"room_members": 7})),
        api.patch("/api/keys/kept", &json!({"enabled": false})),
    ];
    let change = "the change of the key is active on this node";
    let words =
        ["the ban is active on this node", change, change, change, "the key is disabled on this node"];
    for (answer, what) in answers.iter().zip(words) {
        let detail = answer.problem(507);
        assert!(detail.contains(what) && detail.contains(&full), "{detail}");
    }
    assert!(connect().contains("ERROR"));
    assert_eq!(api.get("/api/bans").json["bans"][0]["network"], "192.0.2.7");
    let shown = api.get("/api/keys/kept").json;
    assert_eq!((&shown["enabled"], &shown["concurrent_limit"]), (&json!(false), &json!(0)));
    // It counts as long as the disk is full: a change of another setting does not end it.
    api.patch("/api/keys/kept", &json!({"enabled": true})).problem(507);
    assert!(connect().contains("user limit"), "{}", connect());
    api.patch("/api/keys/kept", &json!({"enabled": false})).problem(507);
    // There is space again: nobody has to restart the server.
    fs::remove_file(format!("/proc/{}/root{disk}/fill", program.id())).unwrap();
    program.expect_log("there is space on the disk of ");
    assert_eq!(api.post("/api/keys", &json!({"key": "new"})).status, 201);
    // And it is kept then.
    let file = format!("/proc/{}/root{disk}/data/{FILE_NAME}", program.id());
    fs::create_dir(directory.at("seen")).unwrap();
    wait_until("both to be kept", || {
        fs::copy(&file, directory.at("seen").join(FILE_NAME)).unwrap();
        let seen = SqliteKeys::open(&directory.at("seen")).unwrap();
        let kept = seen.get(&ApiKey::parse("kept").unwrap()).unwrap().unwrap().settings;
        let is_kept =
            !kept.enabled && kept.concurrent_limit == 0 && kept.room_members == 7 && kept.tokens.is_empty();
        is_kept && seen.bans().unwrap().len() == 1
    });

    let log = program.stop().stderr;
    let of_command = |name: &str| {
        let (_, rest) = log.split_once(&format!("\n{name}:\n")).unwrap_or_else(|| panic!("{log}"));
        rest.split_once("code ").map(|(said, rest)| (said.to_owned(), rest.starts_with("0\n"))).unwrap()
    };
    let (list, is_done) = of_command("list");
    assert!(is_done && list.contains("kept"), "{list}");
    for name in ["add", "backup"] {
        let (said, is_done) = of_command(name);
        assert!(!is_done && said.contains(&full), "{name}: {said}");
    }
    let (said, is_done) = of_command("elsewhere");
    assert!(is_done && said.starts_with("Made "), "{said}");
    assert!(!log.contains("disk I/O error"), "{log}");
}
