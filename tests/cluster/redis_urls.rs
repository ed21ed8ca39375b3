//! Every kind of URL, on a server of that kind.

use std::time::{Duration, Instant};

use peerbroker::PeerBroker;
use peerbroker_cluster::Backplane as _;
use peerbroker_cluster::OpenRequest;
use peerbroker_config::{ClusterConfig, Degraded};
use peerbroker_core::vocabulary::{ConnectionKind, PeerId, Refusal, Token};
use peerbroker_redis::RedisSettings;
use redis::Connection;
use testkit::wait::wait_until;
use tokio::time::timeout;

use crate::server::{RedisServer, USER};
use crate::stage::{Stage as _, claim, granted, located, owner, peer};
use crate::{claims, inboxes, leases, limits, marks, registrations};

pub fn info(client: &mut Connection, command: &[&str]) -> String {
    redis::cmd(command[0]).arg(&command[1..]).query(client).unwrap_or_default()
}

#[tokio::test]
async fn a_user_with_its_password_and_a_database() {
    let user = ["--user", "broker", "on", ">p@ss,w:rd", "~pb:*", "+@all"];
    let server = RedisServer::with(&[&["--requirepass", "hush"][..], &user].concat());
    let at = |user: &str| {
        let url = format!("redis://{user}127.0.0.1:{}/3", server.port());
        RedisSettings { prefix: "pb".to_owned(), ..RedisSettings::new(&url) }
    };
    let a = at("broker:p%40ss%2Cw%3Ard@").connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    let by_default = at(":hush@").connect();
    assert_eq!(located(&by_default, peer("x")).await, Some(owner(1, 1)));
    for wrong in ["", ":secret@", "broker:secret@"] {
        let error = at(wrong).connect().locate(vec![question()]).await.expect_err("no access");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let mut client = redis::Client::open(at(":hush@").redis.url)
        .and_then(|client| client.get_connection())
        .expect("access");
    assert_eq!(redis::cmd("DBSIZE").query(&mut client), Ok(1));
}

fn question() -> peerbroker_cluster::Locate {
    peerbroker_cluster::Locate {
        name: peer("x"),
        asker: crate::stage::node(1),
        known_dead: None,
        mark: Duration::ZERO,
    }
}

#[tokio::test]
async fn a_unix_socket() {
    let server = RedisServer::with(&["--unixsocket", "socket"]);
    let url = format!("unix://{}?db=2", server.directory().join("socket").display());
    let a = RedisSettings::new(&url).connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
}

#[tokio::test]
async fn a_master_is_found_through_sentinels_by_the_documented_user_also_after_a_failover() {
    let mut first = RedisServer::with(&["--requirepass", "hush", "--masterauth", "hush"]);
    let second = RedisServer::with(&["--requirepass", "hush", "--masterauth", "hush"]);
    let to_first = ["127.0.0.1", &first.port().to_string()].map(str::to_owned);
    let mut replica = access(&second).expect("access");
    redis::cmd("REPLICAOF").arg(&to_first).exec(&mut replica).expect("an answer");
    wait_until("the replica follows", || {
        info(&mut replica, &["INFO", "replication"]).contains("master_link_status:up")
    });

    let sentinel = RedisServer::with(&["--sentinel"]);
    let mut watcher = sentinel.client();
    let watch = ["MONITOR", "main", &to_first[0], &to_first[1], "1"];
    redis::cmd("SENTINEL").arg(&watch).exec(&mut watcher).expect("an answer");
    // Milliseconds: after how long it believes in the end of a master, and until it tries again.
    for (name, value) in
        [("auth-pass", "hush"), ("down-after-milliseconds", "500"), ("failover-timeout", "1000")]
    {
        redis::cmd("SENTINEL").arg(&["SET", "main", name, value]).exec(&mut watcher).expect("an answer");
    }
    wait_until("the Sentinel sees both", || {
        info(&mut watcher, &["INFO", "sentinel"]).contains("status=ok")
            && info(&mut watcher, &["INFO", "sentinel"]).contains("slaves=1")
    });

    // The first Sentinel is gone.
    let url = format!("redis-sentinel://{USER}@127.0.0.1:1,127.0.0.1:{}/1#main", sentinel.port());
    let a = RedisSettings { timeout: Duration::from_secs(10), ..RedisSettings::new(&url) }.connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    let generation = a.generation();
    let store = a.store();
    redis::cmd("WAIT").arg(&[1, 10_000]).exec(&mut access(&first).expect("access")).expect("an answer");
    first.kill();
    wait_until("another master", || says(&second, &["INFO", "replication"], "role:master"));
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match a.claim(a.store(), vec![claim("y", owner(1, 2), 1)]).await {
            Ok(_) if says(&second, &["HGET", "peerbroker:peer{}:6:peerjs:y", "owner"], ":2") => break,
            _ => assert!(Instant::now() < end, "no claim reaches the new master"),
        }
        a.release(vec![(peer("y"), owner(1, 2))]).await.ok();
    }
    assert_ne!(a.generation(), generation);
    assert_ne!(a.store(), store, "the new master may lack what was written last");
    assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error_or_an_answer_to_each_client() {
    let builder = || {
        let bad = ClusterConfig { degraded: Degraded::Refuse, ..ClusterConfig::new("nonsense", "n") };
        PeerBroker::builder().cluster(bad)
    };
    assert!(builder().try_build().is_err());
    let broker = builder().build();
    let membership = broker.node().membership().expect("a node of a cluster");
    let realm = broker.node().tenant("peerjs").expect("the built-in key").peers();
    let request = OpenRequest {
        realm,
        id: PeerId::parse("x").expect("an id"),
        token: Token::parse("token").expect("a token"),
        kind: ConnectionKind::Socket,
        address: None,
    };
    let opening = timeout(Duration::from_secs(30), membership.open(request)).await.expect("an answer");
    assert_eq!(opening.err(), Some(Refusal::Unavailable));
    assert!(!membership.view().is_up);
}

/// True if this server says so. A Sentinel cuts connections at any time, so each question has its own.
fn says(server: &RedisServer, command: &[&str], answer: &str) -> bool {
    access(server).is_some_and(|mut client| info(&mut client, command).contains(answer))
}

fn access(server: &RedisServer) -> Option<Connection> {
    let url = format!("redis://:hush@127.0.0.1:{}/1", server.port());
    redis::Client::open(url).and_then(|client| client.get_connection()).ok()
}

/// Two masters that know each other, each with half of the slots.
pub fn cluster(options: &[&str]) -> [RedisServer; 2] {
    let options = [&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"], options].concat();
    let servers = [RedisServer::with(&options), RedisServer::with(&options)];
    for (server, slots) in servers.iter().zip([["0", "8191"], ["8192", "16383"]]) {
        let mut client = server.client();
        redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(&slots).exec(&mut client).expect("slots");
    }
    let [one, other] = &servers;
    let bus = |server: &RedisServer| server.bus_port().to_string();
    let meet = ["MEET", "127.0.0.1", &other.port().to_string(), &bus(other)].map(str::to_owned);
    redis::cmd("CLUSTER").arg(&meet).exec(&mut one.client()).expect("an answer");
    for server in &servers {
        let mut client = server.client();
        wait_until("the nodes know each other", || {
            let info = info(&mut client, &["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok")
                && info.contains("cluster_known_nodes:2")
                && info.contains("cluster_size:2")
        });
    }
    servers
}

#[tokio::test]
async fn the_suite_holds_on_a_cluster() {
    let servers = cluster(&[]);
    let [one, _] = &servers;
    let url = format!("redis-cluster://{USER}@127.0.0.1:1,127.0.0.1:{}", one.port());
    macro_rules! hold {
        ($($module:ident::$test:ident)*) => {
            $({
                let prefix = format!("peerbroker:{}", stringify!($test));
                let settings = RedisSettings { prefix, timeout: Duration::from_secs(10), ..RedisSettings::new(&url) };
                $module::$test(&settings).await;
            })*
        };
    }
    hold! {
        claims::answers_come_in_the_order_of_the_questions
        claims::claims_of_one_batch_exclude_each_other
        claims::one_of_many_concurrent_claims_is_granted
        claims::names_with_odd_characters_do_not_collide
        claims::the_generation_changes_with_the_first_connection_only
        limits::a_limit_holds_over_all_nodes_and_a_release_makes_room
        limits::a_full_key_leaves_the_name_free_and_its_marks_in_place
        limits::a_takeover_is_never_limited_and_counts
        marks::every_owner_gets_all_marks_while_they_last
        registrations::of_one_token_the_newer_connection_wins_in_any_order
        leases::a_lease_that_has_ended_is_never_renewed
        leases::a_node_that_leaves_is_dead_at_once
        inboxes::many_batches_are_read_in_parts_without_a_gap
        inboxes::a_reader_waits_for_a_batch
        inboxes::a_node_that_is_dead_or_unknown_takes_no_batches
    }
    // No client's name has decided where its record is.
    for server in &servers {
        let keys: usize = redis::cmd("DBSIZE").query(&mut server.client()).expect("a number");
        assert!(keys > 200, "{keys} keys");
    }
}
