//! Which nodes are alive.

use std::time::Duration;

use peerbroker_cluster::{Backplane as _, NodeCard, Renewal};
use peerbroker_config::SharedSettings;

use crate::on_every_backplane;
use crate::stage::{LONG, Stage, batches, members, node, pass, until_dead};

on_every_backplane! {
    all_nodes_see_each_other_with_their_names
    a_lease_that_has_ended_is_never_renewed
    a_renewal_prolongs_the_lease
    a_node_that_never_joined_has_no_lease
    a_node_that_leaves_is_dead_at_once
    a_repeated_join_is_the_same_life
}

const SHORT: Duration = Duration::from_millis(20);

pub async fn all_nodes_see_each_other_with_their_names(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    let odd = "b \"\\' {} ü\u{1f980}: 1";
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    b.join(node(2), &NodeCard::named(odd), LONG).await.expect("a lease");
    let expected = [(node(1), "a".to_owned(), true), (node(2), odd.to_owned(), true)];
    assert_eq!(members(&a, node(1)).await, expected);
    assert_eq!(members(&b, node(2)).await, expected);
}

pub async fn a_lease_that_has_ended_is_never_renewed(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), SHORT).await.expect("a lease");
    a.join(node(2), &NodeCard::named("b"), LONG).await.expect("a lease");
    until_dead(&a, node(1)).await;
    for _ in 0..2 {
        assert_eq!(a.renew(node(1), &SharedSettings::new(), LONG).await.expect("an answer"), Renewal::Lost);
        a.join(node(1), &NodeCard::named("a"), LONG).await.expect_err("a node that is used again");
        // The others know of the death for a while.
        let all = members(&a, node(2)).await;
        assert!(all.contains(&(node(1), "a".to_owned(), false)), "{all:?}");
        assert!(all.contains(&(node(2), "b".to_owned(), true)), "{all:?}");
    }
}

pub async fn a_renewal_prolongs_the_lease(stage: &impl Stage) {
    let a = stage.connect();
    // Long enough for a machine that is busy.
    let lease = Duration::from_secs(1);
    a.join(node(1), &NodeCard::named("a"), lease).await.expect("a lease");
    assert!(matches!(a.renew(node(1), &SharedSettings::new(), LONG).await, Ok(Renewal::Renewed(_))));
    pass(&a, lease).await;
    assert!(members(&a, node(1)).await.contains(&(node(1), "a".to_owned(), true)));
}

pub async fn a_node_that_never_joined_has_no_lease(stage: &impl Stage) {
    let a = stage.connect();
    assert_eq!(a.renew(node(1), &SharedSettings::new(), LONG).await.expect("an answer"), Renewal::Lost);
    a.leave(node(1)).await.expect("an answer");
    a.join(node(2), &NodeCard::named("b"), LONG).await.expect("a lease");
    assert_eq!(members(&a, node(2)).await, [(node(2), "b".to_owned(), true)]);
}

pub async fn a_node_that_leaves_is_dead_at_once(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    a.join(node(2), &NodeCard::named("b"), LONG).await.expect("a lease");
    assert_eq!(a.append(&[(node(1), vec![1])]).await.expect("an answer"), [true]);
    a.leave(node(1)).await.expect("an answer");
    assert_eq!(a.append(&[(node(1), vec![2])]).await.expect("an answer"), [false]);
    assert_eq!(batches(&a, node(1)).await, [[0u8; 0]; 0]);
    assert_eq!(a.renew(node(1), &SharedSettings::new(), LONG).await.expect("an answer"), Renewal::Lost);
    let expected = [(node(1), "a".to_owned(), false), (node(2), "b".to_owned(), true)];
    assert_eq!(members(&a, node(2)).await, expected);
}

pub async fn a_repeated_join_is_the_same_life(stage: &impl Stage) {
    let a = stage.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    a.append(&[(node(1), vec![1])]).await.expect("an answer");
    // Its first answer may have been lost.
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    assert_eq!(members(&a, node(1)).await, [(node(1), "a".to_owned(), true)]);
    assert_eq!(batches(&a, node(1)).await, [[1]]);
}
