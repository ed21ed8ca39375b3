//! Outboxes that some threads fill and others write: whatever comes into one leaves it, or its task is woken.

use std::sync::Arc;

use loom::thread;

use crate::house::{House, Plan, Socket, Task, assert_fate, in_every_order, poll};
use crate::router::Outbox;
use peerbroker_core::vocabulary::Frame;

/// A client reads everything from now on.
fn read_all(socket: &Socket) -> thread::JoinHandle<()> {
    let socket = socket.clone();
    thread::spawn(move || socket.make_room())
}

fn send_all(
    house: &House,
    from: &'static str,
    texts: &'static [&'static str],
) -> thread::JoinHandle<Vec<(&'static str, bool)>> {
    let house = house.clone();
    thread::spawn(move || texts.iter().map(|text| (*text, house.send(from, "b", text))).collect())
}

#[test]
fn what_two_threads_send_is_written_by_them() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::open();
        let lease = house.connect("b", &socket);
        let sender = send_all(&house, "a", &["1", "2"]);
        assert!(house.send("c", "b", "3"));
        let sent = sender.join().unwrap();
        assert_fate(&sent, &socket.texts(), &[], "b");
        assert_eq!(socket.texts().len(), 3);
        House::assert_flushed(&lease);
        house.check();
    });
}

#[test]
fn a_full_socket_with_room_again_gets_what_was_sent_meanwhile() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::with_room(0);
        let task = Arc::new(Task::default());
        let lease = house.connect("b", &socket);
        let sender = send_all(&house, "a", &["1", "2"]);
        let reader = read_all(&socket);
        poll(&lease, &task, &socket);
        reader.join().unwrap();
        sender.join().unwrap();
        while task.was_woken() {
            poll(&lease, &task, &socket);
        }
        assert_eq!(socket.texts(), ["1", "2"]);
        house.check();
    });
}

#[test]
fn the_task_of_a_library_is_woken_for_every_message() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let task = Arc::new(Task::default());
        let lease = house.open("b", "token", Outbox::new(1 << 20, None)).unwrap();
        let senders = [send_all(&house, "a", &["1"]), send_all(&house, "c", &["2"])];
        let mut taken = 0;
        let mut take = |outbox: &mut Outbox| {
            outbox.set_task(&task.waker());
            while let Some(len) = outbox.front().map(Frame::len) {
                outbox.advance(len);
                taken += 1;
            }
            taken < 2
        };
        while lease.with_outbox(&mut take).expect("it keeps its id") {
            task.sleep();
        }
        for sender in senders {
            drop(sender.join().unwrap());
        }
        house.check();
    });
}

#[test]
fn a_session_that_owes_state_is_woken_once_there_is_room() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::with_room(0);
        let task = Arc::new(Task::default());
        let lease = house.open("b", "token", socket.outbox_of(4096)).unwrap();
        // The first one does not count for the bound.
        assert!(house.send("a", "b", "1") && house.send("a", "b", "2"));
        let teller = (*lease).clone();
        let told = thread::spawn(move || {
            let state = [Frame::of_text("state")].into_iter();
            teller.send_state(state, 1024, 4).is_some()
        });
        let reader = read_all(&socket);
        let mut owed = poll(&lease, &task, &socket);
        reader.join().unwrap();
        let is_told = told.join().unwrap();
        while task.was_woken() {
            owed |= poll(&lease, &task, &socket);
        }
        assert_ne!(is_told, owed);
        house.check();
    });
}

#[test]
fn a_flood_into_a_full_outbox_is_lost_for_its_sender_which_is_told() {
    let plan = Plan::new(|_| {});
    in_every_order(move || {
        let house = plan.build();
        let socket = Socket::with_room(0);
        let task = Arc::new(Task::default());
        let of_a = Socket::open();
        let of_c = Socket::open();
        let _a = house.connect("a", &of_a);
        let _c = house.connect("c", &of_c);
        // Room for one message behind the first.
        let lease = house.open("b", "token", socket.outbox_of(300)).unwrap();
        let by_a = send_all(&house, "a", &["a1", "a2"]);
        let by_c = send_all(&house, "c", &["c1"]);
        poll(&lease, &task, &socket);
        socket.make_room();
        let by_a = by_a.join().unwrap();
        let by_c = by_c.join().unwrap();
        while task.was_woken() {
            poll(&lease, &task, &socket);
        }
        House::assert_flushed(&lease);
        assert_fate(&by_a, &socket.texts(), &of_a.texts(), "b");
        assert_fate(&by_c, &socket.texts(), &of_c.texts(), "b");
        house.check();
    });
}
