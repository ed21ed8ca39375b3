//! Clients of a key on all nodes.

use peerbroker_cluster::{Backplane, Claim, ClaimOutcome, Entity, Name};
use peerbroker_core::vocabulary::{NameKind, RealmKind};

use crate::on_every_backplane;
use crate::stage::{
    LONG, Stage, claim, granted, kept, key, located, mark, node, outcome, owner, peer, registration, release,
};

on_every_backplane! {
    a_limit_holds_over_all_nodes_and_a_release_makes_room
    a_full_key_leaves_the_name_free_and_its_marks_in_place
    a_takeover_is_never_limited_and_counts
    a_claim_that_is_refused_counts_nothing
    every_release_of_a_peer_counts_even_if_another_connection_owns_the_name
    a_count_never_goes_below_zero
    names_without_a_limit_do_not_count
    names_beside_ids_do_not_count
    realms_of_a_key_share_its_limit_and_keys_do_not
    a_count_can_be_set_and_a_node_forgotten
    a_registration_does_not_count
}

fn limited(id: &str, number: u64, limit: usize) -> Claim {
    Claim { limit: Some(limit), ..claim(id, owner(number, number), 1) }
}

/// The number of clients of the key.
async fn clients(backplane: &impl Backplane) -> usize {
    // Each attempt that is granted is given back.
    for limit in 1..100 {
        let probe = Claim {
            owner: owner(99, limit),
            limit: usize::try_from(limit).ok(),
            ..claim("probe", owner(99, 1), 9)
        };
        if let ClaimOutcome::Granted(_) = outcome(backplane, probe).await {
            release(backplane, peer("probe"), owner(99, limit)).await;
            return usize::try_from(limit - 1).expect("few");
        }
    }
    panic!("more than a hundred clients")
}

pub async fn a_limit_holds_over_all_nodes_and_a_release_makes_room(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    assert_eq!(outcome(&a, limited("a", 1, 0)).await, ClaimOutcome::Full(vec![]));
    granted(&a, limited("a", 1, 2)).await;
    granted(&b, limited("b", 2, 2)).await;
    let ClaimOutcome::Full(mut nodes) = outcome(&a, limited("c", 3, 2)).await else { panic!("not full") };
    nodes.sort();
    assert_eq!(nodes, [node(1), node(2)]);
    granted(&a, limited("c", 3, 3)).await;
    release(&a, peer("c"), owner(3, 3)).await;
    release(&b, peer("b"), owner(2, 2)).await;
    granted(&b, limited("c", 3, 2)).await;
}

pub async fn a_full_key_leaves_the_name_free_and_its_marks_in_place(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, limited("a", 1, 1)).await;
    assert_eq!(mark(&a, peer("b"), 7, LONG).await, None);
    assert_eq!(outcome(&a, limited("b", 2, 1)).await, ClaimOutcome::Full(vec![node(1)]));
    assert_eq!(located(&a, peer("b")).await, None);
    assert_eq!(granted(&a, limited("b", 2, 2)).await.waiting, [node(7)]);
}

pub async fn a_takeover_is_never_limited_and_counts(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, limited("a", 1, 1)).await;
    let takeover = granted(&a, limited("a", 2, 1)).await;
    assert!(takeover.replaced.is_some());
    assert_eq!(clients(&a).await, 2);
    release(&a, peer("a"), owner(1, 1)).await;
    assert_eq!(clients(&a).await, 1);
    release(&a, peer("a"), owner(2, 2)).await;
    assert_eq!(clients(&a).await, 0);
}

pub async fn a_claim_that_is_refused_counts_nothing(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, limited("a", 1, 9)).await;
    let other = Claim { token: [2; 16], ..limited("a", 2, 9) };
    let stream = Claim { kind: peerbroker_core::vocabulary::ConnectionKind::Stream, ..limited("a", 2, 9) };
    assert_eq!(outcome(&a, other.clone()).await, ClaimOutcome::Taken(owner(1, 1)));
    assert_eq!(outcome(&a, stream).await, ClaimOutcome::Elsewhere(owner(1, 1)));
    assert_eq!(outcome(&a, Claim { limit: Some(1), ..other }).await, ClaimOutcome::Taken(owner(1, 1)));
    assert!(matches!(outcome(&a, limited("b", 2, 1)).await, ClaimOutcome::Full(_)));
    assert_eq!(clients(&a).await, 1);
}

pub async fn every_release_of_a_peer_counts_even_if_another_connection_owns_the_name(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, limited("a", 1, 9)).await;
    granted(&a, limited("a", 2, 9)).await;
    assert_eq!(clients(&a).await, 2);
    release(&a, peer("a"), owner(1, 1)).await;
    assert_eq!(located(&a, peer("a")).await, Some(owner(2, 2)));
    assert_eq!(clients(&a).await, 1);
}

pub async fn a_count_never_goes_below_zero(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, limited("b", 2, 9)).await;
    for _ in 0..3 {
        release(&a, peer("a"), owner(1, 1)).await;
        release(&a, peer("b"), owner(2, 2)).await;
    }
    assert_eq!(clients(&a).await, 0);
    granted(&a, limited("a", 1, 9)).await;
    assert_eq!(clients(&a).await, 1);
}

pub async fn names_without_a_limit_do_not_count(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, claim("a", owner(1, 1), 1)).await;
    assert_eq!(clients(&a).await, 0);
}

pub async fn names_beside_ids_do_not_count(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, limited("a", 1, 9)).await;
    for entity in NameKind::ALL.map(Entity::Name) {
        let name = Name { entity, ..peer("a") };
        granted(&a, Claim { name: name.clone(), ..claim("", owner(1, 1), 1) }).await;
        assert_eq!(clients(&a).await, 1);
        release(&a, name.clone(), owner(1, 1)).await;
        assert_eq!(located(&a, name).await, None);
        assert_eq!(clients(&a).await, 1);
    }
}

pub async fn realms_of_a_key_share_its_limit_and_keys_do_not(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, limited("a", 1, 1)).await;
    let guest = Name { entity: Entity::Peer(RealmKind::Guests), ..peer("a") };
    let guest = Claim { name: guest, ..limited("", 2, 1) };
    assert_eq!(outcome(&a, guest).await, ClaimOutcome::Full(vec![node(1)]));
    let elsewhere = Name { key: key("other"), ..peer("a") };
    granted(&a, Claim { name: elsewhere, ..limited("", 3, 1) }).await;
}

pub async fn a_count_can_be_set_and_a_node_forgotten(stage: &impl Stage) {
    let a = stage.connect();
    a.count(&key("peerjs"), node(1), 5).await.expect("an answer");
    a.count(&key("peerjs"), node(2), 2).await.expect("an answer");
    a.count(&key("other"), node(2), 9).await.expect("an answer");
    assert_eq!(clients(&a).await, 7);
    a.count(&key("peerjs"), node(1), 1).await.expect("an answer");
    assert_eq!(clients(&a).await, 3);
    a.count(&key("peerjs"), node(2), 0).await.expect("an answer");
    assert_eq!(outcome(&a, limited("a", 3, 1)).await, ClaimOutcome::Full(vec![node(1)]));
}

pub async fn a_registration_does_not_count(stage: &impl Stage) {
    let a = stage.connect();
    kept(&a, registration("a", owner(1, 1), 1, 100)).await;
    assert_eq!(clients(&a).await, 0);
}
