//! Room codes: host and players are on different nodes.

use std::time::{Duration, Instant};

use peerbroker_cluster::Holding;
use peerbroker_config::Degraded;
use peerbroker_core::vocabulary::{CloseReason, ConnId, NameKind, PeerId};

use super::{Nodes, membership};
use crate::harness::guests::{ANSWER, OFFER, START, START_GAME, join, offered, problem, respond};
use crate::harness::{RawClient, wait_until, wire};

/// Joins a room. False if the server refuses that, with one of these problems.
fn is_let_in(player: &mut RawClient, room: &str, name: &str, refusals: &[&str]) -> bool {
    player.send(join(room, name, OFFER));
    // Answered in its turn.
    player.send(START);
    let text = player.expect_text();
    if text.starts_with(r#"{"action":"start","#) {
        return true;
    }
    assert!(refusals.iter().any(|refusal| text == problem(refusal)), "{text}");
    player.expect_text();
    false
}

#[test]
fn a_player_on_another_node_and_its_host_reach_each_other() {
    let nodes = Nodes::start(3);
    let (mut host, room) = nodes[0].host();
    let mut players = [nodes[1].guest("anna"), nodes[2].guest("bert")];
    for player in &mut players {
        let name = player.name.clone();
        player.send(join(&room.to_lowercase(), &name, OFFER));
        host.expect(offered(&name));
        host.send(respond(&name, ANSWER));
        player.expect(ANSWER);
        player.expect_quiet();
    }
    host.expect_quiet();
}

#[test]
fn a_code_is_wrong_if_no_node_has_it_or_its_host_has_left() {
    let nodes = Nodes::start(2);
    let mut player = nodes[1].guest("anna");
    for code in ["ABCD", "", "toolong-for-any-code", "A B", "\u{1}"] {
        player.expect_problem(join(code, "anna", OFFER), "wrong room");
    }
    let (mut host, room) = nodes[0].host();
    host.expect_closed_by_us(None);
    wait_until("the room to be gone", || nodes[0].room_codes().is_empty());
    player.expect_problem(join(&room, "anna", OFFER), "wrong room");
    player.expect_quiet();
}

