//! Rooms across nodes at exact moments: runs that are always the same.

use std::time::Duration;

use peerbroker_config::Degraded;
use peerbroker_core::vocabulary::{Frame, MessageKind, Opcode, RealmKind};
use peerbroker_rooms::Requester;
use peerbroker_router::Flushes;

use super::{STEP, World, play};
use crate::checker::check;
use crate::history::{Conn, History, What};
use crate::sim::Fault;

const LEASE: Duration = Duration::from_secs(2);

/// Longer than a message takes.
const ARRIVAL: usize = 40;

impl World {
    /// Clients of these ids, one on each node, are in the room.
    async fn meet(&mut self, ids: &[&'static str]) {
        self.pass(40).await;
        for (node, id) in ids.iter().enumerate() {
            self.open_at(node, id, 0);
        }
        self.pass(20).await;
        for id in ids {
            self.join_as(id, "blue");
        }
        self.pass(20).await;
    }

    fn with_client(&mut self, id: &str, act: impl FnOnce(&World, &super::Client, u32)) {
        self.numbers += 1;
        let clients = self.clients.borrow();
        let client = clients.iter().find(|client| client.id == id).expect("a client");
        act(self, client, self.numbers);
    }

    fn join_as(&mut self, id: &str, room: &'static str) {
        self.with_client(id, |world, client, number| world.join(client, room, number));
    }

    fn update_as(&mut self, id: &str) {
        self.with_client(id, |world, client, number| world.update(client, "blue", number));
    }

    fn leave_as(&mut self, id: &str) {
        self.with_client(id, |world, client, _| world.leave_room(client, "blue"));
    }

    fn tell_as(&mut self, id: &str, to: Option<&'static str>) {
        self.with_client(id, |world, client, number| world.tell(client, "blue", to, number));
    }
}

/// The numbers of the messages that were accepted, and that a connection has heard.
fn told_and_heard(history: &History, by: Conn) -> (Vec<u32>, Vec<u32>) {
    let number = |text: &str| {
        let frame: serde_json::Value = serde_json::from_str(text).unwrap();
        let number = frame["payload"]["n"].as_u64().filter(|_| frame["type"] == "ROOM-MESSAGE");
        number.map(|number| u32::try_from(number).unwrap())
    };
    let mut told = Vec::new();
    let mut heard = Vec::new();
    for (_, what) in &history.events {
        match what {
            What::Told { number, .. } => told.push(*number),
            What::Heard { conn, text } if *conn == by => heard.extend(number(text)),
            _ => {}
        }
    }
    (told, heard)
}

/// The numbers of the messages that the connections of an id have heard, one after the other.
fn heard_by_all_of(history: &History, id: &str) -> Vec<u32> {
    let conns = history.events.iter().filter_map(|(_, what)| match what {
        What::Opened { conn, id: of_conn, .. } if *of_conn == id => Some(*conn),
        _ => None,
    });
    conns.flat_map(|conn| told_and_heard(history, conn).1).collect()
}

fn has_left(history: &History) -> bool {
    let is_left = |what: &What| matches!(what, What::Heard { text, .. } if text.contains("ROOM-LEFT"));
    history.events.iter().any(|(_, what)| is_left(what))
}

fn assert_fine(history: &History) {
    let faults = check(history);
    assert!(faults.is_empty(), "{history}\n{}", faults.join("\n"));
}

#[test]
fn a_member_that_changes_its_data_or_joins_again_loses_no_message() {
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.meet(&["a", "b", "c"]).await;
        for step in 0..100 {
            (0..5).for_each(|_| world.tell_as("a", None));
            match step % 4 {
                0 => world.update_as("b"),
                1 => world.join_as("b", "blue"),
                // It takes its own connection over.
                2 => world.open_at(1, "b", 0),
                _ => {}
            }
            world.pass(1).await;
        }
        world.pass(ARRIVAL).await;
        world.sum_up();
    });
    assert_fine(&history);
    let heard = heard_by_all_of(&history, "b");
    let (told, by_c) = told_and_heard(&history, 3);
    assert_eq!((told.len(), &by_c), (500, &told));
    assert_eq!(heard, told);
}

