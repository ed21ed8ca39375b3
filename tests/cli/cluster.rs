//! Nodes of a cluster, as operators start them.

use crate::program::{Program, run};

const PASSWORD: &str = "hush-hush";

#[test]
fn a_wrong_url_of_redis_is_refused_without_its_password() {
    for url in ["redis://:hush-hush@host/x", "http://:hush-hush@host", "redis-sentinel://:hush-hush@host"] {
        for (args, env, name) in [
            (&["--redis", url][..], &[][..], "--redis"),
            (&["--check_config"], &[("PEERBROKER_REDIS", url)], "PEERBROKER_REDIS"),
        ] {
            let ended = run(args, env);
            assert_eq!(ended.status.code(), Some(2), "{url}: {}", ended.stderr);
            assert!(ended.stderr.contains(name) && ended.stderr.contains("redis"), "{}", ended.stderr);
            assert!(!ended.stderr.contains(PASSWORD) && ended.stdout.is_empty(), "{}", ended.stderr);
        }
    }
}

#[test]
fn the_password_of_redis_is_in_no_help_no_error_and_no_log() {
    let redis = ("PEERBROKER_REDIS", "redis://user:hush-hush@127.0.0.1:1");
    for args in [&["--help"][..], &["-h"], &["--port", "x"], &["--no_such_flag"], &["man"]] {
        let ended = run(args, &[redis]);
        assert!(!ended.stderr.contains(PASSWORD), "{args:?}: {}", ended.stderr);
        assert!(!ended.stdout.concat().contains(PASSWORD), "{args:?}");
    }
    let mut program = Program::start_with_env(&[], &[redis, ("RUST_LOG", "trace")]);
    // Served: the node has tried to reach Redis, and goes on by itself.
    drop(program.client("a"));
    let ended = program.stop();
    assert!(ended.stderr.contains("cannot reach the other nodes"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(PASSWORD), "{}", ended.stderr);
    assert!(!ended.stdout.concat().contains(PASSWORD), "{:?}", ended.stdout);
}
