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
        let (mut player, mut another) = (server.guest("player"), server.guest("another"));
        let (first, rest) = hosts.split_first_mut().unwrap();
        player.send(join(&first.1, "anna", OFFER));
        first.0.expect(offered("anna"));
        another.send(join(&rest[0].1, "anna", OFFER));
        rest[0].0.expect(offered("anna"));
        first.0.expect_quiet();
    });
}

#[test]
fn a_player_and_its_host_reach_each_other() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("anna");
        player.send(join(&room, "anna", OFFER));
        host.expect(offered("anna"));
        host.send(respond("anna", ANSWER));
        player.expect(ANSWER);
        for client in [&mut host, &mut player] {
            client.expect_quiet();
        }
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
fn an_offer_goes_to_the_host_as_it_was_written() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("anna");
        let offers = [
            ("{}", r#"{"clientUsername":"N"}"#),
            (
                r#"{"z":1.0,"a":1e400,"n":12345678901234567890}"#,
                r#"{"z":1.0,"a":1e400,"n":12345678901234567890,"clientUsername":"N"}"#,
            ),
            (
                r#"{"a":1,"a":2,"b":{"a":{},"a":[ 1 , 2 ]}}"#,
                r#"{"a":1,"a":2,"b":{"a":{},"a":[ 1 , 2 ]},"clientUsername":"N"}"#,
            ),
            (
                r#"{"s\u0064p":"\u00e9\/","type":"offer"}"#,
                r#"{"s\u0064p":"\u00e9\/","type":"offer","clientUsername":"N"}"#,
            ),
            (r#"{"in":{"clientUsername":"x"}}"#, r#"{"in":{"clientUsername":"x"},"clientUsername":"N"}"#),
            // This does not give access to another player's name.
            (r#"{"clientUsername":"forged","sdp":"x"}"#, r#"{"clientUsername":"N","sdp":"x"}"#),
            (
                r#"{"a":1,"client\u0055sername":{"forged":1},"sdp":"x","clientUsername":2}"#,
                r#"{"a":1,"client\u0055sername":"N","sdp":"x"}"#,
            ),
        ];
        for (number, (offer, arrives)) in offers.into_iter().enumerate() {
            let name = format!("player {number}");
            player.send(join(&room, &name, offer));
            host.expect(arrives.replace("\"N\"", &format!("{name:?}")));
        }
    });
}

#[test]
fn an_answer_goes_to_the_player_as_it_was_written() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        for response in [
            "{}",
            r#"{ "sdp" : "\u00e9\/" , "n": [1.0, 1e400, 12345678901234567890] , "n": {"type":"error"} }"#,
            r#"{"type":"error","val":"anything"}"#,
            r#"{"clientUsername":"x"}"#,
        ] {
            host.send(respond("anna", response));
            player.expect(response);
        }
    });
}

#[test]
fn names_of_members_are_read_without_their_escapes_and_the_last_of_one_name_counts() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("anna");
        player.send(format!(
            r#" {{"action":"startGame","room":"no","username":7,"offer":[],
                "us\u0065rname":"ann\u0061","r\u006fom":"{room}","offer":{{"sdp":"x"}},"action":"join\u0052oom"}} "#
        ));
        host.expect(r#"{"sdp":"x","clientUsername":"anna"}"#);
        host.send(r#"{"response":1,"clientUsername":"x","action":"offerResponse","client\u0055sername":"\u0061nna","response":{"y":1}}"#);
        player.expect(r#"{"y":1}"#);
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
fn a_code_is_taken_in_any_case() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let _player = server.player(&mut host, &room.to_lowercase(), "anna");
        let mixed: String = room
            .chars()
            .enumerate()
            .map(|(n, c)| if n % 2 == 0 { c.to_ascii_lowercase() } else { c })
            .collect();
        let _player = server.player(&mut host, &mixed, "bert");
    });
}

#[test]
fn an_unknown_room_is_a_wrong_room() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("anna");
        for wrong in
            ["", "AAAAA", "constructor", "__proto__", &format!("{room} "), &room[..3], &"A".repeat(1000)]
        {
            player.expect_problem(join(wrong, "anna", OFFER), "wrong room");
        }
        for odd in ["1", "null", r#"{"toString":1}"#, "[\"QXZP\"]", r#""\ud800""#] {
            let frame = format!(r#"{{"action":"joinRoom","room":{odd},"username":"anna","offer":{OFFER}}}"#);
            player.expect_problem(frame, "wrong room");
        }
        player.expect_problem(r#"{"action":"joinRoom"}"#, "wrong room");
        host.expect_quiet();
    });
}

#[test]
fn the_error_names_what_is_missing_when_the_room_exists() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.guest("anna");
        for username in ["", r#","username":null"#, r#","username":5"#, r#","username":{}"#] {
            let frame = format!(r#"{{"action":"joinRoom","room":"{room}"{username},"offer":{OFFER}}}"#);
            player.expect_problem(frame, "no username");
        }
        for offer in ["", r#","offer":null"#, r#","offer":"sdp""#, r#","offer":[{}]"#] {
            let frame = format!(r#"{{"action":"joinRoom","room":"{room}","username":"anna"{offer}}}"#);
            player.expect_problem(frame, "no offer");
        }
        host.expect_quiet();
        // The refused joins have not taken the name.
        player.send(join(&room, "anna", OFFER));
        host.expect(offered("anna"));
        for response in ["", r#","response":null"#, r#","response":"sdp""#, r#","response":[{}]"#] {
            let frame = format!(r#"{{"action":"offerResponse","clientUsername":"anna"{response}}}"#);
            host.expect_problem(frame, "no response");
        }
        for username in
            ["", r#","clientUsername":5"#, r#","clientUsername":"bert""#, r#","clientUsername":"Anna""#]
        {
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
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        host.expect_closed_by_us(Some(1000));
        wait_until("the end of the room", || server.room_codes().is_empty());
        player.expect_quiet();
        player.expect_problem(join(&room, "anna", OFFER), "wrong room");
        player.expect_problem(respond("anna", ANSWER), "wrong room");
        player.expect_problem(START_GAME, "wrong room");
        // It may then join another room.
        let (mut host, room) = server.host();
        player.send(join(&room, "anna", OFFER));
        host.expect(offered("anna"));
    });
}

#[test]
fn a_host_that_disconnects_frees_its_room_and_its_place_in_the_client_limit() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 2,
        |server| {
            let (mut host, room) = server.host();
            let mut player = server.player(&mut host, &room, "anna");
            host.expect_closed_by_us(None);
            wait_until("the end of the room", || server.room_codes().is_empty());
            server.wait_for_guests(1);
            player.expect_problem(join(&room, "anna", OFFER), "wrong room");
            let (mut host, room) = server.host();
            player.send(join(&room, "anna", OFFER));
            host.expect(offered("anna"));
        },
    );
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
        |config| config.root_key = Some(peerbroker::wire::ApiKey::parse("games").unwrap()),
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
            unknown.expect(problem("Invalid key provided"));
            unknown.expect_closed_with(None);
        },
    );
}
