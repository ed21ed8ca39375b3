//! Names of players: how they are taken, kept, and returned.

use std::time::Duration;

use peerbroker_core::vocabulary::CloseReason;

use crate::harness::guests::{ANSWER, OFFER, START_GAME, join, offered, respond};
use crate::harness::{RawClient, on_own, on_own_with, wait_until};

/// The time for an answer to a probe.
const PROBE: Duration = Duration::from_secs(3);
/// A client from which nothing is read counts as heard at this interval.
const HEARING: Duration = Duration::from_millis(250);
const MS: Duration = Duration::from_millis(1);

/// The holder of a name is asked whether it lives.
fn lives(holder: &mut RawClient) {
    holder.expect_ping();
    holder.pong(b"");
}

/// The name of the next player, as the host gets it.
fn next_name(host: &mut RawClient) -> String {
    let offer: serde_json::Value = serde_json::from_str(&host.expect_text()).unwrap();
    offer["clientUsername"].as_str().unwrap().to_owned()
}

#[test]
fn a_name_is_cut_to_twenty_characters() {
    on_own(|server| {
        let (mut host, room) = server.host();
        for name in
            ["x".repeat(21), "é".repeat(500), "🙂".repeat(21), "\"\\".repeat(10) + "x", "a\n".repeat(40)]
        {
            let mut player = server.guest("player");
            player.send(join(&room, &name, OFFER));
            let cut: String = name.chars().take(20).collect();
            host.expect(offered(&cut));
            host.send(respond(&cut, ANSWER));
            player.expect(ANSWER);
        }
        // A name of full length is still made longer.
        let exact = "y".repeat(20);
        let mut first = server.player(&mut host, &room, &exact);
        let mut second = server.guest("second");
        second.send(join(&room, &exact, OFFER));
        lives(&mut first);
        let name = next_name(&mut host);
        assert!(name.starts_with(&exact) && name.len() > 20, "{name}");
        host.send(respond(&name, ANSWER));
        second.expect(ANSWER);
    });
}

#[test]
fn a_name_that_means_something_to_javascript_is_only_a_name() {
    on_own(|server| {
        let (mut host, room) = server.host();
        for name in ["__proto__", "constructor", "toString", "hasOwnProperty", "", " ", "null"] {
            host.expect_problem(respond(name, ANSWER), "no player");
            let mut player = server.player(&mut host, &room, name);
            host.send(respond(name, ANSWER));
            player.expect(ANSWER);
        }
    });
}

#[test]
fn a_name_in_use_is_made_longer_until_it_is_free() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut first = server.player(&mut host, &room, "anna");
        let mut names = vec!["anna".to_owned()];
        let mut others = Vec::new();
        // More than there are characters to append.
        for _ in 0..40 {
            let mut other = server.guest("another anna");
            other.send(join(&room, "anna", OFFER));
            lives(&mut first);
            let name = next_name(&mut host);
            let appended = name.strip_prefix("anna").unwrap();
            assert!(!appended.is_empty(), "{names:?}");
            assert!(appended.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
            assert!(!names.contains(&name), "{name} is one of {names:?}");
            host.send(respond(&name, ANSWER));
            other.expect(ANSWER);
            names.push(name);
            others.push(other);
        }
        host.send(respond("anna", r#"{"first":1}"#));
        first.expect(r#"{"first":1}"#);
        others.iter_mut().for_each(RawClient::expect_quiet);
    });
}

#[test]
fn a_player_that_lost_its_network_comes_back_before_the_start_under_its_name() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut lost = server.player(&mut host, &room, "anna");
        let mut again = server.guest("anna again");
        again.send(join(&room, "anna", OFFER));
        lost.expect_ping();
        host.expect_quiet();
        server.advance(PROBE - MS);
        host.expect_quiet();
        server.advance(MS);
        host.expect(offered("anna"));
        host.send(respond("anna", ANSWER));
        again.expect(ANSWER);
        lost.expect_closed_with(CloseReason::Evicted.ending().code);
        // The end of the lost connection does not free the name.
        server.wait_for_guests(2);
        host.send(respond("anna", ANSWER));
        again.expect(ANSWER);
    });
}

