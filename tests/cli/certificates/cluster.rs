//! One certificate for the nodes of a cluster, through their Redis.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use redis::Commands as _;

use super::{expect_trusted, view};
use crate::http_client::{TIMEOUT, connect};
use crate::program::{Program, command, run};
use crate::redis_server::RedisServer;
use testkit::pebble::{Behaviour, Pebble};
use testkit::ports::free_ports;
use testkit::wait::wait_until;

/// The authority of the ACME server, which a node needs for orders.
const CA: (&str, &str) = ("--acme_ca", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/root.pem"));

/// Starts a node that may use what the documentation allows it.
fn start(redis: &RedisServer, pebble: &Pebble, http_port: u16, more: &[&str]) -> Program {
    let (url, directory, port) = (redis.url_of_user(), pebble.url(), http_port.to_string());
    let flags = ["--host", "127.0.0.1", "--port", "0", "--redis", &url, "--acme", "broker.test"];
    let acme = ["--acme_directory", &directory, "--acme_http_port", &port];
    let mut command = command(&[&flags[..], &acme, more].concat());
    Program::start_command(command.env("RUST_LOG", "info"))
}

/// The key and the chain of an older certificate.
fn older() -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    ["ec-pkcs8.key", "ec-chain.pem"].map(|name| fs::read_to_string(fixtures.join(name)).unwrap()).concat()
}

/// The attempts of nodes to take a lock.
struct Tries {
    commands: BufReader<TcpStream>,
    lock: String,
}

impl Tries {
    fn watch(redis: &RedisServer, lock: &str) -> Self {
        let mut monitor = connect(([127, 0, 0, 1], redis.port()).into());
        monitor.set_read_timeout(Some(TIMEOUT)).unwrap();
        monitor.write_all(b"MONITOR\r\n").unwrap();
        let mut commands = BufReader::new(monitor);
        let mut accepted = String::new();
        commands.read_line(&mut accepted).unwrap();
        assert_eq!(accepted, "+OK\r\n");
        Tries { commands, lock: lock.to_owned() }
    }

