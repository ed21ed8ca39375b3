//! Nodes of a cluster, as operators start them.

mod bans;
mod everywhere;
pub mod nodes;
mod shared_keys;
mod told;

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;

use crate::directory::Directory;
use crate::program::{Program, run};
use crate::redis_server::RedisServer;

const PASSWORD: &str = "hush-hush";

#[test]
fn a_wrong_url_of_redis_is_refused_without_its_password() {
    for url in ["redis://:hush-hush@host/x", "http://:hush-hush@host", "redis-sentinel://:hush-hush@host"] {
        for (args, env, name) in [
            (&["--redis", url][..], &[][..], "--redis"),
            (&["config", "check"], &[("PEERBROKER_REDIS", url)], "PEERBROKER_REDIS"),
            (&["keys", "list", "--redis", url], &[], "--redis"),
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

#[test]
fn an_error_of_redis_names_its_url_and_says_what_to_do() {
    let redis = RedisServer::with(&["--requirepass", "hush-hush"]);
    let at = format!("127.0.0.1:{}", redis.port());
    let free = testkit::ports::free_port();
    for (url, words) in [
        (
            format!("redis://{at}"),
            vec![format!("Redis at redis://{at} refused the login (NOAUTH)"), "Put it into the URL".into()],
        ),
        (
            format!("redis://:hush-hush-not@{at}"),
            vec![
                format!("Redis at redis://…@{at} refused the login (WRONGPASS)"),
                "check the user and the password".into(),
            ],
        ),
        (
            format!("redis://:hush-hush@127.0.0.1:{free}"),
            vec![
                format!("Redis at redis://…@127.0.0.1:{free}: Connection refused"),
                "Check that it runs".into(),
            ],
        ),
    ] {
        let ended = run(&["keys", "list", "--redis", &url], &[]);
        assert_eq!(ended.status.code(), Some(1), "{url}: {}", ended.stderr);
        let mut program = Program::start(&["--redis", &url]);
        program.expect_log(&words[0]);
        let log = program.stop().stderr;
        for text in [&ended.stderr, &log] {
            for words in &words {
                assert!(text.contains(words.as_str()), "{words} in {text}");
            }
            assert!(!text.contains('"') && !text.contains(PASSWORD), "{text}");
        }
    }
    let ended = run(&["keys", "list", "--redis", &format!("redis://:hush-hush@{at}")], &[]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn a_redis_in_protected_mode_is_told_with_its_own_words_and_the_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // As Redis does, without reading.
            let denied = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for \
                          the default user. In this mode connections are only accepted from the loopback interface. If you want \
                          to connect from external computers to Redis you may adopt one of the following solutions: 1) Just \
                          disable protected mode\r\n";
            let _ = stream.unwrap().write_all(denied.as_bytes());
        }
    });
    let url = format!("redis://{at}");
    let words = format!(
        "Redis at {url}: DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the \
         default user. Give Redis a password, as with `requirepass`, and put it into the URL"
    );
    let ended = run(&["keys", "list", "--redis", &url], &[]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    Program::start(&["--redis", &url]).expect_log(&words);
}

#[test]
fn keys_in_redis_need_a_redis_and_no_directory() {
    for (args, words) in [
        (&["--keys", "redis"][..], "--keys redis needs --redis"),
        (&["--keys", "redis", "--redis", "redis://h", "--data_dir", "d"], "cannot be used with --data_dir d"),
        (&["--keys", "oracle"], "expected sqlite or redis"),
    ] {
        let ended = run(args, &[]);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn the_keys_command_works_on_redis() {
    let redis = RedisServer::start();
    let url = redis.url();
    let keys = |args: &[&str]| {
        let ended = run(&[&["keys"], args, &["--redis", &url]].concat(), &[]);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
        ended.stdout.join("\n")
    };
    assert!(keys(&["list"]).contains("There are no keys."));
    assert!(keys(&["add", "--key", "k"]).starts_with("k\n"));
    keys(&["set", "k", "--concurrent_limit", "7"]);
    keys(&["disable", "k"]);
    let shown: serde_json::Value = serde_json::from_str(&keys(&["show", "k", "--json"])).unwrap();
    assert_eq!((&shown["concurrent_limit"], &shown["enabled"]), (&7.into(), &false.into()));
    keys(&["remove", "k"]);
    assert!(keys(&["list"]).contains("There are no keys."));
}

#[test]
fn the_keys_command_uses_the_variables_of_the_server() {
    let redis = RedisServer::start();
    let directory = Directory::new();
    let url = redis.url();
    let data_dir = directory.arg("data");
    let at_redis = ("PEERBROKER_REDIS", url.as_str());
    let at_dir = ("PEERBROKER_DATA_DIR", data_dir.as_str());
    let added = run(&["keys", "add", "--key", "shared"], &[at_redis, ("PEERBROKER_KEYS", "redis")]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    let added = run(&["keys", "add", "--key", "own"], &[at_redis, at_dir]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    assert!(run(&["keys", "show", "shared", "--redis", &url], &[at_dir]).status.success());
    assert!(run(&["keys", "show", "own"], &[at_dir]).status.success());
    assert!(!run(&["keys", "show", "own", "--redis", &url], &[]).status.success());
}

#[test]
fn files_of_certificates_are_checked_before_the_start_and_named_as_they_were_given() {
    let redis = ["--redis", "rediss://:hush-hush@h"];
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/redis.key");
    for (args, env, words) in [
        (&["--redis_ca", file][..], &[][..], "--redis_ca"),
        (&[], &[("PEERBROKER_REDIS_CA", "/no/such/file")], "cannot read PEERBROKER_REDIS_CA /no/such/file"),
        (&["--redis_cert", file], &[], "--redis_key <FILE>"),
        (&["--redis-cert", file, "--redis-key", file], &[], "has no certificate"),
    ] {
        for command in [&["config", "check"][..], &["keys", "list"]] {
            let ended = run(&[command, &redis, args].concat(), env);
            assert_eq!(ended.status.code(), Some(2), "{args:?}: {}", ended.stderr);
            assert!(ended.stderr.contains(words) && !ended.stderr.contains(PASSWORD), "{}", ended.stderr);
        }
    }
    let useless = run(&["config", "check", "--redis_ca", file], &[]);
    assert!(useless.stderr.contains("--redis_ca does nothing without --redis"), "{}", useless.stderr);
}
