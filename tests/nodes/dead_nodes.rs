//! Nodes that are killed, stopped or paused.

use std::net::SocketAddr;

use testkit::raw_client::RawClient;
use tokio::task::{spawn_blocking, yield_now};

use crate::harness::proxy::Mode;
use crate::harness::{Cluster, Seen, TIMEOUT, becomes, run};

/// No lease ends during a test.
const LONG_LEASE: &[(&str, &str)] = &[("--cluster_lease", "600000")];

#[test]
fn a_killed_node_frees_its_ids_at_once_for_their_tokens_and_for_nobody_else() {
    run(async {
        let mut cluster = Cluster::start_with(LONG_LEASE).await;
        let old = cluster.open(0, "x", "token").await;
        cluster.nodes[0].kill().await;
        old.expect(Seen::End).await;
        assert_eq!(cluster.ask(1, "x", "other").await.refusal(), "ID is taken");
        let new = cluster.open(1, "x", "token").await;
        let sender = cluster.open(2, "sender", "token").await;
        sender.offer("x", "hello");
        new.expect_message("sender", "hello").await;
    });
}

#[test]
fn a_killed_node_frees_its_ids_for_others_when_its_lease_ends() {
    run(async {
        let mut cluster = Cluster::start().await;
        let _old = cluster.open(0, "x", "token").await;
        cluster.nodes[0].kill().await;
        let new = cluster.open_at_last(1, "x", "other").await;
        let sender = cluster.open(2, "sender", "token").await;
        sender.offer("x", "hello");
        new.expect_message("sender", "hello").await;
    });
}

/// A guest, and the answer to its announce or scrape of a torrent.
async fn ask_tracker(address: SocketAddr, action: &'static str) -> (RawClient, String) {
    let ask = move || {
        let mut guest = RawClient::connect(address, action);
        guest.send_raw(RawClient::handshake("/"));
        guest.expect_accepted();
        guest.send(format!(
            r#"{{"action":"{action}","info_hash":"a-torrent-of-20-byte","peer_id":"a-member-of-20-bytes","left":1}}"#
        ));
        let told = guest.expect_text();
        (guest, told)
    };
    spawn_blocking(ask).await.unwrap()
}

