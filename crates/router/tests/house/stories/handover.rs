//! Messages that are partly written when a connection loses its id.

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_core::vocabulary::Frame;
use peerbroker_router::{IdLease, Outgoing, Routed};

use super::{blocked, closed, flush, house, last, messages};
use crate::socket::{Heard, Socket};
use crate::{offer, reply, send, text};

#[test]
fn a_message_cut_in_the_middle_reaches_the_successor_whole_and_in_order() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(5);
    let b = house.connect("b", "t", &old);
    for message in ["first", "second", "third"] {
        offer(&a, "b", message);
    }
    assert_eq!((messages(&old), old.partial()), (vec![], 5));
    old.break_off();
    drop(b);
    assert!(house.router.queued_bytes() > 0);
    let new = Socket::open();
    let _b = house.connect("b", "other", &new);
    assert_eq!(messages(&new), ["first", "second", "third"]);
    assert_eq!(house.router.queued_bytes(), 0);
}

#[test]
fn a_message_cut_during_the_goodbye_waits_in_front_of_what_came_later() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let c = house.connect("c", "s", &Socket::open());
    let old = blocked(5);
    let b = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    offer(&a, "b", "second");
    let parting = b.part(CloseReason::Left, false).unwrap();
    offer(&c, "b", "from somebody else");
    offer(&a, "b", "third");
    drop(parting);
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["first", "second", "from somebody else", "third"]);
}

#[test]
fn a_message_finished_during_the_goodbye_is_delivered_there_and_only_there() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(5);
    let b = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    offer(&a, "b", "second");
    let parting = b.part(CloseReason::Left, false).unwrap();
    old.set_room(usize::MAX);
    parting.peer.with_last_outbox(|outbox| {
        outbox.push_unbounded(Outgoing::notice(Frame::close(None)));
        outbox.flush();
    });
    drop(parting);
    assert_eq!((messages(&old), last(&old)), (vec!["first".to_owned()], Some(Heard::Close(None))));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["second"]);
}

#[test]
fn a_takeover_moves_what_was_not_written_to_the_new_socket_behind_open_in_order() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(0);
    let before = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    assert!(matches!(send(&a, "b", text("a notice"), false), Routed::Delivered(_)));
    offer(&a, "b", "second");
    let new = Socket::open();
    let b = house.connect("b", "t", &new);
    offer(&a, "b", "third");
    assert_eq!(messages(&new), ["first", "a notice", "second", "third"]);
    assert!(b.is_current());
    old.set_room(usize::MAX);
    assert_eq!(
        before.part(CloseReason::Left, false).map(|parting| (flush(&parting), parting.ended.reason).1),
        Some(CloseReason::Replaced)
    );
    assert_eq!((messages(&old), last(&old)), (vec![], Some(closed(CloseReason::Replaced))));
}

#[test]
fn a_takeover_takes_back_the_message_that_the_old_socket_is_in_the_middle_of() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = blocked(5);
    let before = house.connect("b", "t", &old);
    for message in ["first", "second", "third"] {
        offer(&a, "b", message);
    }
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(messages(&new), ["first", "second", "third"]);
    // Nothing can follow half a message, so the old connection gets no close frame.
    let parting = before.part(CloseReason::Left, false).unwrap();
    assert!(parting.peer.with_last_outbox(|outbox| outbox.is_broken()).unwrap());
    old.set_room(usize::MAX);
    flush(&parting);
    drop(parting);
    assert_eq!((messages(&old), old.partial()), (vec![], 5));
    assert_eq!(messages(&new), ["first", "second", "third"]);
}

#[test]
fn a_successor_gets_first_what_a_dismissed_predecessor_is_still_in_the_middle_of() {
    for noticed in [false, true] {
        let house = house();
        let a = house.connect("a", "s", &Socket::open());
        let old = blocked(3);
        let mut before = Some(house.connect("b", "t", &old));
        for message in ["1st", "2nd", "3rd", "4th", "5th"] {
            offer(&a, "b", message);
        }
        assert!(house.realm.dismiss_id("b", CloseReason::Kicked).is_some());
        // Its close may have begun.
        let parting = if noticed {
            before.take().and_then(|before| before.part(CloseReason::Left, false))
        } else {
            None
        };
        let new = Socket::open();
        let _b = house.connect("b", "another token", &new);
        assert_eq!(messages(&new), ["1st", "2nd", "3rd", "4th", "5th"], "noticed: {noticed}");
        old.set_room(usize::MAX);
        parting.iter().for_each(flush);
        drop((parting, before));
        assert_eq!(messages(&old), Vec::<String>::new(), "noticed: {noticed}");
        assert_eq!(messages(&new).len(), 5);
    }
}

#[test]
fn the_opening_of_a_connection_goes_to_no_other() {
    let house = house();
    let a = house.connect("a", "s", &Socket::open());
    let old = Socket::with_room(0);
    let before = house.connect("b", "t", &old);
    offer(&a, "b", "first");
    reply(&before, Frame::pong(&[]));
    let new = Socket::open();
    let _b = house.connect("b", "t", &new);
    assert_eq!(new.heard().len(), 3, "{:?}", new.heard());
    assert_eq!(messages(&new), ["first"]);
    // The old connection gets its close reason.
    old.set_room(usize::MAX);
    flush(&before.part(CloseReason::Left, false).unwrap());
    let open = Heard::Text("OPEN".to_owned());
    assert_eq!(old.heard(), [Heard::Handshake, open, closed(CloseReason::Replaced)]);
}

#[test]
fn a_connection_that_ends_before_its_opening_was_written_still_gets_it() {
    let house = house();
    let sockets: [Socket; 3] = [Socket::with_room(0), Socket::with_room(4), blocked(0)];
    let registrations: Vec<IdLease> =
        sockets.iter().zip(["a", "b", "c"]).map(|(socket, id)| house.connect(id, "s", socket)).collect();
    house.close();
    for (registration, socket) in registrations.into_iter().zip(&sockets) {
        socket.set_room(usize::MAX);
        flush(&registration.part(CloseReason::Left, false).unwrap());
        let open = Heard::Text("OPEN".to_owned());
        assert_eq!(socket.heard(), [Heard::Handshake, open, closed(CloseReason::Shutdown)]);
    }
}
