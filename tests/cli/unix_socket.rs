//! Clients at a Unix socket, as behind a reverse proxy of the same machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::directory::Directory;
use crate::program::{Program, command, run};
use crate::raw_client::RawClient;
use testkit::messages::{forwarded, message};

/// A registered client at a Unix socket.
fn client(path: &Path, id: &str) -> RawClient {
    let mut client = RawClient::connect_unix(path, id);
    client.send_raw(RawClient::handshake(&format!("/peerjs?key=peerjs&id={id}&token=t")));
    client.expect_accepted();
    client.expect_open();
    client
}

fn error(path: &str) -> String {
    let ended = run(&["--host", "127.0.0.1", "--port", "0", "--unix_socket", path], &[]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn clients_at_a_unix_socket_meet_those_at_the_port() {
    let directory = Directory::new();
    let path = directory.at("broker.sock");
    let mut program = Program::start(&["--unix_socket", path.to_str().unwrap()]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666, "a proxy is another user");
    let mut all = [("a", client(&path, "a")), ("b", client(&path, "b")), ("c", program.client("c"))];
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let [sender, receiver] = [from, to].map(|at| all[at].0);
        let payload = r#"{"sdp":"v=0"}"#;
        all[from].1.send(message("OFFER", receiver, payload));
        all[to].1.expect(forwarded("OFFER", sender, receiver, payload));
    }
    assert_eq!(program.stop().status.code(), Some(0));
    all[0].1.expect_cut_off();
    assert!(!path.exists(), "its name ends with the server");
}

#[test]
fn a_socket_that_a_killed_server_left_is_used_again() {
    let directory = Directory::new();
    let path = directory.at("broker.sock");
    let flags = ["--unix_socket", path.to_str().unwrap()];
    drop(Program::start(&flags));
    assert!(path.exists(), "it was killed");
    let _program = Program::start(&flags);
    drop(client(&path, "a"));
}

#[test]
fn the_next_server_takes_the_name_over() {
    let directory = Directory::new();
    let path = directory.at("broker.sock");
    let flags = ["--unix_socket", path.to_str().unwrap(), "--reuse_port"];
    let mut first = Program::start(&flags);
    let mut old = client(&path, "a");
    let port = first.address.port().to_string();
    let same = [&["--host", "127.0.0.1", "--port", &port], &flags[..]].concat();
    let mut second = Program::start_command(&mut command(&same));
    let mut new = client(&path, "b");
    assert_eq!(second.expect_event(), "Client connected: b");
    assert_eq!(first.stop().status.code(), Some(0));
    old.expect_cut_off();
    new.expect_nothing("b");
    drop(client(&path, "c"));
}

#[test]
fn a_path_at_which_no_socket_can_be_is_told() {
    let directory = Directory::new();
    let file = directory.file("notes.txt", "mine");
    assert!(
        error(&file)
            .contains("notes.txt exists and is no socket: give a path at which the server may make one")
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    let missing = directory.arg("missing/broker.sock");
    assert!(error(&missing).contains("cannot listen on --unix_socket"), "{}", error(&missing));

    let path = directory.arg("broker.sock");
    let _program = Program::start(&["--unix_socket", &path]);
    assert!(error(&path).contains("another program listens on --unix_socket"));
    drop(client(Path::new(&path), "a"));
}

#[test]
fn a_path_may_be_as_long_as_the_system_has_it() {
    let directory = Directory::new();
    let below = directory.arg("");
    for length in [103, 104, 107] {
        let path = format!("{below}{}", "s".repeat(length - below.len()));
        let mut program = Program::start(&["--unix_socket", &path]);
        drop(client(Path::new(&path), "a"));
        assert_eq!(program.stop().status.code(), Some(0));
        assert!(!Path::new(&path).exists(), "its name ends with the server");
    }
}
