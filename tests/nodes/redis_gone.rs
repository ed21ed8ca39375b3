//! Redis that is gone, slow, or has lost its data.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::harness::proxy::Mode;
use crate::harness::{Client, Cluster, Seen, run, until};

const OUT: &str = "cannot reach the other nodes";
const BACK: &str = "the other nodes can be reached again";

#[test]
fn without_redis_nodes_serve_their_own_clients_and_by_default_new_ones() {
    run(async {
        let mut cluster = Cluster::start().await;
        let a = cluster.open(0, "a", "token").await;
        let b = cluster.open(0, "b", "token").await;
        cluster.redis.kill().await;
        a.offer("b", "local");
        b.expect_message("a", "local").await;
        let c = cluster.open(0, "c", "token").await;
        c.offer("a", "from a new one");
        a.expect_message("c", "from a new one").await;
        assert_eq!(cluster.ask(0, "c", "other").await.refusal(), "ID is taken", "on the same node");
        cluster.redis.revive().await;
        let d = cluster.open_at_last(1, "d", "token").await;
        for client in [&a, &b, &c] {
            assert!(cluster.reaches(&d, client).await, "{} is found", client.id);
            assert!(client.is_open());
        }
    });
}

#[test]
fn without_redis_new_clients_are_refused_if_that_is_wanted() {
    run(async {
        let mut cluster = Cluster::start_with(&[("--cluster_degraded", "refuse")]).await;
        let a = cluster.open_at_last(0, "a", "token").await;
        let b = cluster.open_at_last(0, "b", "token").await;
        cluster.redis.kill().await;
        assert_eq!(cluster.ask(0, "c", "token").await.refusal(), "Server is not available at the moment");
        a.offer("b", "local");
        b.expect_message("a", "local").await;
        cluster.redis.revive().await;
        let c = cluster.open_at_last(1, "c", "token").await;
        assert!(cluster.reaches(&c, &a).await);
        assert!(a.is_open() && b.is_open());
    });
}

#[test]
fn of_two_clients_that_got_an_id_in_an_outage_the_older_one_keeps_it() {
    run(async {
        let mut cluster = Cluster::start().await;
        cluster.redis.kill().await;
        for node in &cluster.nodes {
            node.logs(OUT).await;
        }
        let older = cluster.open(0, "x", "token").await;
        let mut newer = Vec::new();
        for node in [1, 2] {
            // Older and newer are told apart by milliseconds.
            sleep(Duration::from_millis(2)).await;
            newer.push(cluster.open(node, "x", &format!("token{node}")).await);
        }
        cluster.redis.revive_empty().await;
        for loser in &newer {
            loser.expect_closed(Some(4006)).await;
        }
        let sender = cluster.open_at_last(2, "sender", "token").await;
        assert!(cluster.reaches(&sender, &older).await);
        assert!(older.is_open());
    });
}

#[test]
fn a_client_that_had_its_id_before_an_outage_keeps_it() {
    run(async {
        let mut cluster = Cluster::start().await;
        let holder = cluster.open(0, "x", "token").await;
        cluster.redis.kill().await;
        cluster.nodes[1].logs(OUT).await;
        let intruder = cluster.open(1, "x", "other").await;
        cluster.redis.revive_empty().await;
        intruder.expect_closed(Some(4006)).await;
        cluster.nodes[2].logs(BACK).await;
        let sender = cluster.open_at_last(2, "sender", "token").await;
        assert!(cluster.reaches(&sender, &holder).await);
        assert!(holder.is_open());
    });
}

#[test]
fn an_empty_redis_gives_no_id_to_a_stranger_if_new_clients_are_refused() {
    run(async {
        let mut cluster = Cluster::start_with(&[("--cluster_degraded", "refuse")]).await;
        let mut holders = Vec::new();
        for number in 0..30 {
            // On a busy machine a node may have lost Redis for a moment, and refuses clients then.
            holders.push(cluster.open_at_last(0, &format!("x{number}"), "token").await);
        }
        cluster.redis.kill().await;
        cluster.redis.revive_empty().await;
        // While the nodes find out, and until one of them claims again.
        while !cluster.nodes[1].is_back() || cluster.nodes[1].lost_leases() == 0 {
            let strangers: Vec<Client> = holders
                .iter()
                .map(|holder| Client::connect(cluster.nodes[1].address, &holder.id, "other"))
                .collect();
            for stranger in &strangers {
                let answer = stranger.next().await;
                assert!(matches!(answer, Seen::Refused(_)), "{}: {answer:?}", stranger.id);
            }
        }
        assert_eq!(cluster.ask(1, "x0", "other").await.refusal(), "ID is taken");
        assert!(holders.iter().all(Client::is_open), "nobody lost its id");
    });
}

