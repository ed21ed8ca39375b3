//! Single faults at exact moments, which a seed would hit only by luck.

use std::time::Duration;

use peerbroker_config::Degraded;

use crate::history::{History, What};
use crate::sim::Fault;
use crate::world::{World, play};

const LEASE: Duration = Duration::from_secs(2);

/// The client that has the id from the beginning, and those that want it.
const HOLDER: u8 = 0;
const STRANGER: u8 = 1;

fn opened(history: &History, wanted: u8) -> usize {
    let is_it = |what: &What| matches!(what, What::Opened { token, .. } if *token == wanted);
    history.events.iter().filter(|(_, what)| is_it(what)).count()
}

fn has_ended(history: &History, wanted: usize) -> bool {
    history.events.iter().any(|(_, what)| matches!(what, What::Ended { conn, .. } if *conn == wanted))
}

/// Clients on two nodes want the id of a client of the third, every 25 ms.
async fn storm(world: &mut World, steps: usize) {
    for _ in 0..steps {
        world.open_at(1, "a", STRANGER);
        world.open_at(2, "a", STRANGER);
        world.pass(1).await;
    }
}

#[test]
fn a_store_that_comes_back_empty_gives_no_id_to_a_stranger() {
    let history = play(World::new(1, LEASE, Degraded::Refuse), async |world| {
        world.pass(40).await;
        world.open_at(0, "a", HOLDER);
        world.pass(20).await;
        world.store.wipe();
        storm(world, 200).await;
    });
    assert_eq!((opened(&history, HOLDER), opened(&history, STRANGER)), (1, 0), "{history}");
    assert!(!has_ended(&history, 1), "{history}");
}

#[test]
fn a_store_that_hangs_for_longer_than_a_lease_gives_no_id_to_a_stranger() {
    let history = play(World::new(1, LEASE, Degraded::Refuse), async |world| {
        world.pass(40).await;
        world.open_at(0, "a", HOLDER);
        world.pass(20).await;
        world.store.set_fault(Fault::Stalled);
        storm(world, 120).await;
        world.store.set_fault(Fault::None);
        storm(world, 200).await;
    });
    assert_eq!((opened(&history, HOLDER), opened(&history, STRANGER)), (1, 0), "{history}");
    assert!(!has_ended(&history, 1), "{history}");
}

#[test]
fn a_client_from_before_an_outage_keeps_its_id_if_new_ones_are_allowed() {
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.pass(40).await;
        world.open_at(0, "a", HOLDER);
        world.pass(20).await;
        world.store.wipe();
        storm(world, 100).await;
        world.pass(80).await;
    });
    assert!(!has_ended(&history, 1), "{history}");
    assert!(opened(&history, STRANGER) > 0, "{history}");
    let open = history.events.iter().filter_map(|(_, what)| match what {
        What::Opened { conn, token: STRANGER, .. } => Some(*conn),
        _ => None,
    });
    open.for_each(|conn| assert!(has_ended(&history, conn), "{conn} in {history}"));
}

#[test]
fn a_client_whose_node_hangs_while_the_store_is_lost_keeps_its_id_as_well() {
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.pass(40).await;
        world.open_at(0, "a", HOLDER);
        world.pass(20).await;
        // For less than its lease, and for longer than the others wait.
        world.pause_for(0, Duration::from_millis(1500));
        world.store.wipe();
        world.pass(44).await;
        world.open_at(1, "a", STRANGER);
        world.pass(200).await;
    });
    assert_eq!(opened(&history, STRANGER), 1, "{history}");
    assert!(!has_ended(&history, 1) && has_ended(&history, 2), "{history}");
}

#[test]
fn a_node_that_was_paused_for_longer_than_its_lease_knows_that_before_it_can_ask() {
    play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.pass(40).await;
        assert!(world.is_up(0));
        world.pause_for(0, 2 * LEASE);
        world.pass(10).await;
        world.set_fault(0, Fault::Stalled);
        world.pass(150).await;
        assert!(!world.is_up(0));
    });
}

/// Lets time pass until a node that sleeps serves its clients again. Another one has the id meanwhile.
async fn until_it_serves(world: &mut World) {
    for _ in 0..400 {
        world.pass(1).await;
        assert!(!world.speaks_for(0, "a"), "the node speaks for an id that it has lost");
        if world.speaks_for(0, "b") {
            return;
        }
    }
    panic!("the node serves its clients no more");
}

#[test]
fn a_node_that_slept_does_not_speak_for_an_id_that_it_has_lost() {
    // The answers of the store take a while: within that time the node would not know.
    let latency = Duration::from_millis(50)..Duration::from_millis(190);
    // Its lease ends, and a stranger gets the id; or the client itself comes back before.
    for (lease, token) in [(LEASE, STRANGER), (LEASE, HOLDER), (10 * LEASE, HOLDER)] {
        for seed in 1..10 {
            play(World::new(seed, lease, Degraded::Allow), async |world| {
                world.store.set_latency(latency.clone());
                world.pass(80).await;
                world.open_at(0, "a", HOLDER);
                world.open_at(0, "b", HOLDER);
                world.pass(80).await;
                assert!(world.speaks_for(0, "a"));
                world.pause_for(0, 5 * LEASE);
                world.pass(140).await;
                world.open_at(1, "a", token);
                world.pass(230).await;
                assert!(world.speaks_for(1, "a"));
                until_it_serves(world).await;
            });
        }
    }
}

