//! Claims and releases: who gets a name, and with which fence.

use std::collections::BTreeMap;
use std::time::Duration;

use peerbroker_cluster::{Backplane as _, Claim, ClaimOutcome, Entity, Name};
use peerbroker_core::vocabulary::{ConnectionKind, NameKind, RealmKind};
use tokio::task::JoinSet;

use crate::on_every_backplane;
use crate::stage::{Stage, claim, claim_all, granted, key, located, outcome, owner, peer, release};

on_every_backplane! {
    a_free_name_is_granted_and_found_until_it_is_released
    a_name_of_another_token_is_taken
    every_owner_has_a_higher_fence_than_all_before
    the_same_token_takes_a_name_over
    a_stream_takes_over_streams_but_no_websocket
    a_websocket_takes_over_a_stream
    a_dead_owner_counts_as_none_but_only_that_one
    a_repeated_claim_is_granted_again_with_the_same_fence
    only_the_owner_releases_a_name
    answers_come_in_the_order_of_the_questions
    claims_of_one_batch_exclude_each_other
    one_of_many_concurrent_claims_is_granted
    names_with_odd_characters_do_not_collide
    no_question_has_no_answer
    the_generation_changes_with_the_first_connection_only
}

pub async fn a_free_name_is_granted_and_found_until_it_is_released(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    assert_eq!(located(&b, peer("x")).await, None);
    let first = granted(&a, claim("x", owner(1, 7), 1)).await;
    assert_eq!((first.replaced, first.waiting), (None, vec![]));
    assert_eq!(located(&b, peer("x")).await, Some(owner(1, 7)));
    release(&a, peer("x"), owner(1, 7)).await;
    assert_eq!(located(&b, peer("x")).await, None);
    granted(&b, claim("x", owner(2, 1), 2)).await;
}

pub async fn a_name_of_another_token_is_taken(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    for kind in [ConnectionKind::Socket, ConnectionKind::Stream] {
        let other = Claim { kind, ..claim("x", owner(2, 1), 2) };
        assert_eq!(outcome(&b, other).await, ClaimOutcome::Taken(owner(1, 1)));
    }
    assert_eq!(located(&b, peer("x")).await, Some(owner(1, 1)));
}

pub async fn every_owner_has_a_higher_fence_than_all_before(stage: &impl Stage) {
    let a = stage.connect();
    let mut last = 0;
    for round in 0..5 {
        let first = granted(&a, claim("x", owner(1, round * 2), 1)).await;
        let takeover = granted(&a, claim("x", owner(2, round * 2 + 1), 1)).await;
        assert!(last < first.fence && first.fence < takeover.fence, "{last} {first:?} {takeover:?}");
        last = takeover.fence;
        release(&a, peer("x"), owner(2, round * 2 + 1)).await;
    }
}

pub async fn the_same_token_takes_a_name_over(stage: &impl Stage) {
    let a = stage.connect();
    let b = stage.connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    let takeover = granted(&b, claim("x", owner(2, 1), 1)).await;
    assert_eq!(takeover.replaced, Some((owner(1, 1), ConnectionKind::Socket)));
    assert_eq!(located(&a, peer("x")).await, Some(owner(2, 1)));
    // The token is that of the new owner.
    assert_eq!(outcome(&a, claim("x", owner(1, 2), 2)).await, ClaimOutcome::Taken(owner(2, 1)));
}

pub async fn a_stream_takes_over_streams_but_no_websocket(stage: &impl Stage) {
    let a = stage.connect();
    let stream = |owner| Claim { kind: ConnectionKind::Stream, ..claim("x", owner, 1) };
    granted(&a, stream(owner(1, 1))).await;
    let renewed = granted(&a, stream(owner(2, 2))).await;
    assert_eq!(renewed.replaced, Some((owner(1, 1), ConnectionKind::Stream)));
    granted(&a, claim("x", owner(3, 3), 1)).await;
    assert_eq!(outcome(&a, stream(owner(4, 4))).await, ClaimOutcome::Elsewhere(owner(3, 3)));
    assert_eq!(located(&a, peer("x")).await, Some(owner(3, 3)));
}

