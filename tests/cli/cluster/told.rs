//! The log of a node of a cluster.

use std::thread;

use testkit::wire::opcode;

use super::nodes::{Nodes, SHORT_LEASE};
use crate::directory::Directory;
use crate::program::Program;
use crate::redis_server::RedisServer;
use testkit::wait::wait_until;

#[test]
fn the_log_tells_of_the_cluster() {
    let mut nodes = Nodes::start(2, SHORT_LEASE);
    nodes.programs[1].signal("-KILL");
    nodes.wait_until("b is known to be gone", || {
        let stats = nodes.stats(0);
        let all = stats["cluster"]["nodes"].as_array().unwrap();
        all.iter().any(|node| node["name"] == "b" && node["alive"] == false)
    });
    nodes.redis.kill();
    nodes.wait_until("its lease has ended", || nodes.stats(0)["cluster"]["life"].is_null());
    nodes.redis.start_again();
    nodes.wait_until("the node is back", || nodes.apis[0].get("/readyz").status == 200);
    let log = nodes.log_of(0);
    let mut rest = log.as_str();
    for words in [
        "INFO  peerbroker::runtime::log_events] node a joined (no other nodes)",
        "INFO  peerbroker::runtime::log_events] node b joined\n",
        "WARN  peerbroker::runtime::log_events] node b died: its ids are free",
        "cannot reach the other nodes",
        "the lease of this node has ended",
        "node a joined (no other nodes)",
        "the other nodes can be reached again",
    ] {
        let (_, behind) = rest.split_once(words).unwrap_or_else(|| panic!("{words} in {rest} of {log}"));
        rest = behind;
    }
    assert_eq!(log.matches(" died").count(), 1, "{log}");
    assert_eq!(log.matches("cannot reach the other nodes").count(), 1, "{log}");
}

#[test]
fn nodes_that_were_gone_before_are_no_news() {
    let mut nodes = Nodes::start(1, SHORT_LEASE);
    nodes.programs[0].stop();
    let url = nodes.redis.url();
    let args = ["--redis", &url, "--node_name", "next", "--ops_port", "0"];
    let mut next = crate::program::Program::start_with_env(&args, &[("RUST_LOG", "info")]);
    let (api, _) = next.expect_api();
    nodes.wait_until("the node has joined", || api.get("/readyz").status == 200);
    let log = next.stop().stderr;
    assert!(log.contains("node next joined (no other nodes)"), "{log}");
    assert!(!log.contains(" died") && !log.contains(" left"), "{log}");
}

#[test]
fn two_nodes_with_one_name_hear_of_each_other_with_their_addresses() {
    let mut nodes = Nodes::start(1, SHORT_LEASE);
    let url = nodes.redis.url();
    let args = [&["--redis", &url, "--node_name", "a", "--ops_port", "0"], SHORT_LEASE].concat();
    let mut other = Program::start(&args);
    let told = |program: &mut Program| {
        program.expect_log("two nodes have the name a: this one, at ");
        let log = program.stop().stderr;
        let line = log.lines().find(|line| line.contains("two nodes have the name")).unwrap().to_owned();
        assert!(
            line.contains(" WARN ") && line.ends_with("Give each its own --node_name, or none"),
            "{line}"
        );
        let places = line.split_once("this one, at ").unwrap().1.split_once(". Give").unwrap().0.to_owned();
        let (own, other) = places.split_once(", and one at ").unwrap();
        (own.to_owned(), other.to_owned())
    };
    // Both are told before one stops.
    nodes.programs[0].expect_log("two nodes have the name a");
    let (second, first) = told(&mut other);
    assert!([&first, &second].iter().all(|place| place.contains("(127.0.0.1, process ")), "{first} {second}");
    assert_ne!(first, second);
    assert_eq!(told(&mut nodes.programs[0]), (first, second));
}

