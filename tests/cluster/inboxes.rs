//! Batches from node to node.

use std::time::Duration;

use peerbroker_cluster::{Backplane as _, InboxEntry, NodeCard, Position};
use peerbroker_core::vocabulary::NodeId;

use crate::on_every_backplane;
use crate::stage::{LONG, Stage, batches, node};

on_every_backplane! {
    batches_are_read_in_their_order_and_byte_for_byte
    reading_goes_on_behind_a_position
    many_batches_are_read_in_parts_without_a_gap
    a_reader_waits_for_a_batch
    a_reader_without_a_batch_gets_none
    batches_up_to_a_position_are_removed
    a_node_that_is_dead_or_unknown_takes_no_batches
    inboxes_are_apart
}

fn to_one(batches: &[Vec<u8>]) -> Vec<(NodeId, Vec<u8>)> {
    batches.iter().map(|batch| (node(1), batch.clone())).collect()
}

pub async fn batches_are_read_in_their_order_and_byte_for_byte(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    assert_eq!(batches(&a, node(1)).await, [[0u8; 0]; 0]);
    let all: Vec<u8> = (0..=255).collect();
    let sent = vec![all, vec![], vec![0; 100_000], b"\r\n$-1\r\n".to_vec()];
    let there = b.append(&to_one(&sent)).await;
    assert_eq!(there.expect("an answer"), [true; 4]);
    assert_eq!(batches(&a, node(1)).await, sent);
}

pub async fn reading_goes_on_behind_a_position(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    let append = async |number: u8| a.append(&[(node(1), vec![number])]).await;
    append(1).await.expect("an answer");
    append(2).await.expect("an answer");
    let first = a.read(node(1), &Position::default(), LONG).await.expect("batches");
    append(3).await.expect("an answer");
    for (entry, behind) in first.iter().zip([vec![[2], [3]], vec![[3]]]) {
        let rest = a.read(node(1), &entry.position, LONG).await.expect("batches");
        assert_eq!(rest.iter().map(|entry| &entry.batch[..]).collect::<Vec<_>>(), behind);
    }
    // A position is not used up by reading.
    assert_eq!(batches(&a, node(1)).await, [[1], [2], [3]]);
}

pub async fn many_batches_are_read_in_parts_without_a_gap(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    let sent: Vec<Vec<u8>> = (0..1000u32).map(|number| number.to_le_bytes().to_vec()).collect();
    a.append(&to_one(&sent)).await.expect("an answer");
    let mut read: Vec<InboxEntry> = Vec::new();
    while read.len() < sent.len() {
        let after = read.last().map(|entry| entry.position.clone()).unwrap_or_default();
        let more = a.read(node(1), &after, Duration::ZERO).await.expect("an answer");
        assert!(!more.is_empty(), "{} batches", read.len());
        read.extend(more);
    }
    assert_eq!(read.into_iter().map(|entry| entry.batch).collect::<Vec<_>>(), sent);
}

pub async fn a_reader_waits_for_a_batch(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    let none = Position::default();
    let append = async {
        // A round trip, so that the reader most likely waits by now. If not, the test shows less.
        b.join(node(2), &NodeCard::named("b"), LONG).await.expect("a lease");
        b.append(&[(node(1), vec![7])]).await.expect("an answer");
    };
    let (read, ()) = tokio::join!(a.read(node(1), &none, LONG), append);
    assert_eq!(read.expect("batches").into_iter().map(|entry| entry.batch).collect::<Vec<_>>(), [[7]]);
}

pub async fn a_reader_without_a_batch_gets_none(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    for wait in [Duration::ZERO, Duration::from_micros(1), Duration::from_millis(20)] {
        assert_eq!(a.read(node(1), &Position::default(), wait).await.expect("an answer"), []);
        assert_eq!(a.read(node(9), &Position::default(), wait).await.expect("an answer"), []);
    }
}

pub async fn batches_up_to_a_position_are_removed(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    a.append(&(1..=4).map(|number| (node(1), vec![number])).collect::<Vec<_>>()).await.expect("an answer");
    let entries = a.read(node(1), &Position::default(), LONG).await.expect("batches");
    a.trim(node(1), &Position::default()).await.expect("an answer");
    assert_eq!(batches(&a, node(1)).await.len(), 4);
    a.trim(node(1), &entries[1].position).await.expect("an answer");
    assert_eq!(batches(&a, node(1)).await, [[3], [4]]);
    a.trim(node(1), &entries[3].position).await.expect("an answer");
    assert_eq!(batches(&a, node(1)).await, [[0u8; 0]; 0]);
    // An inbox that is empty is there all the same, and goes on behind its last position.
    assert_eq!(a.append(&[(node(1), vec![5])]).await.expect("an answer"), [true]);
    let rest = a.read(node(1), &entries[3].position, LONG).await.expect("batches");
    assert_eq!(rest.into_iter().map(|entry| entry.batch).collect::<Vec<_>>(), [[5]]);
    a.trim(node(9), &entries[3].position).await.expect("an answer");
}

pub async fn a_node_that_is_dead_or_unknown_takes_no_batches(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    a.join(node(2), &NodeCard::named("b"), LONG).await.expect("a lease");
    a.leave(node(2)).await.expect("an answer");
    let sent = [(1, 1), (2, 1), (3, 1), (1, 2)].map(|(to, batch)| (node(to), vec![batch]));
    assert_eq!(a.append(&sent).await.expect("an answer"), [true, false, false, true]);
    assert_eq!(batches(&a, node(1)).await, [[1], [2]]);
    assert_eq!(batches(&a, node(3)).await, [[0u8; 0]; 0]);
}

pub async fn inboxes_are_apart(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    b.join(node(2), &NodeCard::named("b"), LONG).await.expect("a lease");
    a.append(&[(node(2), vec![2]), (node(1), vec![1])]).await.expect("an answer");
    assert_eq!(batches(&a, node(1)).await, [[1]]);
    assert_eq!(batches(&b, node(2)).await, [[2]]);
}
