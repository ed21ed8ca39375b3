//! Clients of one network: the list of them, and their rooms.

use std::time::Duration;

use peerbroker::Config;
use peerbroker_keys::{Change, Discovery};
use serde_json::json;

use crate::harness::keys::{key, on_own_with_keys};
use crate::harness::ops::with_api_on;
use crate::harness::{RawClient, TestServer, on_both_with, on_own_with};
use peerbroker::PeerBroker;

pub const HERE: &str = "203.0.113.5";
pub const THERE: &str = "203.0.113.6";

pub fn near(config: &mut Config) {
    config.key_settings.allow_discovery = Discovery::Near;
    config.proxied = true;
}

fn pin(config: &mut Config) {
    near(config);
    config.key_settings.allow_discovery = Discovery::Pin;
}

/// The header with which a proxy names an address.
fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

pub fn client(server: &TestServer, address: &str, id: &str) -> RawClient {
    begin(server, &from(address), id)
}

fn begin(server: &TestServer, headers: &str, id: &str) -> RawClient {
    let mut client = server.begin_with(&server.target_of("peerjs", id), headers);
    client.expect_accepted();
    client.expect_open();
    client
}

pub fn ids(server: &TestServer, address: &str, query: &str) -> String {
    let answer = server.request("GET", &format!("/peerjs/peers{query}"), &from(address));
    assert_eq!(answer.status, 200);
    answer.text().to_owned()
}

