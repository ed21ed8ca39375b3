//! Hosts that are lost, and come back.

use std::time::Duration;

use peerbroker_core::vocabulary::PeerId;

use crate::harness::guests::{ANSWER, OFFER, START_GAME, join, offered, problem, respond};
use crate::harness::{RawClient, TestServer, on_own, on_own_with, wait_until};

/// `--reclaim_timeout`.
const RECLAIM: Duration = Duration::from_secs(10);
/// Players look for their host at this interval.
const LOOK: Duration = Duration::from_millis(250);
/// The timeout of a room code.
const IDLE: Duration = Duration::from_secs(12);
const MS: Duration = Duration::from_millis(1);

/// Ways in which a host is lost: its network, and its page, which may be loaded again.
const WAYS: [fn(RawClient); 2] = [RawClient::reset, |mut host| host.expect_closed_by_us(Some(1001))];

/// A client at this address, by a proxy.
fn guest_from(server: &TestServer, address: &str) -> RawClient {
    let mut guest = server.begin_with(&server.root(), &format!("X-Forwarded-For: {address}\r\n"));
    guest.expect_accepted();
    guest
}

/// Returns once the server has handled a message of a guest that is there: otherwise the guest would wait
/// from a later time on.
fn wait_until_one_has_spoken(server: &TestServer) {
    let guests = server.guests();
    let has_spoken = |id: &PeerId| guests.present(id.as_str()).is_some_and(|guest| guest.messages > 0);
    wait_until("a message of a guest", || guests.ids().iter().any(has_spoken));
}

#[test]
fn a_lost_host_gets_its_room_back_as_it_was() {
    for lose in WAYS {
        on_own(|server| {
            let (mut host, room) = server.host();
            let mut anna = server.player(&mut host, &room, "anna");
            host.send(START_GAME);
            host.expect_quiet();
            lose(host);
            server.wait_until_hostless(&room);
            server.advance(RECLAIM - MS);
            anna.expect_quiet();
            let (mut host, again) = server.host();
            assert_eq!(again, room);
            server.advance(RECLAIM);
            host.send(respond("anna", ANSWER));
            anna.expect(ANSWER);
            server.guest("late").expect_problem(join(&room, "bert", OFFER), "no player");
            // It is an ordinary host now.
            host.expect_closed_by_us(Some(1000));
            anna.expect_problem(join(&room, "anna", OFFER), "wrong room");
        });
    }
}

#[test]
fn a_player_hears_nothing_until_the_host_is_back_or_its_time_is_over() {
    for comes_back in [true, false] {
        on_own(|server| {
            let (host, room) = server.host();
            host.reset();
            server.wait_until_hostless(&room);
            let mut player = server.guest("anna");
            for name in ["anna", "bert"] {
                player.send(join(&room, name, OFFER));
            }
            wait_until_one_has_spoken(server);
            if comes_back {
                let (mut host, again) = server.host();
                assert_eq!(again, room);
                server.advance(LOOK);
                host.expect(offered("anna"));
                host.expect(offered("bert"));
            } else {
                server.advance(RECLAIM);
                assert!(server.room_codes().is_empty());
                player.expect(problem("wrong room"));
                // The room was still there if the second message was handled before the sweep.
                server.advance(LOOK);
                player.expect(problem("wrong room"));
            }
            player.expect_quiet();
        });
    }
}

#[test]
fn a_player_waits_ten_seconds_at_most_for_a_host() {
    on_own_with(
        |config| config.limits.reclaim_timeout = 3 * RECLAIM,
        |server| {
            let (host, room) = server.host();
            host.reset();
            server.wait_until_hostless(&room);
            let mut player = server.guest("anna");
            player.send(join(&room, "anna", OFFER));
            wait_until_one_has_spoken(server);
            server.advance(Duration::from_secs(10));
            player.expect(problem("wrong room"));
            assert!(server.room_codes().is_waiting(&room));
        },
    );
}

#[test]
fn a_room_goes_only_to_a_host_at_the_address_of_the_lost_one_which_has_no_other_room() {
    on_own_with(
        |config| config.proxied = true,
        |server| {
            let mut host = guest_from(server, "192.0.2.1");
            let room = host.create_room();
            host.reset();
            server.wait_until_hostless(&room);
            assert_ne!(guest_from(server, "192.0.2.2").create_room(), room);
            assert_eq!(
                guest_from(server, "192.0.2.1").create_room(),
                room,
                "its host was lost with the line before"
            );
        },
    );
}

#[test]
fn a_lost_host_gets_no_room_if_another_is_from_its_address() {
    on_own(|server| {
        let [(host, room), (mut other, others)] = [server.host(), server.host()];
        host.reset();
        // It could not come back to it, so the room does not wait.
        server.wait_for_guests(1);
        server.guest("anna").expect_problem(join(&room, "anna", OFFER), "wrong room");
        let (again, last) = server.host();
        assert!(last != room && last != others);
        // Of two that are lost, neither gets the room of the other one.
        other.expect_quiet();
        other.reset();
        server.wait_for_guests(1);
        again.reset();
        server.wait_until_hostless(&last);
        assert_eq!(server.room_codes().len(), 1);
        assert_eq!(server.host().1, last);
    });
}

#[test]
fn a_host_that_wants_another_room_gets_a_new_one() {
    on_own_with(
        |config| config.limits.room_code_timeout = IDLE,
        |server| {
            let (mut other, _) = server.host();
            server.advance(IDLE);
            assert!(server.room_codes().is_empty());
            let (host, room) = server.host();
            host.reset();
            server.wait_until_hostless(&room);
            assert_ne!(other.create_room(), room);
        },
    );
}

#[test]
fn without_a_reclaim_timeout_no_room_waits() {
    on_own_with(
        |config| config.limits.reclaim_timeout = Duration::ZERO,
        |server| {
            let (host, room) = server.host();
            host.reset();
            server.wait_for_guests(0);
            server.guest("anna").expect_problem(join(&room, "anna", OFFER), "wrong room");
        },
    );
}
