//! Messages that a node has, and cannot write because its client does not read.

use std::time::Duration;

use crate::harness::proxy::Mode;
use crate::harness::{Client, Cluster, Seen, run, until};

/// No lease ends, and nothing expires.
const PATIENT: &[(&str, &str)] = &[("--cluster_lease", "20000"), ("--expire_timeout", "600000")];

/// Time in which a sender's node must know that a message was delivered. If it takes longer, a message more
/// is sent.
const KNOWN: Duration = Duration::from_millis(500);

/// Most messages of the following length, far above what kernels buffer.
const MESSAGES: usize = 400;
const LENGTH: usize = 32 << 10;

fn text(number: usize) -> String {
    format!("{number:06}{}", "x".repeat(LENGTH))
}

fn number(seen: &Seen) -> Option<usize> {
    let Seen::Message { payload, .. } = seen else { return None };
    payload.get(..6)?.parse().ok()
}

/// Sends until the recipient's node, which is another one, cannot write any more. How many were sent.
async fn fill(cluster: &Cluster, sender: &Client, to: &Client) -> usize {
    to.freeze();
    for sent in 1..=MESSAGES {
        sender.offer(&to.id, &text(sent - 1));
        let delivered = |stats: &serde_json::Value| stats["messages"]["offer"]["delivered"] == sent;
        if sent % 8 == 0 && !cluster.nodes[0].stats_become(KNOWN, delivered).await {
            return sent;
        }
    }
    panic!("{MESSAGES} messages were written to a client that does not read");
}

/// Reads until this message. All numbers of messages, in order.
async fn read_until(client: &Client, last: usize) -> Vec<usize> {
    until("the last message", async || {
        client.find(|seen| (number(seen) == Some(last)).then_some(())).is_some()
    })
    .await;
    client.seen().iter().filter_map(number).collect()
}

#[test]
fn messages_that_a_client_did_not_read_follow_it_to_another_node_in_order() {
    run(async {
        let cluster = Cluster::start_with(PATIENT).await;
        let sender = cluster.open(0, "sender", "t").await;
        let old = cluster.open(1, "x", "t").await;
        let sent = fill(&cluster, &sender, &old).await;
        let new = cluster.open(2, "x", "t").await;
        sender.offer("x", &text(sent));
        let arrived = read_until(&new, sent).await;
        let first = sent + 1 - arrived.len();
        assert_eq!(arrived, (first..=sent).collect::<Vec<_>>(), "the end of all messages, without a gap");
        assert!(arrived.len() > 1, "some came from the other node");
    });
}

#[test]
fn a_message_on_its_way_to_an_old_connection_does_not_overtake_older_ones_that_come_back() {
    run(async {
        let cluster = Cluster::start_with(PATIENT).await;
        let sender = cluster.open(0, "sender", "t").await;
        let old = cluster.open(1, "x", "t").await;
        let sent = fill(&cluster, &sender, &old).await;
        cluster.nodes[1].proxy.set(Mode::Stalled);
        for number in sent..sent + 8 {
            sender.offer("x", &text(number));
        }
        // It opens in the outage, on the same node, which hears of the last messages only after that.
        let new = cluster.open_at_last(1, "x", "t").await;
        cluster.nodes[1].proxy.set(Mode::Open);
        let last = sent + 7;
        let arrived = read_until(&new, last).await;
        let first = last + 1 - arrived.len();
        assert_eq!(arrived, (first..=last).collect::<Vec<_>>(), "the end of all messages, in order");
    });
}

#[test]
fn messages_that_a_node_had_not_written_when_it_was_killed_expire() {
    run(async {
        let mut cluster = Cluster::start_with(&[("--expire_timeout", "600000")]).await;
        let sender = cluster.open(0, "sender", "t").await;
        let old = cluster.open(1, "x", "t").await;
        fill(&cluster, &sender, &old).await;
        cluster.nodes[1].kill().await;
        sender.expect(Seen::Expire("x".to_owned())).await;
        let stats = cluster.nodes[0].stats().await;
        assert_eq!(stats["expired"], 1, "{stats}");
    });
}