pub async fn a_websocket_takes_over_a_stream(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, Claim { kind: ConnectionKind::Stream, ..claim("x", owner(1, 1), 1) }).await;
    let socket = granted(&a, claim("x", owner(1, 2), 1)).await;
    assert_eq!(socket.replaced, Some((owner(1, 1), ConnectionKind::Stream)));
}

pub async fn a_dead_owner_counts_as_none_but_only_that_one(stage: &impl Stage) {
    let a = stage.connect();
    let dead = granted(&a, claim("x", owner(1, 1), 1)).await;
    for known_dead in [owner(1, 2), owner(2, 1)] {
        let wrong = Claim { known_dead: Some(known_dead), ..claim("x", owner(3, 1), 2) };
        assert_eq!(outcome(&a, wrong).await, ClaimOutcome::Taken(owner(1, 1)));
    }
    let known_dead = Claim { known_dead: Some(owner(1, 1)), ..claim("x", owner(3, 1), 2) };
    let next = granted(&a, known_dead.clone()).await;
    assert_eq!(next.replaced, None);
    assert!(next.fence > dead.fence);
    // A node that learns of the death later finds another owner.
    let late = Claim { owner: owner(4, 1), token: [3; 16], ..known_dead };
    assert_eq!(outcome(&a, late).await, ClaimOutcome::Taken(owner(3, 1)));
    // A dead WebSocket does not keep a stream away.
    let stream =
        Claim { kind: ConnectionKind::Stream, known_dead: Some(owner(3, 1)), ..claim("x", owner(4, 2), 2) };
    granted(&a, stream).await;
}

pub async fn a_repeated_claim_is_granted_again_with_the_same_fence(stage: &impl Stage) {
    let a = stage.connect();
    let first = granted(&a, claim("x", owner(1, 1), 1)).await;
    assert_eq!(granted(&a, claim("x", owner(1, 1), 1)).await, first);
    assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
}

pub async fn only_the_owner_releases_a_name(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    for other in [owner(1, 2), owner(2, 1)] {
        release(&a, peer("x"), other).await;
    }
    release(&a, peer("y"), owner(1, 1)).await;
    assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
    granted(&a, claim("x", owner(2, 1), 1)).await;
    release(&a, peer("x"), owner(1, 1)).await;
    assert_eq!(located(&a, peer("x")).await, Some(owner(2, 1)));
    release(&a, peer("x"), owner(2, 1)).await;
    assert_eq!(located(&a, peer("x")).await, None);
}

pub async fn answers_come_in_the_order_of_the_questions(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, claim("taken", owner(1, 1), 1)).await;
    let ids = ["a", "taken", "b", "c"];
    let claims =
        ids.iter().zip(10..).map(|(id, number)| Claim { limit: Some(9), ..claim(id, owner(2, number), 2) });
    let outcomes = claim_all(&a, claims.collect()).await.expect("an answer");
    let free: Vec<bool> =
        outcomes.iter().map(|outcome| matches!(outcome, ClaimOutcome::Granted(_))).collect();
    assert_eq!(free, [true, false, true, true]);
    let questions = ["c", "none", "taken", "a"].map(|id| peerbroker_cluster::Locate {
        name: peer(id),
        asker: crate::stage::node(3),
        known_dead: None,
        mark: Duration::ZERO,
    });
    let owners = a.locate(questions.to_vec()).await.expect("an answer");
    assert_eq!(owners, [Some(owner(2, 13)), None, Some(owner(1, 1)), Some(owner(2, 10))]);
}

