//! Rooms at `{path}rxdb`: the protocol of the signaling server of RxDB.

use std::time::Duration;

use peerbroker_config::{Dialect, Dialects};
use peerbroker_core::vocabulary::{Limit, PeerId, RealmKind};
use peerbroker_events::Count;
use peerbroker_router::PeerHandle;
use serde_json::Value;

use crate::harness::keys::{on_own_with_keys, plain_key};
use crate::harness::{RawClient, TestServer, on_both, on_own, on_own_with, wait_until};

pub const ROOM: &str = "notes of May";

/// The close code for a message that the protocol does not have.
const WRONG_MESSAGE: u16 = 4009;

/// A client at an address, and its id.
pub fn replica_at(server: &TestServer, name: &str, target: &str) -> (RawClient, String) {
    let mut replica = server.begin_guest(name, target);
    let init: Value = serde_json::from_str(&replica.expect_text()).unwrap();
    assert_eq!((&init["type"], init.as_object().unwrap().len()), (&Value::from("init"), 2));
    let id = init["yourPeerId"].as_str().unwrap().to_owned();
    (replica, id)
}

pub fn replica(server: &TestServer, name: &str) -> (RawClient, String) {
    replica_at(server, name, &format!("{}rxdb", server.root()))
}

pub fn join(room: &str) -> String {
    format!(r#"{{"type":"join","room":"{room}"}}"#)
}

/// All members of a room, sorted as the server does.
pub fn joined(ids: &[&String]) -> String {
    let mut ids = ids.to_vec();
    ids.sort();
    format!(r#"{{"type":"joined","otherPeerIds":{}}}"#, serde_json::to_string(&ids).unwrap())
}

/// A signal of simple-peer with these members.
pub fn signal(from: &str, to: &str, data: &str) -> String {
    format!(
        r#"{{"type":"signal","senderPeerId":"{from}","receiverPeerId":"{to}","room":"{ROOM}","data":{{{data}}},"connectionId":"c 1"}}"#
    )
}

#[test]
fn members_hear_who_is_there_when_somebody_comes_or_goes() {
    on_both(|server| {
        let [(mut a, a_id), (mut b, b_id), (mut c, c_id)] = ["a", "b", "c"].map(|name| replica(server, name));
        assert_ne!(a_id, b_id);
        a.send(join(ROOM));
        a.expect(joined(&[&a_id]));
        b.send(join(ROOM));
        a.expect(joined(&[&a_id, &b_id]));
        b.expect(joined(&[&a_id, &b_id]));
        // Of another room nobody here hears.
        c.send(join("another room"));
        c.expect(joined(&[&c_id]));
        c.send(join(ROOM));
        for client in [&mut a, &mut b, &mut c] {
            client.expect(joined(&[&a_id, &b_id, &c_id]));
        }
        b.expect_closed_by_us(None);
        a.expect(joined(&[&a_id, &c_id]));
        c.expect(joined(&[&a_id, &c_id]));
        // One that is lost comes back with another id.
        a.reset();
        c.expect(joined(&[&c_id]));
    });
}

#[test]
fn a_signal_goes_to_its_receiver_as_its_sender_wrote_it() {
    on_both(|server| {
        let [(mut a, a_id), (mut b, b_id), (mut c, _)] = ["a", "b", "c"].map(|name| replica(server, name));
        for data in [r#""type":"offer","sdp":"…""#, r#" "candidate": {"candidate":null} "#, ""] {
            a.send(signal(&a_id, &b_id, data));
            b.expect(signal(&a_id, &b_id, data));
        }
        // Nobody speaks for another, and nobody hears what is for nobody.
        c.send(signal(&a_id, &b_id, ""));
        c.expect_closed_with(Some(WRONG_MESSAGE));
        a.send(signal(&a_id, "nobody", ""));
        a.send(r#"{"type":"ping"}"#);
        a.expect_quiet();
        b.expect_quiet();
    });
}

#[test]
fn what_is_no_request_closes_the_connection_as_rxdbs_server_does() {
    on_own(|server| {
        let (mut client, id) = replica(server, "client");
        let long = "x".repeat(100);
        for text in [
            "",
            "no JSON",
            "[]",
            r#"{"type":"subscribe","topics":["notes of May"]}"#,
            r#"{"type":"join"}"#,
            r#"{"type":"join","room":["notes of May"]}"#,
            r#"{"type":"signal"}"#,
            &join("short"),
            &join(&long),
            // RxDB's server takes it, and the log must not.
            &join("a\\u0001control character"),
        ] {
            let (mut wrong, _) = replica(server, text);
            wrong.send(text);
            wrong.expect_closed_with(Some(WRONG_MESSAGE));
        }
        client.send(join("longer"));
        client.expect(joined(&[&id]));
        client.send(join(&long[1..]));
        client.expect(joined(&[&id]));
    });
}

#[test]
fn a_room_has_as_many_utf_16_units_as_at_the_server_of_rxdb() {
    on_own(|server| {
        let (mut client, id) = replica(server, "client");
        for (letter, too_few, too_many) in [("x", 5, 100), ("é", 5, 100), ("笔", 5, 100), ("🖊", 2, 50)] {
            for count in [too_few, too_many] {
                let (mut wrong, _) = replica(server, letter);
                wrong.send(join(&letter.repeat(count)));
                wrong.expect_closed_with(Some(WRONG_MESSAGE));
            }
            for count in [too_few + 1, too_many - 1] {
                client.send(join(&letter.repeat(count)));
                client.expect(joined(&[&id]));
            }
        }
    });
}

#[test]
fn a_room_in_which_many_come_and_go_tells_few_lists() {
    const CAME: usize = 60;
    on_own(|server| {
        let (mut member, id) = replica(server, "member");
        member.send(join(ROOM));
        member.expect(joined(&[&id]));
        let mut others = Vec::new();
        for n in 0..CAME {
            let (mut other, other_id) = replica(server, &format!("other {n}"));
            other.send(join(ROOM));
            others.push((other, other_id));
            let ids: Vec<&String> = others.iter().map(|(_, id)| id).chain([&id]).collect();
            let list = joined(&ids);
            // The one that comes hears it at once.
            others[n].0.expect(&list);
            // A burst of ten seconds of two lists each, of which the member's own was one.
            if n < 19 {
                member.expect(list);
            }
            // The others hear of those that come later, as the member does.
            others.iter_mut().take(n).filter(|_| n < 19).for_each(|(other, _)| drop(other.expect_text()));
        }
        member.expect_quiet();
        let gone = others.split_off(CAME / 2);
        drop(gone);
        let rooms = server.tenant("peerjs").rooms(RealmKind::RxDb);
        wait_until("the end of some", || rooms.members(ROOM).len() == CAME / 2 + 1);
        member.expect_quiet();
        server.advance(Duration::from_millis(500));
        let ids: Vec<&String> = others.iter().map(|(_, id)| id).chain([&id]).collect();
        member.expect(joined(&ids));
        member.expect_quiet();
    });
}

#[test]
fn a_signal_does_not_wait_behind_lists() {
    on_own_with(
        |config| config.limits.outbox_bytes = 16 << 20,
        |server| {
            let (mut slow, slow_id) = replica(server, "slow");
            let (mut other, other_id) = replica(server, "other");
            for client in [&mut slow, &mut other] {
                client.send(join(ROOM));
                client.expect_text();
            }
            slow.expect_text();
            let realm = server.tenant("peerjs").rooms(RealmKind::RxDb).realm().clone();
            // More waits than the 4 MiB that a kernel takes for a connection, some of it late: the outbox is
            // empty once all is read.
            let long = signal(&other_id, &slow_id, &format!(r#""x":"{}""#, "x".repeat(100 << 10)));
            let is_waiting = || {
                let peer = PeerHandle::find_with(&realm, &PeerId::parse(&slow_id).unwrap(), |_| true);
                peer.unwrap().with_outbox(|outbox| outbox.len() > 64).unwrap()
            };
            let mut sent = 0;
            while !is_waiting() {
                other.send(&long);
                settle(&mut other, &other_id);
                sent += 1;
                assert!(sent < 1000, "the socket takes everything");
            }
            let comers: Vec<_> = (0..10).map(|n| replica(server, &format!("comer {n}"))).collect();
            for (mut comer, _) in comers {
                comer.send(join(ROOM));
                comer.expect_text();
                comer.expect_closed_by_us(None);
            }
            let last = signal(&other_id, &slow_id, r#""type":"offer""#);
            other.send(&last);
            // Otherwise it may come after all that waited was read, and the list too.
            settle(&mut other, &other_id);
            (0..sent).for_each(|_| slow.expect(&long));
            slow.expect(&last);
            slow.expect(joined(&[&slow_id, &other_id]));
        },
    );
}

/// Returns once the server has read what the client has sent before.
fn settle(client: &mut RawClient, id: &str) {
    let own = signal(id, id, r#""own":1"#);
    client.send(&own);
    while client.expect_text() != own {}
}

#[test]
fn keys_do_not_share_rooms() {
    on_own_with_keys(&[plain_key("one"), plain_key("two")], |server, _| {
        let [(mut one, one_id), (mut two, two_id)] =
            ["one", "two"].map(|key| replica_at(server, key, &format!("{}rxdb?key={key}", server.root())));
        one.send(join(ROOM));
        one.expect(joined(&[&one_id]));
        two.send(join(ROOM));
        two.expect(joined(&[&two_id]));
        one.send(signal(&one_id, &two_id, ""));
        two.expect_quiet();
        one.expect_quiet();
    });
}

#[test]
fn a_room_has_a_limit_and_ends_with_its_last_member() {
    on_own_with(
        |config| config.key_settings.room_members = 2,
        |server| {
            let [(mut a, a_id), (mut b, b_id), (mut c, _)] =
                ["a", "b", "c"].map(|name| replica(server, name));
            a.send(join(ROOM));
            a.expect(joined(&[&a_id]));
            b.send(join(ROOM));
            b.expect(joined(&[&a_id, &b_id]));
            c.send(join(ROOM));
            c.expect_quiet();
            assert_eq!(server.node().counters().total(Count::LimitHits(Limit::RoomMembers)), 1);
            for client in [a, b, c] {
                drop(client);
            }
            let tenant = server.tenant("peerjs");
            wait_until("the end of the room", || tenant.rooms(RealmKind::RxDb).members(ROOM).is_empty());
        },
    );
}

#[test]
fn a_client_that_joins_too_fast_is_disconnected() {
    on_own_with(
        |config| config.limits.room_deliveries_per_second = 1,
        |server| {
            let (mut client, id) = replica(server, "client");
            for _ in 0..10 {
                client.send(join(ROOM));
                client.expect(joined(&[&id]));
            }
            client.send(join(ROOM));
            client.expect_closed_with(Some(1000));
            assert_eq!(server.node().counters().total(Count::LimitHits(Limit::RoomDeliveries)), 1);
        },
    );
}

#[test]
fn without_its_dialect_there_is_nothing_at_its_address() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::PeerJs, Dialect::Topics]),
        |server| {
            let mut client = server.connect("client");
            client.send_raw(RawClient::handshake(&format!("{}rxdb", server.root())));
            assert_eq!(client.expect_response().status, 404);
        },
    );
}
