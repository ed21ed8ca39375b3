//! The WebSocket at the root: behaviour that both its dialects share, also with PeerJS.

mod bounds;

use peerbroker_config::{Dialect, Dialects, MountPath};
use peerbroker_core::vocabulary::CloseReason;

use crate::harness::guests::{ANSWER, OFFER, START, START_GAME, call, join, problem, respond};
use crate::harness::{RawClient, TestServer, Told, Transport, on_own, on_own_with, wait_until, wire};

#[test]
fn one_socket_speaks_both_dialects() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        let host_id = host.start();
        let player_id = player.start();
        player.send(call("offer", &host_id, ""));
        host.expect(call("offer", &player_id, ""));
        host.send(respond("anna", ANSWER));
        player.expect(ANSWER);
    });
}

#[test]
fn a_host_that_starts_twice_is_found_under_its_code() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        let first = host.start();
        let _bert = server.player(&mut host, &room, "bert");
        assert_ne!(host.start(), first);
        let _cleo = server.player(&mut host, &room, "cleo");
        host.send(respond("anna", ANSWER));
        player.expect(ANSWER);
        host.send(START_GAME);
        host.expect_quiet();
        // The room still ends with its host.
        host.expect_closed_by_us(None);
        wait_until("the end of the room", || server.room_codes().is_empty());
    });
}

#[test]
fn a_player_that_starts_twice_is_found_under_its_name() {
    on_own(|server| {
        let (mut host, room) = server.host();
        let mut player = server.player(&mut host, &room, "anna");
        for _ in 0..3 {
            player.start();
            host.send(respond("anna", ANSWER));
            player.expect(ANSWER);
        }
        host.send(START_GAME);
        host.expect_quiet();
        let mut again = server.player(&mut host, &room, "anna");
        // Another player has the name now, so the new start does not move it.
        player.start();
        host.send(respond("anna", ANSWER));
        again.expect(ANSWER);
        player.expect_quiet();
    });
}

#[test]
fn only_the_dialects_that_are_on_are_understood() {
    for (dialects, rooms, calls) in [
        (Dialects::from_iter([Dialect::PeerJs, Dialect::Calls]), false, true),
        (Dialects::from_iter([Dialect::PeerJs, Dialect::RoomCodes]), true, false),
        (Dialects::from_iter([Dialect::RoomCodes]), true, false),
    ] {
        on_own_with(
            |config| config.dialects = dialects,
            |server| {
                let mut guest = server.guest("guest");
                if rooms {
                    guest.create_room();
                } else {
                    guest.send(r#"{"action":"createRoom"}"#);
                    guest.send(join("QXZP", "anna", OFFER));
                    guest.send(respond("anna", ANSWER));
                    guest.send(START_GAME);
                }
                if calls {
                    let id = guest.start();
                    guest.send(call("x", &id, ""));
                    guest.expect(r#"{"action":"x","data":{}}"#);
                } else {
                    guest.send(START);
                    let [id] = &server.guests().ids()[..] else { panic!("one guest") };
                    guest.send(call("x", id.as_str(), ""));
                }
                guest.expect_quiet();
                assert_eq!(server.room_codes().len(), usize::from(rooms));
            },
        );
    }
}

#[test]
fn without_a_dialect_there_is_no_websocket_at_the_root() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::PeerJs]),
        |server| {
            assert_eq!(server.begin_at("/").expect_response().status, 404);
            assert_eq!(server.get("/").status, 200);
            server.client("a").expect_nothing("a");
        },
    );
}

#[test]
fn without_peerjs_only_the_root_is_a_websocket() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]),
        |server| {
            assert_eq!(server.begin("a", "t").expect_response().status, 404);
            assert_eq!(server.get("/peerjs/id").status, 404);
            server.caller("a");
            server.host();
        },
    );
}

#[test]
fn the_root_is_that_of_the_path_with_and_without_its_slash() {
    on_own_with(
        |config| config.path = MountPath::parse("/games/here").unwrap(),
        |server| {
            for target in ["/games/here", "/games/here/", "/games/here?key=peerjs", "/games/here/?x=1"] {
                server.guest_at("guest", target).create_room();
            }
            let outside = server.begin_at("/").expect_response();
            assert_eq!(outside.status, 404);
        },
    );
}

