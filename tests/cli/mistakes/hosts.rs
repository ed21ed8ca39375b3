//! Settings as other programs, shells and hosts have them.

use std::process::Command;

use super::{error, expect, one_warning};
use crate::directory::Directory;
use crate::program::{self, command, run};
use testkit::tools::lacks;

/// The log of a check in a directory.
fn log_in(directory: &Directory, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = command(&[&["config", "check"], args].concat());
    let ended = command.envs(env.iter().copied()).current_dir(directory.at("")).output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{log}");
    log
}

#[test]
fn a_variable_that_peerjs_server_might_have_is_named_with_that_of_this_server() {
    for (name, value, instead) in [
        ("PEERSERVER_PORT", "9304", "PEERBROKER_PORT"),
        ("PEERSERVER_KEY", "mygame", "PEERBROKER_KEY"),
        ("PEERSERVER_PROXIED", "true", "PEERBROKER_PROXIED"),
    ] {
        let words = format!("{name} is no variable of this server: did you mean {instead}?");
        one_warning(&[], &[(name, value)], &[&words]);
    }
    let own = [("PEERSERVER_PATH", "/app")];
    // As Kubernetes sets them for a Service with this name.
    let of_service = [
        ("PEERSERVER_PORT", "tcp://10.0.0.1:9000"),
        ("PEERSERVER_SERVICE_HOST", "10.0.0.1"),
        ("PEERSERVER_X", "1"),
    ];
    for env in [&own[..], &of_service] {
        let ended = run(&["config", "check"], env);
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "{env:?}");
    }
}

#[test]
fn variables_of_a_file_that_is_not_read_are_named_without_their_values() {
    let directory = Directory::new();
    let lines = "# a comment\nexport PEERBROKER_PORT=9302\nPEERBROKER_ADMIN_TOKEN=hushhush\nPORT=80\nOTHER=x\nPEERBROKER_\u{1b}=1\n";
    directory.file(".env", lines);
    let note = |names: &str| {
        format!(".env of this directory has {names}, and is not read: `set -a; . ./.env; set +a` reads it\n")
    };
    let log = log_in(&directory, &[], &[]);
    assert!(log.ends_with(&note("PEERBROKER_PORT, PEERBROKER_ADMIN_TOKEN, PORT")), "{log}");
    assert!(log.contains(" INFO ") && !log.contains("hushhush"), "{log}");
    let some = [("PEERBROKER_PORT", "9302"), ("PORT", "80")];
    assert!(log_in(&directory, &[], &some).ends_with(&note("PEERBROKER_ADMIN_TOKEN")));
    directory.file(".env", "DATABASE_URL=x\n");
    assert_eq!(log_in(&directory, &[], &[]), "");
}

#[test]
fn a_configuration_that_init_wrote_and_nobody_names_is_noticed() {
    let directory = Directory::new();
    let made = command(&["init"]).current_dir(directory.at("")).output().unwrap();
    assert!(made.status.success());
    let note = "peerbroker.toml of this directory is not read: --config peerbroker.toml reads it\n";
    let log = log_in(&directory, &[], &[]);
    assert!(log.contains(" INFO ") && log.ends_with(note), "{log}");
    assert!(!log_in(&directory, &["--config", "peerbroker.toml"], &[]).contains("is not read"));
}

#[test]
fn a_path_that_git_bash_made_a_file_of_is_taken_as_it_was_written() {
    for (given, path) in [
        ("C:/Program Files/Git/myapp", "/myapp"),
        ("D:/tools/Git/a/b", "/a/b"),
        ("C:/msys64/myapp", "/myapp"),
    ] {
        let word = path.trim_start_matches('/');
        let words = format!(
            "--path {given:?} is a file, because Git Bash makes that of {path}, which is taken: write --path {word}"
        );
        one_warning(&["--path", given], &[], &[&words]);
        let shown = run(&["config", "show", "--path", given], &[]).stdout.join("\n");
        assert!(shown.contains(&format!("path = {path:?}")), "{shown}");
    }
    one_warning(&["--path", "/Program Files/Git/x"], &[], &["has characters that a URL cannot have"]);
}

