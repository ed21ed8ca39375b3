//! Room codes: a computer hosts a room, phones join it.

mod bounds;
mod lost_hosts;
mod names;

use crate::harness::guests::{ANSWER, OFFER, START_GAME, join, offered, problem, respond};
use crate::harness::{on_own, on_own_with, wait_until};

#[test]
fn a_host_gets_a_code_of_four_letters_that_is_its_own() {
    on_own(|server| {
        let mut hosts: Vec<_> = (0..20).map(|_| server.host()).collect();
        for (_, room) in &hosts {
            assert!(room.len() == 4 && room.bytes().all(|letter| letter.is_ascii_uppercase()), "{room}");
        }
        assert_eq!(server.room_codes().len(), 20);
        let mut player = server.guest("player");
        let mut another = server.guest("another");
        let (first, rest) = hosts.split_first_mut().unwrap();
        player.send(join(&first.1, "anna", OFFER));
        first.0.expect(offered("anna"));
        another.send(join(&rest[0].1, "anna", OFFER));
        rest[0].0.expect(offered("anna"));
        first.0.expect_quiet();
    });
}

#[test]
fn a_code_may_have_blanks_and_small_letters_as_phones_write_it() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let (start, end) = room.split_at(2);
        for (name, typed) in [
            ("anna", format!("{room} ")),
            ("bert", format!(" {}", room.to_lowercase())),
            ("cleo", format!("{start} {end}")),
        ] {
            let mut player = server.guest(name);
            player.send(join(&typed, name, OFFER));
            host.expect(offered(name));
            host.send(respond(name, ANSWER));
            player.expect(ANSWER);
        }
        let mut player = server.guest("dora");
        player.send(join("    ", "dora", OFFER));
        player.expect(problem("wrong room"));
    });
}

#[test]
fn each_answer_goes_to_its_player_alone() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut players: Vec<_> =
            ["anna", "bert", "cleo"].map(|name| (name, server.player(&mut host, &room, name))).into();
        for (name, player) in players.iter_mut().rev() {
            let response = format!(r#"{{"for":"{name}"}}"#);
            host.send(respond(name, &response));
            player.expect(response);
        }
        for (_, player) in &mut players {
            player.expect_quiet();
        }
    });
}

#[test]
fn binary_frames_are_as_good_as_text() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("anna");
        player.send_binary(join(&room, "anna", OFFER).as_bytes());
        host.expect(offered("anna"));
        host.send_binary(respond("anna", ANSWER).as_bytes());
        player.expect(ANSWER);
        player.send_binary(&[0xFF; 20]);
        player.expect_quiet();
    });
}

#[test]
fn the_error_names_what_is_missing() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("anna");
        for wrong in ["", "AAAAA", "constructor", &format!("{room}-"), &room[..3], &"A".repeat(1000)] {
            player.expect_problem(join(wrong, "anna", OFFER), "wrong room");
        }
        player.expect_problem(r#"{"action":"joinRoom"}"#, "wrong room");
        for username in ["", r#","username":null"#, r#","username":{}"#] {
            let frame = format!(r#"{{"action":"joinRoom","room":"{room}"{username},"offer":{OFFER}}}"#);
            player.expect_problem(frame, "no username");
        }
        for offer in ["", r#","offer":"sdp""#, r#","offer":[{}]"#] {
            let frame = format!(r#"{{"action":"joinRoom","room":"{room}","username":"anna"{offer}}}"#);
            player.expect_problem(frame, "no offer");
        }
        host.expect_quiet();
        // The refused joins have not taken the name.
        player.send(join(&room, "anna", OFFER));
        host.expect(offered("anna"));
        for response in ["", r#","response":"sdp""#, r#","response":[{}]"#] {
            let frame = format!(r#"{{"action":"offerResponse","clientUsername":"anna"{response}}}"#);
            host.expect_problem(frame, "no response");
        }
        for username in ["", r#","clientUsername":5"#, r#","clientUsername":"Anna""#] {
            let frame = format!(r#"{{"action":"offerResponse"{username},"response":{ANSWER}}}"#);
            host.expect_problem(frame, "no player");
        }
        player.expect_quiet();
    });
}

#[test]
fn only_the_host_answers_and_starts() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        let mut stranger = server.guest("stranger");
        player.expect_problem(respond("anna", ANSWER), "not the host");
        player.expect_problem(START_GAME, "not the host");
        stranger.expect_problem(respond("anna", ANSWER), "wrong room");
        stranger.expect_problem(START_GAME, "wrong room");
        // The host of another room has no rights in this one.
        let (mut other, _) = server.host();
        other.expect_problem(respond("anna", ANSWER), "no player");
        other.send(START_GAME);
        other.expect_quiet();
        player.expect_quiet();
        let _late = server.player(&mut host, &room, "bert");
    });
}