#[test]
fn a_get_of_the_root_is_json_or_a_page_as_ever() {
    on_own(|server| {
        let about = server.get("/");
        assert_eq!(about.header("content-type").unwrap(), "application/json; charset=utf-8");
        let page = server.request("GET", "/", "Accept: text/html\r\n");
        assert_eq!(page.header("content-type").unwrap(), "text/html; charset=utf-8");
        assert_eq!(server.request("HEAD", "/", "").status, 200);
        assert_eq!(server.request("POST", "/", "").status, 404);
        // Key and version without an upgrade are not a handshake.
        let headers = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert_eq!(server.request("GET", "/", headers).status, 200);
    });
}

#[test]
fn an_upgrade_to_another_protocol_at_the_root_is_answered_like_a_plain_request() {
    on_own(|server| {
        let h2c =
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
        let about = server.request("GET", "/", h2c);
        assert_eq!(about.status, 200, "{}", about.text());
        assert!(about.text().starts_with(r#"{"name":"#), "{}", about.text());
    });
}

#[test]
fn a_bad_handshake_at_the_root_is_a_bad_request() {
    on_own(|server| {
        let good = RawClient::handshake("/");
        for (bad, status) in [
            (good.replace("Version: 13", "Version: 7"), 400),
            (good.replace("Key: dGhl", "Key: "), 400),
            (good.replacen("GET", "POST", 1), 405),
        ] {
            let mut client = server.connect("bad");
            client.send_raw(&bad);
            assert_eq!(client.expect_response().status, status, "{bad}");
        }
        assert!(server.guests().is_empty());
    });
}

#[test]
fn a_frame_sent_with_the_handshake_is_handled() {
    on_own(|server| {
        let mut guest = server.connect("guest");
        let mut bytes = RawClient::handshake("/").into_bytes();
        bytes.extend(wire::text(START));
        guest.send_raw(bytes);
        guest.expect_accepted();
        assert!(guest.expect_text().starts_with(r#"{"action":"start","#));
    });
}

#[test]
fn a_key_that_cannot_be_one_is_refused() {
    on_own(|server| {
        for (key, text) in [
            ("wrong", "Invalid key provided"),
            ("Peerjs", "Invalid key provided"),
            ("a%0Ab", "Invalid key provided: it has control characters"),
            (&*"k".repeat(129), "Invalid key provided: it is longer than 128 bytes"),
        ] {
            let mut refused = server.begin_guest("refused", &format!("/?key={key}"));
            refused.expect_guest_refused(problem(text), 4014);
        }
        assert!(server.guests().is_empty());
    });
}

#[test]
fn guests_are_closed_with_1001_when_the_server_stops() {
    let mut server = TestServer::start(Transport::Own, |_| {});
    let (mut host, room) = server.host();
    let (mut caller, _) = server.caller("caller");
    let mut player = server.player(&mut host, &room, "anna");
    server.begin_stop();
    for client in [&mut host, &mut player, &mut caller] {
        client.expect_closed_with(Some(1001));
    }
    // The server waits until its clients have closed.
    drop((host, player, caller));
    server.join();
    assert!(server.guests().is_empty() && server.room_codes().is_empty());
}

#[test]
fn no_guest_is_admitted_while_the_server_stops() {
    on_own(|server| {
        let (mut host, _) = server.host();
        server.node().close();
        host.expect_closed_with(Some(1001));
        let mut late = server.begin_guest("late", "/");
        late.expect_guest_refused(problem("Server is stopping"), 1001);
        wait_until("the end of the room", || server.room_codes().is_empty());
    });
}

#[test]
fn hooks_know_a_guest_by_its_first_id() {
    on_own(|server| {
        let (mut a, first) = server.caller("a");
        let second = a.start();
        a.expect_closed_by_us(None);
        wait_until("the end of a session", || server.told_about(&first).len() == 2);
        let gone = Told::Disconnected(first.clone(), CloseReason::Left);
        assert_eq!(server.told_about(&first), [Told::Connected(first.clone()), gone]);
        assert_eq!(server.told_about(&second), []);
    });
}