#[test]
fn a_client_of_webtorrent_is_in_its_swarm_again_when_its_node_was_killed() {
    run(async {
        let mut cluster = Cluster::start_with(&[LONG_LEASE[0], ("--dialects", "peerjs,tracker")]).await;
        let [old, new, third] = [0, 1, 2].map(|node| cluster.nodes[node].address);
        let is_one = |told: &str| told.contains(r#""complete":0,"incomplete":1"#);
        let (_lost, told) = ask_tracker(old, "announce").await;
        assert!(is_one(&told), "{told}");
        for node in [new, third] {
            assert!(becomes(TIMEOUT, async || is_one(&ask_tracker(node, "scrape").await.1)).await);
        }
        cluster.nodes[0].kill().await;
        let (_back, told) = ask_tracker(new, "announce").await;
        assert!(is_one(&told), "{told}");
        assert!(becomes(TIMEOUT, async || is_one(&ask_tracker(third, "scrape").await.1)).await);
    });
}

#[test]
fn a_node_that_stops_closes_its_clients_with_1001_and_frees_their_ids_at_once() {
    run(async {
        let mut cluster = Cluster::start_with(LONG_LEASE).await;
        let old = cluster.open(0, "x", "token").await;
        cluster.nodes[0].signal("-TERM");
        old.expect_closed(Some(1001)).await;
        cluster.nodes[0].ended().await;
        let new = cluster.open(1, "x", "other").await;
        let sender = cluster.open(2, "sender", "token").await;
        sender.offer("x", "hello");
        new.expect_message("sender", "hello").await;
    });
}

#[test]
fn a_node_that_was_away_for_longer_than_its_lease_tells_the_client_that_has_lost_its_id() {
    // It was paused, or its link to Redis failed in one of these ways.
    for link in [None, Some(Mode::Stalled), Some(Mode::Mute), Some(Mode::Cut)] {
        run(async {
            let cluster = Cluster::start().await;
            let node = &cluster.nodes[0];
            let old = cluster.open(0, "x", "token").await;
            let stays = cluster.open(0, "stays", "token").await;
            match link {
                None => node.signal("-STOP"),
                Some(mode) => node.proxy.set(mode),
            }
            let new = cluster.open_at_last(1, "x", "other").await;
            match link {
                None => node.signal("-CONT"),
                Some(_) => node.proxy.set(Mode::Open),
            }
            old.expect_closed(Some(4006)).await;
            assert!(
                cluster.reaches(&stays, &new).await,
                "the successor is found from the node after {link:?}"
            );
            assert!(
                cluster.reaches(&new, &stays).await,
                "a client that nobody replaced is found after {link:?}"
            );
            assert!(new.is_open() && stays.is_open(), "after {link:?}");
        });
    }
}

#[test]
fn a_node_that_was_paused_for_longer_than_its_lease_gives_way_to_a_client_that_came_back_elsewhere() {
    run(async {
        let cluster = Cluster::start().await;
        let old = cluster.open(0, "x", "token").await;
        cluster.nodes[0].signal("-STOP");
        let new = cluster.open(1, "x", "token").await;
        cluster.nodes[1].logs(" died").await;
        cluster.nodes[0].signal("-CONT");
        let closed = old.next().await;
        assert!(matches!(closed, Seen::Closed(Some(4001 | 4006))), "{closed:?}");
        let sender = cluster.open(2, "sender", "token").await;
        assert!(cluster.reaches(&sender, &new).await);
        assert!(new.is_open());
    });
}

/// A node sleeps, a client of it comes back elsewhere, and the node wakes up.
async fn sleep_while_a_client_moves(flags: &[(&str, &str)], until_dead: bool) {
    const MESSAGES: usize = 20;
    let cluster = Cluster::start_with(flags).await;
    let old = cluster.open(0, "x", "token").await;
    let sender = cluster.open(0, "sender", "token").await;
    let friend = cluster.open(0, "friend", "token").await;
    cluster.nodes[0].signal("-STOP");
    let new = cluster.open(1, "x", "token").await;
    if until_dead {
        cluster.nodes[1].logs(" died").await;
    }
    for number in 0..MESSAGES {
        sender.send("CANDIDATE", "x", &number.to_string());
        old.send("CANDIDATE", "friend", &number.to_string());
        // They are in the kernel when the node wakes up.
        for _ in 0..10 {
            yield_now().await;
        }
    }
    cluster.nodes[0].signal("-CONT");
    let closed = old.next().await;
    assert!(
        matches!(closed, Seen::Closed(Some(4001 | 4006))),
        "the old connection hears nothing: {closed:?}"
    );
    for number in 0..MESSAGES {
        new.expect_message("sender", &number.to_string()).await;
    }
    sender.offer("friend", "nothing before");
    friend.expect_message("sender", "nothing before").await;
    assert!(new.is_open());
}

#[test]
fn a_node_that_slept_for_longer_than_its_lease_does_not_speak_for_a_client_that_came_back_elsewhere() {
    run(sleep_while_a_client_moves(&[], true));
}

#[test]
fn a_node_that_slept_for_less_than_its_lease_does_not_speak_for_a_client_that_came_back_elsewhere() {
    run(sleep_while_a_client_moves(LONG_LEASE, false));
}

#[test]
fn messages_that_a_node_had_when_it_died_are_in_doubt_and_expire_once() {
    run(async {
        let mut cluster = Cluster::start().await;
        let recipient = cluster.open(1, "recipient", "token").await;
        let sender = cluster.open(0, "sender", "token").await;
        sender.offer("recipient", "first");
        recipient.expect_message("sender", "first").await;
        cluster.nodes[1].signal("-STOP");
        for number in 0..3 {
            sender.send("CANDIDATE", "recipient", &format!("lost {number}"));
        }
        sender.offer("sender", "all before is on its way");
        sender.expect_message("sender", "all before is on its way").await;
        cluster.nodes[1].kill().await;
        sender.expect(Seen::Expire("recipient".to_owned())).await;
        let again = cluster.open(2, "recipient", "token").await;
        sender.offer("recipient", "second");
        again.expect_message("sender", "second").await;
        sender.offer("sender", "nothing else");
        sender.expect_message("sender", "nothing else").await;
        let stats = cluster.nodes[0].stats().await;
        assert_eq!(stats["messages"]["candidate"]["dropped_in_doubt"], 3, "{stats}");
        assert_eq!(stats["expired"], 1, "{stats}");
    });
}

#[test]
fn a_client_that_came_back_elsewhere_after_a_kill_is_reached_before_the_lease_ends() {
    run(async {
        let mut cluster = Cluster::start_with(LONG_LEASE).await;
        let old = cluster.open(1, "x", "token").await;
        let sender = cluster.open(0, "sender", "token").await;
        sender.offer("x", "first");
        old.expect_message("sender", "first").await;
        cluster.nodes[1].kill().await;
        let new = cluster.open(2, "x", "token").await;
        assert!(cluster.reaches(&sender, &new).await);
        assert!(new.is_open());
    });
}

#[test]
fn messages_to_a_client_that_has_moved_from_a_node_that_stopped_follow_it() {
    run(async {
        let mut cluster = Cluster::start_with(LONG_LEASE).await;
        let old = cluster.open(1, "x", "token").await;
        let sender = cluster.open(0, "sender", "token").await;
        sender.offer("x", "first");
        old.expect_message("sender", "first").await;
        cluster.nodes[1].signal("-TERM");
        old.expect_closed(Some(1001)).await;
        cluster.nodes[1].ended().await;
        let new = cluster.open(2, "x", "token").await;
        for number in 0..20 {
            sender.send("CANDIDATE", "x", &number.to_string());
        }
        for number in 0..20 {
            new.expect_message("sender", &number.to_string()).await;
        }
        sender.offer("sender", "no EXPIRE before");
        sender.expect_message("sender", "no EXPIRE before").await;
    });
}

#[test]
fn what_is_said_while_a_node_stops_comes_to_its_members_on_another_one() {
    const MESSAGES: usize = 20;
    run(async {
        let times = [LONG_LEASE[0], ("--reclaim_timeout", "60000"), ("--expire_timeout", "60000")];
        let mut cluster = Cluster::start_with(&times).await;
        let a = cluster.open(0, "a", "token").await;
        a.join("r", &[]).await;
        let old = cluster.open(1, "b", "token").await;
        old.join("r", &["a"]).await;
        a.expect(Seen::Joined("b".to_owned())).await;
        cluster.nodes[1].signal("-TERM");
        old.expect_closed(Some(1001)).await;
        for number in 0..MESSAGES {
            a.tell("r", &number.to_string());
            // Some are on their way when the node leaves.
            for _ in 0..10 {
                yield_now().await;
            }
        }
        cluster.nodes[1].ended().await;
        a.tell("r", "after its end");
        let new = cluster.open(2, "b", "token").await;
        new.expect_members(&["a", "b"]).await;
        for number in 0..MESSAGES {
            new.expect_message("a", &number.to_string()).await;
        }
        new.expect_message("a", "after its end").await;
    });
}

#[test]
fn the_members_of_a_killed_node_leave_their_rooms_when_its_lease_ends_and_once() {
    run(async {
        // A dead node is asked for its ids for two seconds: a client is back long before the lease ends.
        let mut cluster = Cluster::start_with(&[("--cluster_lease", "8000")]).await;
        let a = cluster.open(0, "a", "token").await;
        a.join("r", &[]).await;
        let b = cluster.open(1, "b", "token").await;
        b.join("r", &["a"]).await;
        a.expect(Seen::Joined("b".to_owned())).await;
        let mut lost = Vec::new();
        for id in ["moves", "away"] {
            let client = cluster.open(2, id, "token").await;
            client.join("r", &[&["a", "b"], &["moves"][..lost.len()]].concat()).await;
            a.expect(Seen::Joined(id.to_owned())).await;
            b.expect(Seen::Joined(id.to_owned())).await;
            lost.push(client);
        }
        cluster.nodes[2].kill().await;
        let back = cluster.open(1, "moves", "token").await;
        back.expect_members(&["a", "b", "moves", "away"]).await;
        // The others have not noticed that it was away.
        for client in [&a, &b, &back] {
            client.expect(Seen::Left("away".to_owned())).await;
        }
        for (sender, others) in [(&a, [&b, &back]), (&b, [&a, &back]), (&back, [&a, &b])] {
            sender.tell("r", "nothing before");
            for other in others {
                other.expect_message(&sender.id, "nothing before").await;
            }
        }
    });
}

#[test]
fn a_node_that_starts_again_takes_part_again() {
    run(async {
        let mut cluster = Cluster::start().await;
        let a = cluster.open(0, "a", "token").await;
        cluster.nodes[1].kill().await;
        cluster.nodes[1].revive().await;
        let b = cluster.open_at_last(1, "b", "token").await;
        a.offer("b", "there");
        b.expect_message("a", "there").await;
        b.offer("a", "back");
        a.expect_message("b", "back").await;
    });
}
