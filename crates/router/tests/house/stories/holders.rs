//! Holders of ids, and registration.

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::CloseReason;
use peerbroker_router::{IdLease, Outgoing, RegisterRefusal, Routed};

use super::{asked, closed, house, is_pending, last, messages};
use crate::socket::Socket;
use crate::{House, offer, peer, register, reply, send, text};

#[test]
fn a_late_goodbye_does_not_remove_the_successor() {
    let goodbyes: [fn(IdLease); 3] = [
        |old| drop(old.part(CloseReason::Left, false)),
        |old| drop(old.part(CloseReason::Left, true)),
        |old| drop(old),
    ];
    for goodbye in goodbyes {
        let house = house();
        let old = house.connect("a", "s", &Socket::open());
        let new = house.connect("a", "s", &Socket::open());
        assert!(!old.is_current());
        goodbye(old);
        assert!(new.is_current() && house.realm.contains("a"));
        assert_eq!(house.realm.len(), 1);
        drop(new);
        assert_eq!((house.realm.len(), house.realm.contains("a")), (0, false));
    }
}

#[test]
fn a_late_end_after_a_timeout_does_not_remove_the_next_holder() {
    let house = house();
    let old = house.connect("a", "s", &Socket::open());
    house.pass(60_000);
    let new = house.connect("a", "another token", &Socket::open());
    assert_eq!(
        old.part(CloseReason::Left, true).map(|parting| parting.ended.reason),
        Some(CloseReason::TimedOut)
    );
    assert!(new.is_current());
    assert_eq!(house.realm.len(), 1);
}

#[test]
fn a_replaced_connection_gets_nothing_more_and_its_signs_of_life_count_for_nobody() {
    let house = house();
    let socket = Socket::open();
    let old = house.connect("a", "s", &socket);
    let new = house.connect("a", "s", &Socket::open());
    offer(&new, "a", "to oneself");
    reply(&old, text("a reply"));
    assert_eq!(last(&socket), Some(closed(CloseReason::Replaced)));
    assert!(old.with_outbox(|_| ()).is_none());

    let mut probe = asked(house.realm.probe(&peer("a")));
    old.mark_alive();
    assert!(is_pending(&mut probe));
    new.mark_alive();
    assert!(!is_pending(&mut probe));
}

#[test]
fn another_token_is_refused_and_gets_nothing() {
    let house = house();
    let _a = house.connect("a", "s", &Socket::open());
    let socket = Socket::open();
    let mut outbox = socket.outbox(1000);
    let refused = register(&house.realm, "a", "other", &mut outbox);
    assert!(matches!(refused, Err(RegisterRefusal::Taken)));
    assert_eq!(socket.heard(), []);
    // The outbox is unchanged, so that it can send the refusal.
    outbox.push_unbounded(Outgoing::notice(text("ID-TAKEN")));
    outbox.flush();
    assert_eq!(socket.texts(), ["ID-TAKEN"]);
}

#[test]
fn the_limit_is_of_registered_peers_and_not_of_takeovers() {
    let house = House::for_clients(2, Limits::default());
    let a = house.connect("a", "s", &Socket::open());
    let _b = house.connect("b", "s", &Socket::open());
    offer(&a, "c", "waiting");
    let refused = Socket::open();
    assert!(matches!(house.try_connect("c", "s", &refused), Err(RegisterRefusal::Full)));
    assert_eq!(refused.heard(), []);
    let again = house.connect("a", "s", &Socket::open());
    assert_eq!(house.realm.len(), 2);
    drop(a);
    assert!(matches!(house.try_connect("c", "s", &Socket::open()), Err(RegisterRefusal::Full)));
    drop(again);
    let socket = Socket::open();
    let _c = house.connect("c", "s", &socket);
    assert_eq!(messages(&socket), ["waiting"]);
    assert_eq!(house.realm.len(), 2);
}

#[test]
fn a_client_limit_of_zero_refuses_everybody() {
    let house = House::for_clients(0, Limits::default());
    assert!(matches!(house.try_connect("a", "s", &Socket::open()), Err(RegisterRefusal::Full)));
    assert!(house.realm.is_empty());
}

#[test]
fn ids_are_in_order_of_first_registration_and_a_takeover_keeps_its_place() {
    let house = house();
    let ids = || house.realm.ids().iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
    let mut held: Vec<IdLease> =
        ["d", "a", "c", "b"].iter().map(|id| house.connect(id, "s", &Socket::open())).collect();
    let _again = house.connect("a", "s", &Socket::open());
    assert_eq!(ids(), ["d", "a", "c", "b"]);
    drop(held.remove(0));
    assert_eq!(ids(), ["a", "c", "b"]);
    let _d = house.connect("d", "s", &Socket::open());
    assert_eq!(ids(), ["a", "c", "b", "d"]);
}

#[test]
fn realms_do_not_know_each_other() {
    let house = house();
    let other = house.another_realm();
    let a = house.connect("a", "s", &Socket::open());
    let socket = Socket::open();
    let registered = register(&other, "b", "s", &mut socket.outbox(1000));
    assert!(registered.is_ok());
    assert!(matches!(send(&a, "b", text("x"), true), Routed::Queued));
    assert!(matches!(send(&a, "b", text("x"), false), Routed::Dropped(_)));
    assert_eq!(messages(&socket), Vec::<String>::new());
    assert_eq!(house.realm.ids(), [peer("a")]);
}

#[test]
fn when_the_server_stops_everybody_hears_it_and_nobody_comes_in() {
    let house = house();
    let sockets: Vec<Socket> = (0..3).map(|_| Socket::open()).collect();
    let held: Vec<IdLease> =
        sockets.iter().zip(["a", "b", "c"]).map(|(socket, id)| house.connect(id, "s", socket)).collect();
    house.close();
    assert_eq!(house.realm.len(), 0);
    assert!(sockets.iter().all(|socket| last(socket) == Some(closed(CloseReason::Shutdown))));
    assert!(held.iter().all(|held| !held.is_current()));
    for id in ["a", "d"] {
        assert!(matches!(house.try_connect(id, "s", &Socket::open()), Err(RegisterRefusal::Closing)));
    }
}

#[test]
fn any_text_can_be_an_id() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    for id in ["__proto__", "constructor", "toString", "\"", "\\", " ", "é\u{301}", "\u{10FFFF}"] {
        offer(&a, id, "waited");
        let socket = Socket::open();
        let registered = house.connect(id, "t", &socket);
        offer(&a, id, "at once");
        assert_eq!(messages(&socket), ["waited", "at once"], "{id}");
        assert!(house.realm.contains(id));
        drop(registered);
        assert!(!house.realm.contains(id));
    }
}

#[test]
fn a_message_to_oneself_comes_back() {
    let house = house();
    let socket = Socket::open();
    let a = house.connect("a", "s", &socket);
    offer(&a, "a", "x");
    assert_eq!(messages(&socket), ["x"]);
}
