//! One owner of an id, and messages that follow it from node to node.

use crate::harness::{Cluster, Seen, run};

/// No lease ends and no message expires during a test, however busy the machine is. With a lease of 2 s, a
/// Redis that does not answer within 400 ms is an outage: messages to other nodes expire, and an owner of an
/// id may close with 4006.
const UNHURRIED: &[(&str, &str)] = &[("--cluster_lease", "600000"), ("--expire_timeout", "600000")];

#[test]
fn an_id_is_taken_while_its_holder_on_another_node_lives() {
    run(async {
        let cluster = Cluster::start_with(UNHURRIED).await;
        let holder = cluster.open(0, "x", "token").await;
        for node in [1, 2, 0] {
            assert_eq!(cluster.ask(node, "x", "other").await.refusal(), "ID is taken", "node {node}");
        }
        let sender = cluster.open(1, "sender", "token").await;
        sender.offer("x", "hello");
        holder.expect_message("sender", "hello").await;
    });
}

#[test]
fn a_holder_on_another_node_that_does_not_answer_a_ping_loses_its_id() {
    run(async {
        let cluster = Cluster::start_with(UNHURRIED).await;
        let dead = cluster.open(0, "x", "token").await;
        dead.freeze();
        let new = cluster.open_at_last(1, "x", "other").await;
        let sender = cluster.open(0, "sender", "token").await;
        sender.offer("x", "hello");
        new.expect_message("sender", "hello").await;
        let stats = cluster.nodes[0].stats().await;
        assert_eq!(stats["evicted"], 1, "{stats}");
    });
}

#[test]
fn an_id_whose_client_has_left_is_free_on_every_node() {
    run(async {
        let cluster = Cluster::start_with(UNHURRIED).await;
        for node in [0, 1, 2, 1, 0] {
            let client = cluster.open(node, "x", &format!("token{node}")).await;
            client.close();
            client.expect_closed(Some(1000)).await;
        }
        let reset = cluster.open(2, "x", "token").await;
        reset.reset();
        cluster.open_at_last(0, "x", "other").await;
    });
}

#[test]
fn the_same_token_takes_an_id_over_from_another_node() {
    run(async {
        let cluster = Cluster::start_with(UNHURRIED).await;
        let sender = cluster.open(2, "sender", "token").await;
        let mut holder = cluster.open(0, "x", "token").await;
        for (turn, node) in [1, 2, 0, 1].into_iter().enumerate() {
            let new = cluster.open(node, "x", "token").await;
            holder.expect_closed(Some(4001)).await;
            let text = format!("turn {turn}");
            sender.offer("x", &text);
            new.expect_message("sender", &text).await;
            holder = new;
        }
    });
}

#[test]
fn messages_sent_during_takeovers_arrive_once_and_in_order() {
    run(async {
        let cluster = Cluster::start_with(UNHURRIED).await;
        let senders = [cluster.open(0, "s0", "t").await, cluster.open(1, "s1", "t").await];
        let mut holders = vec![cluster.open(2, "x", "t").await];
        let mut number = 0;
        for node in [1, 0, 2, 1, 0, 2] {
            let ((), new) = tokio::join!(
                async {
                    for _ in 0..40 {
                        for sender in &senders {
                            sender.send("CANDIDATE", "x", &format!("{number:04}"));
                        }
                        number += 1;
                        tokio::task::yield_now().await;
                    }
                },
                cluster.open(node, "x", "t"),
            );
            holders.push(new);
        }
        for sender in &senders {
            sender.send("CANDIDATE", "x", "last");
        }
        let last = holders.last().expect("a holder");
        crate::harness::until("the last messages", async || {
            let is_last = |seen: &Seen| matches!(seen, Seen::Message { payload, .. } if payload == "last");
            last.seen().iter().filter(|seen| is_last(seen)).count() == senders.len()
        })
        .await;
        for sender in &senders {
            let arrived: Vec<String> = holders
                .iter()
                .flat_map(|holder| holder.seen())
                .filter_map(|seen| match seen {
                    Seen::Message { from, payload, .. } if from == sender.id => Some(payload),
                    _ => None,
                })
                .collect();
            let wanted: Vec<String> =
                (0..number).map(|number| format!("{number:04}")).chain(["last".to_owned()]).collect();
            assert_eq!(arrived, wanted, "from {}", sender.id);
            assert_eq!(sender.seen().len(), 1, "no EXPIRE: {:?}", sender.seen());
        }
    });
}

#[test]
fn messages_for_an_absent_peer_reach_it_on_whichever_node_it_opens() {
    run(async {
        let cluster = Cluster::start_with(UNHURRIED).await;
        for node in 0..3 {
            let senders = [
                cluster.open(0, "s0", "t").await,
                cluster.open(1, "s1", "t").await,
                cluster.open(2, "s2", "t").await,
            ];
            let id = format!("absent{node}");
            for sender in &senders {
                sender.offer(&id, "one");
                sender.send("CANDIDATE", &id, "two");
                // Its node answers a message after handling it.
                sender.offer(&sender.id, "marker");
                sender.expect_message(&sender.id, "marker").await;
            }
            let peer = cluster.open(node, &id, "t").await;
            let mut arrived = Vec::new();
            for _ in 0..6 {
                match peer.next().await {
                    Seen::Message { from, payload, .. } => arrived.push((from, payload)),
                    other => panic!("{other:?}"),
                }
            }
            for sender in &senders {
                let of_sender: Vec<&str> = arrived
                    .iter()
                    .filter(|(from, _)| *from == sender.id)
                    .map(|(_, payload)| payload.as_str())
                    .collect();
                assert_eq!(of_sender, ["one", "two"]);
            }
        }
    });
}

#[test]
fn messages_for_a_peer_that_does_not_come_expire_once() {
    run(async {
        let cluster = Cluster::start_with(&UNHURRIED[..1]).await;
        let sender = cluster.open(0, "sender", "t").await;
        let witness = cluster.open(1, "witness", "t").await;
        sender.offer("absent", "one");
        sender.send("CANDIDATE", "absent", "two");
        sender.expect(Seen::Expire("absent".to_owned())).await;
        let late = cluster.open(2, "absent", "t").await;
        sender.offer("absent", "three");
        late.expect_message("sender", "three").await;
        witness.offer("sender", "nothing else");
        sender.expect_message("witness", "nothing else").await;
    });
}