#[test]
fn a_client_whose_node_is_slow_keeps_its_id_while_redis_answers() {
    run(async {
        let cluster = Cluster::start_with(&[("--cluster_lease", "20000")]).await;
        let holder = cluster.open(0, "x", "token").await;
        cluster.nodes[0].signal("-STOP");
        // Each asks the slow node in vain, one after the other.
        let strangers: Vec<Client> =
            (0..8).map(|_| Client::connect(cluster.nodes[1].address, "x", "other")).collect();
        for stranger in &strangers {
            let answer = stranger.next().await;
            assert!(matches!(answer, Seen::Refused(_)), "{answer:?}");
        }
        cluster.nodes[0].signal("-CONT");
        let sender = cluster.open(2, "sender", "token").await;
        assert!(cluster.reaches(&sender, &holder).await);
    });
}

#[test]
fn a_client_keeps_an_id_whose_owner_has_left_in_an_outage() {
    run(async {
        let mut cluster = Cluster::start().await;
        let owner = cluster.open(0, "x", "token").await;
        cluster.redis.kill().await;
        for node in &cluster.nodes {
            node.logs(OUT).await;
        }
        owner.close();
        owner.expect_closed(Some(1000)).await;
        let new = cluster.open(1, "x", "other").await;
        cluster.redis.revive().await;
        for node in &cluster.nodes {
            node.logs(BACK).await;
        }
        let sender = cluster.open(2, "sender", "token").await;
        assert!(cluster.reaches(&sender, &new).await);
        assert!(new.is_open());
    });
}

#[test]
fn a_message_finds_a_peer_that_opens_after_redis_has_lost_who_waits() {
    run(async {
        let mut cluster = Cluster::start_with(&[("--expire_timeout", "600000")]).await;
        let sender = cluster.open(0, "sender", "token").await;
        sender.offer("late", "hello");
        until("a mark of the waiting node", async || cluster.redis.records().await == 2).await;
        cluster.redis.kill().await;
        cluster.redis.revive_empty().await;
        for node in &cluster.nodes {
            node.logs(BACK).await;
        }
        let late = cluster.open(1, "late", "token").await;
        late.expect_message("sender", "hello").await;
    });
}

#[test]
fn a_redis_that_comes_back_with_its_data_has_lost_nothing() {
    run(async {
        let mut cluster = Cluster::start().await;
        let a = cluster.open(0, "a", "token").await;
        let b = cluster.open(1, "b", "token").await;
        assert!(cluster.reaches(&a, &b).await);
        cluster.redis.kill().await;
        cluster.redis.revive().await;
        for node in &cluster.nodes {
            node.logs(BACK).await;
        }
        assert!(cluster.reaches(&a, &b).await);
        assert!(cluster.reaches(&b, &a).await);
        let taken = async || {
            let answer = cluster.ask(2, "a", "other").await;
            answer.refusal() == "ID is taken"
        };
        assert!(taken().await, "by the client that has it");
        assert!(a.is_open() && b.is_open());
    });
}

#[test]
fn a_client_that_leaves_a_room_while_redis_is_away_hears_nothing_more_of_it() {
    run(async {
        let mut cluster = Cluster::start().await;
        let a = cluster.open(0, "a", "token").await;
        let b = cluster.open(1, "b", "token").await;
        let c = cluster.open(1, "c", "token").await;
        a.join("x", &[]).await;
        b.join("x", &["a"]).await;
        c.join("x", &["a", "b"]).await;
        a.expect_members(&["b", "c"]).await;
        b.expect_members(&["c"]).await;
        a.join("y", &[]).await;
        b.join("y", &["a"]).await;
        a.expect_members(&["b"]).await;
        cluster.redis.kill().await;
        for node in &cluster.nodes {
            node.logs(OUT).await;
        }
        b.leave("x").await;
        c.expect(Seen::Left("b".to_owned())).await;
        cluster.redis.revive_empty().await;
        let heard = async || {
            a.tell("x", "all the time");
            c.find(|seen| matches!(seen, Seen::Message { .. }).then_some(())).is_some()
        };
        until("a message of the room", heard).await;
        // By then, the node of the sender knows who is in the room.
        a.expect(Seen::Left("b".to_owned())).await;
        a.tell("y", "end");
        b.expect_message("a", "end").await;
    });
}

