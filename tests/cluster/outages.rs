//! Redis that is killed, restarted, stalled or cut off: every call ends, and later ones work.

use std::rc::Rc;
use std::time::Duration;

use peerbroker_cluster::{Backplane, Claim, InboxEntry, NodeCard, Position, Unavailable};
use peerbroker_config::SharedSettings;
use peerbroker_redis::{RedisBackplane, RedisSettings};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

use crate::server::RedisServer;
use crate::stage::{LONG, Stage as _, batches, claim, granted, located, members, node, owner, peer};

/// The bound of a call that has to run into it.
const BOUND: Duration = Duration::from_millis(300);

fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings { timeout: BOUND, ..RedisSettings::new(&server.url()) }
}

/// Far above every bound: a call that hangs fails the test.
async fn ends<T>(call: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), call).await.expect("a call that ends")
}

async fn ask(backplane: &RedisBackplane) -> Result<(), Unavailable> {
    ends(backplane.count(&crate::stage::key("peerjs"), node(1), 1)).await
}

/// Until a call works: after a stall, a busy machine may need more than one attempt.
async fn recovers(backplane: &RedisBackplane) {
    for _ in 0..50 {
        if ask(backplane).await.is_ok() {
            return;
        }
    }
    panic!("no call works any more");
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_empty() {
    let mut server = RedisServer::start();
    let a = settings(&server).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    let first = granted(&a, claim("x", owner(1, 1), 1)).await;
    let generation = a.generation();
    server.kill();
    for _ in 0..2 {
        ask(&a).await.expect_err("no server");
        ends(a.read(node(1), &Position::default(), Duration::ZERO)).await.expect_err("no server");
        ends(a.append(&[(node(1), vec![1])])).await.expect_err("no server");
    }
    server.start_again();
    assert_eq!(ends(located(&a, peer("x"))).await, None);
    assert_ne!(a.generation(), generation);
    let renewal = ends(a.renew(node(1), &SharedSettings::new(), LONG)).await.expect("an answer");
    assert_eq!(renewal, peerbroker_cluster::Renewal::Lost);
    // The time is in fences, so they rise all the same.
    assert!(granted(&a, claim("x", owner(2, 1), 2)).await.fence > first.fence);
}

#[tokio::test]
async fn nothing_is_claimed_in_a_server_that_was_restarted_until_the_node_means_that_one() {
    let mut server = RedisServer::start();
    let a = settings(&server).connect();
    let b = settings(&server).connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    granted(&b, claim("y", owner(2, 1), 1)).await;
    let known = (a.store(), b.store());
    server.kill();
    server.start_again();
    // The first call may notice the end of the connection only.
    for _ in 0..3 {
        let stranger = Claim { limit: Some(9), ..claim("x", owner(1, 2), 2) };
        ends(a.claim(known.0, vec![stranger])).await.expect_err("another server");
    }
    assert_ne!(a.store(), known.0);
    recovers(&b).await;
    assert_ne!(b.store(), known.1);
    assert_eq!(ends(located(&b, peer("x"))).await, None);
    assert_eq!(redis::cmd("DBSIZE").query(&mut server.client()), Ok(1), "only what a call has counted");
    granted(&a, claim("x", owner(1, 1), 1)).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_leads_to_the_same_server_again() {
    let server = RedisServer::start();
    let a = settings(&server).connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    let known = a.store();
    let generation = a.generation();
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec(&mut server.client()).expect("an answer");
    recovers(&a).await;
    assert_ne!(a.generation(), generation);
    assert_eq!(a.store(), known);
    granted(&a, claim("y", owner(1, 2), 1)).await;
}

#[tokio::test]
async fn a_user_that_may_not_ask_which_server_it_is_meets_another_one_each_time() {
    let user = ["--user", "old", "on", ">secret", "~peerbroker:*", "+@all", "-info"];
    let server = RedisServer::with(&user);
    let url = format!("redis://old:secret@127.0.0.1:{}", server.port());
    let a = RedisSettings { timeout: BOUND, ..RedisSettings::new(&url) }.connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    let known = a.store();
    redis::cmd("CLIENT").arg(&["KILL", "USER", "old"]).exec(&mut server.client()).expect("an answer");
    recovers(&a).await;
    assert_ne!(a.store(), known);
}

#[tokio::test]
async fn a_server_that_is_restarted_with_its_data() {
    let mut server = RedisServer::start();
    let a = settings(&server).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    granted(&a, claim("x", owner(1, 1), 1)).await;
    a.append(&[(node(1), vec![1]), (node(1), vec![2])]).await.expect("an answer");
    let read = a.read(node(1), &Position::default(), LONG).await.expect("batches");
    let generation = a.generation();
    redis::cmd("SAVE").exec(&mut server.client()).expect("a file");
    server.kill();
    server.start_again();
    recovers(&a).await;
    assert_ne!(a.generation(), generation);
    assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
    assert_eq!(members(&a, node(1)).await, [(node(1), "a".to_owned(), true)]);
    // Reading goes on where it was. The first attempt may be the one that notices the end of its connection.
    let mut rest = ends(a.read(node(1), &read[0].position, LONG)).await;
    if rest.is_err() {
        rest = ends(a.read(node(1), &read[0].position, LONG)).await;
    }
    assert_eq!(rest.expect("batches"), read[1..]);
}

#[tokio::test]
async fn a_server_that_is_stalled_and_goes_on() {
    let server = RedisServer::start();
    let a = settings(&server).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    batches(&a, node(1)).await;
    let generation = a.generation();
    server.signal("-STOP");
    // On connections that are open, and on new ones to a process that accepts none.
    for _ in 0..2 {
        ask(&a).await.expect_err("no answer");
        ends(a.read(node(1), &Position::default(), Duration::from_millis(1))).await.expect_err("no answer");
    }
    server.signal("-CONT");
    recovers(&a).await;
    assert_ne!(a.generation(), generation);
    assert_eq!(batches(&a, node(1)).await, [[0u8; 0]; 0]);
}

#[tokio::test]
async fn calls_at_the_same_time_all_end_at_a_stalled_server() {
    let server = RedisServer::start();
    let a = Rc::new(settings(&server).connect());
    let all = async {
        server.signal("-STOP");
        let calls: Vec<JoinHandle<_>> = (0..100)
            .map(|_| {
                let a = Rc::clone(&a);
                spawn_local(async move { ask(&a).await })
            })
            .collect();
        for call in calls {
            call.await.expect("a task").expect_err("no answer");
        }
        server.signal("-CONT");
        recovers(&a).await;
    };
    LocalSet::new().run_until(all).await;
}

#[tokio::test]
async fn a_server_that_starts_later_than_the_node() {
    let mut server = RedisServer::start();
    server.kill();
    let a = settings(&server).connect();
    let generation = a.generation();
    ask(&a).await.expect_err("no server");
    assert_eq!(a.generation(), generation);
    server.start_again();
    ask(&a).await.expect("an answer");
    assert_ne!(a.generation(), generation);
}

#[tokio::test]
async fn connections_that_are_cut_are_made_anew() {
    let server = RedisServer::start();
    let a = settings(&server).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    for _ in 0..3 {
        let generation = a.generation();
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec(&mut server.client()).expect("an answer");
        // The first call after a cut fails, or the cut was noticed before.
        if ask(&a).await.is_err() {
            ask(&a).await.expect("an answer");
        }
        assert_ne!(a.generation(), generation);
    }
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_is_left() {
    let server = RedisServer::start();
    let a = settings(&server).connect();
    ask(&a).await.expect("an answer");
    let generation = a.generation();
    redis::cmd("REPLICAOF").arg(&["127.0.0.1", "1"]).exec(&mut server.client()).expect("an answer");
    ask(&a).await.expect_err("a replica");
    redis::cmd("REPLICAOF").arg(&["NO", "ONE"]).exec(&mut server.client()).expect("an answer");
    ask(&a).await.expect("an answer");
    assert_ne!(a.generation(), generation);
}

/// Until so many clients block.
async fn blocked(server: &RedisServer, clients: usize) {
    let mut connection = server.client();
    let wanted = format!("blocked_clients:{clients}\r");
    let there = async {
        loop {
            let info: String = redis::cmd("INFO").arg("clients").query(&mut connection).expect("an answer");
            if info.contains(&wanted) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    ends(there).await;
}

fn reading(backplane: &Rc<RedisBackplane>) -> JoinHandle<Result<Vec<InboxEntry>, Unavailable>> {
    let backplane = Rc::clone(backplane);
    spawn_local(async move { backplane.read(node(1), &Position::default(), LONG).await })
}

#[tokio::test]
async fn a_read_that_waits_ends_with_its_server() {
    let mut server = RedisServer::start();
    let a = Rc::new(settings(&server).connect());
    let test = async {
        a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
        let read = reading(&a);
        blocked(&server, 1).await;
        server.kill();
        ends(read).await.expect("a task").expect_err("no server");
        server.start_again();
        a.join(node(1), &NodeCard::named("a"), LONG)
            .await
            .or(a.join(node(1), &NodeCard::named("a"), LONG).await)
            .expect("a lease");
        a.append(&[(node(1), vec![1])]).await.expect("an answer");
        assert_eq!(batches(&*a, node(1)).await, [[1]]);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_read_that_is_given_up_holds_no_later_one() {
    let server = RedisServer::start();
    let a = Rc::new(settings(&server).connect());
    let test = async {
        a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
        for _ in 0..3 {
            let read = reading(&a);
            blocked(&server, 1).await;
            read.abort();
            // Its connection ends with it.
            blocked(&server, 0).await;
        }
        assert_eq!(ends(batches(&*a, node(1))).await, [[0u8; 0]; 0]);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_read_that_waits_delays_no_other_call() {
    let server = RedisServer::start();
    let a = Rc::new(settings(&server).connect());
    let test = async {
        a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
        let read = reading(&a);
        blocked(&server, 1).await;
        // Each would run into its bound behind the read.
        granted(&*a, claim("x", owner(1, 1), 1)).await;
        a.append(&[(node(1), vec![1])]).await.expect("an answer");
        assert_eq!(ends(read).await.expect("a task").expect("a batch").len(), 1);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn calls_and_reads_have_one_connection_each() {
    let server = RedisServer::start();
    let a = settings(&server).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    batches(&a, node(1)).await;
    let mut client = server.client();
    let mut connections = || -> Option<String> {
        let info: String = redis::cmd("INFO").arg("stats").query(&mut client).expect("an answer");
        info.lines().find(|line| line.starts_with("total_connections_received:")).map(str::to_owned)
    };
    let before = connections();
    assert!(before.is_some());
    for number in 0..5 {
        a.append(&[(node(1), vec![number])]).await.expect("an answer");
        a.read(node(1), &Position::default(), LONG).await.expect("a batch");
        // Also after a read that has waited in vain.
        a.read(node(2), &Position::default(), Duration::from_millis(1)).await.expect("an answer");
    }
    assert_eq!(connections(), before);
}
