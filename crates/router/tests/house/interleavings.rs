//! Random interleavings of all events of a broker, compared with the [model](crate::model).

mod expected;
mod history;
mod wish;
mod world;

use std::time::Duration;

use peerbroker_config::Limits;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use wish::{Wish, wish};
use world::World;

/// Some pairs are equal when they are joined with an underscore.
const IDS: [&str; 4] = ["a", "b_c", "a_b", "c"];
const TOKENS: [&str; 2] = ["s", "t"];

const CLIENTS: usize = 3;

/// Small, so that every limit is reached often.
fn limits() -> Limits {
    Limits {
        expire_timeout: Duration::from_millis(5000),
        alive_timeout: Duration::from_millis(60_000),
        probe_timeout: Duration::from_millis(3000),
        queue_messages: 4,
        queue_bytes: 500,
        queue_total_bytes: 3500,
        outbox_bytes: 1300,
        ..Limits::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // `PROPTEST_CASES=20000 cargo test -p peerbroker-router` runs more cases.
        cases: std::env::var("PROPTEST_CASES").map_or(700, |cases| cases.parse().expect("a number")),
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/proptest-regressions/interleavings.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_interleaving_is_as_the_model_says(wishes in vec(wish(), 1..80)) {
        play(wishes);
    }
}

fn play(wishes: Vec<Wish>) {
    let mut world = World::new();
    for wish in wishes {
        world.fulfil(wish);
    }
    world.finish();
    world.check_history();
}

#[test]
fn a_flood_to_a_socket_that_broke_while_it_was_full_is_as_the_model_says() {
    const OPEN: usize = usize::MAX;
    let connect = |id| Wish::Connect { id, token: 0, room: OPEN };
    let small = || vec![(3, 0, false)];
    play(vec![
        connect(3),
        connect(0),
        connect(1),
        connect(3),
        Wish::Room(4, 0),
        Wish::Break(0),
        connect(0),
        Wish::Send { from: 0, burst: small() },
        Wish::Send { from: 3, burst: small() },
        Wish::Leave(2),
        Wish::Send { from: 2, burst: vec![(3, 300, false), (3, 300, false)] },
        Wish::Advance(5000),
        Wish::Sweep,
    ]);
}
