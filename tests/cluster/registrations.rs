//! Connections that live while their record may not: who keeps a name after an outage.

use peerbroker_cluster::{Backplane, Claim, ClaimOutcome, RegisterOutcome, Registration};
use peerbroker_core::clock::UnixMillis;
use peerbroker_core::vocabulary::ConnectionKind;

use crate::on_every_backplane;
use crate::stage::{
    Stage, claim, granted, kept, located, node, outcome, owner, peer, registered, registration, release,
};

on_every_backplane! {
    a_lost_record_comes_back
    the_owner_is_registered_again_with_its_fence
    of_claims_in_two_stores_the_older_one_wins_in_any_order
    a_claim_of_a_node_that_was_away_loses_to_a_newer_one_in_any_order
    a_connection_that_has_lost_its_name_rightly_loses_it_with_the_older_claim_too
    of_connections_without_a_claim_the_older_wins_in_any_order
    a_connection_with_a_claim_wins_over_one_without_in_any_order
    of_one_token_the_newer_connection_wins_in_any_order
    a_winner_has_a_higher_fence_than_the_loser
    the_record_of_a_node_s_former_name_is_its_own
    a_dead_owner_loses_to_any_registration
    a_registered_connection_can_be_taken_over
    a_loser_does_not_come_back
    outcomes_of_a_batch_are_in_its_order
}

fn with_fence(id: &str, number: u64, token: u8, fence: u64) -> Registration {
    // The lower the fence, the older: only the fence decides.
    Registration { fence, ..registration(id, owner(number, number), token, fence) }
}

/// A fence of a claim long ago.
const OLD: u64 = 1 << 50;

pub async fn a_lost_record_comes_back(stage: &impl Stage) {
    let a = stage.connect();
    let first = granted(&a, claim("x", owner(1, 1), 1)).await;
    // Nobody has its record any more.
    release(&a, peer("x"), owner(1, 1)).await;
    let again = kept(&a, Registration { fence: first.fence, ..registration("x", owner(1, 1), 1, 5) }).await;
    assert_eq!(again, first);
    assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
    assert_eq!(outcome(&a, claim("x", owner(2, 1), 2)).await, ClaimOutcome::Taken(owner(1, 1)));
    release(&a, peer("x"), owner(1, 1)).await;
    assert!(granted(&a, claim("x", owner(2, 2), 2)).await.fence > first.fence);
}

pub async fn the_owner_is_registered_again_with_its_fence(stage: &impl Stage) {
    let a = stage.connect();
    let first = granted(&a, claim("x", owner(1, 1), 1)).await;
    for fence in [first.fence, 0] {
        let again = Registration { fence, ..registration("x", owner(1, 1), 1, 5) };
        assert_eq!(kept(&a, again).await, first);
    }
}

/// Registers two connections of one name in both orders, each time under another id. The first one wins.
async fn wins(backplane: &impl Backplane, case: &str, winner: Registration, loser: Registration) {
    for first in ["winner", "loser"] {
        let name = peer(&format!("{case} {first}"));
        let winner = Registration { name: name.clone(), ..winner.clone() };
        let loser = Registration { name: name.clone(), ..loser.clone() };
        let before = if first == "loser" { Some(kept(backplane, loser.clone()).await) } else { None };
        let won = kept(backplane, winner.clone()).await;
        match &before {
            Some(lost) => {
                assert_eq!(won.replaced, Some((loser.owner, loser.kind)), "{case}");
                assert_eq!(won.former, [loser.owner], "{case}");
                // The fence of an older claim stays, so that it is the older one in the next store as well.
                assert!(won.fence > lost.fence || won.fence == winner.fence, "{case}");
            }
            None => assert_eq!(won.replaced, None, "{case}"),
        }
        for _ in 0..2 {
            assert_eq!(
                registered(backplane, loser.clone()).await,
                RegisterOutcome::Lost(winner.owner),
                "{case}"
            );
            // As it learned it, and as it was.
            for fence in [won.fence, winner.fence] {
                let again = kept(backplane, Registration { fence, ..winner.clone() }).await;
                assert_eq!((again.fence, again.replaced), (won.fence, None), "{case}");
            }
        }
        assert_eq!(located(backplane, name).await, Some(winner.owner), "{case}");
    }
}

