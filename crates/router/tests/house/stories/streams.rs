//! Takeovers of streams, waiting for an id, and changes of id.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{CloseReason, ConnectionKind, Token};
use peerbroker_router::{
    ConnectionInfo, IdLease, PeerHandle, PendingRegistration, RegisterRefusal, RegisterRequest,
};

use super::{blocked, closed, house, last};
use crate::socket::Socket;
use crate::{House, offer, peer, text};

/// Registers a connection of either kind, with its OPEN.
fn connect(house: &House, kind: ConnectionKind, token: &str, socket: &Socket) -> IdLease {
    let id = peer("a");
    let token = Token::parse(token).unwrap();
    let newcomer = RegisterRequest {
        id: &id,
        token: &token,
        kind,
        greeting: Some(text("OPEN")),
        info: ConnectionInfo::default(),
        keeps_contacts: false,
        hears_room: &|_, _| true,
        claim: None,
        last_place: None,
    };
    match IdLease::register(
        &house.realm,
        newcomer,
        &mut socket.outbox(house.router.live_config().load().limits.outbox_bytes),
    ) {
        Ok(registration) => registration,
        _ => panic!("not admitted"),
    }
}

fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}

fn now(arrival: &mut PendingRegistration) -> Poll<bool> {
    pin!(arrival).as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_takeover_from_a_stream_is_not_greeted_again() {
    for kind in [ConnectionKind::Socket, ConnectionKind::Stream] {
        let house = house();
        let old = Socket::open();
        let new = Socket::open();
        let first = connect(&house, ConnectionKind::Stream, "t", &old);
        assert_eq!(old.texts(), ["OPEN"]);
        let second = connect(&house, kind, "t", &new);
        assert_eq!((new.texts(), last(&old)), (Vec::new(), Some(closed(CloseReason::Replaced))));
        assert!(!first.is_current() && second.is_current());
    }
}

#[test]
fn a_takeover_from_a_socket_is_greeted() {
    let house = house();
    let _first = connect(&house, ConnectionKind::Socket, "t", &Socket::open());
    let new = Socket::open();
    let _second = connect(&house, ConnectionKind::Socket, "t", &new);
    assert_eq!(new.texts(), ["OPEN"]);
}

#[test]
fn a_client_that_connects_after_its_stream_ended_is_greeted() {
    let house = house();
    drop(connect(&house, ConnectionKind::Stream, "t", &Socket::open()));
    let new = Socket::open();
    let _second = connect(&house, ConnectionKind::Socket, "t", &new);
    assert_eq!(new.texts(), ["OPEN"]);
}

#[test]
fn unwritten_messages_of_a_stream_go_to_its_successor() {
    let house = house();
    let b = house.connect("b", "s", &Socket::open());
    let _first = connect(&house, ConnectionKind::Stream, "t", &blocked(0));
    for message in ["first", "second"] {
        offer(&b, "a", message);
    }
    let new = Socket::open();
    let _second = connect(&house, ConnectionKind::Stream, "t", &new);
    offer(&b, "a", "third");
    assert_eq!(new.texts(), ["first", "second", "third"]);
}

#[test]
fn a_stream_is_one_for_its_own_token_alone() {
    let house = house();
    let socket = Socket::open();
    let stream = connect(&house, ConnectionKind::Stream, "t", &socket);
    assert!(house.realm.is_streamed(&peer("a"), &token("t")));
    assert!(!house.realm.is_streamed(&peer("a"), &token("other")));
    assert!(!house.realm.is_streamed(&peer("b"), &token("t")));
    assert!(PeerHandle::find(&house.realm, &peer("a"), &token("t")).is_some());
    assert!(PeerHandle::find(&house.realm, &peer("a"), &token("other")).is_none());
    PeerHandle::end_stream(&house.realm, &peer("a"), &token("other"));
    assert!(stream.is_current());
    PeerHandle::end_stream(&house.realm, &peer("a"), &token("t"));
    assert!(!stream.is_current() && house.realm.is_empty());
    assert_eq!(last(&socket), Some(closed(CloseReason::Replaced)));
    let socket = connect(&house, ConnectionKind::Socket, "t", &Socket::open());
    PeerHandle::end_stream(&house.realm, &peer("a"), &token("t"));
    assert!(socket.is_current() && !house.realm.is_streamed(&peer("a"), &token("t")));
}

#[test]
fn a_client_that_waits_for_an_id_is_told_when_it_is_registered_with_its_token() {
    let house = house();
    let wait =
        |with: &str| PendingRegistration::wait(&house.realm, &peer("a"), &token(with)).expect("not too many");
    let mut one = wait("t");
    let mut two = wait("t");
    let mut other = wait("other");
    assert_eq!(now(&mut one), Poll::Pending);
    let held = connect(&house, ConnectionKind::Socket, "t", &Socket::open());
    assert_eq!((now(&mut one), now(&mut two)), (Poll::Ready(true), Poll::Ready(true)));
    assert_eq!(now(&mut other), Poll::Pending);
    // It is registered already.
    assert_eq!(now(&mut wait("t")), Poll::Ready(true));
    // Only clients with that token are told the refusal.
    house.realm.announce_refusal(&peer("a"), &token("third"));
    assert_eq!(now(&mut other), Poll::Pending);
    house.realm.announce_refusal(&peer("a"), &token("other"));
    assert_eq!(now(&mut other), Poll::Ready(false));
    drop(held);
    assert_eq!(now(&mut wait("t")), Poll::Pending);
}

#[test]
fn a_refusal_at_the_limit_does_not_end_the_wait_for_an_id_and_an_announced_refusal_does() {
    let house = House::for_clients(1, Limits::default());
    let _b = house.connect("b", "s", &Socket::open());
    let mut waiting = PendingRegistration::wait(&house.realm, &peer("a"), &token("t")).unwrap();
    assert!(matches!(house.try_connect("a", "t", &Socket::open()), Err(RegisterRefusal::Full)));
    assert_eq!(now(&mut waiting), Poll::Pending);
    house.realm.announce_refusal(&peer("a"), &token("t"));
    assert_eq!(now(&mut waiting), Poll::Ready(false));
}

#[test]
fn no_more_than_sixty_four_wait_for_one_id_with_one_token_and_a_place_that_is_given_up_is_free() {
    let house = house();
    let wait = |token_text: &str| PendingRegistration::wait(&house.realm, &peer("a"), &token(token_text));
    let mut waiting: Vec<PendingRegistration> = (0..64).map(|_| wait("guessed").unwrap()).collect();
    assert!(wait("guessed").is_none());
    // Others cannot use up the owner's places with other tokens.
    waiting.extend((0..1000).map(|n| wait(&format!("guessed {n}")).unwrap()));
    waiting.push(wait("t").unwrap());
    drop(waiting.remove(0));
    waiting.push(wait("guessed").unwrap());
    assert!(wait("guessed").is_none());
    // After many have waited and left, no state is left.
    drop(waiting);
    let socket = Socket::open();
    let _a = connect(&house, ConnectionKind::Socket, "t", &socket);
    assert_eq!(socket.texts(), ["OPEN"]);
}

#[test]
fn a_stream_takes_nothing_from_a_websocket_of_its_client() {
    let house = house();
    let socket = Socket::open();
    let stream = Socket::open();
    let websocket = connect(&house, ConnectionKind::Socket, "t", &socket);
    let id = peer("a");
    let token = token("t");
    let newcomer = RegisterRequest {
        id: &id,
        token: &token,
        kind: ConnectionKind::Stream,
        greeting: Some(text("OPEN")),
        info: ConnectionInfo::default(),
        keeps_contacts: false,
        hears_room: &|_, _| true,
        claim: None,
        last_place: None,
    };
    let refused = IdLease::register(&house.realm, newcomer, &mut stream.outbox(1000));
    assert!(matches!(refused, Err(RegisterRefusal::Elsewhere)));
    assert!(websocket.is_current());
    assert_eq!(stream.heard(), []);
}
