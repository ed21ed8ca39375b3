//! Keys in Redis are the keys of all nodes: their settings, their bounds, their proofs.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::nodes::Nodes;
use crate::directory::Directory;
use crate::http_client::{HttpConnection, Response};
use crate::program::{Program, run};
use crate::redis_server::RedisServer;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn keys(nodes: &Nodes, args: &[&str]) {
    let url = nodes.redis.url();
    let ended = run(&[&["keys"], args, &["--redis", &url]].concat(), &[]);
    assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
}

#[test]
fn a_key_in_redis_is_in_force_on_every_node() {
    let nodes = Nodes::start(2, &["--keys", "redis", "--no_default_key"]);
    let wait_until = |status: u16| {
        for program in &nodes.programs {
            nodes.wait_until("the change is active", || program.get("/shared/peers").status == status);
        }
    };
    keys(&nodes, &["add", "--key", "shared", "--allow_discovery"]);
    wait_until(200);
    keys(&nodes, &["set", "shared", "--allow_discovery=false"]);
    wait_until(401);
    // The API of one node.
    let changed = nodes.apis[0].patch("/api/keys/shared", &json!({"allow_discovery": true}));
    assert_eq!(changed.status, 200);
    wait_until(200);
    let mut client = nodes.programs[1].connect("/peerjs?key=shared&id=a&token=t");
    client.expect_open();
    assert_eq!(nodes.apis[0].delete("/api/keys/shared").status, 204);
    client.expect_closed_with(Some(4004));
    wait_until(401);
}

#[test]
fn a_key_of_another_node_is_refused_with_the_flag_that_shares_keys() {
    let directory = Directory::new();
    let nodes = Nodes::start(1, &[]);
    let url = nodes.redis.url();
    let start = |dir: &str| Program::start(&["--redis", &url, "--data_dir", &directory.arg(dir)]);
    let mut programs = ["a", "b"].map(start);
    let added = run(&["keys", "add", "-k", "shop", "--data_dir", &directory.arg("a")], &[]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    programs[0].connect("/peerjs?key=shop&id=x&token=t").expect_open();
    let mut refused = programs[1].connect("/peerjs?key=shop&id=y&token=t");
    refused.expect(r#"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#);
    programs[1]
        .expect_log("The stored keys of other nodes are not known here: --keys redis keeps keys for all");
    assert!(programs[1].stop().stderr.contains("with --redis, only this node has the keys of --data_dir"));
}

#[test]
fn the_limit_of_a_key_holds_for_all_nodes() {
    let nodes = Nodes::start(2, &["--concurrent_limit", "1"]);
    let _first = nodes.programs[0].client("first");
    let mut second = nodes.programs[1].connect("/peerjs?key=peerjs&id=second&token=t");
    second.expect(r#"{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}"#);
}

#[test]
fn a_subject_is_the_same_peer_on_every_node() {
    let nodes = Nodes::start(2, &["--keys", "redis"]);
    let directory = Directory::new();
    let secret = directory.file("secret", SECRET);
    keys(&nodes, &["add", "--key", "proved", "--jwt_secret_file", &secret, "--allow_discovery"]);
    for program in &nodes.programs {
        nodes.wait_until("the key is active", || program.get("/proved/peers").status == 200);
    }
    let token = |number: u64| {
        let claims = json!({"sub": "alice", "exp": 4_000_000_000_u64, "number": number});
        encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    let open = |node: usize, number: u64| {
        let mut client =
            nodes.programs[node].connect(&format!("/peerjs?key=proved&id=alice&token={}", token(number)));
        client.expect_open();
        client
    };
    let mut first = open(0, 1);
    // Another token of the same subject takes the id over, at once and without a question.
    let mut second = open(1, 2);
    first.expect_closed_with(Some(4001));
    let mut third = open(0, 3);
    second.expect_closed_with(Some(4001));
    third.ping(b"alive");
    assert_eq!(third.expect_pong(), b"alive");
}

fn register(program: &Program, address: &str) -> Response {
    let body = "name=My+game&origin=https%3A%2F%2Fa.test";
    let mut http = HttpConnection::open(program.address);
    http.send(format!(
        "POST /broker/register HTTP/1.1\r\nHost: server.test\r\nX-Forwarded-For: {address}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    http.response(false)
}

#[test]
fn registrations_of_an_address_are_limited_on_all_nodes_together() {
    let nodes = Nodes::start(2, &["--keys", "redis", "--registration", "open", "--proxied"]);
    let first = register(&nodes.programs[0], "192.0.2.1");
    let page = format!("/broker/{}", first.header("location").unwrap());
    assert_eq!(nodes.programs[1].get(&page).status, 200, "another node shows it at once");
    for at in [1, 0, 1, 0] {
        assert_eq!(register(&nodes.programs[at], "192.0.2.1").status, 303);
    }
    for program in &nodes.programs {
        let refused = register(program, "192.0.2.1");
        assert_eq!(refused.status, 429);
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!(wait > 86_000 && wait <= 86_400, "{wait}");
    }
    assert_eq!(register(&nodes.programs[0], "192.0.2.2").status, 303);
}

#[test]
fn a_redis_that_forgets_is_warned_of_and_the_keys_that_it_loses_are_lost_and_not_removed() {
    let mut nodes = Nodes::start(1, &["--keys", "redis"]);
    nodes.programs[0].expect_log("the Redis of --keys redis has `appendonly no`");
    for key in ["one", "two"] {
        keys(&nodes, &["add", "--key", key, "--allow_discovery"]);
        nodes.wait_until("the key is active", || {
            nodes.programs[0].get(&format!("/{key}/peers")).status == 200
        });
    }
    nodes.redis.kill();
    nodes.redis.start_again();
    nodes.programs[0]
        .expect_log("the store has lost all keys, 2: it was emptied, or is a Redis that was restarted without `appendonly yes`");
    let log = nodes.programs[0].stop().stderr;
    assert!(!log.contains("removed the key"), "{log}");
}

#[test]
fn a_redis_that_appends_is_not_warned_of() {
    let redis = RedisServer::with(&["--appendonly", "yes"]);
    let mut program = Program::start(&["--redis", &redis.url(), "--keys", "redis"]);
    assert_eq!(program.get("/peerjs/id").status, 200);
    let log = program.stop().stderr;
    assert!(!log.contains("appendonly"), "{log}");
}
