//! Absent peers that somebody calls: events tell who wants whom.

use std::sync::{Arc, Mutex};

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::MessageKind;
use peerbroker_events::Event;
use peerbroker_router::Located;

use super::house;
use crate::socket::Socket;
use crate::{House, offer, peer, send, text};

/// The events so far, as "who kind whom".
fn wanted(house: &House) -> impl FnMut() -> Vec<String> + use<> {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&told);
    house.router.events().witness(move |event| {
        if let Event::PeerWanted { peer, from, kind } = &**event {
            let [from, id] = [from, &peer.id].map(|id| id.as_str());
            heard.lock().unwrap().push(format!("{from} {} {id}", kind.label()));
        }
    });
    move || std::mem::take(&mut *told.lock().unwrap())
}

#[test]
fn each_caller_of_an_absent_peer_is_told_of_once_until_its_messages_are_over() {
    let house = house();
    let mut wanted = wanted(&house);
    let a = house.connect("a", "s", &Socket::open());
    let c = house.connect("c", "s", &Socket::open());
    let candidate = || drop(a.route("b", MessageKind::Candidate, text("x")).flushed());
    candidate();
    assert_eq!(wanted(), [""; 0], "nothing but an offer calls");
    offer(&a, "b", "x");
    offer(&a, "b", "x");
    candidate();
    assert_eq!(wanted(), ["a data b"]);
    offer(&c, "b", "x");
    offer(&a, "d", "x");
    assert_eq!(wanted(), ["c data b", "a data d"]);
    let b = house.connect("b", "s", &Socket::open());
    offer(&a, "b", "x");
    assert_eq!(wanted(), [""; 0], "it is here");
    drop(b);
    offer(&a, "b", "x");
    assert_eq!(wanted(), ["a data b"]);
    house.pass(5000);
    offer(&a, "b", "x");
    assert_eq!(wanted(), ["a data b"], "the first call has expired");
    let _ = send(&c, "gone", text("x"), false);
    assert_eq!(wanted(), [""; 0], "LEAVE does not wait");
}

#[test]
fn a_call_and_a_data_connection_are_told_apart() {
    let house = house();
    let mut wanted = wanted(&house);
    for (from, kind, text) in [
        ("a", "media", r#"{"type":"OFFER","payload":{"sdp":"m=application","type":"media"}}"#),
        ("b", "data", r#"{"type":"OFFER","payload":{"type":"data","metadata":{"type":"media"}}}"#),
        ("c", "media", r#"{"sdp":"v=0\r\nm=audio 9 \r\n"}"#),
        ("d", "data", r#"{"sdp":"v=0\r\nm=application 9 \r\n"}"#),
    ] {
        let peer = house.connect(from, "s", &Socket::open());
        offer(&peer, "gone", text);
        assert_eq!(wanted(), [format!("{from} {kind} gone")]);
    }
}

#[test]
fn in_a_cluster_a_peer_is_wanted_once_no_node_has_it() {
    let house = House::in_cluster(Limits::default());
    let mut wanted = wanted(&house);
    let a = house.connect("a", "s", &Socket::open());
    let c = house.connect("c", "s", &Socket::open());
    offer(&a, "b", "x");
    offer(&a, "b", "x");
    offer(&c, "b", "x");
    assert_eq!(wanted(), [""; 0], "it is sought");
    house.realm.located(&peer("b"), Located::Nowhere(20_000));
    assert_eq!(wanted(), ["a data b", "c data b"]);
    offer(&a, "b", "x");
    let d = house.connect("d", "s", &Socket::open());
    offer(&d, "b", "x");
    assert_eq!(wanted(), ["d data b"]);
}