#[test]
fn a_node_that_slept_gives_no_new_client_an_id_that_another_node_has_given() {
    for degraded in [Degraded::Allow, Degraded::Refuse] {
        let history = play(World::new(1, LEASE, degraded), async |world| {
            world.pass(40).await;
            world.open_at(0, "b", HOLDER);
            world.pass(20).await;
            world.pause_for(0, 2 * LEASE);
            world.pass(100).await;
            world.open_at(1, "a", STRANGER);
            world.pass(20).await;
            until_it_serves(world).await;
            for _ in 0..100 {
                world.open_at(0, "a", HOLDER);
                world.pass(1).await;
            }
        });
        assert_eq!((opened(&history, HOLDER), opened(&history, STRANGER)), (1, 1), "{history}");
    }
}

#[test]
fn a_node_that_slept_serves_its_clients_although_the_store_is_gone() {
    play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.pass(40).await;
        world.open_at(0, "b", HOLDER);
        world.pass(20).await;
        world.pause_for(0, 2 * LEASE);
        world.pass(20).await;
        world.store.set_fault(Fault::Stalled);
        world.pass(120).await;
        until_it_serves(world).await;
    });
}

#[test]
fn a_node_that_is_slow_keeps_the_ids_of_its_clients() {
    let history = play(World::new(1, Duration::from_secs(20), Degraded::Allow), async |world| {
        world.pass(40).await;
        world.open_at(0, "a", HOLDER);
        world.pass(20).await;
        world.pause_for(0, Duration::from_millis(7400));
        // Each one waits for the answer of the slow node's client before the next is sent.
        for _ in 0..8 {
            world.open_at(1, "a", STRANGER);
        }
        world.pass(800).await;
    });
    assert_eq!((opened(&history, HOLDER), opened(&history, STRANGER)), (1, 0), "{history}");
    assert!(!has_ended(&history, 1), "{history}");
}

#[test]
fn a_client_of_a_node_whose_thread_has_ended_has_its_answer_at_once() {
    for (degraded, opens) in [(Degraded::Refuse, 0), (Degraded::Allow, 1)] {
        let history = play(World::new(1, LEASE, degraded), async |world| {
            world.pass(40).await;
            world.end_worker(0);
            world.pass(1).await;
            world.open_at(0, "a", HOLDER);
            world.pass(1).await;
        });
        let refused = history.events.iter().filter(|(_, what)| matches!(what, What::Refused { .. })).count();
        assert_eq!((opened(&history, HOLDER), refused), (opens, 1 - opens), "{history}");
    }
}

#[test]
fn a_node_with_a_long_lease_releases_its_ids_at_whichever_moment_it_leaves() {
    // A renewal takes a while, so some moments are within one; or one call overtakes another.
    for latency in [50..60, 1..300] {
        for moment in 60..300 {
            let latency = Duration::from_millis(latency.start)..Duration::from_millis(latency.end);
            let mut left = Vec::new();
            play(World::new(1, Duration::from_secs(20), Degraded::Allow), async |world| {
                world.store.set_latency(latency);
                world.pass(30).await;
                world.open_at(0, "a", HOLDER);
                world.pass(moment - 30).await;
                assert_eq!(world.store.owners().len(), 1);
                world.leave(0).await;
                left = world.store.owners();
            });
            assert!(left.is_empty(), "at step {moment}");
        }
    }
}

#[test]
fn of_many_clients_in_an_outage_each_older_one_keeps_its_id() {
    // More than a node registers at once: the last ones are registered later than other nodes' first.
    let ids: Vec<&'static str> = (0..900).map(|number| &*format!("id{number}").leak()).collect();
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.store.set_latency(Duration::from_millis(50)..Duration::from_millis(60));
        world.pass(40).await;
        world.store.set_fault(Fault::Refused);
        world.pass(120).await;
        for (node, token) in [(0, HOLDER), (1, STRANGER)] {
            ids.iter().for_each(|id| world.open_at(node, id, token));
            world.pass(2).await;
        }
        world.store.set_fault(Fault::None);
        world.pass(400).await;
    });
    assert_eq!((opened(&history, HOLDER), opened(&history, STRANGER)), (900, 900));
    let ended = (1..=1800).filter(|conn| has_ended(&history, *conn));
    assert!(ended.eq(901..=1800), "{history}");
}

#[test]
fn a_client_whose_id_was_registered_in_the_end_keeps_it() {
    // The other client leaves while its node is asked whether it lives: in some of these runs in between.
    for (seed, moment) in (11..18).flat_map(|seed| (20..36).map(move |moment| (seed, moment))) {
        let mut owners = Vec::new();
        let history = play(World::new(seed, LEASE, Degraded::Allow), async |world| {
            world.store.set_latency(Duration::from_millis(20)..Duration::from_millis(150));
            world.pass(80).await;
            world.set_fault(0, Fault::Refused);
            world.pass(120).await;
            world.open_at(0, "a", HOLDER);
            world.pass(1).await;
            world.open_at(1, "a", STRANGER);
            world.pass(40).await;
            world.set_fault(0, Fault::None);
            world.pass(moment).await;
            let stranger = world.store.owners().into_iter().next();
            world.close_at(1);
            for _ in 0..200 {
                let owner = world.store.owners().into_iter().next();
                owners.push(owner.filter(|owner| Some(owner) != stranger.as_ref()));
                world.pass(1).await;
                if world.has_left(0) {
                    break;
                }
            }
        });
        assert_eq!((opened(&history, HOLDER), opened(&history, STRANGER)), (1, 1), "{history}");
        let is_told = has_ended(&history, 1);
        assert!(!is_told || owners.last() == Some(&None), "{seed}, {moment}: {history}");
    }
}