pub async fn of_claims_in_two_stores_the_older_one_wins_in_any_order(stage: &impl Stage) {
    let a = stage.connect();
    let older = with_fence("", 1, 1, OLD);
    let newer = with_fence("", 2, 2, OLD + 1);
    wins(&a, "fences", older.clone(), newer.clone()).await;
    // Not the clock.
    wins(&a, "clocks", Registration { since: UnixMillis::from_millis(1 << 60), ..older }, newer).await;
    // The claim was made before the holder was registered.
    let claimed = granted(&a, claim("x", owner(3, 3), 3)).await;
    let holder = Registration { fence: claimed.fence - 1, ..registration("x", owner(4, 4), 4, 5) };
    let kept = kept(&a, holder).await;
    assert_eq!((kept.fence, kept.former), (claimed.fence - 1, vec![owner(3, 3)]));
}

pub async fn a_claim_of_a_node_that_was_away_loses_to_a_newer_one_in_any_order(stage: &impl Stage) {
    let a = stage.connect();
    let late = |number, fence| Registration { late: true, ..with_fence("", number, number as u8, fence) };
    wins(&a, "late", with_fence("", 1, 1, OLD + 1), late(2, OLD)).await;
    wins(&a, "both", late(1, OLD + 1), late(2, OLD)).await;
    // In the order of claims that nobody has displaced.
    wins(&a, "newer", late(1, OLD + 1), with_fence("", 2, 2, OLD)).await;
}

pub async fn a_connection_that_has_lost_its_name_rightly_loses_it_with_the_older_claim_too(
    stage: &impl Stage,
) {
    let a = stage.connect();
    let first = granted(&a, claim("x", owner(1, 1), 1)).await;
    let known_dead = Claim { known_dead: Some(owner(1, 1)), ..claim("x", owner(2, 2), 2) };
    granted(&a, known_dead).await;
    let back = Registration { fence: first.fence, ..registration("x", owner(1, 1), 1, 5) };
    assert_eq!(registered(&a, back.clone()).await, RegisterOutcome::Lost(owner(2, 2)));
    let renamed = Registration { owner: owner(3, 1), former: Some(node(1)), ..back };
    assert_eq!(registered(&a, renamed).await, RegisterOutcome::Lost(owner(2, 2)));
}

pub async fn of_connections_without_a_claim_the_older_wins_in_any_order(stage: &impl Stage) {
    let a = stage.connect();
    let older = registration("", owner(1, 1), 1, 1000);
    let newer = registration("", owner(2, 2), 2, 1001);
    wins(&a, "without a claim", older, newer).await;
}

pub async fn a_connection_with_a_claim_wins_over_one_without_in_any_order(stage: &impl Stage) {
    let a = stage.connect();
    wins(&a, "claim", with_fence("", 1, 1, OLD), registration("", owner(2, 2), 2, 5)).await;
}

pub async fn of_one_token_the_newer_connection_wins_in_any_order(stage: &impl Stage) {
    let a = stage.connect();
    let at = |number, since| registration("", owner(number, number), 1, since);
    wins(&a, "without claims", at(1, 1001), at(2, 1000)).await;
    wins(&a, "with claims", with_fence("", 1, 1, OLD + 1), with_fence("", 2, 1, OLD)).await;
    // A clock that is wrong does not change which claim came later.
    let later = Registration { since: UnixMillis::from_millis(5), ..with_fence("", 1, 1, OLD + 1) };
    wins(&a, "a wrong clock", later, with_fence("", 2, 1, OLD)).await;
    let claimed = Registration { since: UnixMillis::from_millis(1000), ..with_fence("", 2, 1, OLD) };
    wins(&a, "opened in the outage", at(1, 1001), claimed.clone()).await;
    wins(&a, "opened before the claim", claimed, at(1, 999)).await;
    let stream = |number, since| Registration { kind: ConnectionKind::Stream, ..at(number, since) };
    wins(&a, "streams", stream(1, 1001), stream(2, 1000)).await;
}