#[test]
fn a_binary_message_to_a_member_or_a_client_of_any_node_stays_binary() {
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.meet(&["a", "b"]).await;
        world.with_client("a", |world, client, _| {
            // No text in UTF-8.
            let binary = |number| Frame::message(Opcode::Binary, 2, |frame| frame.extend([255, number]));
            let send = |flushes: &mut Flushes, to, number| {
                let routed = client.lease.route(to, MessageKind::Offer, binary(number));
                routed.collect_flush(flushes).unwrap();
            };
            let tenant = world.node_of(client).tenant("key").unwrap();
            let rooms = tenant.existing_rooms(RealmKind::PeerJs).unwrap();
            Flushes::with(|flushes| {
                let requester = &mut Requester { peer: &client.lease, request: None, flushes };
                rooms.send(requester, "blue", None, || binary(1)).unwrap();
                rooms.send(requester, "blue", Some("b"), || binary(2)).unwrap();
                rooms.publish(requester, "blue", |members| binary(members as u8 + 1), &mut None).unwrap();
                send(flushes, "b", 4);
                // It waits.
                send(flushes, "c", 5);
            });
        });
        world.pass(ARRIVAL).await;
        world.open_at(2, "c", 0);
        world.pass(ARRIVAL).await;
    });
    let heard = |by: Conn| {
        let is_heard = |what: &What| match what {
            What::Heard { conn, text } if *conn == by => text.contains("BINARY").then(|| text.clone()),
            _ => None,
        };
        history.events.iter().filter_map(|(_, what)| is_heard(what)).collect::<Vec<_>>()
    };
    let binary = |number| format!(r#"{{"type":"BINARY","payload":[255, {number}]}}"#);
    assert_eq!((heard(2), heard(3)), ([1, 2, 3, 4].map(binary).to_vec(), vec![binary(5)]), "{history}");
}

#[test]
fn a_member_that_moves_hears_each_sender_in_order() {
    for seed in 1..20 {
        let history = play(World::new(seed, LEASE, Degraded::Allow), async |world| {
            // Each node has a sender: b comes from one, and goes to one.
            world.meet(&["a", "b", "c"]).await;
            // What the old node still has is on its way for longer than a step.
            world.store.set_latency(Duration::from_millis(1)..Duration::from_millis(60));
            world.open_at(1, "d", 0);
            world.pass(20).await;
            world.join_as("d", "blue");
            world.pass(20).await;
            for step in 0..120 {
                for id in ["a", "c", "d"] {
                    world.tell_as(id, (step % 3 == 0).then_some("b"));
                }
                if step % 20 == 10 {
                    world.open_at(step / 20 % 3, "b", 0);
                }
                world.pass(1).await;
            }
            world.pass(ARRIVAL).await;
            world.sum_up();
        });
        assert_fine(&history);
        let heard = heard_by_all_of(&history, "b");
        for sender in [1, 3, 4] {
            let by = |number: &&u32| {
                history.events.iter().any(|(_, what)| {
                matches!(what, What::Told { conn, number: told, .. } if *conn == sender && told == *number)
            })
            };
            let heard = heard.iter().filter(by);
            let told = told_and_heard(&history, 0).0;
            assert!(heard.eq(told.iter().filter(by)), "seed {seed}, connection {sender}\n{history}");
        }
    }
}

#[test]
fn private_messages_and_those_to_all_keep_their_order_on_the_way_to_another_node() {
    for seed in 1..20 {
        let history = play(World::new(seed, LEASE, Degraded::Allow), async |world| {
            world.meet(&["a", "b", "c"]).await;
            for _ in 0..40 {
                world.tell_as("a", Some("b"));
                world.tell_as("a", None);
                world.pass(1).await;
            }
            world.pass(ARRIVAL).await;
            world.sum_up();
        });
        assert_fine(&history);
        let (told, heard) = told_and_heard(&history, 2);
        assert_eq!(heard, told, "seed {seed}\n{history}");
    }
}

#[test]
fn nobody_leaves_a_room_when_the_store_restarts_or_hangs_for_longer_than_a_lease() {
    for is_stalled in [false, true] {
        let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
            world.meet(&["a", "b", "c"]).await;
            if is_stalled {
                world.store.set_fault(Fault::Stalled);
                world.pass(120).await;
                world.store.set_fault(Fault::None);
            } else {
                world.store.wipe();
            }
            world.pass(400).await;
            world.sum_up();
        });
        assert!(!has_left(&history), "{history}");
        let members = history.members.iter().map(|of| of["blue"].len());
        assert_eq!(members.collect::<Vec<_>>(), [3, 3, 3], "{history}");
    }
}

#[test]
fn members_of_a_node_that_is_dead_leave_after_a_lease() {
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.meet(&["a", "b", "c"]).await;
        world.kill(1);
        // Some more, because the others look five times in a lease.
        let lease = LEASE.as_millis() / STEP.as_millis();
        world.pass(usize::try_from(lease + lease / 4).unwrap()).await;
        world.sum_up();
    });
    let members = history.members.iter().map(|of| of["blue"].join(" "));
    assert_eq!(members.collect::<Vec<_>>(), ["a c", "a c"], "{history}");
}

