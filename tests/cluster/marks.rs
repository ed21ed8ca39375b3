//! Marks of nodes that wait for a name.

use std::time::Duration;

use peerbroker_cluster::{Backplane, Claim, Locate};

use crate::on_every_backplane;
use crate::stage::{LONG, Stage, claim, granted, kept, mark, node, owner, pass, peer, registration, release};

on_every_backplane! {
    every_owner_gets_all_marks_while_they_last
    a_mark_that_has_expired_is_not_given
    a_mark_is_as_long_as_the_longest_wait_of_its_node
    an_owned_name_takes_no_marks
    a_dead_owner_s_name_takes_marks
    marks_outlive_a_release
    a_registration_gets_the_marks_too
    marks_are_of_one_name
}

pub async fn every_owner_gets_all_marks_while_they_last(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    for asker in [3, 1, 2, 3] {
        assert_eq!(mark(&a, peer("x"), asker, LONG).await, None);
    }
    let mut waiting = granted(&b, claim("x", owner(5, 1), 1)).await.waiting;
    waiting.sort();
    assert_eq!(waiting, [node(1), node(2), node(3)]);
    // The node of that owner may have died before it told them.
    release(&b, peer("x"), owner(5, 1)).await;
    let mut waiting = granted(&b, claim("x", owner(5, 2), 1)).await.waiting;
    waiting.sort();
    assert_eq!(waiting, [node(1), node(2), node(3)]);
}

pub async fn a_mark_that_has_expired_is_not_given(stage: &impl Stage) {
    let a = stage.connect();
    let short = Duration::from_millis(20);
    mark(&a, peer("x"), 1, short).await;
    mark(&a, peer("x"), 2, LONG).await;
    mark(&a, peer("y"), 1, short).await;
    pass(&a, short).await;
    assert_eq!(granted(&a, claim("x", owner(5, 1), 1)).await.waiting, [node(2)]);
    assert_eq!(granted(&a, claim("y", owner(5, 2), 1)).await.waiting, []);
}

pub async fn a_mark_is_as_long_as_the_longest_wait_of_its_node(stage: &impl Stage) {
    let a = stage.connect();
    let short = Duration::from_millis(20);
    mark(&a, peer("x"), 1, LONG).await;
    mark(&a, peer("x"), 1, short).await;
    pass(&a, short).await;
    assert_eq!(granted(&a, claim("x", owner(5, 1), 1)).await.waiting, [node(1)]);
}

pub async fn an_owned_name_takes_no_marks(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, claim("x", owner(5, 1), 1)).await;
    assert_eq!(mark(&a, peer("x"), 1, LONG).await, Some(owner(5, 1)));
    assert_eq!(granted(&a, claim("x", owner(5, 2), 1)).await.waiting, []);
}

/// Asks with a dead owner.
async fn mark_over(backplane: &impl Backplane, id: &str, asker: u64, known_dead: peerbroker_cluster::Owner) {
    let question = Locate { name: peer(id), asker: node(asker), known_dead: Some(known_dead), mark: LONG };
    assert_eq!(backplane.locate(vec![question]).await.expect("an answer"), [None]);
}

pub async fn a_dead_owner_s_name_takes_marks(stage: &impl Stage) {
    let a = stage.connect();
    for id in ["x", "y"] {
        granted(&a, claim(id, owner(5, 1), 1)).await;
        mark_over(&a, id, 1, owner(5, 1)).await;
    }
    // To others it is still the owner.
    assert_eq!(mark(&a, peer("x"), 2, LONG).await, Some(owner(5, 1)));
    let known_dead = Claim { known_dead: Some(owner(5, 1)), ..claim("x", owner(6, 1), 2) };
    assert_eq!(granted(&a, known_dead).await.waiting, [node(1)]);
    assert_eq!(granted(&a, claim("y", owner(6, 2), 1)).await.waiting, [node(1)]);
}

pub async fn marks_outlive_a_release(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, claim("x", owner(5, 1), 1)).await;
    mark_over(&a, "x", 1, owner(5, 1)).await;
    release(&a, peer("x"), owner(5, 1)).await;
    assert_eq!(granted(&a, claim("x", owner(6, 1), 2)).await.waiting, [node(1)]);
}

pub async fn a_registration_gets_the_marks_too(stage: &impl Stage) {
    let a = stage.connect();
    mark(&a, peer("x"), 1, LONG).await;
    assert_eq!(kept(&a, registration("x", owner(5, 1), 1, 100)).await.waiting, [node(1)]);
    mark_over(&a, "x", 2, owner(5, 1)).await;
    let mut waiting = kept(&a, registration("x", owner(5, 1), 1, 100)).await.waiting;
    waiting.sort();
    assert_eq!(waiting, [node(1), node(2)]);
}

pub async fn marks_are_of_one_name(stage: &impl Stage) {
    let a = stage.connect();
    mark(&a, peer("x"), 1, LONG).await;
    assert_eq!(granted(&a, claim("y", owner(5, 1), 1)).await.waiting, []);
    assert_eq!(granted(&a, claim("x", owner(5, 2), 1)).await.waiting, [node(1)]);
}