#[test]
fn nodes_with_other_settings_hear_of_each_other_with_both_values() {
    let many_bans = ["--ban", &(0..250).map(|n| format!("192.0.2.{n}")).collect::<Vec<_>>().join(" ")];
    let mut nodes =
        Nodes::start(1, &[&["--key", "game", "--dialects", "+matchbox"], &many_bans[..]].concat());
    let url = nodes.redis.url();
    let own = [
        &["--redis", &url, "--node_name", "b", "--path", "/b", "--cluster_lease", "4000"],
        &["--concurrent_limit", "70", "--relay", "127.0.0.1:0", "--turn_secret", "secret-of-sixteen"][..],
    ];
    let mut other = Program::start(&own.concat());
    let told = |program: &mut Program| {
        program.expect_log("has other settings");
        let log = program.stop().stderr;
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("has other settings")).collect();
        assert!(matches!(lines[..], [line] if line.contains(" WARN ") && line.len() < 1500), "{log}");
        assert!(!log.contains("secret-of"), "{log}");
        lines[0].to_owned()
    };
    // Both are told before one stops.
    nodes.programs[0].expect_log("has other settings");
    for (line, words) in [
        (
            told(&mut other),
            ["node a", "--cluster_lease 5000 (here 4000)", "--concurrent_limit not set (here 70)"],
        ),
        (told(&mut nodes.programs[0]), ["node b", "--key not set (here game)", "--relay on (here not set)"]),
    ] {
        for words in words.into_iter().chain(["--ban ", "--dialects ", "--path ", "with the same flags"]) {
            assert!(line.contains(words), "{words}: {line}");
        }
    }
}

#[test]
fn a_reload_that_makes_nodes_differ_is_told_on_both() {
    let nodes = Nodes::start(1, &["--room_members", "9"]);
    let url = nodes.redis.url();
    let directory = Directory::new();
    let file = directory.file("p.toml", "room_members = 9\n");
    let own = ["--redis", &url, "--node_name", "b", "--cluster_lease", "5000", "--config", &file];
    let mut other = Program::start_with_env(&own, &[("RUST_LOG", "info")]);
    other.expect_log("joined (1 other: a)");
    directory.file("p.toml", "room_members = 10\n");
    other.expect_log("node a has other settings than this one: --room_members 9 (here 10)");
    nodes.programs[0].expect_log("node b has other settings than this one: --room_members 10 (here 9)");
    assert_eq!(other.stop().stderr.matches("has other settings").count(), 1);
}

#[test]
fn a_node_that_is_alone_in_another_database_is_warned() {
    let nodes = Nodes::start(1, &[]);
    let elsewhere = format!("{}/3", nodes.redis.url_of_user().trim_end_matches('/'));
    let alone = Program::start(&["--redis", &elsewhere]);
    alone.expect_log(
        "this node is alone in database 3 of its Redis, and the node a is in database 0: if both are of one cluster, give them \
         the same --redis",
    );
    let mut second = Program::start_with_env(&["--redis", &elsewhere], &[("RUST_LOG", "info")]);
    second.expect_log("(1 other: ");
    assert!(!second.stop().stderr.contains("is alone"));
}

#[test]
fn nodes_that_start_at_the_same_moment_are_not_told_that_they_are_alone() {
    let redis = RedisServer::start();
    let url = format!("{}/1", redis.url_of_user().trim_end_matches('/'));
    let start = || {
        let mut program = Program::start_with_env(&["--redis", &url], &[("RUST_LOG", "info")]);
        program.expect_log(" joined (");
        program.stop().stderr
    };
    let logs: Vec<String> = thread::scope(|scope| {
        let nodes: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        nodes.into_iter().map(|node| node.join().unwrap()).collect()
    });
    assert!(!logs.concat().contains("is alone"), "{logs:?}");
}

#[test]
fn a_node_that_joins_others_names_the_database_that_makes_them_one_broker() {
    let nodes = Nodes::start(1, &[]);
    let url = format!("{}/0", nodes.redis.url_of_user().trim_end_matches('/'));
    let second = Program::start_with_env(&["--redis", &url], &[("RUST_LOG", "info")]);
    let port = nodes.redis.port();
    second.expect_log(&format!(
        "the nodes at redis://…@127.0.0.1:{port}/0 are one broker: give another cluster another database, as in redis://host/1"
    ));
}

/// Its former life has the name too, until its lease ends.
#[test]
fn a_node_that_was_killed_and_comes_back_is_not_warned_of_itself() {
    let mut nodes = Nodes::start(2, SHORT_LEASE);
    nodes.programs[1].signal("-KILL");
    let url = nodes.redis.url();
    let args = [&["--redis", &url, "--node_name", "b", "--ops_port", "0"], SHORT_LEASE].concat();
    let mut again = Program::start_with_env(&args, &[("RUST_LOG", "info")]);
    again.expect_log("node b died: its ids are free");
    let logs = [again.stop().stderr, nodes.log_of(0)];
    assert!(!logs.concat().contains("two nodes have the name"), "{logs:?}");
}