#[test]
fn a_fixed_login_of_a_turn_server_belongs_into_the_page() {
    let words = "Those of a provider belong into the page, as in new Peer({ config: { iceServers: [{ urls, username, credential }] } })";
    let turn = ["--turn_url", "turn:turn.example.org"];
    for flag in ["--turn_username", "--turn-user", "--turn_credential", "--turn_password"] {
        let text = error(&[&turn[..], &[flag, "hushhush"]].concat(), &[], 2);
        expect(&text, &[&format!("unexpected argument '{flag}'"), words]);
        assert!(!text.contains("hushhush"), "{text}");
    }
    let directory = Directory::new();
    let file = directory.file("p.toml", "turn_url = 'turn:turn.example.org'\nturn_credential = 'hushhush'\n");
    let text = error(&["--config", &file], &[], 2);
    expect(&text, &["p.toml, line 2: unknown setting \"turn_credential\": this server makes", words]);
    assert!(!text.contains("hushhush"), "{text}");
    expect(
        &error(&["--turn_url", "turn:user:pass@host"], &[], 2),
        &["turn:HOST or turns:HOST without a user"],
    );
    expect(&error(&["--turn_secrets", "x"], &[], 2), &["similar", "'--turn_secret"]);
}

/// The log of a check of the first process of a container.
fn log_of_container(args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = Command::new("unshare");
    command.args(NAMESPACE).arg(program::path()).args(["config", "check"]).args(args).env_clear();
    let ended = command.envs(env.iter().copied()).output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{args:?}: {log}");
    log
}

/// A namespace of processes, whose first one is the program.
const NAMESPACE: [&str; 4] = ["--user", "--map-root-user", "--pid", "--fork"];

#[test]
fn a_server_that_only_its_container_reaches_is_noticed() {
    let allowed = Command::new("unshare").args(NAMESPACE).arg("true").status();
    if !allowed.is_ok_and(|status| status.success()) {
        return lacks("this user may not make namespaces");
    }
    let docker = [("container", "docker")];
    for (host, env) in [
        ("127.0.0.1", docker),
        ("::1", docker),
        ("localhost", docker),
        ("127.0.0.1", [("KUBERNETES_SERVICE_HOST", "10.0.0.1")]),
    ] {
        let words = format!(
            "--host {host} in a container: nothing outside of it reaches this server, not by a published port either. Leave \
             --host out, and publish the port to one address, as in -p 127.0.0.1:9000:9000"
        );
        expect(&log_of_container(&["--host", host], &env), &[" WARN ", &words]);
    }
    let directory = Directory::new();
    let socket = directory.arg("b.sock");
    for args in [&["--host", "0.0.0.0"][..], &["--host", "127.0.0.1", "--unix_socket", &socket]] {
        assert_eq!(log_of_container(args, &docker), "", "{args:?}");
    }
    // A program that another one has started, as npm does, may be there for its neighbours.
    let ended = run(&["config", "check", "--host", "127.0.0.1"], &docker);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn keys_of_one_node_of_a_cluster_are_noticed() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let redis = ["config", "check", "--redis", "redis://h"];
    for (args, words) in [
        (&["--data_dir", &data_dir][..], "with --redis, only this node has the keys of --data_dir"),
        (&["--ops_port", "0"], "are lost when it stops, and other nodes do not know them"),
    ] {
        let ended = run(&[&redis, args].concat(), &[]);
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        expect(&ended.stderr, &[words, "--keys redis keeps keys for all nodes"]);
        assert_eq!(ended.stderr.matches(" WARN ").count(), 1, "{}", ended.stderr);
    }
    let shared = run(&[&redis[..], &["--keys", "redis", "--ops_port", "0"]].concat(), &[]);
    assert_eq!((shared.status.code(), shared.stderr.as_str()), (Some(0), ""));
}
