//! Redis behind TLS, with certificates of nobody's but ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerbroker_cluster::{Backplane as _, Unavailable};
use peerbroker_config::RedisAddress;
use peerbroker_redis::RedisSettings;
use peerbroker_redis::{BadRedis, check_redis};
use testkit::wait::wait_until;

use crate::redis_urls::{cluster, info};
use crate::server::RedisServer;
use crate::stage::{Stage as _, claim, granted, located, owner, peer};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A server with a certificate that `redis-ca.pem` has signed. With `clients`, its clients need one too.
fn options(clients: bool) -> Vec<String> {
    let [cert, key, ca] =
        ["redis.pem", "redis.key", "redis-ca.pem"].map(|name| fixture(name).display().to_string());
    let files = [("--tls-cert-file", &*cert), ("--tls-key-file", &key), ("--tls-ca-cert-file", &ca)];
    let clients = ("--tls-auth-clients", if clients { "yes" } else { "no" });
    files.into_iter().chain([clients]).flat_map(|(name, value)| [name, value].map(str::to_owned)).collect()
}

fn server(options: &[String], more: &[&str]) -> RedisServer {
    RedisServer::with(&options.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>())
}

fn at(url: String, ca: Option<&str>, client: Option<(&str, &str)>) -> RedisAddress {
    let client = client.map(|(cert, key)| (fixture(cert), fixture(key)));
    RedisAddress { url, ca: ca.map(fixture), client }
}

fn settings(redis: RedisAddress) -> RedisSettings {
    RedisSettings { timeout: Duration::from_secs(10), ..RedisSettings::new(redis) }
}

async fn reaches(redis: &RedisAddress) -> Result<(), Unavailable> {
    settings(redis.clone()).connect().leave(crate::stage::node(7)).await
}

#[tokio::test]
async fn a_server_is_believed_if_the_given_authority_has_signed_for_it() {
    let server = server(&options(false), &[]);
    let url = |host: &str| format!("rediss://{host}:{}/1", server.tls_port());
    for host in ["localhost", "127.0.0.1"] {
        let node = settings(at(url(host), Some("redis-ca.pem"), None)).connect();
        granted(&node, claim("x", owner(1, 1), 1)).await;
        assert_eq!(located(&node, peer("x")).await, Some(owner(1, 1)));
    }
    for ca in [None, Some("root.pem")] {
        let error = reaches(&at(url("localhost"), ca, None)).await.expect_err("a stranger");
        assert!(error.to_string().contains("certificate"), "{ca:?}: {error}");
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_a_server_that_wants_one() {
    let server = server(&options(true), &[]);
    let url = || format!("rediss://localhost:{}", server.tls_port());
    let client = Some(("redis.pem", "redis.key"));
    reaches(&at(url(), Some("redis-ca.pem"), client)).await.expect("access");
    for wrong in [None, Some(("ec-chain.pem", "ec-pkcs8.key"))] {
        reaches(&at(url(), Some("redis-ca.pem"), wrong)).await.expect_err("another client");
    }
}

#[tokio::test]
async fn certificates_are_read_for_each_connection() {
    let server = server(&options(false), &[]);
    let ca = server.directory().join("ca.pem");
    fs::copy(fixture("root.pem"), &ca).expect("a file");
    let url = format!("rediss://localhost:{}", server.tls_port());
    let node = settings(RedisAddress { ca: Some(ca.clone()), ..url.as_str().into() }).connect();
    node.leave(crate::stage::node(7)).await.expect_err("a stranger");
    fs::copy(fixture("redis-ca.pem"), &ca).expect("a file");
    node.leave(crate::stage::node(7)).await.expect("access");
}

#[tokio::test]
async fn certificates_count_for_all_servers_of_a_cluster() {
    let options = options(false);
    let options = options.iter().map(String::as_str).chain(["--tls-cluster", "yes"]);
    let servers = cluster(&options.collect::<Vec<_>>());
    let url = format!("rediss-cluster://localhost:1,localhost:{}", servers[0].tls_port());
    let node = settings(at(url.clone(), Some("redis-ca.pem"), None)).connect();
    for id in 0..20 {
        let owner = owner(1, id + 1);
        let id = format!("x{id}");
        granted(&node, claim(&id, owner, 1)).await;
        assert_eq!(located(&node, peer(&id)).await, Some(owner));
    }
    for server in &servers {
        let keys: usize = redis::cmd("DBSIZE").query(&mut server.client()).expect("a number");
        assert!(keys > 0, "both servers have records");
    }
    reaches(&at(url, None, None)).await.expect_err("a stranger");
}

#[tokio::test]
async fn certificates_count_for_sentinels_and_their_master() {
    let options = options(false);
    let master = server(&options, &[]);
    let sentinel = server(&options, &["--sentinel", "--tls-replication", "yes"]);
    let mut watcher = sentinel.client();
    let watch = ["MONITOR", "main", "127.0.0.1", &master.tls_port().to_string(), "1"];
    redis::cmd("SENTINEL").arg(&watch).exec(&mut watcher).expect("an answer");
    wait_until("the Sentinel sees the master", || {
        info(&mut watcher, &["INFO", "sentinel"]).contains("status=ok")
    });
    let url = format!("rediss-sentinel://localhost:{}#main", sentinel.tls_port());
    reaches(&at(url.clone(), Some("redis-ca.pem"), None)).await.expect("access");
    reaches(&at(url, None, None)).await.expect_err("strangers");
}

#[test]
fn files_that_are_no_certificates_are_refused_before_a_connection() {
    let root = Some("redis-ca.pem");
    let pair = Some(("redis.pem", "redis.key"));
    for (url, ca, client, words) in [
        ("redis://h", root, None, "--redis_ca, --redis_cert and --redis_key are for TLS"),
        ("redis-cluster://h", None, pair, "begins with rediss"),
        ("unix:///s", root, None, "begins with rediss"),
        ("rediss://h", Some("none.pem"), None, "cannot read --redis_ca"),
        ("rediss://h", Some(".."), None, "it is not a regular file"),
        ("rediss://h", Some("redis.key"), None, "redis.key has no certificate"),
        ("rediss://h", Some("make.sh"), None, "make.sh has no certificate"),
        ("rediss://h", Some("broken.pem"), None, "is no authority"),
        ("rediss-cluster://h", None, Some(("redis.key", "redis.key")), "--redis_cert"),
        ("rediss://h", None, Some(("redis.pem", "redis.pem")), "--redis_key"),
        ("rediss://h", None, Some(("redis.pem", "ec-passphrase.key")), "without a passphrase"),
        ("rediss-sentinel://h#m", None, Some(("redis.pem", "ec-pkcs8.key")), "cannot be used together"),
        ("rediss://:hush@h/x", root, pair, "expected redis://"),
    ] {
        let error = check_redis(&at(url.to_owned(), ca, client)).expect_err(words).to_string();
        assert!(error.contains(words) && !error.contains("hush"), "{url}: {error}");
    }
    for url in ["rediss://h", "valkeys://h", "rediss-cluster://a,b", "rediss+sentinel://:p@a,b/1#m"] {
        let checked: Result<(), BadRedis> = check_redis(&at(url.to_owned(), root, pair));
        checked.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
}