    fn wait_for(self, count: usize) {
        let is_try = |line: &String| line.contains(r#""HGET""#) && line.contains(&self.lock);
        let (mut lines, mut seen) = (self.commands.lines().map(Result::unwrap), 0);
        wait_until("attempts", || {
            seen += usize::from(lines.next().is_some_and(|line| is_try(&line)));
            seen == count
        });
    }
}

#[test]
fn one_of_two_nodes_orders_and_a_third_one_takes_what_is_there() {
    let Some(mut pebble) = Pebble::start(Behaviour::default()) else { return };
    let redis = RedisServer::start();
    let [other_port, third_port] = free_ports();
    let orders = [CA.0, CA.1];
    let mut nodes = [pebble.http_port, other_port].map(|port| start(&redis, &pebble, port, &orders));
    let certificate = view::wait_for_new(nodes[0].address, None);
    wait_until("the nodes show the same certificate", || view::shown(nodes[1].address).0 == certificate);
    for node in &nodes {
        expect_trusted(&pebble, node, &["broker.test"]);
    }
    assert_eq!(pebble.orders(), 1, "{}", pebble.log());
    // Nothing can be ordered any more.
    pebble.stop();
    let mut third = start(&redis, &pebble, third_port, &orders);
    assert_eq!(view::shown(third.address).0, certificate);
    assert!(third.stop().stderr.contains("certificate loaded from Redis"));
    // A Redis that restarts empty gets it back from the nodes.
    let mut client = redis.client();
    let keys = |client: &mut redis::Connection| -> Vec<String> {
        client.keys("peerbroker:acme:certificate:*").unwrap()
    };
    let key = keys(&mut client).remove(0);
    let _: () = client.del(&key).unwrap();
    wait_until("the certificate is in Redis again", || keys(&mut client) == [key.clone()]);
    // A failover may bring back an older one: that of another key, which is older than any of pebble.
    let _: () = client.hset_multiple(&key, &[("version", "old"), ("pem", &older())]).unwrap();
    wait_until("the newer one is back", || client.hget::<_, _, String>(&key, "version").unwrap() != "old");
    assert_eq!(view::shown(nodes[0].address).0, certificate);
    // It goes with the certificate.
    let seconds: i64 = client.ttl(&key).unwrap();
    assert!((89 * 24 * 3600..=90 * 24 * 3600).contains(&seconds), "{seconds}");
    let logs = nodes.each_mut().map(|node| node.stop().stderr);
    let orders = logs.iter().map(|log| log.matches("orders a certificate").count()).sum::<usize>();
    assert_eq!(orders, 1, "{logs:?}");
}

#[test]
fn a_node_answers_for_the_one_that_orders_and_renews_when_that_one_is_dead() {
    let Some(pebble) = Pebble::start(Behaviour { validity: 40, ..Behaviour::default() }) else { return };
    let redis = RedisServer::start();
    let [orderer_port] = free_ports();
    // It does not trust the ACME server, so it cannot order. The validator comes to it only.
    let mut answerer = start(&redis, &pebble, pebble.http_port, &[]);
    let orderer = start(&redis, &pebble, orderer_port, &[CA.0, CA.1]);
    view::wait_for_new(answerer.address, None);
    let log = answerer.stop().stderr;
    assert!(!log.contains("could not validate"), "{log}");
    orderer.signal("-KILL");
    let mut next = start(&redis, &pebble, pebble.http_port, &[CA.0, CA.1]);
    let first = view::wait_for_new(next.address, None);
    view::wait_for_new(next.address, Some(&first));
    assert!(next.stop().stderr.contains("orders a certificate"));
}

#[test]
fn a_node_waits_for_the_lock_of_another_one_until_its_lease_ends() {
    let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
    let mut redis = RedisServer::start();
    let mut node = start(&redis, &pebble, pebble.http_port, &[CA.0, CA.1]);
    view::wait_for_new(node.address, None);
    node.stop();
    let mut client = redis.client();
    let certificates: Vec<String> = client.keys("peerbroker:acme:certificate:*").unwrap();
    let lock = certificates[0].replace(":certificate:", ":lock:");
    // Given back at the end of the order.
    assert_eq!(client.exists(&lock), Ok(false));
    let _: () = client.del(&certificates[0]).unwrap();
    let _: () = client.hset(&lock, "holder", "a node that hangs").unwrap();
    let tries = Tries::watch(&redis, &lock);
    let node = start(&redis, &pebble, pebble.http_port, &[CA.0, CA.1]);
    tries.wait_for(3);
    assert_eq!(pebble.orders(), 1, "{}", pebble.log());
    let _: () = client.pexpire(&lock, 1).unwrap();
    let certificate = view::wait_for_new(node.address, None);
    assert_eq!(pebble.orders(), 2, "{}", pebble.log());
    // Without Redis it keeps what it has, and says so to nobody.
    redis.kill();
    assert_eq!(view::shown(node.address).0, certificate);
    let http: SocketAddr = ([127, 0, 0, 1], pebble.http_port).into();
    let answer = view::plain(http, "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: broker.test\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[test]
fn a_node_that_loses_the_lock_in_mid_order_gives_the_order_up() {
    let Some(pebble) = Pebble::start(Behaviour::default()) else { return };
    let redis = RedisServer::start();
    let [other_port] = free_ports();
    // The order lasts for as long as the test wants.
    pebble.signal("-STOP");
    let mut first = start(&redis, &pebble, other_port, &[CA.0, CA.1, "--ops_port", "0"]);
    let api = first.expect_api().0;
    let mut client = redis.client();
    let locks =
        |client: &mut redis::Connection| -> Vec<String> { client.keys("peerbroker:acme:lock:*").unwrap() };
    wait_until("it has the lock", || !locks(&mut client).is_empty());
    let lock = locks(&mut client).remove(0);
    // As after a pause of the node that was longer than its lease.
    let _: () = client.hset(&lock, "holder", "another node").unwrap();
    let problem = || api.get("/api/stats").json["certificate"]["error"].to_string();
    wait_until("the order is given up", || problem().contains("another node may order"));
    assert_eq!(client.hget(&lock, "holder"), Ok("another node".to_owned()));
    pebble.signal("-CONT");
    // The other node orders, and both have the certificate.
    let _: () = client.del(&lock).unwrap();
    let second = start(&redis, &pebble, pebble.http_port, &[CA.0, CA.1]);
    let certificate = view::wait_for_new(second.address, None);
    wait_until("both show it", || view::shown(first.address).0 == certificate);
    assert_eq!(pebble.orders(), 1, "{}", pebble.log());
}

#[test]
fn a_refused_order_is_not_repeated_by_the_next_node() {
    let blocked = Behaviour { blocked: &["broker.test"], ..Behaviour::default() };
    let Some(pebble) = Pebble::start(blocked) else { return };
    let redis = RedisServer::start();
    let [one, other] = free_ports();
    let mut first = start(&redis, &pebble, one, &[CA.0, CA.1, "--ops_port", "0"]);
    let api = first.expect_api().0;
    wait_until("the order is refused", || api.get("/api/stats").json["certificate"]["error"].is_string());
    let mut client = redis.client();
    let locks: Vec<String> = client.keys("peerbroker:acme:lock:*").unwrap();
    wait_until("the lock lasts for the pause", || client.ttl::<_, i64>(&locks[0]).unwrap() >= 300);
    let tries = Tries::watch(&redis, &locks[0]);
    let mut second = start(&redis, &pebble, other, &[CA.0, CA.1]);
    tries.wait_for(3);
    let log = second.stop().stderr;
    assert!(!log.contains("orders a certificate"), "{log}");
}

#[test]
fn a_cluster_needs_the_http_port() {
    let args = ["--redis", "redis://127.0.0.1:1", "--acme", "a.test", "--acme_http_port", "0"];
    let ended = run(&args, &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("--acme with --redis needs an --acme_http_port"), "{}", ended.stderr);
}