#[test]
fn what_a_player_leaves_out_is_named_if_another_node_has_the_room() {
    let nodes = Nodes::start(2);
    let (mut host, room) = nodes[0].host();
    let mut player = nodes[1].guest("anna");
    player.expect_problem(format!(r#"{{"action":"joinRoom","room":"{room}","offer":{{}}}}"#), "no username");
    player.expect_problem(format!(r#"{{"action":"joinRoom","room":"{room}","username":"x"}}"#), "no offer");
    player.expect_problem(format!(r#"{{"action":"joinRoom","room":"{room}"}}"#), "no username");
    host.expect_quiet();
}

#[test]
fn messages_behind_one_that_waits_for_other_nodes_are_handled_in_their_order() {
    let nodes = Nodes::start(2);
    let (mut host, room) = nodes[0].host();
    let mut player = nodes[1].guest("anna");
    let texts = [
        join("ZZZZ", "anna", OFFER),
        START_GAME.to_owned(),
        join(&room, "anna", OFFER),
        START_GAME.to_owned(),
        r#"{"action":"createRoom"}"#.to_owned(),
        join("ZZZZ", "anna", OFFER),
    ];
    // One write, so most likely one read.
    player.send_raw(texts.iter().flat_map(|text| wire::text(text)).collect::<Vec<u8>>());
    player.expect(problem("wrong room"));
    player.expect(problem("wrong room"));
    player.expect(problem("not the host"));
    let confirmed = player.expect_text();
    assert!(confirmed.starts_with(r#"{"type":"confirmRoom","room":""#), "{confirmed}");
    player.expect(problem("wrong room"));
    host.expect(offered("anna"));
    host.expect_quiet();
}

#[test]
fn names_are_given_once_and_kept_for_players_of_other_nodes() {
    let nodes = Nodes::start(3);
    let (mut host, room) = nodes[0].host();
    let mut anna = nodes[1].guest("anna");
    anna.send(join(&room, "anna", OFFER));
    host.expect(offered("anna"));
    let mut other = nodes[2].guest("other");
    other.send(join(&room, "anna", OFFER));
    anna.expect_ping();
    anna.pong(b"");
    let longer = host.expect_text();
    assert!(longer.contains(r#","clientUsername":"anna"#) && longer != offered("anna"), "{longer}");

    host.send(START_GAME);
    host.expect_quiet();
    nodes[1].guest("cleo").expect_problem(join(&room, "cleo", OFFER), "no player");
    drop(anna);
    nodes[1].wait_for_guests(0);
    // It comes back on another node.
    let mut anna = nodes[2].guest("anna");
    anna.send(join(&room, "anna", OFFER));
    host.expect(offered("anna"));
    host.send(respond("anna", ANSWER));
    anna.expect(ANSWER);
}

#[test]
fn a_player_that_lost_its_network_gets_its_name_back_on_any_node() {
    let nodes = Nodes::start_with(3, Degraded::Allow, |config| {
        config.limits.probe_timeout = Duration::from_millis(500);
    });
    let (mut host, room) = nodes[0].host();
    for (lost, back) in [(1, 2), (1, 0), (0, 2)] {
        let name = format!("anna {lost} {back}");
        let mut old = nodes[lost].guest("old");
        old.send(join(&room, &name, OFFER));
        host.expect(offered(&name));
        let mut new = nodes[back].guest("new");
        new.send(join(&room, &name, OFFER));
        old.expect_ping();
        host.expect(offered(&name));
        host.send(respond(&name, ANSWER));
        new.expect(ANSWER);
        assert_eq!(old.expect_close(), CloseReason::Evicted.ending().code);
    }
}

#[test]
fn players_of_other_nodes_wait_for_a_host_that_was_lost() {
    let nodes = Nodes::start(2);
    let (host, room) = nodes[0].host();
    host.reset();
    nodes[0].wait_until_hostless(&room);
    let mut player = nodes[1].guest("anna");
    player.send(join(&room, "anna", OFFER));
    let (mut host, again) = nodes[0].host();
    assert_eq!(again, room);
    host.expect(offered("anna"));
    host.send(respond("anna", ANSWER));
    player.expect(ANSWER);
    // The code is free for other nodes when the room ends.
    host.expect_closed_by_us(None);
    wait_until("the room to be gone", || nodes[0].room_codes().is_empty());
    player.expect_problem(join(&room, "anna", OFFER), "wrong room");
}

#[test]
fn a_name_is_free_when_its_player_leaves_or_its_node_stops() {
    let mut nodes = Nodes::start_with(3, Degraded::Allow, |config| config.limits.room_code_players = 1);
    let (mut host, room) = nodes[0].host();
    let mut enters = |player: &mut RawClient, name: &str| {
        let is_in = is_let_in(player, &room, name, &["room full"]);
        if is_in {
            host.expect(offered(name));
        }
        is_in
    };
    let mut anna = nodes[1].guest("anna");
    let mut bert = nodes[2].guest("bert");
    assert!(enters(&mut anna, "anna"));
    assert!(!enters(&mut bert, "bert"));
    drop(anna);
    wait_until("the name to be free", || enters(&mut bert, "bert"));

    let mut cleo = nodes[0].guest("cleo");
    assert!(!enters(&mut cleo, "cleo"));
    drop(nodes.nodes.pop());
    wait_until("the name to be free", || enters(&mut cleo, "cleo"));
}

#[test]
fn no_two_nodes_have_a_room_with_the_same_code() {
    let nodes = Nodes::start(2);
    let hold = |node: usize, connection: u64| {
        let realm = nodes[node].guests();
        let host = PeerId::parse(&format!("host-{connection}")).unwrap();
        let (held, claimed) = membership(&nodes[node]).hold(
            realm.key(),
            NameKind::RoomCode,
            "ABCD",
            &host,
            ConnId::new(connection),
        );
        (held, actix_web::rt::System::new().block_on(claimed))
    };
    let (first, claimed) = hold(0, 1);
    assert_eq!(claimed, Holding::Granted);
    assert!(matches!(hold(1, 2).1, Holding::Taken(_)));
    drop(first);
    wait_until("the code to be free", || hold(1, 3).1 == Holding::Granted);
}

#[test]
fn without_redis_rooms_are_for_players_of_the_same_node() {
    let mut nodes = Nodes::start(2);
    let mut here = nodes[0].guest("here");
    let mut there = nodes[1].guest("there");
    let mut host = nodes[0].guest("host");
    nodes.redis.kill();
    let room = host.create_room();
    here.send(join(&room, "anna", OFFER));
    host.expect(offered("anna"));
    there.expect_problem(join(&room, "bert", OFFER), "Server is not available at the moment");
    host.expect_quiet();
}

#[test]
fn without_redis_there_are_no_new_rooms_if_clients_are_to_be_refused() {
    let mut nodes = Nodes::start_with(1, Degraded::Refuse, |_| {});
    let (mut first, room) = nodes[0].host();
    let mut host = nodes[0].guest("host");
    let mut player = nodes[0].guest("player");
    nodes.redis.kill();
    host.expect_problem(r#"{"action":"createRoom"}"#, "Server is not available at the moment");
    player.send(join(&room, "anna", OFFER));
    first.expect(offered("anna"));
    assert_eq!(nodes[0].room_codes().len(), 1);
}

#[test]
fn of_two_hosts_that_got_one_code_in_an_outage_the_later_one_is_told() {
    let mut nodes = Nodes::start(2);
    let (mut first, first_id) = nodes[0].caller("a");
    let (mut second, second_id) = nodes[1].caller("b");
    nodes.redis.kill();
    let hold = |node: usize, host: &str| {
        let realm = nodes[node].guests();
        let host = PeerId::parse(host).unwrap();
        let membership = membership(&nodes[node]);
        let (held, claimed) = membership.hold(realm.key(), NameKind::RoomCode, "ABCD", &host, ConnId::new(1));
        assert_eq!(actix_web::rt::System::new().block_on(claimed), Holding::Unavailable);
        held
    };
    let _first = hold(0, &first_id);
    let held = Instant::now();
    wait_until("a later time", || held.elapsed() > Duration::from_millis(2));
    let _second = hold(1, &second_id);
    nodes.redis.start_again();
    second.expect_closed_with(CloseReason::Outranked.ending().code);
    first.expect_quiet();
}

#[test]
fn a_room_is_found_again_after_its_code_was_lost_with_redis() {
    let mut nodes = Nodes::start(2);
    let (mut host, room) = nodes[0].host();
    let mut player = nodes[1].guest("anna");
    nodes.redis.kill();
    nodes.redis.start_again();
    // Until Redis can be asked again, nobody knows.
    let refusals = ["wrong room", "Server is not available at the moment"];
    wait_until("the room to be found", || is_let_in(&mut player, &room, "anna", &refusals));
    host.expect(offered("anna"));
}
