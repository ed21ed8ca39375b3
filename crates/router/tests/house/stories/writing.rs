//! Writes to a socket, and wake-ups of its task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_router::{Outbox, Routed};

use super::{blocked, house, messages};
use crate::socket::Socket;
use crate::{offer, register, route, text};

#[test]
fn a_batch_is_written_at_once_even_without_a_flush() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &Socket::open());
    let _b = house.connect("b", "t", &socket);
    let first = route(&a, "b", text("first"), true);
    assert!(matches!(route(&a, "b", text("second"), true), Routed::Delivered(None)));
    assert_eq!(messages(&socket), Vec::<String>::new());
    let _ = first.flushed();
    assert_eq!(messages(&socket), ["first", "second"]);
    offer(&a, "b", "third");
    assert_eq!(messages(&socket), ["first", "second", "third"]);
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_sockets_own_task_is_woken_when_only_it_can_go_on() {
    let bell = Arc::new(Bell::default());
    let rung = || bell.0.swap(0, Ordering::SeqCst) > 0;
    let waker = Waker::from(Arc::clone(&bell));
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let sockets = [Some(Socket::open()), Some(blocked(0)), None];
    for (socket, wakes) in sockets.iter().zip([false, true, true]) {
        let mut outbox = match socket {
            Some(socket) => socket.outbox(1000),
            // As with TLS: only its task can write.
            None => Outbox::new(1000, None),
        };
        let Ok(b) = register(&house.realm, "b", "t", &mut outbox) else { panic!("not admitted") };
        b.with_outbox(|outbox| outbox.set_task(&waker));
        offer(&a, "b", "x");
        assert_eq!(rung(), wakes);
        // Also to be told that it was dismissed.
        let again = house.connect("b", "t", &Socket::open());
        assert!(rung());
        drop((b, again));
    }
}

#[test]
fn a_goodbye_that_was_cut_off_by_a_successor_is_woken_to_end() {
    let bell = Arc::new(Bell::default());
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let b = house.connect("b", "t", &blocked(3));
    offer(&a, "b", "first");
    let parting = b.part(CloseReason::Left, false).unwrap();
    parting.peer.with_last_outbox(|outbox| outbox.set_task(&Waker::from(Arc::clone(&bell))));
    let _b = house.connect("b", "t", &Socket::open());
    assert!(bell.0.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_broken_socket_wakes_its_task_and_loses_nothing() {
    let bell = Arc::new(Bell::default());
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let socket = Socket::open();
    let b = house.connect("b", "t", &socket);
    b.with_outbox(|outbox| outbox.set_task(&Waker::from(Arc::clone(&bell))));
    socket.break_off();
    offer(&a, "b", "first");
    offer(&a, "b", "second");
    assert!(bell.0.load(Ordering::SeqCst) > 0);
    assert_eq!(b.with_outbox(|outbox| outbox.is_broken()), Some(true));
    drop(b.part(CloseReason::Left, true));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["first", "second"]);
}