#[test]
fn the_close_of_the_host_removes_its_room_and_its_players_stay() {
    for code in [None, Some(1000)] {
        on_own_with(
            |config| config.key_settings.concurrent_limit = 2,
            |server| {
                let (mut host, room) = server.host();
                let mut player = server.player(&mut host, &room, "anna");
                host.expect_closed_by_us(code);
                wait_until("the end of the room", || server.room_codes().is_empty());
                server.wait_for_guests(1);
                player.expect_quiet();
                player.expect_problem(join(&room, "anna", OFFER), "wrong room");
                player.expect_problem(respond("anna", ANSWER), "wrong room");
                player.expect_problem(START_GAME, "wrong room");
                // It may then join another room, which has the place of the first in the limit of clients.
                let (mut host, room) = server.host();
                player.send(join(&room, "anna", OFFER));
                host.expect(offered("anna"));
            },
        );
    }
}

#[test]
fn a_host_that_creates_a_second_room_loses_the_first() {
    on_own(|server| {
        let (mut host, old) = server.host();
        let mut player = server.player(&mut host, &old, "anna");
        let new = host.create_room();
        assert_eq!(server.room_codes().len(), 1);
        if new != old {
            player.expect_problem(join(&old, "anna", OFFER), "wrong room");
        }
        host.expect_problem(respond("anna", ANSWER), "no player");
        player.send(join(&new, "anna", OFFER));
        host.expect(offered("anna"));
    });
}

#[test]
fn a_host_may_play_as_well() {
    on_own(|server| {
        let (mut host, room) = server.host();
        host.send(join(&room, "me", OFFER));
        host.expect(offered("me"));
        host.send(respond("me", ANSWER));
        host.expect(ANSWER);
        let (mut other, elsewhere) = server.host();
        host.send(join(&elsewhere, "guest", OFFER));
        other.expect(offered("guest"));
        // It still answers for its own room.
        host.expect_problem(respond("guest", ANSWER), "no player");
    });
}

#[test]
fn rooms_of_two_keys_do_not_meet() {
    on_own_with(
        |config| config.root_key = Some(peerbroker_core::vocabulary::ApiKey::parse("games").unwrap()),
        |server| {
            let (mut host, room) = server.host();
            for target in ["/?key=peerjs", "/?key=games&key=peerjs"] {
                let mut other = server.guest_at("other", target);
                other.expect_problem(join(&room, "anna", OFFER), "wrong room");
            }
            for target in ["/", "/?key=", "/?key=games", "/?key=g%61mes&more=1"] {
                let mut player = server.guest_at("player", target);
                player.send(join(&room, "anna", OFFER));
                host.expect(offered("anna"));
                player.expect_closed_by_us(None);
                server.wait_for_guests(1);
            }
            let mut elsewhere = server.guest_at("elsewhere", "/?key=peerjs");
            elsewhere.create_room();
            assert_eq!(server.room_codes().len(), 1);
            let mut unknown = server.begin_guest("unknown", "/?key=unknown");
            unknown.expect_guest_refused(problem("Invalid key provided"), 4014);
        },
    );
}
