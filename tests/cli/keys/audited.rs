//! Changes by `peerbroker keys`, in the log of a server that runs.

use serde_json::json;

use super::done;
use crate::directory::Directory;
use crate::program::Program;
use testkit::wait::wait_until;

#[test]
fn the_audit_has_what_the_command_does_and_no_change_twice() {
    let directory = Directory::new();
    done(&directory, &["add", "--key", "before"]);
    let mut program = Program::start(&["--data_dir", &directory.arg("data"), "--ops_port", "0", "--quiet"]);
    let (api, _) = program.expect_api();
    assert_eq!(api.post("/api/keys", &json!({"key": "by-api", "name": "n"})).status, 201);
    let knows = |path: &str, status: u16| wait_until(path, || program.get(path).status == status);
    done(&directory, &["add", "--key", "k", "--allow_discovery"]);
    knows("/k/peers", 200);
    done(&directory, &["set", "k", "--allow_discovery=false"]);
    knows("/k/peers", 401);
    done(&directory, &["remove", "k"]);
    let unknown = || program.get("/k/id").header("x-peerbroker-key").is_some();
    wait_until("the key is gone", unknown);
    let log = program.stop().stderr;
    let audit: Vec<&str> =
        log.lines().filter_map(|line| Some(line.split_once("peerbroker::audit] ")?.1)).collect();
    let words = [
        "the API, from 127.0.0.1, added the key \"by-api\"",
        "another process added the key \"k\": {",
        "another process changed the key \"k\": {",
        "another process removed the key \"k\"",
    ];
    assert_eq!(audit.len(), words.len(), "{log}");
    for (line, words) in audit.iter().zip(words) {
        assert!(line.starts_with(words), "{line}");
    }
}
