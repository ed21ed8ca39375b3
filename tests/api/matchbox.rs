//! Matchbox: what its peers hear, as from matchbox_server 0.15.0.

use peerbroker::Config;
use peerbroker_config::{Dialect, Dialects};
use peerbroker_core::vocabulary::{Limit, RealmKind};
use peerbroker_events::Count;

use crate::harness::keys::{FULL, INVALID_KEY, key, on_own_with_keys_and, plain_key};
use crate::harness::{RawClient, TestServer, on_both_with, on_own, on_own_with, wait_until};

/// Turns the dialect on, and leaves the others as they are.
pub fn with_matchbox(config: &mut Config) {
    config.dialects = Dialects::from_iter(Dialect::ALL);
}

/// A peer that has heard its id, and the id. `room` is the path below `matchbox`, with its slash, and the
/// query.
pub fn peer(server: &TestServer, room: &str) -> (RawClient, String) {
    let (mut peer, id) = newcomer(server, room);
    // It is in the room when it has its answer.
    peer.expect_quiet();
    (peer, id)
}

/// The same, of one that may hear of others at once.
pub fn newcomer(server: &TestServer, room: &str) -> (RawClient, String) {
    let mut peer = begin(server, room);
    let said = peer.expect_text();
    let id = said.strip_prefix(r#"{"IdAssigned":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
    let id = id.unwrap_or_else(|| panic!("{said}")).to_owned();
    assert_eq!(uuid::Uuid::parse_str(&id).expect("a UUID").to_string(), id);
    (peer, id)
}

fn begin(server: &TestServer, room: &str) -> RawClient {
    let mut peer = server.begin_at(&format!("{}matchbox{room}", server.root()));
    peer.expect_accepted();
    peer
}

fn peers<const N: usize>(server: &TestServer, rooms: [&str; N]) -> [(RawClient, String); N] {
    rooms.map(|room| peer(server, room))
}

pub fn new_peer(id: &str) -> String {
    format!(r#"{{"NewPeer":"{id}"}}"#)
}

pub fn left(id: &str) -> String {
    format!(r#"{{"PeerLeft":"{id}"}}"#)
}

pub fn signal(receiver: &str, data: &str) -> String {
    format!(r#"{{"Signal":{{"receiver":"{receiver}","data":{data}}}}}"#)
}

pub fn signalled(sender: &str, data: &str) -> String {
    format!(r#"{{"Signal":{{"sender":"{sender}","data":{data}}}}}"#)
}

/// The number of rooms, and of groups, of the built-in key.
pub fn rooms(server: &TestServer) -> usize {
    server.tenant("peerjs").existing_rooms(RealmKind::Matchbox).map_or(0, |rooms| rooms.len())
}

#[test]
fn those_that_are_there_hear_of_each_that_comes_and_goes() {
    on_both_with(with_matchbox, |server| {
        let (mut a, _) = peer(server, "/lobby");
        let (mut b, b_id) = peer(server, "/lobby");
        a.expect(new_peer(&b_id));
        let (mut c, c_id) = peer(server, "/lobby");
        a.expect(new_peer(&c_id));
        b.expect(new_peer(&c_id));
        // Nobody hears of those before it.
        c.expect_quiet();
        b.reset();
        a.expect(left(&b_id));
        c.expect(left(&b_id));
        c.expect_closed_by_us(Some(1000));
        a.expect(left(&c_id));
        a.expect_closed_by_us(None);
        wait_until("the end of the room", || rooms(server) == 0);
    });
}

#[test]
fn a_signal_goes_to_its_recipient_alone_with_its_data_unchanged() {
    on_both_with(with_matchbox, |server| {
        let [(mut a, a_id), (mut b, b_id), (mut c, c_id)] = peers(server, ["/lobby"; 3]);
        a.expect(new_peer(&b_id));
        a.expect(new_peer(&c_id));
        b.expect(new_peer(&c_id));
        for data in [r#"{"Offer":"v=0\r\n"}"#, r#"{ "x":[1.0, null],"x":"\u00e9" }"#, r#""123""#, "null", "5"]
        {
            a.send(signal(&b_id, data));
            b.expect(signalled(&a_id, data));
            b.send(signal(&a_id, data));
            a.expect(signalled(&b_id, data));
        }
        a.send(signal(&a_id, "1"));
        a.expect(signalled(&a_id, "1"));
        // In any form of a UUID, as the reference reads it.
        a.send(signal(&b_id.to_uppercase().replace('-', ""), "2"));
        b.expect(signalled(&a_id, "2"));
        c.expect_quiet();
        // The reference does not ask for the room either.
        let (mut other, other_id) = peer(server, "/other");
        a.send(signal(&other_id, "3"));
        other.expect(signalled(&a_id, "3"));
    });
}

#[test]
fn frames_that_are_none_of_the_protocol_are_ignored() {
    on_own_with(with_matchbox, |server| {
        let [(mut a, a_id), (mut b, b_id)] = peers(server, ["/lobby"; 2]);
        a.expect(new_peer(&b_id));
        for text in [
            r#""KeepAlive""#,
            r#"{"KeepAlive":null}"#,
            "",
            "Signal",
            r#""Signal""#,
            "[]",
            r#"{"Signal":{}}"#,
            r#"{"Signal":"x"}"#,
            &signal("nobody", "1"),
            &signal("", "1"),
            // Nobody has this id.
            &signal("8aa9ac9e-2a1a-4ffa-a4ae-7c6e87a4a1ab", "1"),
            &signal(&b_id, "1").replace("data", "date"),
            &signal(&b_id, "1").replace("receiver", "sender"),
            &signal(&b_id, "{"),
            &signal(&b_id, "1").replace("Signal", "signal"),
            &signal(&b_id, "1").replacen('{', r#"{"KeepAlive":null,"#, 1),
            r#"{"type":"HEARTBEAT"}"#,
        ] {
            a.send(text);
        }
        // The reference ignores bytes, whatever they are.
        a.send_binary(signal(&b_id, "1").as_bytes());
        a.send_binary(b"\xff");
        a.expect_quiet();
        b.expect_quiet();
        a.send(signal(&b_id, "2"));
        b.expect(signalled(&a_id, "2"));
    });
}

#[test]
fn a_signal_to_a_peer_that_has_left_is_dropped() {
    on_own_with(with_matchbox, |server| {
        let [(mut a, _), (b, b_id)] = peers(server, ["/lobby"; 2]);
        a.expect(new_peer(&b_id));
        b.reset();
        a.expect(left(&b_id));
        a.send(signal(&b_id, "1"));
        a.expect_quiet();
    });
}

#[test]
fn rooms_are_apart_and_named_by_one_segment_of_the_path() {
    on_own_with(with_matchbox, |server| {
        let names = ["", "/a", "/A", "/a%20b", "/%C3%A9", "/id", "/peerjs", "/a?next=no"];
        let mut alone: Vec<_> = names[..7].iter().map(|name| peer(server, name)).collect();
        for (peer, _) in &mut alone {
            peer.expect_quiet();
        }
        // A `next` that is no number is none; a slash behind the path is no other room.
        let (_same, id) = peer(server, names[7]);
        alone[1].0.expect(new_peer(&id));
        let (_same, id) = peer(server, "/");
        alone[0].0.expect(new_peer(&id));
        assert_eq!(rooms(server), 7);
        let long = format!("/{}", "x".repeat(257));
        for wrong in ["/a/b", "/a/", "/a%2Fb", "/a%01b", "/%FF", "/%", &long, "s"] {
            let mut stranger = server.begin_at(&format!("/matchbox{wrong}"));
            assert_eq!(stranger.expect_response().status, 404, "{wrong}");
        }
        let _longest = peer(server, &long[..257]);
        // 90 bytes, in percent code.
        let (_han, _) = peer(server, &format!("/{}?next=2", "%E7%AC%94".repeat(30)));
    });
}

#[test]
fn with_next_those_that_come_one_after_another_are_a_group() {
    on_own_with(with_matchbox, |server| {
        let [(mut a, a_id), (mut b, b_id), (mut c, c_id), (mut d, d_id)] = peers(server, ["/duel?next=2"; 4]);
        a.expect(new_peer(&b_id));
        c.expect(new_peer(&d_id));
        b.expect_quiet();
        d.expect_quiet();
        assert_eq!(rooms(server), 2);
        // A full group is not filled again.
        b.reset();
        a.expect(left(&b_id));
        let (mut e, _) = peer(server, "/duel?next=2");
        a.expect_quiet();
        let (mut f, f_id) = peer(server, "/duel?next=2");
        e.expect(new_peer(&f_id));
        a.reset();
        c.expect_quiet();
        d.expect_quiet();
        f.expect_quiet();
        c.send(signal(&d_id, "1"));
        d.expect(signalled(&c_id, "1"));
        assert_ne!(a_id, c_id);
    });
}

#[test]
fn the_room_and_the_number_tell_groups_apart() {
    on_own_with(with_matchbox, |server| {
        let rooms = ["/a?next=2", "/a?next=3", "/b?next=2", "/a", "/a?next=0", "?next=2"];
        let mut first = peers(server, rooms);
        for ((waits, _), room) in first.iter_mut().zip(rooms) {
            waits.expect_quiet();
            let (_same, id) = peer(server, room);
            waits.expect(new_peer(&id));
        }
    });
}

#[test]
fn a_peer_that_leaves_before_its_group_is_full_makes_room() {
    on_own_with(with_matchbox, |server| {
        let [(mut a, _), (b, b_id)] = peers(server, ["/trio?next=3"; 2]);
        a.expect(new_peer(&b_id));
        b.reset();
        a.expect(left(&b_id));
        let [(mut c, c_id), (mut d, d_id)] = peers(server, ["/trio?next=3"; 2]);
        a.expect(new_peer(&c_id));
        a.expect(new_peer(&d_id));
        c.expect(new_peer(&d_id));
        d.expect_quiet();
        // It is alone at once.
        let [(mut e, _), (mut f, _)] = peers(server, ["/solo?next=1"; 2]);
        e.expect_quiet();
        f.expect_quiet();
    });
}

/// The first one of a room is its host.
pub const HOSTED: &str = "/game?topology=client_server";

#[test]
fn with_a_host_only_that_hears_of_the_others_and_they_hear_of_its_end() {
    on_both_with(with_matchbox, |server| {
        let [(mut host, host_id), (mut a, a_id), (mut b, b_id)] = peers(server, [HOSTED; 3]);
        host.expect(new_peer(&a_id));
        host.expect(new_peer(&b_id));
        host.send(signal(&a_id, r#"{"Offer":"v=0"}"#));
        a.expect(signalled(&host_id, r#"{"Offer":"v=0"}"#));
        a.send(signal(&host_id, r#"{"Answer":"v=0"}"#));
        host.expect(signalled(&a_id, r#"{"Answer":"v=0"}"#));
        b.expect_closed_by_us(None);
        host.expect(left(&b_id));
        a.expect_quiet();
        // Peers of the same room without a host are others.
        let (mut alike, _) = peer(server, "/game");
        host.reset();
        a.expect(left(&host_id));
        // The next one is a host. Nobody tells it of those of the one before.
        let [(mut next, _), (mut c, c_id)] = peers(server, [HOSTED; 2]);
        next.expect(new_peer(&c_id));
        a.reset();
        for client in [&mut next, &mut c, &mut alike] {
            client.expect_quiet();
        }
    });
}

#[test]
fn groups_may_have_hosts() {
    on_own_with(with_matchbox, |server| {
        let room = "/game?next=2&topology=client_server";
        let [(mut a, _), (mut b, b_id), (mut c, _), (mut d, d_id)] = peers(server, [room; 4]);
        a.expect(new_peer(&b_id));
        c.expect(new_peer(&d_id));
        for client in [&mut a, &mut b, &mut c, &mut d] {
            client.expect_quiet();
        }
    });
}

#[test]
fn a_room_that_is_full_takes_nobody_else() {
    let few = |config: &mut Config| {
        with_matchbox(config);
        config.key_settings.room_members = 2;
    };
    on_own_with(few, |server| {
        for room in ["/lobby", "/lobby?next=9"] {
            let [(mut a, _), (b, b_id)] = peers(server, [room; 2]);
            a.expect(new_peer(&b_id));
            let mut late = begin(server, room);
            assert!(late.expect_text().starts_with(r#"{"IdAssigned""#));
            late.expect_closed_with(Some(4007));
            a.expect_quiet();
            b.reset();
            a.expect(left(&b_id));
            let (_again, id) = peer(server, room);
            a.expect(new_peer(&id));
        }
        assert_eq!(server.node().counters().total(Count::LimitHits(Limit::RoomMembers)), 2);
    });
}

#[test]
fn keys_do_not_share_rooms_and_a_key_that_is_none_is_refused() {
    let of_one = |config: &mut Config| {
        with_matchbox(config);
        config.root_key = Some(crate::harness::keys::api_key("one"));
    };
    let keys = [plain_key("one"), plain_key("two"), key("closed", crate::harness::keys::enabled(false))];
    on_own_with_keys_and(of_one, &keys, |server, _| {
        let (mut one, _) = peer(server, "/lobby?key=one");
        let (mut two, two_id) = peer(server, "/lobby?key=two&next=2");
        let (mut three, three_id) = peer(server, "/lobby?next=2&key=two");
        two.expect(new_peer(&three_id));
        one.send(signal(&two_id, "1"));
        // Without a key, it has that of the root.
        let (_four, four_id) = peer(server, "/lobby");
        one.expect(new_peer(&four_id));
        two.expect_quiet();
        three.expect_quiet();
        let refused = |text: &str| format!(r#"{{"Error":"{text}"}}"#);
        for key in ["closed", "unknown"] {
            begin(server, &format!("/lobby?key={key}")).expect_refused(refused(INVALID_KEY));
        }
    });
}

#[test]
fn peers_count_towards_the_limit_of_their_key() {
    let few = |config: &mut Config| {
        with_matchbox(config);
        config.key_settings.concurrent_limit = 2;
    };
    on_own_with(few, |server| {
        let _host = server.guest("guest");
        let _peer = peer(server, "/lobby");
        begin(server, "/lobby").expect_refused(format!(r#"{{"Error":"{FULL}"}}"#));
    });
}

#[test]
fn a_client_that_is_refused_takes_no_place_in_a_group() {
    let few = |config: &mut Config| {
        with_matchbox(config);
        config.key_settings.concurrent_limit = 2;
    };
    on_both_with(few, |server| {
        let (mut a, _) = peer(server, "/duel?next=2");
        let elsewhere = server.guest("elsewhere");
        begin(server, "/duel?next=2").expect_refused(format!(r#"{{"Error":"{FULL}"}}"#));
        elsewhere.reset();
        wait_until("a free place of the key", || server.tenant("peerjs").len() == 1);
        let (_c, c_id) = peer(server, "/duel?next=2");
        a.expect(new_peer(&c_id));
    });
}

#[test]
fn it_is_off_unless_its_dialect_is_on() {
    assert!(!Dialects::default().has(Dialect::Matchbox));
    on_own(|server| {
        let mut stranger = server.begin_at("/matchbox/lobby");
        assert_eq!(stranger.expect_response().status, 404);
    });
    // Without PeerJS, too.
    let alone = |config: &mut Config| config.dialects = Dialects::from_iter([Dialect::Matchbox]);
    on_own_with(alone, |server| {
        let _peer = peer(server, "/lobby");
        // A request that is no handshake is what it was: here for an id, with `matchbox` as the key.
        assert_eq!(server.get("/matchbox/lobby").status, 404);
    });
}