fn join(room: &str) -> String {
    format!(r#"{{"type":"ROOM-JOIN","room":"{room}"}}"#)
}

fn members(room: &str, ids: &[&str]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    format!(r#"{{"type":"ROOM-MEMBERS","room":"{room}","members":[{}]}}"#, ids.join(","))
}

fn refused(room: &str, label: &str, text: &str) -> String {
    format!(r#"{{"type":"ROOM-REFUSED","room":"{room}","payload":{{"type":"{label}","msg":"{text}"}}}}"#)
}

fn enter(client: &mut RawClient, room: &str, ids: &[&str]) {
    client.send(join(room));
    client.expect(members(room, ids));
}

#[test]
fn a_client_lists_those_of_its_network_and_no_others() {
    on_own_with(near, |server| {
        let _clients = [
            client(server, HERE, "b"),
            client(server, HERE, "a"),
            client(server, THERE, "c"),
            client(server, "2001:db8:0:1::1", "d"),
            client(server, "2001:db8:0:1:ffff::2", "e"),
            client(server, "2001:db8:0:2::1", "f"),
            client(server, "192.168.1.4", "g"),
            client(server, "fe80::4", "h"),
        ];
        let local = server.client("i");
        for (address, expected) in [
            (HERE, r#"["a","b"]"#),
            (THERE, r#"["c"]"#),
            ("2001:db8:0:1::7", r#"["d","e"]"#),
            ("2001:db8:0:2::7", r#"["f"]"#),
            // A device of the LAN has addresses of both kinds.
            ("10.0.0.9", r#"["g","h"]"#),
            ("fd00::9", r#"["g","h"]"#),
            ("198.51.100.1", "[]"),
            ("2001:db8:0:3::1", "[]"),
            ("64:ff9b::203.0.113.5", r#"["a","b"]"#),
        ] {
            assert_eq!(ids(server, address, ""), expected, "{address}");
            assert_eq!(ids(server, address, "?limit=9"), expected, "{address}");
        }
        assert_eq!(ids(server, HERE, "?limit=1"), r#"["a"]"#);
        assert_eq!(ids(server, HERE, "?after=a"), r#"["b"]"#);
        // The address of a trusted proxy that names nobody tells nothing of a client.
        assert_eq!(server.get("/peerjs/peers").text(), "[]");
        drop(local);
    });
}

#[test]
fn nobody_is_near_a_client_whose_proxy_is_not_trusted() {
    on_own_with(
        |config| config.key_settings.allow_discovery = Discovery::Near,
        |server| {
            let listed = |headers: &str| server.request("GET", "/peerjs/peers", headers).text().to_owned();
            let _direct = server.client("direct");
            // All its clients have the address of the proxy.
            let mut hidden = begin(server, &from(HERE), "hidden");
            assert_eq!(listed(""), r#"["direct"]"#);
            for headers in [&*from(HERE), "Forwarded: for=203.0.113.5\r\n", "Via: 1.1 proxy\r\n"] {
                assert_eq!(listed(headers), "[]", "{headers}");
            }
            hidden.send(join("~near"));
            hidden.expect(refused("~near", "network_unknown", "A proxy hides your network"));
        },
    );
}

#[test]
fn a_pin_gives_no_list() {
    on_own_with(pin, |server| {
        let _a = client(server, HERE, "a");
        for path in ["/peerjs/peers", "/peerjs/rooms/~near/peers", "/peerjs/rooms/~near:4821/peers"] {
            assert_eq!(server.request("GET", path, &from(HERE)).status, 401, "{path}");
        }
    });
}

#[test]
fn the_room_of_a_network_shows_who_comes_and_goes_there() {
    on_both_with(near, |server| {
        let mut a = client(server, HERE, "a");
        enter(&mut a, "~near", &["a"]);
        let mut c = client(server, THERE, "c");
        enter(&mut c, "~near", &["c"]);
        let mut b = client(server, HERE, "b");
        b.send(r#"{"type":"ROOM-JOIN","room":"~near","data":{"name":"Bert"},"request":1}"#);
        b.expect(
            r#"{"type":"ROOM-MEMBERS","room":"~near","members":[{"id":"a"},{"id":"b","data":{"name":"Bert"}}],"request":1}"#,
        );
        a.expect(r#"{"type":"ROOM-JOINED","room":"~near","id":"b","data":{"name":"Bert"}}"#);
        b.send(r#"{"type":"ROOM-UPDATE","room":"~near","data":1,"request":2}"#);
        b.expect(r#"{"type":"ROOM-OK","room":"~near","request":2}"#);
        a.expect(r#"{"type":"ROOM-UPDATED","room":"~near","id":"b","data":1}"#);
        b.send(r#"{"type":"ROOM-SEND","room":"~near","payload":"hello"}"#);
        a.expect(r#"{"type":"ROOM-MESSAGE","room":"~near","src":"b","payload":"hello"}"#);
        // By its id, a stranger is no member.
        c.send(r#"{"type":"ROOM-SEND","room":"~near","dst":"a","payload":"hello"}"#);
        c.expect(refused("~near", "no_such_member", "Nobody in this room has this id"));
        b.send(r#"{"type":"ROOM-LEAVE","room":"~near"}"#);
        a.expect(r#"{"type":"ROOM-LEFT","room":"~near","id":"b"}"#);
        c.expect_nothing("c");
    });
}

#[test]
fn the_members_of_the_room_of_a_network_are_listed_there_only() {
    on_own_with(near, |server| {
        let listed = |address: &str, room: &str| {
            let path = format!("/peerjs/rooms/{room}/peers");
            server.request("GET", &path, &from(address)).text().to_owned()
        };
        let mut a = client(server, HERE, "a");
        for room in ["~near", "~near:4821", "lobby"] {
            enter(&mut a, room, &["a"]);
        }
        assert_eq!((listed(HERE, "~near"), listed(THERE, "~near")), (r#"["a"]"#.to_owned(), "[]".to_owned()));
        for room in ["~near:4821", "~near%2F203.0.113.5", "~near:4821%2F203.0.113.5", "lobby"] {
            for address in [HERE, THERE] {
                assert_eq!(listed(address, room), "[]", "{room} from {address}");
            }
        }
        // With all ids, the room of a network is no more open.
        server.reconfigure(|config| config.key_settings.allow_discovery = Discovery::All);
        assert_eq!((listed(HERE, "~near"), listed(THERE, "~near")), (r#"["a"]"#.to_owned(), "[]".to_owned()));
        assert_eq!(listed(THERE, "lobby"), r#"["a"]"#);
        for room in ["~near:4821", "~near%2F203.0.113.5"] {
            assert_eq!(listed(THERE, room), "[]", "{room}");
        }
    });
}

#[test]
fn no_name_leads_into_the_room_of_another_network() {
    on_own_with(near, |server| {
        let mut a = client(server, HERE, "a");
        enter(&mut a, "~near", &["a"]);
        enter(&mut a, "~near:4821", &["a"]);
        let mut mallory = client(server, THERE, "m");
        for room in [
            "~near/203.0.113.5",
            "~near/203.0.113.5/",
            "~near//203.0.113.5",
            "~near:4821/203.0.113.5",
            "~near:4821",
            "~near/../~near/203.0.113.5",
            "~near/lan",
        ] {
            enter(&mut mallory, room, &["m"]);
            mallory.send(format!(r#"{{"type":"ROOM-SEND","room":"{room}","dst":"a","payload":1}}"#));
            mallory.expect(refused(room, "no_such_member", "Nobody in this room has this id"));
        }
        for room in ["~near\\u0000/203.0.113.5", "\\u0001~near/203.0.113.5"] {
            mallory.send(join(room));
            assert!(mallory.expect_text().contains(r#""type":"invalid_room""#), "{room}");
        }
        for room in ["~near/203.0.113.5", "~near"] {
            mallory.send(format!(r#"{{"type":"ROOM-SEND","room":"{room}","payload":"hello"}}"#));
        }
        mallory.expect(refused("~near", "not_member", "You are not in this room"));
        a.expect_nothing("a");
    });
}

#[test]
fn a_name_that_is_nearly_that_of_a_room_of_one_network_is_refused_with_the_right_form() {
    on_own_with(near, |server| {
        let mut a = client(server, HERE, "a");
        for room in [
            "near",
            "~Near",
            "NEAR",
            "~near4821",
            "near4821",
            "~near ",
            "near:4821",
            "~nearby",
            "~lobby",
            "~",
        ] {
            a.send(join(room));
            let text = "Rooms of one network are ~near and, with a PIN, ~near:4821";
            a.expect(refused(room, "not_near", text));
        }
        for room in ["nearby", "near the station", "a~near"] {
            enter(&mut a, room, &["a"]);
        }
    });
}

#[test]
fn a_client_that_comes_back_from_another_network_is_in_the_room_of_that_one() {
    on_own_with(near, |server| {
        let [mut a, mut b, mut c] =
            [(HERE, "a"), (HERE, "b"), (THERE, "c")].map(|(address, id)| client(server, address, id));
        enter(&mut a, "~near", &["a"]);
        enter(&mut b, "~near", &["a", "b"]);
        a.expect(r#"{"type":"ROOM-JOINED","room":"~near","id":"b"}"#);
        enter(&mut c, "~near", &["c"]);
        enter(&mut b, "lobby", &["b"]);
        // The same, by a takeover from its own network.
        let mut again = client(server, HERE, "b");
        again.expect(members("~near", &["a", "b"]));
        again.expect(members("lobby", &["b"]));
        a.expect_nothing("a");

        let mut moved = client(server, THERE, "b");
        moved.expect(members("lobby", &["b"]));
        a.expect(r#"{"type":"ROOM-LEFT","room":"~near","id":"b"}"#);
        moved.send(r#"{"type":"ROOM-SEND","room":"~near","payload":"hello"}"#.to_owned().replace("}", r#","request":1}"#));
        moved.expect(
            r#"{"type":"ROOM-REFUSED","room":"~near","request":1,"payload":{"type":"not_member","msg":"You are not in this room"}}"#,
        );
        enter(&mut moved, "~near", &["b", "c"]);
        c.expect(r#"{"type":"ROOM-JOINED","room":"~near","id":"b"}"#);
        a.expect_nothing("a");
    });
}

#[test]
fn a_pin_divides_the_clients_of_one_network() {
    on_own_with(pin, |server| {
        let mut a = client(server, HERE, "a");
        for room in ["~near", "~near:482", "~near:call"] {
            a.send(join(room));
            a.expect(refused(room, "pin_needed", "This room needs a PIN, as in ~near:4821"));
        }
        let mut b = client(server, HERE, "b");
        let mut c = client(server, HERE, "c");
        enter(&mut a, "~near:4821", &["a"]);
        enter(&mut c, "~near:1234", &["c"]);
        enter(&mut b, "~near:4821", &["a", "b"]);
        c.expect_nothing("c");
    });
}

#[test]
fn pins_are_guessed_slowly() {
    on_own_with(pin, |server| {
        let mut a = client(server, HERE, "a");
        enter(&mut a, "~near:4821", &["a"]);
        let mut mallory = client(server, HERE, "m");
        let mut guesses = 0;
        let refusal = loop {
            let room = format!("~near:{guesses:04}");
            mallory.send(join(&room));
            let answer = mallory.expect_text();
            mallory.send(format!(r#"{{"type":"ROOM-LEAVE","room":"{room}"}}"#));
            if answer.contains("ROOM-REFUSED") {
                break answer;
            }
            guesses += 1;
            assert!(guesses < 200);
        };
        assert_eq!(
            refusal,
            refused(&format!("~near:{guesses:04}"), "too_fast", "Too many messages to this room")
        );
        // The same from another connection of the address; other networks are not touched.
        mallory.expect_text();
        let mut other = client(server, HERE, "o");
        other.send(join("~near:4821"));
        other.expect(refused("~near:4821", "too_fast", "Too many messages to this room"));
        enter(&mut client(server, THERE, "t"), "~near:0000", &["t"]);
        server.advance(Duration::from_secs(1));
        enter(&mut other, "~near:4821", &["a", "o"]);
    });
}

#[test]
fn without_discovery_there_is_no_room_of_a_network() {
    on_own_with(
        |config| config.proxied = true,
        |server| {
            let mut a = client(server, HERE, "a");
            let off = "Discovery is off for this key";
            for room in ["~near", "~near:4821"] {
                a.send(join(room));
                a.expect(refused(room, "near_off", off));
            }
            server.reconfigure(near);
            enter(&mut a, "~near", &["a"]);
            server.reconfigure(|config| config.key_settings.allow_discovery = Discovery::Off);
            a.send(join("~near"));
            a.expect(refused("~near", "near_off", off));
            a.send(r#"{"type":"ROOM-LEAVE","room":"~near","request":1}"#);
            a.expect(r#"{"type":"ROOM-OK","room":"~near","request":1}"#);
        },
    );
}

#[test]
fn keys_have_networks_of_their_own() {
    let near = || Change { allow_discovery: Some(Discovery::Near), ..Change::default() };
    on_own_with_keys(&[key("one", near()), key("two", near())], |server, _| {
        let mut a = server.client_of("one", "a");
        let mut b = server.client_of("two", "b");
        enter(&mut a, "~near", &["a"]);
        enter(&mut b, "~near", &["b"]);
        assert_eq!(server.get("/one/peers").text(), r#"["a"]"#);
        let _guest = server.guest_of("one", "a guest");
        assert_eq!(server.get("/one/peers").text(), r#"["a"]"#);
    });
}

#[test]
fn operators_see_the_network_of_a_room_and_reach_it() {
    let (server, api) = with_api_on(PeerBroker::builder(), near);
    let mut a = client(&server, HERE, "a");
    let mut c = client(&server, "192.168.1.4", "c");
    enter(&mut a, "~near", &["a"]);
    enter(&mut c, "~near:4821", &["c"]);
    let rooms = api.get("/api/keys/peerjs/rooms").json;
    assert_eq!(
        rooms["rooms"],
        json!([{"name": "~near/203.0.113.5", "members": 1}, {"name": "~near:4821/lan", "members": 1}])
    );
    let path = "/api/keys/peerjs/rooms/~near%2F203.0.113.5";
    assert_eq!(api.get(&format!("{path}/members")).json["members"][0]["id"], "a");
    assert_eq!(api.post(&format!("{path}/messages"), &json!(1)).status, 202);
    a.expect(r#"{"type":"SERVER-MESSAGE","room":"~near","payload":1}"#);
    c.expect_nothing("c");
}
