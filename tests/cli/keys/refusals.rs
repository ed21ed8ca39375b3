//! Errors of `peerbroker keys`, with their exit codes.

use std::fs;

use super::{Directory, done, listed, refused, run, shown};

#[test]
fn a_key_that_is_there_or_is_not_there_ends_with_1() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "k"]);
    let text = refused(&directory, &["add", "-k", "k", "--name", "second"], 1);
    assert_eq!(text, "error: the key k exists already\n");
    assert_eq!(shown(&directory, "k")["name"], "");
    for args in [
        &["show", "absent"][..],
        &["set", "absent", "--allow_discovery"],
        &["enable", "absent"],
        &["disable", "absent"],
        &["remove", "absent"],
    ] {
        assert_eq!(
            refused(&directory, args, 1),
            "error: there is no stored key absent. A key of the configuration file is changed there, and --config names the file\n",
            "{args:?}"
        );
    }
}

#[test]
fn the_name_of_a_key_in_its_place_is_told_the_key() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "my-game", "--name", "My game"]);
    for args in [&["set", "My game", "--allow_discovery"][..], &["show", "My game"], &["remove", "My game"]] {
        let text = refused(&directory, args, 1);
        assert_eq!(text, "error: My game is the name of the key my-game: give that\n", "{args:?}");
    }
    done(&directory, &["delete", "my-game"]);
    assert!(listed(&directory).is_empty());
}

#[test]
fn a_directory_without_keys_is_named_and_not_made() {
    let directory = Directory::new();
    for args in [
        &["list"][..],
        &["show", "k"],
        &["set", "k", "--allow_discovery"],
        &["disable", "k"],
        &["remove", "k"],
    ] {
        let text = refused(&directory, args, 1);
        assert!(
            text.contains("there is no peerbroker.db in") && text.contains(&directory.arg("data")),
            "{text}"
        );
    }
    assert!(!directory.at("data").exists());
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = Directory::new();
    let file = directory.file("file", "");
    for dir in [file.as_str(), "/proc"] {
        let ended = run(&["keys", "add", "--data_dir", dir], &[]);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("error: cannot reach the keys: ") && ended.stderr.contains(dir));
        assert!(ended.stdout.is_empty(), "no key that is nowhere: {:?}", ended.stdout);
    }
    fs::create_dir(directory.at("data")).unwrap();
    directory.file("data/peerbroker.db", "no database, and no empty file either");
    let text = refused(&directory, &["list"], 1);
    assert!(text.contains("peerbroker.db: file is not a database"), "{text}");
}

#[test]
fn a_wrong_value_ends_with_2_and_names_its_flag_and_what_is_accepted() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "k"]);
    let long_key = "k".repeat(129);
    let long_name = "n".repeat(101);
    for (option, value, accepted) in [
        ("--origin", "example.org", "https://*.example.org"),
        ("--origin", "https://example.org/path", "without a path"),
        ("--origin", "", "a scheme and a host"),
        ("--origin", "https://a.test,https://b.test", "several origins: give each by itself"),
        ("--name", long_name.as_str(), "at most 100 characters"),
        ("--name", "a\nb", "no control characters"),
        ("--concurrent_limit", "-1", "a whole number of 0 or more"),
        ("--messages_per_second", "4294967296", "a whole number of 0 or more"),
        ("--allow_discovery", "maybe", "true, false, near or pin"),
        ("--allow_no_origin", "2", "true or false"),
        ("--auth", "password", "none, jwt or webhook"),
        ("--auth_url", "example.org", "must begin with http:// or https://"),
        ("--auth_url", "https://user:password@example.org/", "must not have a user name"),
    ] {
        let argument = format!("{option}={value}");
        for command in [&["add"][..], &["set", "k"]] {
            let text = refused(&directory, &[command, &[&argument]].concat(), 2);
            assert!(text.contains(option) && text.contains(accepted), "{argument}: {text}");
        }
    }
    for key in ["", &long_key, "a\nb"] {
        let text = refused(&directory, &["add", "--key", key], 2);
        assert!(text.contains("--key") && text.contains("1 to 128 bytes"), "{text}");
        assert!(refused(&directory, &["show", key], 2).contains("<KEY>"));
    }
    assert_eq!(listed(&directory).len(), 1);
}

#[test]
fn arguments_that_do_not_fit_together_end_with_2() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "k"]);
    for (args, named) in [
        (&["set", "k"][..], "no setting to change was given"),
        (&["set", "--allow_discovery"], "<KEY>"),
        (&["set", "k", "--no_origins", "--origin", "https://a.test"], "cannot be used with"),
        (&["add", "--no_origins"], "--no_origins"),
        (&["set", "k", "--key", "other"], "--key"),
        (&["list", "k"], "unexpected argument"),
        (&["remove"], "<KEY>"),
        (&["rename", "k"], "rename"),
    ] {
        let text = refused(&directory, args, 2);
        assert!(text.contains(named), "{args:?}: {text}");
    }
    let data_dir = directory.arg("data");
    let ended = run(&["--data_dir", &data_dir, "keys", "list"], &[]);
    assert_eq!(ended.status.code(), Some(2), "a flag of the server is not passed over in silence");
    assert_eq!(run(&["keys"], &[]).status.code(), Some(2));
}