pub async fn a_winner_has_a_higher_fence_than_the_loser(stage: &impl Stage) {
    let a = stage.connect();
    let claimed = granted(&a, claim("x", owner(1, 1), 1)).await;
    let newer = registration("x", owner(2, 2), 1, u64::from(u32::MAX) * 1000);
    let won = kept(&a, newer).await;
    assert_eq!(won.replaced, Some((owner(1, 1), ConnectionKind::Socket)));
    assert!(won.fence > claimed.fence);
}

pub async fn the_record_of_a_node_s_former_name_is_its_own(stage: &impl Stage) {
    let a = stage.connect();
    let first = granted(&a, claim("x", owner(1, 7), 1)).await;
    // Its fence is unknown to the connection, and the token another one: the record is its own all the same.
    let renamed = Registration { former: Some(node(1)), ..registration("x", owner(2, 7), 2, 5) };
    assert_eq!(kept(&a, renamed.clone()).await, first);
    assert_eq!(located(&a, peer("x")).await, Some(owner(2, 7)));
    // Another connection of the former node is another one.
    let other = Registration { owner: owner(3, 8), former: Some(node(2)), token: [3; 16], ..renamed };
    assert_eq!(registered(&a, other).await, RegisterOutcome::Lost(owner(2, 7)));
}

pub async fn a_dead_owner_loses_to_any_registration(stage: &impl Stage) {
    let a = stage.connect();
    let dead = granted(&a, claim("x", owner(1, 1), 1)).await;
    let one = registration("x", owner(2, 2), 2, 5);
    assert_eq!(registered(&a, one.clone()).await, RegisterOutcome::Lost(owner(1, 1)));
    let known_dead = Registration { known_dead: Some(owner(1, 1)), ..one };
    let won = kept(&a, known_dead.clone()).await;
    assert_eq!(won.replaced, None);
    assert!(won.fence > dead.fence);
    // The dead one comes back under a new name, and has lost.
    let back =
        Registration { fence: dead.fence, former: Some(node(1)), ..registration("x", owner(4, 1), 1, 1) };
    assert_eq!(registered(&a, back).await, RegisterOutcome::Lost(owner(2, 2)));
    let late = Registration { owner: owner(3, 3), token: [3; 16], ..known_dead };
    assert_eq!(registered(&a, late).await, RegisterOutcome::Lost(owner(2, 2)));
}

pub async fn a_registered_connection_can_be_taken_over(stage: &impl Stage) {
    let a = stage.connect();
    let first = kept(&a, registration("x", owner(1, 1), 1, 5)).await;
    let takeover = granted(&a, claim("x", owner(2, 2), 1)).await;
    assert_eq!(takeover.replaced, Some((owner(1, 1), ConnectionKind::Socket)));
    assert!(takeover.fence > first.fence);
}

pub async fn a_loser_does_not_come_back(stage: &impl Stage) {
    let a = stage.connect();
    let first = granted(&a, claim("x", owner(1, 1), 1)).await;
    let takeover = granted(&a, claim("x", owner(2, 2), 1)).await;
    let back =
        Registration { fence: first.fence, ..registration("x", owner(1, 1), 1, u64::from(u32::MAX) * 1000) };
    assert_eq!(registered(&a, back).await, RegisterOutcome::Lost(owner(2, 2)));
    let again = Registration { fence: takeover.fence, ..registration("x", owner(2, 2), 1, 5) };
    assert_eq!(kept(&a, again).await.fence, takeover.fence);
}

pub async fn outcomes_of_a_batch_are_in_its_order(stage: &impl Stage) {
    let a = stage.connect();
    granted(&a, claim("b", owner(9, 9), 9)).await;
    let all = ["a", "b", "c"].map(|id| registration(id, owner(1, 1), 1, 5));
    let outcomes = a.register(all.to_vec()).await.expect("an answer");
    let lost: Vec<bool> =
        outcomes.iter().map(|outcome| *outcome == RegisterOutcome::Lost(owner(9, 9))).collect();
    assert_eq!(lost, [false, true, false]);
}
