//! Two processes with the same file.

use std::process::{Command, Stdio};

use peerbroker_keys::{Change, KeyStore as _};

use crate::directory::Directory;
use crate::{key, made_at, open};

/// The output of `peerbroker keys`, as another process.
fn peerbroker_keys(args: &[&str], data_dir: &str) -> String {
    let mut command = Command::new(testkit::program::path());
    command.arg("keys").args(args).args(["--data_dir", data_dir]).env_clear().stdin(Stdio::null());
    let output = command.output().expect("the program");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn two_handles_see_each_others_changes() {
    let directory = Directory::new();
    let ours = open(&directory.at(""));
    let theirs = open(&directory.at(""));
    let disable = Change { enabled: Some(false), ..Change::default() };
    let changes: [&dyn Fn(); 4] = [
        &|| theirs.add(made_at(1, "k")).unwrap(),
        &|| drop(theirs.change(&key("k"), disable.clone()).unwrap()),
        &|| theirs.add(made_at(2, "l")).unwrap(),
        &|| theirs.remove(&key("k")).unwrap(),
    ];
    let mut versions = vec![ours.version().unwrap()];
    for change in changes {
        change();
        let version = ours.version().unwrap();
        assert!(!versions.contains(&version), "{version} after {versions:?}");
        assert_eq!(ours.version().unwrap(), version);
        assert_eq!(ours.all().unwrap(), theirs.all().unwrap());
        versions.push(version);
    }
    // The other way round, with changes of both in between.
    let before = theirs.version().unwrap();
    ours.add(made_at(3, "ours")).unwrap();
    theirs.add(made_at(3, "theirs")).unwrap();
    assert_ne!(theirs.version().unwrap(), before);
    assert_eq!(ours.all().unwrap(), theirs.all().unwrap());
}

#[test]
fn changes_of_another_process_are_seen() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let keys = open(directory.at("data").as_path());
    let mut version = keys.version().unwrap();
    let mut assert_seen = |what: &str| {
        let now = keys.version().unwrap();
        assert_ne!(now, version, "{what}");
        version = now;
    };

    let printed = peerbroker_keys(&["add", "--name", "theirs"], &data_dir);
    assert_seen("add");
    let theirs = key(printed.lines().next().unwrap());
    assert_eq!(keys.get(&theirs).unwrap().unwrap().name, "theirs");

    peerbroker_keys(&["set", theirs.as_str(), "--allow_discovery"], &data_dir);
    assert_seen("set");
    assert_eq!(keys.get(&theirs).unwrap().unwrap().settings.allow_discovery, true.into());

    peerbroker_keys(&["disable", theirs.as_str()], &data_dir);
    assert_seen("disable");
    assert!(!keys.get(&theirs).unwrap().unwrap().settings.enabled);

    keys.add(made_at(1, "ours")).unwrap();
    assert_seen("our own");
    assert!(peerbroker_keys(&["list"], &data_dir).contains("ours"));

    peerbroker_keys(&["remove", theirs.as_str()], &data_dir);
    assert_seen("remove");
    assert_eq!(keys.get(&theirs).unwrap(), None);
}

#[test]
fn reading_and_noting_what_is_known_is_no_change_for_others() {
    let directory = Directory::new();
    let ours = open(&directory.at(""));
    let theirs = open(&directory.at(""));
    theirs.add(made_at(1, "k")).unwrap();
    theirs.record_used(&[(key("k"), 5)]).unwrap();
    let before = ours.version().unwrap();
    theirs.all().unwrap();
    theirs.record_used(&[(key("k"), 5), (key("absent"), 6)]).unwrap();
    theirs.add(made_at(2, "k")).unwrap_err();
    assert_eq!(ours.version().unwrap(), before);
}