/// As [`Client::expect_message`], for a client whose messages to another node may expire meanwhile.
async fn expect_beside_expiries(client: &Client, from: &str, payload: &str) {
    loop {
        match client.next().await {
            Seen::Expire(_) => {}
            Seen::Message { from: by, payload: text, .. } if by == from && text == payload => return,
            other => panic!("{}: {other:?} instead of {payload:?} from {from}", client.id),
        }
    }
}

#[test]
fn a_stalled_redis_delays_no_local_message_and_no_open_for_ever() {
    run(async {
        let cluster = Cluster::start().await;
        let a = cluster.open(0, "a", "token").await;
        let b = cluster.open(0, "b", "token").await;
        let far = cluster.open(1, "far", "token").await;
        for mode in [Mode::Stalled, Mode::Mute, Mode::Cut] {
            cluster.nodes[0].proxy.set(mode);
            // The answer of a node to a message to oneself comes behind what it has done before.
            a.offer("far", "waits, and may expire");
            for number in 0..100 {
                let text = format!("local {number}");
                a.offer("b", &text);
                expect_beside_expiries(&b, "a", &text).await;
            }
            let new = cluster.open(0, &format!("new-{mode:?}"), "token").await;
            new.offer("b", "new");
            expect_beside_expiries(&b, &new.id, "new").await;
            cluster.nodes[0].proxy.set(Mode::Open);
            assert!(cluster.reaches(&far, &new).await, "after {mode:?}");
            assert!(cluster.reaches(&far, &b).await, "after {mode:?}");
            assert!(cluster.reaches(&b, &far).await, "after {mode:?}");
        }
        assert!(a.is_open() && b.is_open() && far.is_open());
    });
}

#[test]
fn a_paused_redis_delays_no_local_message() {
    run(async {
        let cluster = Cluster::start().await;
        let a = cluster.open(0, "a", "token").await;
        let b = cluster.open(0, "b", "token").await;
        cluster.redis.pause();
        for number in 0..100 {
            let text = format!("local {number}");
            a.offer("b", &text);
            b.expect_message("a", &text).await;
        }
        let new = cluster.open(1, "new", "token").await;
        // It lasts until each lease has ended.
        until("the end of each lease", async || cluster.nodes.iter().all(|node| node.lost_leases() > 0))
            .await;
        cluster.redis.resume();
        assert!(cluster.reaches(&a, &new).await);
        assert!(cluster.reaches(&new, &b).await);
        assert!(a.is_open() && b.is_open() && new.is_open());
    });
}

/// The variable for another number of peers; every one needs two open files.
const PEERS: &str = "PEERBROKER_NODES_PEERS";

#[test]
fn all_peers_are_registered_again_after_redis_came_back_empty() {
    let peers: usize = std::env::var(PEERS).map_or(10_000, |peers| peers.parse().expect(PEERS));
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    run(async {
        // No lease ends because the machine is busy with so many clients.
        let mut cluster = Cluster::start_with(&[("--cluster_lease", "10000")]).await;
        let mut clients = Vec::new();
        while clients.len() < peers {
            let few: Vec<Client> = (clients.len()..(clients.len() + 200).min(peers))
                .map(|number| Client::connect(cluster.nodes[number % 3].address, &format!("p{number}"), "t"))
                .collect();
            for client in &few {
                client.expect(Seen::Open).await;
            }
            clients.extend(few);
        }
        assert_eq!(cluster.redis.records().await, peers);
        cluster.redis.kill().await;
        cluster.redis.revive_empty().await;
        let back = Instant::now();
        until("all records", async || cluster.redis.records().await == peers).await;
        println!(
            "{peers} peers were registered again {:.2} s after Redis was back",
            back.elapsed().as_secs_f64()
        );
        for (number, client) in clients.iter().enumerate().step_by(peers / 20) {
            let other = &clients[(number + peers / 2 + 1) % peers];
            assert!(cluster.reaches(client, other).await, "{} reaches {}", client.id, other.id);
        }
        assert!(clients.iter().all(Client::is_open), "nobody lost its id");
    });
}