#[test]
fn a_flood_in_one_room_is_refused_in_time_and_leaves_the_link_to_others() {
    const FLOOD: usize = 2000;
    let mut sent = 0;
    let history = play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.meet(&["a", "b"]).await;
        for (node, id) in [(0, "c"), (1, "d")] {
            world.open_at(node, id, 0);
        }
        world.pass(20).await;
        for id in ["c", "d"] {
            world.join_as(id, "red");
        }
        world.pass(20).await;
        for _ in 0..20 {
            // More than the link takes.
            for _ in 0..FLOOD / 20 {
                world.with_client("a", |world, client, number| world.tell_long(client, "blue", number));
            }
            for _ in 0..5 {
                world.with_client("c", |world, client, number| world.tell(client, "red", None, number));
                sent += 1;
            }
        }
        world.pass(10 * ARRIVAL).await;
        world.sum_up();
    });
    assert_fine(&history);
    let of = |room: &str| {
        let numbers = history.events.iter().filter_map(|(_, what)| match what {
            What::Told { room: of, number, .. } if *of == room => Some(*number),
            _ => None,
        });
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(of("red").len(), sent, "another room is refused nothing");
    assert_eq!(told_and_heard(&history, 4).1, of("red"));
    assert!((10..FLOOD).contains(&of("blue").len()), "{} were accepted", of("blue").len());
    assert_eq!(told_and_heard(&history, 2).1, of("blue"));
}

#[test]
fn a_node_that_comes_learns_of_more_members_than_a_link_holds_while_they_change() {
    const CLIENTS: usize = 560;
    let name = |text: String| -> &'static str { text.leak() };
    let ids: Vec<&'static str> = (0..CLIENTS).map(|number| name(format!("id{number}"))).collect();
    // Each room has forty members, and each client is in sixteen.
    let rooms: Vec<&'static str> =
        (0..CLIENTS * 16 / 40).map(|number| name(format!("room{number}"))).collect();
    let mut known = Vec::new();
    play(World::new(1, LEASE, Degraded::Allow), async |world| {
        world.pass(40).await;
        world.kill(1);
        ids.iter().for_each(|id| world.open_at(0, id, 0));
        world.pass(20).await;
        for (at, id) in ids.iter().enumerate() {
            for place in at * 16..(at + 1) * 16 {
                let room = rooms[place % rooms.len()];
                world.with_client(id, |world, client, number| world.join_long(client, room, number));
            }
        }
        world.pass(20).await;
        world.kill(1);
        for step in 0..160 {
            let id = ids[step % ids.len()];
            let room = rooms[(step % ids.len()) * 16 % rooms.len()];
            world.with_client(id, |world, client, number| world.join_long(client, room, number));
            world.pass(1).await;
        }
        known = [0, 1].map(|node| world.members_of(node, &rooms)).to_vec();
    });
    assert_eq!(known[0].iter().map(Vec::len).sum::<usize>(), CLIENTS * 16);
    assert_eq!(known[0], known[1]);
}

#[test]
fn a_member_that_has_moved_and_leaves_one_of_its_rooms_hears_nothing_more_of_it() {
    for seed in 1..20 {
        let history = play(World::new(seed, LEASE, Degraded::Allow), async |world| {
            world.meet(&["a", "b", "c"]).await;
            world.open_at(0, "d", 0);
            world.pass(20).await;
            world.join_as("d", "red");
            world.join_as("d", "blue");
            world.pass(20).await;
            world.open_at(1, "d", 0);
            world.pass(12).await;
            world.leave_as("d");
            for _ in 0..40 {
                for id in ["a", "b", "c"] {
                    world.tell_as(id, None);
                }
                world.pass(1).await;
            }
            world.pass(ARRIVAL).await;
            world.sum_up();
        });
        assert_fine(&history);
    }
}

/// The store is away for so many steps, and comes back empty. Meanwhile a client leaves a room and stays in
/// another one of the same node, where others hear what is said on all nodes.
fn outage(seed: u64, steps: usize) -> History {
    play(World::new(seed, LEASE, Degraded::Allow), async |world| {
        world.meet(&["a", "b", "c"]).await;
        for id in ["d", "e", "f"] {
            world.open_at(1, id, 0);
        }
        world.pass(20).await;
        for id in ["d", "e", "f"] {
            world.join_as(id, "red");
            world.join_as(id, "blue");
        }
        world.pass(20).await;
        world.store.set_fault(Fault::Unreachable);
        world.note(What::Fault { node: None, what: "Unreachable".to_owned() });
        for step in 0..steps + 200 {
            if step == steps / 2 {
                world.leave_as("d");
            }
            if step == steps {
                world.store.wipe();
                world.store.set_fault(Fault::None);
            }
            for id in ["a", "b", "c", "e"] {
                world.tell_as(id, None);
            }
            world.pass(1).await;
            if step == steps + 60 {
                // Earlier than a lease after the outage.
                let known = [0, 1, 2].map(|node| world.members_of(node, &["blue"]));
                assert_eq!(known, [0, 1, 2].map(|_| [["a", "b", "c", "e", "f"].map(str::to_owned).to_vec()]));
            }
        }
        world.pass(ARRIVAL).await;
        world.sum_up();
    })
}

