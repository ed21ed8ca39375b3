//! `peerbroker backup`, and the restore of what it made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::directory::Directory;
use crate::program::{Ended, Program, run};
use testkit::wait::wait_until;

fn backup(directory: &Directory, to: &str) -> Ended {
    run(&["backup", "--data_dir", &directory.arg("data"), &directory.arg(to)], &[])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_server_that_starts_with_the_backup_has_what_the_other_one_had() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let mut program = Program::start(&["--data_dir", &data_dir, "--ops_port", "0", "--quiet"]);
    let (api, _) = program.expect_api();
    assert_eq!(api.post("/api/keys", &json!({"key": "before"})).status, 201);
    let acme = directory.at("data/acme/ca.example-0a0b0c0d");
    fs::create_dir_all(&acme).unwrap();
    fs::write(acme.join("certificate.pem"), "a private key").unwrap();

    let ended = backup(&directory, "copy");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout[0].starts_with(&format!("Made {}. ", directory.arg("copy"))), "{:?}", ended.stdout);
    // The server goes on.
    assert_eq!(api.post("/api/keys", &json!({"key": "later"})).status, 201);

    let copied = directory.at("copy/acme/ca.example-0a0b0c0d/certificate.pem");
    assert_eq!(fs::read(&copied).unwrap(), b"a private key");
    assert_eq!([mode(&directory.at("copy")), mode(&copied)], [0o700, 0o600]);
    assert_eq!(mode(&directory.at("copy/peerbroker.db")), 0o600);
    assert!(!directory.at("copy.unfinished").exists());

    // The restore, as the documentation says: stop, put the backup in the place of the directory, start.
    program.stop();
    fs::remove_dir_all(directory.at("data")).unwrap();
    fs::rename(directory.at("copy"), directory.at("data")).unwrap();
    let restored = Program::start(&["--data_dir", &data_dir]);
    let is_known = |key: &str| restored.get(&format!("/{key}/id")).header("x-peerbroker-key").is_none();
    wait_until("the keys are read", || is_known("before"));
    assert!(!is_known("later"));
}

/// Copies the database file alone, as a script without SQLite does.
fn copy_alone(directory: &Directory, to: &str) {
    fs::create_dir(directory.at(to)).unwrap();
    fs::copy(directory.at("data/peerbroker.db"), directory.at(to).join("peerbroker.db")).unwrap();
}