#[test]
fn a_planned_stop_is_no_warning_and_a_node_that_joins_names_the_others() {
    let mut nodes = Nodes::start(2, &[]);
    let second = nodes.log_of(1);
    assert!(second.contains("node b joined (1 other: a)"), "{second}");
    nodes.programs[0].expect_log("node b left");
    let log = nodes.log_of(0);
    assert!(!log.contains("WARN  peerbroker::runtime::log_events]"), "{log}");
}

#[test]
fn a_refused_login_and_a_redis_that_evicts_are_named() {
    let redis = RedisServer::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut wrong =
        Program::start(&["--redis", &format!("redis://peerbroker:wrong@127.0.0.1:{}", redis.port())]);
    wrong.expect_log("refused the login (WRONGPASS)");
    let log = wrong.stop().stderr;
    let line = log.lines().find(|line| line.contains("refused the login")).unwrap();
    assert!(line.contains(&format!("Redis at redis://…@127.0.0.1:{} refused", redis.port())), "{line}");
    assert!(!line.contains('"') && !log.contains("wrong@"), "{log}");
    assert!(line.ends_with("; clients of other nodes are not reached meanwhile"), "{line}");
    let nobody = ["--redis", "redis://127.0.0.1:1", "--cluster_degraded", "refuse"];
    Program::start(&nobody).expect_log("; new clients are refused meanwhile");
    let mut right = Program::start(&["--redis", &redis.url_of_user()]);
    right.expect_log("(maxmemory-policy allkeys-lru)");
    let log = right.stop().stderr;
    assert!(log.contains("set maxmemory-policy noeviction"), "{log}");
}

#[test]
fn a_permission_that_scripts_lack_leads_to_the_line_that_gives_it() {
    let redis = RedisServer::with(&["--user", "bare", "on", ">secret", "~*", "+@all", "-hset"]);
    let program = Program::start(&["--redis", &format!("redis://bare:secret@127.0.0.1:{}", redis.port())]);
    program.expect_log("Its user lacks a permission: give it the `user` line of docs/CLUSTER.md");
}

#[test]
fn a_node_that_may_not_read_what_others_say_is_not_ready_and_says_why() {
    let redis = RedisServer::with(&["--user", "deaf", "on", ">secret", "~*", "+@all", "-xread"]);
    let url = format!("redis://deaf:secret@127.0.0.1:{}", redis.port());
    let args = [&["--redis", &url, "--ops_port", "0"], SHORT_LEASE].concat();
    let mut program = crate::program::Program::start(&args);
    let (api, _) = program.expect_api();
    // It joins, and finds out.
    for status in [200, 503] {
        wait_until("the node knows", || api.get("/readyz").status == status);
    }
    let log = program.stop().stderr;
    let told = log.matches("cannot read what other nodes say, so no message of theirs arrives here").count();
    assert!(told == 1 && log.contains("xread"), "{log}");
}

#[test]
fn ids_that_are_lost_after_an_outage_are_counted_in_the_log() {
    let mut nodes = Nodes::start(2, SHORT_LEASE);
    nodes.redis.kill();
    for api in &nodes.apis {
        nodes.wait_until("the node is out", || api.get("/readyz").status == 503);
    }
    let open = |node: usize, token: &str| {
        let mut client = nodes.programs[node].connect(&format!("/peerjs?key=peerjs&id=x&token={token}"));
        client.expect_open();
        client
    };
    // Both answer pings. Otherwise the winner could be found dead after the loser was told, and nobody would
    // have the id.
    let mut clients: Vec<_> = [open(0, "one"), open(1, "other")]
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                while let Some(frame) = client.next_frame("the end") {
                    match frame.opcode() {
                        opcode::PING => client.pong(&frame.payload),
                        opcode::CLOSE => break,
                        _ => {}
                    }
                }
            })
        })
        .collect();
    nodes.redis.start_again();
    for api in &nodes.apis {
        nodes.wait_until("the node is back", || api.get("/readyz").status == 200);
    }
    let holders = || -> Vec<usize> { (0..2).filter(|node| nodes.stats(*node)["clients"] == 1).collect() };
    let mut holding = Vec::new();
    nodes.wait_until("one client has the id", || {
        holding = holders();
        holding.len() == 1
    });
    let loser = 1 - holding[0];
    clients.swap_remove(loser).join().expect("the end");
    // It is told with the next renewal of the lease.
    let lost = "lost to clients of other nodes after the outage: 1";
    let logs = [nodes.log_of(0), nodes.log_of(1)];
    assert!(logs[loser].contains(lost), "{}", logs[loser]);
    assert!(!logs[1 - loser].contains("after the outage"), "{}", logs[1 - loser]);
}
