//! Expiry of messages.

use peerbroker_router::{IdLease, Routed};

use super::{house, messages};
use crate::socket::Socket;
use crate::{offer, send, text};

#[test]
fn each_conversation_has_a_clock_of_its_own_and_each_sender_hears_once() {
    let house = house();
    let a_socket = Socket::open();
    let c_socket = Socket::open();
    let a = house.connect("a", "s", &a_socket);
    let c = house.connect("c", "s", &c_socket);
    offer(&a, "b", "first");
    house.pass(3000);
    offer(&a, "b", "second");
    offer(&c, "b", "of c");
    house.pass(1999);
    assert_eq!(messages(&a_socket), Vec::<String>::new());
    house.pass(1);
    assert_eq!(messages(&a_socket), ["EXPIRE b a"]);
    assert_eq!(messages(&c_socket), Vec::<String>::new());
    let socket = Socket::open();
    let _b = house.connect("b", "t", &socket);
    assert_eq!(messages(&socket), ["of c"]);
    house.pass(10_000);
    assert_eq!((messages(&a_socket).len(), messages(&c_socket).len()), (1, 0));
}

#[test]
fn a_message_after_the_expiry_begins_anew() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    for _ in 0..2 {
        offer(&a, "b", "x");
        house.pass(4999);
        assert_eq!(house.router.queued_bytes(), 3 + 512);
        house.pass(1);
        assert_eq!(house.router.queued_bytes(), 0);
    }
    assert_eq!(messages(&socket), ["EXPIRE b a", "EXPIRE b a"]);
}

#[test]
fn messages_outlive_their_sender_and_the_notice_goes_to_the_next_holder_of_its_id() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    for to in ["b", "c"] {
        offer(&a, to, "x");
    }
    drop(a);
    let b_socket = Socket::open();
    let a_socket = Socket::open();
    let _b = house.connect("b", "t", &b_socket);
    assert_eq!(messages(&b_socket), ["x"]);
    let a = house.connect("a", "another", &a_socket);
    house.pass(5000);
    assert_eq!(messages(&a_socket), ["EXPIRE c a"]);
    // The notice is dropped if nobody has the id.
    offer(&a, "d", "x");
    drop(a);
    house.pass(5000);
    assert_eq!(house.router.queued_bytes(), 0);
    let a_socket = Socket::open();
    let _a = house.connect("a", "another", &a_socket);
    assert_eq!(messages(&a_socket), [""; 0]);
}

#[test]
fn messages_that_may_be_dropped_are_dropped_without_notice() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    assert!(matches!(send(&a, "b", text("LEAVE"), false), Routed::Dropped(_)));
    house.pass(60_000 - 1);
    let b_socket = Socket::open();
    let _b = house.connect("b", "t", &b_socket);
    assert_eq!((messages(&socket), messages(&b_socket)), (vec![], vec![]));
}

#[test]
fn pairs_of_ids_that_spell_the_same_do_not_hide_each_other() {
    let house = house();
    let sockets = [Socket::open(), Socket::open(), Socket::open()];
    let pairs = [("a", "b_c"), ("a_b", "c"), ("__proto__", "constructor")];
    let senders: Vec<IdLease> =
        pairs.iter().zip(&sockets).map(|((from, _), socket)| house.connect(from, "s", socket)).collect();
    for (sender, (_, to)) in senders.iter().zip(pairs) {
        offer(sender, to, "x");
    }
    house.pass(5000);
    for (socket, (from, to)) in sockets.iter().zip(pairs) {
        assert_eq!(messages(socket), [format!("EXPIRE {to} {from}")]);
    }
}