#[test]
fn a_copy_of_the_database_file_alone_has_the_keys_of_the_running_and_of_the_stopped_server() {
    let directory = Directory::new();
    let mut program = Program::start(&["--data_dir", &directory.arg("data"), "--ops_port", "0", "--quiet"]);
    let (api, _) = program.expect_api();
    let has = |copy: &str, keys: &str| {
        let checked = run(&["backup", "--check", &directory.arg(copy)], &[]);
        assert!(checked.stdout.concat().contains(&format!(" with {keys}, ")), "{}", checked.stderr);
    };
    copy_alone(&directory, "new");
    has("new", "0 keys");
    assert_eq!(api.post("/api/keys", &json!({"key": "one"})).status, 201);
    copy_alone(&directory, "running");
    has("running", "1 key");
    let added = run(&["keys", "add", "--key", "two", "--data_dir", &directory.arg("data")], &[]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    copy_alone(&directory, "both");
    has("both", "2 keys");
    assert_eq!(program.stop().status.code(), Some(0));
    let left: Vec<_> =
        fs::read_dir(directory.at("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["peerbroker.db"], "a stopped server leaves no log beside it");
    copy_alone(&directory, "stopped");
    has("stopped", "2 keys");
}

#[test]
fn a_database_that_was_copied_without_its_log_is_no_silent_loss_of_all_keys() {
    let directory = Directory::new();
    let blank = |name: &str| {
        fs::create_dir(directory.at(name)).unwrap();
        let file = rusqlite::Connection::open(directory.at(name).join("peerbroker.db")).unwrap();
        file.pragma_update(None, "journal_mode", "WAL").unwrap();
        directory.arg(name)
    };
    let said = "Was it copied without peerbroker.db-wal, from a running server?";
    let checked = run(&["backup", "--check", &blank("checked")], &[]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(checked.stderr.contains(said), "{}", checked.stderr);
    let listed = run(&["keys", "list", "--data_dir", &blank("listed")], &[]);
    assert!(listed.stderr.starts_with("warning: ") && listed.stderr.contains(said), "{}", listed.stderr);
    let again = run(&["keys", "list", "--data_dir", &directory.arg("listed")], &[]);
    assert_eq!(again.stderr, "");
    Program::start(&["--data_dir", &blank("served")]).expect_log(said);
}

#[test]
fn nothing_is_overwritten_and_what_fails_leaves_nothing() {
    let directory = Directory::new();
    let refused = |to: &str| {
        let ended = backup(&directory, to);
        assert_eq!(ended.status.code(), Some(1), "{:?}", ended.stdout);
        ended.stderr
    };
    assert!(refused("copy").contains("there is no peerbroker.db in --data_dir"));
    let data_dir = directory.arg("data");
    assert_eq!(run(&["keys", "add", "--data_dir", &data_dir], &[]).status.code(), Some(0));
    directory.file("file", "precious");
    fs::create_dir(directory.at("empty")).unwrap();
    for name in ["file", "empty", "data"] {
        assert!(refused(name).ends_with("exists already, and is not overwritten\n"), "{name}");
    }
    assert!(refused("no/such/copy").contains("cannot write"));
    fs::create_dir(directory.at("killed.unfinished")).unwrap();
    assert!(refused("killed").contains("an earlier backup was not finished: remove"));
    // A directory where a file of the ACME server cannot be read.
    fs::create_dir_all(directory.at("data/acme")).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", directory.at("data/acme/certificate.pem")).unwrap();
    assert!(refused("copy").contains("data/acme/certificate.pem"));
    assert!(!directory.at("copy").exists() && !directory.at("copy.unfinished").exists());
    fs::remove_file(directory.at("data/acme/certificate.pem")).unwrap();
    assert_eq!(backup(&directory, "copy").status.code(), Some(0));
}

#[test]
fn a_check_reads_the_backup_and_counts_its_keys() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let copy = directory.arg("copy");
    for key in ["one", "two"] {
        let added = run(&["keys", "add", "--key", key, "--data_dir", &data_dir], &[]);
        assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    }
    assert_eq!(backup(&directory, "copy").status.code(), Some(0));
    let files = || fs::read_dir(&copy).unwrap().count();
    let before = files();
    let checked = run(&["backup", "--check", &copy], &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    assert_eq!(checked.stdout, [format!("{copy} is a backup with 2 keys, which can all be read.")]);
    assert_eq!(files(), before);
    // The check of the flags says what it has found, too.
    let flags = run(&["config", "check", "--data_dir", &copy], &[]);
    assert!(flags.stdout.concat().ends_with(&format!("--data_dir {copy} has 2 keys.")), "{:?}", flags.stdout);
    let missing = run(&["config", "check", "--data_dir", &directory.arg("missing")], &[]);
    assert!(missing.stdout.concat().contains("missing has no keys yet"), "{:?}", missing.stdout);

    fs::create_dir(directory.at("empty")).unwrap();
    fs::create_dir(directory.at("blank")).unwrap();
    fs::write(directory.at("blank/peerbroker.db"), "").unwrap();
    fs::create_dir(directory.at("damaged")).unwrap();
    let mut database = fs::read(directory.at("copy/peerbroker.db")).unwrap();
    let page = database.len() / 2;
    database[page..].fill(0xaa);
    fs::write(directory.at("damaged/peerbroker.db"), &database).unwrap();
    for (name, why) in [
        ("missing", "cannot read"),
        ("empty", "cannot read"),
        ("copy/peerbroker.db", "is a file: give the directory of the backup"),
        ("blank", "is empty"),
        ("damaged", "damaged cannot be restored, because it is damaged: "),
    ] {
        let checked = run(&["backup", "--check", &directory.arg(name)], &[]);
        assert_eq!(checked.status.code(), Some(1), "{name}: {:?}", checked.stdout);
        assert!(checked.stderr.contains(why), "{name}: {}", checked.stderr);
    }
}

#[test]
fn the_directory_may_come_from_the_environment_and_must_come() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    assert_eq!(run(&["keys", "add", "--data_dir", &data_dir], &[]).status.code(), Some(0));
    let ended = run(&["backup", &directory.arg("copy")], &[("PEERBROKER_DATA_DIR", &data_dir)]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let ended = run(&["backup", &directory.arg("other")], &[]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("--data_dir"), "{}", ended.stderr);
    assert_eq!(run(&["backup", "--data_dir", &data_dir], &[]).status.code(), Some(2));
}
