//! Limits and lifetimes of rooms and players.

use std::time::Duration;

use crate::harness::guests::{OFFER, join, offered};
use crate::harness::{on_own, on_own_with};

/// `--reclaim_timeout`.
const RECLAIM: Duration = Duration::from_secs(10);

#[test]
fn rooms_of_a_key_and_players_of_a_room_are_limited() {
    on_own_with(
        |config| {
            config.limits.room_codes = 1;
            config.limits.room_code_players = 1;
        },
        |server| {
            let (mut host, room) = server.host();
            let _anna = server.player(&mut host, &room, "anna");
            let mut cleo = server.guest("cleo");
            cleo.expect_problem(r#"{"action":"createRoom"}"#, "too many rooms");
            cleo.expect_problem(join(&room, "cleo", OFFER), "room full");
        },
    );
}

#[test]
fn an_address_that_tries_too_many_wrong_codes_finds_no_room() {
    on_own_with(
        |config| config.proxied = true,
        |server| {
            let guest = |address: &str| {
                let mut guest = server.begin_with(&server.root(), &format!("X-Forwarded-For: {address}\r\n"));
                guest.expect_accepted();
                guest
            };
            let (mut host, room) = server.host();
            let mut one = guest("192.0.2.1");
            let mut other = guest("192.0.2.1");
            // Right codes do not count.
            for name in ["anna", "bert"] {
                one.send(join(&room, name, OFFER));
                host.expect(offered(name));
            }
            for n in 0..51 {
                let guesser = if n % 2 == 0 { &mut one } else { &mut other };
                guesser.expect_problem(join("NONE1", "x", OFFER), "wrong room");
            }
            for guesser in [&mut one, &mut other, &mut guest("192.0.2.1")] {
                guesser.expect_problem(join(&room, "x", OFFER), "wrong room");
            }
            host.expect_quiet();
            guest("192.0.2.2").send(join(&room, "cleo", OFFER));
            host.expect(offered("cleo"));
            // Refused attempts do not count, so the address is locked out only briefly.
            server.advance(Duration::from_millis(200));
            one.send(join(&room, "dora", OFFER));
            host.expect(offered("dora"));
            // Loopback does not count, as for connections.
            let mut here = server.guest("here");
            for _ in 0..100 {
                here.expect_problem(join("NONE1", "x", OFFER), "wrong room");
            }
            here.send(join(&room, "emil", OFFER));
            host.expect(offered("emil"));
        },
    );
}

#[test]
fn a_room_does_not_outlive_a_host_that_is_dropped_for_its_silence() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        server.advance(Duration::from_secs(30));
        host.expect_ping();
        player.expect_ping();
        player.expect_quiet();
        server.advance(Duration::from_secs(30));
        player.expect_ping();
        assert_eq!(host.expect_close(), None);
        // It was lost, and had time to come back.
        server.wait_until_hostless(&room);
        server.advance(RECLAIM);
        assert!(server.room_codes().is_empty());
        player.expect_problem(join(&room, "anna", OFFER), "wrong room");
    });
}
