//! Clients that move from a node that dies or stops: runs that are always the same.

use std::time::Duration;

use peerbroker_config::Degraded;

use super::{STEP, World, play};
use crate::checker::check;
use crate::history::{History, What};

/// Long: no node is dead for the others during a script.
const LEASE: Duration = Duration::from_secs(60);

/// A client that has lost its node comes back after this time.
const ABSENCE: usize = steps(Duration::from_secs(3));

/// A silent node is noticed after this time, and the peer is found.
const NOTICED: usize = steps(Duration::from_secs(3));

const fn steps(time: Duration) -> usize {
    (time.as_millis() / STEP.as_millis()) as usize
}

impl World {
    /// "a" on the first node has sent a message to "b" on the second.
    async fn begin(&mut self) {
        self.pass(20).await;
        self.open_at(0, "a", 0);
        self.open_at(1, "b", 0);
        self.pass(20).await;
        self.send_one();
        self.pass(20).await;
    }

    /// "a" sends to "b". The number of the message.
    fn send_one(&mut self) -> u32 {
        self.numbers += 1;
        let clients = self.clients.borrow();
        let a = clients.iter().find(|client| client.id == "a").expect("a client");
        self.send_from(a, "b", self.numbers, true);
        self.numbers
    }

    /// The second node stops as after SIGTERM.
    async fn stop(&mut self) {
        let handle = self.begin_to_stop(1);
        self.pass(20).await;
        assert!(handle.tasks.is_finished(), "it has left");
    }
}

fn received(history: &History, number: u32) -> bool {
    history
        .events
        .iter()
        .any(|(_, what)| matches!(what, What::Received { number: got, .. } if *got == number))
}

fn expired(history: &History) -> usize {
    history.events.iter().filter(|(_, what)| matches!(what, What::Expired { .. })).count()
}

fn assert_fine(history: &History) {
    let faults = check(history);
    assert!(faults.is_empty(), "{history}\n{}", faults.join("\n"));
}

#[test]
fn a_client_that_comes_back_elsewhere_after_a_kill_is_reached_before_the_lease_ends() {
    let mut later = Vec::new();
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world: &mut World| {
        world.begin().await;
        world.kill(1);
        for step in 0..ABSENCE + NOTICED + 40 {
            if step == ABSENCE {
                world.open_at(2, "b", 0);
            }
            if step % 10 == 0 {
                let number = world.send_one();
                later.extend((step >= ABSENCE).then_some(number));
            }
            world.pass(1).await;
        }
        world.pass(NOTICED).await;
        world.sum_up();
    });
    assert_fine(&history);
    for number in &later {
        assert!(received(&history, *number), "message {number} of {later:?}\n{history}");
    }
    assert_eq!(expired(&history), 1, "of the messages that the dead node had\n{history}");
}

#[test]
fn a_graceful_stop_loses_no_message_to_a_client_that_has_moved() {
    let mut sent = Vec::new();
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world: &mut World| {
        world.begin().await;
        world.stop().await;
        world.open_at(2, "b", 0);
        world.pass(20).await;
        sent = (0..20).map(|_| world.send_one()).collect();
        world.pass(NOTICED).await;
        world.sum_up();
    });
    assert_fine(&history);
    for number in &sent {
        assert!(received(&history, *number), "message {number}\n{history}");
    }
    assert_eq!(expired(&history), 0, "{history}");
}

#[test]
fn the_sender_of_a_message_that_waits_on_a_node_that_stops_is_told_where_it_is_by_then() {
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world: &mut World| {
        world.pass(20).await;
        world.open_at(1, "a", 0);
        world.pass(20).await;
        let number = world.send_one();
        world.pass(2).await;
        assert!(!received(&world.history.borrow(), number), "nobody has the id");
        world.open_at(0, "a", 0);
        world.pass(20).await;
        let _leaving = world.begin_to_stop(1);
        world.pass(20).await;
        world.sum_up();
    });
    assert_fine(&history);
    assert_eq!(expired(&history), 1, "{history}");
}

#[test]
fn a_node_that_hung_delivers_nothing_of_which_the_sender_has_heard_that_it_is_lost() {
    // For less than its lease. Its client comes to another node at some time before it goes on, or a moment
    // after.
    const HANGS: Duration = Duration::from_secs(2);
    let mut expirations = 0;
    for (seed, moment) in (1..4).flat_map(|seed| (4..=steps(HANGS) + 4).step_by(12).map(move |at| (seed, at)))
    {
        let history =
            play(World::new(seed, Duration::from_secs(3), Degraded::Allow), async |world: &mut World| {
                world.store.set_latency(Duration::from_millis(1)..Duration::from_millis(90));
                world.pass(40).await;
                world.begin().await;
                world.pause_for(1, HANGS);
                for step in 0..2 * steps(HANGS) {
                    if step % 10 == 0 {
                        world.send_one();
                    }
                    if step == moment {
                        world.open_at(2, "b", 0);
                    }
                    world.pass(1).await;
                }
                world.pass(2 * NOTICED).await;
                world.sum_up();
            });
        assert_fine(&history);
        let events = history.events.iter().map(|(_, what)| what);
        let after = events.skip_while(|what| !matches!(what, What::Expired { .. }));
        let by_old = after.filter(|what| matches!(what, What::Received { conn: 2, .. })).count();
        assert_eq!(by_old, 0, "{seed}, {moment}\n{history}");
        expirations += expired(&history);
    }
    assert!(expirations > 0, "a node that hangs has some messages");
}