pub async fn claims_of_one_batch_exclude_each_other(stage: &impl Stage) {
    let a = stage.connect();
    let claims = vec![claim("x", owner(1, 1), 1), claim("x", owner(1, 2), 2)];
    let outcomes = claim_all(&a, claims).await.expect("an answer");
    assert!(matches!(outcomes[0], ClaimOutcome::Granted(_)), "{outcomes:?}");
    assert_eq!(outcomes[1], ClaimOutcome::Taken(owner(1, 1)));
}

pub async fn one_of_many_concurrent_claims_is_granted(stage: &impl Stage) {
    tokio::task::LocalSet::new()
        .run_until(async {
            let mut tasks = JoinSet::new();
            for number in 1..=20 {
                let backplane = stage.connect();
                let claim = claim("x", owner(number, 1), u8::try_from(number).expect("few"));
                tasks.spawn_local(async move { outcome(&backplane, claim).await });
            }
            let outcomes = tasks.join_all().await;
            let granted = outcomes.iter().filter(|outcome| matches!(outcome, ClaimOutcome::Granted(_)));
            assert_eq!(granted.count(), 1);
            let winner = located(&stage.connect(), peer("x")).await.expect("an owner");
            let taken = outcomes.iter().filter(|outcome| **outcome == ClaimOutcome::Taken(winner));
            assert_eq!(taken.count(), 19);
        })
        .await;
}

/// Names that would be the same if they were put together without care, or broke a script.
pub fn odd_names() -> Vec<Name> {
    let keys = ["a", "a:b", "1", "{a}", "{}", "a:1", "ä", "peerjs"];
    let texts = [
        "a",
        "b:a",
        "a:b",
        "1:a",
        "{a}",
        "}a{",
        "{}",
        "m:0000000000000001",
        "owner",
        "'\"\\",
        "ä",
        "a\u{308}",
        "*",
        "?[a]",
        " ",
        "\u{1f980}",
        "%s",
        "]]--",
        "A",
    ];
    let entities = NameKind::ALL.map(Entity::Name).into_iter().chain([Entity::Peer(RealmKind::PeerJs)]);
    let mut names = Vec::new();
    for text in keys {
        for entity in entities.clone() {
            let name = |name: &str| Name { key: key(text), entity, name: name.to_owned() };
            names.extend(texts.map(name));
            names.push(name(&"x".repeat(512)));
        }
    }
    names
}

pub async fn names_with_odd_characters_do_not_collide(stage: &impl Stage) {
    let a = stage.connect();
    let names = odd_names();
    let owners: BTreeMap<Name, _> =
        names.iter().cloned().zip((1..).map(|number| owner(number, number))).collect();
    assert_eq!(owners.len(), names.len(), "the names are different");
    let claims = owners.iter().map(|(name, owner)| Claim { name: name.clone(), ..claim("", *owner, 1) });
    for outcome in claim_all(&a, claims.collect()).await.expect("an answer") {
        let ClaimOutcome::Granted(granted) = outcome else { panic!("{outcome:?}") };
        assert_eq!(granted.replaced, None);
    }
    for (name, owner) in &owners {
        assert_eq!(located(&a, name.clone()).await, Some(*owner), "{name:?}");
    }
}

pub async fn no_question_has_no_answer(stage: &impl Stage) {
    let a = stage.connect();
    assert_eq!(claim_all(&a, vec![]).await.expect("an answer"), []);
    assert_eq!(a.register(vec![]).await.expect("an answer"), []);
    assert_eq!(a.locate(vec![]).await.expect("an answer"), []);
    assert_eq!(a.append(&[]).await.expect("an answer"), [false; 0]);
    a.release(vec![]).await.expect("an answer");
}

pub async fn the_generation_changes_with_the_first_connection_only(stage: &impl Stage) {
    let a = stage.connect();
    let before = a.generation();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    let connected = a.generation();
    assert_ne!(before, connected);
    for _ in 0..3 {
        assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
        a.read(crate::stage::node(1), &Default::default(), Duration::from_millis(1))
            .await
            .expect("an answer");
    }
    assert_eq!(a.generation(), connected);
}