#[test]
fn an_empty_store_brings_nobody_back_to_a_room_and_no_second_order_to_a_node() {
    for seed in 1..5 {
        // Shorter and longer than a lease.
        for steps in [10, 40, 120] {
            let history = outage(seed, steps);
            assert_fine(&history);
            // The messages after all nodes knew each other again, in the order of this node.
            let mut told = told_and_heard(&history, 0).0;
            let mut heard = told_and_heard(&history, 6).1;
            told.drain(..told.len() - 100);
            heard.retain(|number| told.contains(number));
            heard.sort_unstable();
            assert_eq!(heard, told, "{seed}, {steps}\n{history}");
        }
    }
}

#[test]
fn a_member_of_a_node_killed_in_an_outage_hears_on_another_one_what_was_said_meanwhile() {
    for (seed, node) in (1..5).flat_map(|seed| [(seed, 0), (seed, 2)]) {
        let history = play(World::new(seed, LEASE, Degraded::Allow), async |world| {
            world.meet(&["a", "b", "c"]).await;
            world.kill(1);
            // It might only have lost its lease in the outage, so its members have some more time.
            world.store.set_fault(Fault::Unreachable);
            world.note(What::Fault { node: None, what: "Unreachable".to_owned() });
            world.pass(20).await;
            world.store.set_fault(Fault::None);
            // By then the others know that it is gone.
            world.pass(80).await;
            for step in 0..60 {
                for (number, id) in ["a", "c"].into_iter().enumerate() {
                    world.tell_as(id, (step % 3 == number).then_some("b"));
                }
                if step == 20 {
                    world.open_at(node, "b", 0);
                }
                world.pass(1).await;
            }
            world.pass(ARRIVAL).await;
            world.sum_up();
        });
        assert_fine(&history);
        let told = told_and_heard(&history, 0).0;
        let heard = heard_by_all_of(&history, "b");
        // One number is one of a, the next is one of c.
        for sender in 0..2 {
            let by = |number: &&u32| **number % 2 == sender;
            assert!(heard.iter().filter(by).eq(told.iter().filter(by)), "{seed}, {node}\n{history}");
        }
    }
}

#[test]
fn a_member_of_a_node_that_stops_hears_on_another_one_what_was_said_meanwhile() {
    // It comes back within 50 to 700 ms, to the node of a sender or to a third one.
    for (seed, node, absence) in (1..4).flat_map(|seed| {
        [0, 2].into_iter().flat_map(move |node| [2, 5, 12, 28].map(move |absence| (seed, node, absence)))
    }) {
        let history = play(World::new(seed, LEASE, Degraded::Allow), async |world| {
            world.store.set_latency(Duration::from_millis(1)..Duration::from_millis(60));
            world.pass(40).await;
            world.meet(&["a", "b", "c"]).await;
            world.pass(20).await;
            let mut leaving = None;
            for step in 0..60 {
                // The second time when the first ones are on their way.
                for (number, id) in ["a", "c", "a", "c"].into_iter().enumerate() {
                    if step == 10 && number == 2 {
                        leaving = Some(world.begin_to_stop(1));
                    }
                    world.tell_as(id, (step % 3 == number).then_some("b"));
                }
                if step == 10 + absence {
                    world.open_at(node, "b", 0);
                }
                world.pass(1).await;
            }
            world.pass(ARRIVAL).await;
            assert!(leaving.is_some_and(|leaving| leaving.tasks.is_finished()), "it has left");
            world.sum_up();
        });
        assert!(!has_left(&history), "{history}");
        let told = told_and_heard(&history, 0).0;
        let heard = heard_by_all_of(&history, "b");
        // One number is one of a, the next is one of c.
        for sender in 0..2 {
            let by = |number: &&u32| **number % 2 == sender;
            assert!(
                heard.iter().filter(by).eq(told.iter().filter(by)),
                "{seed}, {node}, {absence}\n{history}"
            );
        }
    }
}
