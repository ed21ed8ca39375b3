//! Paths that lead to no regular file. A command that opens a pipe waits for its writer, which may never
//! come.

use std::fs;
use std::process::Command;

use crate::directory::Directory;
use crate::program::run;

fn make_pipe(path: &str) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_is_refused_wherever_a_file_is_read() {
    let directory = Directory::new();
    let pipe = directory.arg("pipe");
    let data = directory.arg("data");
    let other = directory.arg("other");
    make_pipe(&pipe);
    let cert = testkit::tools::fixture("root.pem");
    let cert = cert.to_str().unwrap();
    for args in [
        &["--config", &pipe][..],
        &["config", "check", "--ops_port", "0", "--admin_token_file", &pipe],
        &["config", "check", "--ops_port", "0", "--read_token_file", &pipe],
        &["config", "check", "--ops_port", "0", "--metrics_token_file", &pipe],
        &["config", "check", "--turn", "10.0.0.1", "--turn_secret_file", &pipe],
        &["config", "check", "--webhook", "https://h.test/", "--webhook_secret_file", &pipe],
        &["config", "check", "--sslkey", &pipe, "--sslcert", cert],
        &["config", "check", "--sslkey", cert, "--sslcert", &pipe],
        &["config", "check", "--redis", "rediss://h", "--redis_ca", &pipe],
        &["keys", "add", "--data_dir", &data, "--jwt_secret_file", &pipe],
        &["keys", "add", "--data_dir", &data, "--jwt_key_file", &pipe],
        &["keys", "add", "--data_dir", &data, "--jwks_file", &pipe],
        &["keys", "add", "--data_dir", &data, "--webhook", "https://h.test/", "--webhook_secret_file", &pipe],
        &["keys", "import", "--data_dir", &data, &pipe],
        &["doctor", "127.0.0.1:1", "--ca", &pipe],
    ] {
        let ended = run(args, &[]);
        assert!(!ended.status.success(), "{args:?}");
        assert!(ended.stderr.contains("regular file"), "{args:?}: {}", ended.stderr);
    }
    // The database, and a file that SQLite has beside it.
    assert!(run(&["keys", "add", "--data_dir", &data], &[]).status.success());
    for name in ["peerbroker.db-journal", "peerbroker.db-wal", "peerbroker.db"] {
        let file = directory.at("data").join(name);
        let _ = fs::remove_file(&file);
        make_pipe(file.to_str().unwrap());
        for args in [
            &["backup", "--check", &data][..],
            &["backup", "--data_dir", &data, &other],
            &["keys", "list", "--data_dir", &data],
            &["keys", "add", "--data_dir", &data],
            &["config", "check", "--data_dir", &data],
            &["--host", "127.0.0.1", "--port", "0", "--data_dir", &data],
        ] {
            let ended = run(args, &[]);
            assert_eq!(ended.status.code(), Some(1), "{name}, {args:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("regular file"), "{name}, {args:?}: {}", ended.stderr);
        }
        fs::remove_file(&file).unwrap();
    }
}
