//! `peerbroker init`, and the server that starts with what it has made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::directory::Directory;
use crate::program::{Program, command, run};

#[test]
fn what_init_makes_starts_a_server_whose_api_takes_the_token() {
    let directory = Directory::new();
    let dir = directory.arg("broker");
    let ended = run(&["init", &dir], &[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    let config = format!("{dir}/peerbroker.toml");
    assert!(ended.stdout.contains(&format!("  peerbroker --config {config}")), "{:?}", ended.stdout);
    let mode = |name: &str| fs::metadata(format!("{dir}/{name}")).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("admin.token"), mode("data")), (0o600, 0o700));
    let checked = run(&["config", "check", "--config", &config], &[]);
    assert_eq!((checked.status.code(), &*checked.stderr), (Some(0), ""));

    // Other tests use the ports of the file.
    let args = ["--config", &config, "--host", "127.0.0.1", "--port", "0", "--ops_port", "0"];
    let mut server = Program::start_command(command(&args).current_dir("/"));
    assert_eq!(server.get("/peerjs/id").status, 200);
    let (api, _) = server.expect_api();
    let token = fs::read_to_string(format!("{dir}/admin.token")).unwrap();
    assert_eq!(api.get("/api/keys").status, 401);
    let api = api.with_token(token.trim());
    assert_eq!(api.post("/api/keys", &serde_json::json!({"key": "game"})).status, 201);
    assert_eq!(server.stop().stderr.lines().filter(|line| line.contains(" WARN ")).count(), 0);
    let listed = run(&["keys", "list", "--config", &config], &[]);
    assert!(
        listed.stdout.iter().any(|line| line.starts_with("game ")),
        "{:?} {}",
        listed.stdout,
        listed.stderr
    );
}

#[test]
fn init_overwrites_nothing() {
    for name in ["peerbroker.toml", "admin.token", "data"] {
        let directory = Directory::new();
        directory.file(name, "mine");
        let dir = directory.arg("");
        let ended = run(&["init", &dir], &[]);
        assert_eq!(ended.status.code(), Some(1), "{name}");
        assert!(
            ended.stderr.contains(&format!("{name} exists already, and is not overwritten")),
            "{}",
            ended.stderr
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "{name}");
        assert_eq!(fs::read_to_string(directory.at(name)).unwrap(), "mine");
    }
}

#[test]
fn without_a_directory_init_writes_into_the_current_one() {
    let directory = Directory::new();
    let output = command(&["init"]).current_dir(directory.at("")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.lines().any(|line| line == "  peerbroker --config peerbroker.toml"), "{printed}");
    let text = fs::read_to_string(directory.at("peerbroker.toml")).unwrap();
    let absolute = format!("data_dir = \"{}\"", fs::canonicalize(directory.at("data")).unwrap().display());
    assert!(text.lines().any(|line| line == absolute), "{text}");
}
