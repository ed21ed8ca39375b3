//! The broker's functions for operators.

use peerbroker_core::vocabulary::{ClientVersion, CloseReason, PeerId};

use super::{closed, house, last};
use crate::offer;
use crate::socket::{Heard, Socket};

fn texts(page: &[PeerId]) -> Vec<&str> {
    page.iter().map(PeerId::as_str).collect()
}

#[test]
fn pages_are_in_the_order_of_ids_and_go_on_behind_one_that_has_left() {
    let house = house();
    let [_d, b, _a, _c] = ["d", "b", "a", "c"].map(|id| house.connect(id, "s", &Socket::open()));
    offer(&b, "absent", "waits for nobody who is here");
    let page = house.realm.page(None, 2);
    assert_eq!(texts(&page), ["a", "b"]);
    drop(b);
    assert_eq!(texts(&house.realm.page(Some("b"), 2)), ["c", "d"]);
    assert_eq!(texts(&house.realm.page(Some("d"), 2)), [""; 0]);
    assert_eq!(texts(&house.realm.page(None, 0)), [""; 0]);
    assert_eq!(texts(&house.realm.page(None, 100)), ["a", "c", "d"]);
}

#[test]
fn a_connection_counts_its_own_messages() {
    let house = house();
    let first = house.connect("a", "s", &Socket::open());
    first.count_messages(3, 30);
    first.count_messages(2, 20);
    let messages = || house.realm.present("a").unwrap().messages;
    assert_eq!(messages(), 5);
    let _second = house.connect("a", "s", &Socket::open());
    assert_eq!(messages(), 0);
    assert!(house.realm.present("b").is_none());
}

#[test]
fn the_rate_limit_of_an_id_outlives_its_connections_until_its_burst_is_full_again() {
    let house = house();
    let first = house.connect("a", "s", &Socket::open());
    assert_eq!(first.charge(30, 1).as_secs(), 20);
    let second = house.connect("a", "s", &Socket::open());
    assert_eq!(second.charge(0, 1).as_secs(), 20, "a takeover inherits it");
    drop((first, second));
    house.pass(5000);
    let third = house.connect("a", "s", &Socket::open());
    assert_eq!(third.charge(0, 1).as_secs(), 15, "to leave and come back changes nothing");
    drop(third);
    let stranger = house.connect("a", "another token", &Socket::open());
    assert!(stranger.charge(0, 1).is_zero(), "nobody pays for what others took on credit");
    assert_eq!(stranger.charge(1, 1).as_secs(), 1, "but there is no new burst");
    drop(stranger);
    house.pass(25_000);
    let rested = house.connect("a", "s", &Socket::open());
    assert!(rested.charge(10, 1).is_zero(), "the burst is whole again");
}

#[test]
fn a_kicked_client_is_told_and_its_queue_is_kept() {
    let house = house();
    let kicked = Socket::open();
    let other = Socket::open();
    let _a = house.connect("a", "s", &kicked);
    let b = house.connect("b", "s", &other);
    assert!(house.realm.dismiss_id("a", CloseReason::Kicked).is_some());
    assert_eq!(last(&kicked), Some(closed(CloseReason::Kicked)));
    assert!(!house.realm.contains("a") && house.realm.contains("b"));
    assert_eq!(house.realm.dismiss_id("a", CloseReason::Kicked), None);

    offer(&b, "a", "come back");
    let again = Socket::open();
    let _a = house.connect("a", "s", &again);
    assert_eq!(last(&again), Some(Heard::Text("come back".to_owned())));
}

#[test]
fn a_version_is_a_short_printable_text() {
    for fine in ["1.5.5", "2.0.0-beta.3", "12345678901234"] {
        assert_eq!(
            ClientVersion::parse(fine).map(|version| version.as_str().to_owned()),
            Some(fine.to_owned())
        );
    }
    for other in ["", "123456789012345", "1.5 5", "1.5\n", "é"] {
        assert_eq!(ClientVersion::parse(other), None, "{other:?}");
    }
}