#[test]
fn a_lost_player_of_a_full_room_comes_back() {
    on_own_with(
        |config| config.limits.room_code_players = 1,
        |server| {
            let (mut host, room) = server.host();
            let mut lost = server.player(&mut host, &room, "anna");
            let mut again = server.guest("anna again");
            again.send(join(&room, "anna", OFFER));
            lost.expect_ping();
            server.advance(PROBE);
            host.expect(offered("anna"));
        },
    );
}

#[test]
fn players_that_ask_for_the_names_of_each_other_are_both_alive() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut players = [("anna", "bert"), ("bert", "anna")]
            .map(|(name, wanted)| (server.player(&mut host, &room, name), wanted));
        for (player, wanted) in &mut players {
            player.send(join(&room, wanted, OFFER));
        }
        // Nothing is read from either, so neither pong is.
        for (player, _) in &mut players {
            player.expect_ping();
            player.pong(b"");
        }
        server.advance(HEARING);
        for _ in 0..2 {
            let name = next_name(&mut host);
            assert_eq!(name.len(), "anna+".len(), "{name}");
        }
        server.advance(PROBE);
        players.iter_mut().for_each(|(player, _)| player.expect_quiet());
    });
}

#[test]
fn a_name_whose_holder_leaves_while_it_is_asked_is_free() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut leaving = server.player(&mut host, &room, "anna");
        let mut other = server.guest("other");
        other.send(join(&room, "anna", OFFER));
        leaving.expect_ping();
        leaving.close(None);
        host.expect(offered("anna"));
        host.send(respond("anna", ANSWER));
        other.expect(ANSWER);
    });
}

#[test]
fn the_start_locks_the_room() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        host.send(START_GAME);
        host.expect_quiet();
        let mut late = server.guest("late");
        for name in ["bert", "Anna", "ann", "annab", "__proto__"] {
            late.expect_problem(join(&room, name, OFFER), "no player");
        }
        host.expect_quiet();
        player.expect_quiet();
        // A second time changes nothing.
        host.send(START_GAME);
        late.expect_problem(join(&room, "bert", OFFER), "no player");
        host.send(respond("anna", ANSWER));
        player.expect(ANSWER);
    });
}

#[test]
fn after_the_start_a_player_that_goes_may_come_back() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let long = "n".repeat(30);
        let mut player = server.guest("player");
        player.send(join(&room, &long, OFFER));
        host.expect(offered(&long[..20]));
        host.send(START_GAME);
        host.expect_quiet();
        for _ in 0..3 {
            player.reset();
            server.wait_for_guests(1);
            host.send(respond(&long[..20], ANSWER));
            host.expect_quiet();
            player = server.guest("player");
            player.send(join(&room, &long, OFFER));
            host.expect(offered(&long[..20]));
            host.send(respond(&long[..20], ANSWER));
            player.expect(ANSWER);
        }
    });
}

#[test]
fn one_client_has_eight_names_at_most_and_gives_the_oldest_up() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("player");
        for n in 0..9 {
            player.send(join(&room, &format!("name {n}"), OFFER));
            host.expect(offered(&format!("name {n}")));
        }
        player.expect_quiet();
        host.send(respond("name 0", ANSWER));
        host.expect_quiet();
        for n in 1..9 {
            host.send(respond(&format!("name {n}"), ANSWER));
            player.expect(ANSWER);
        }
    });
}

#[test]
fn the_same_client_may_join_again_under_a_name_that_it_has() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        player.send(join(&room, "anna", OFFER));
        let second = next_name(&mut host);
        assert!(second.starts_with("anna") && second != "anna", "{second}");
        host.send(START_GAME);
        host.expect_quiet();
        // From now on, each join is a reconnect.
        for _ in 0..20 {
            player.send(join(&room, "anna", OFFER));
            host.expect(offered("anna"));
            host.send(respond("anna", ANSWER));
            player.expect(ANSWER);
        }
        player.reset();
        wait_until("the player to be gone", || server.guests().len() == 1);
        host.send(respond("anna", ANSWER));
        host.expect_quiet();
    });
}
