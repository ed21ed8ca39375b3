//! Private rooms: a client enters only those that its proof lists.

use super::*;
use crate::harness::keys::on_both_with_keys;

pub fn private_rooms_by_token() -> Key {
    let mut key = with_tokens();
    key.settings.private_rooms = true;
    key.settings.allow_discovery = true.into();
    key
}

pub fn token_with_rooms(id: &str, rooms: &Value) -> String {
    signed(&json!({ "sub": id, "exp": seconds() + 3600, "rooms": rooms }))
}

/// A client whose token lists these rooms.
fn enter(server: &TestServer, id: &str, rooms: &Value) -> RawClient {
    let mut client = come(server, id, &token_with_rooms(id, rooms));
    client.expect(OPEN);
    client
}

fn request(kind: &str, room: &str) -> String {
    format!(r#"{{"type":"ROOM-{kind}","room":"{room}"}}"#)
}

fn list(room: &str, ids: &[&str]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    format!(r#"{{"type":"ROOM-MEMBERS","room":"{room}","members":[{}]}}"#, ids.join(","))
}

fn change(kind: &str, room: &str, id: &str) -> String {
    format!(r#"{{"type":"ROOM-{kind}","room":"{room}","id":"{id}"}}"#)
}

fn expect_private(client: &mut RawClient, room: &str) {
    client.send(request("JOIN", room));
    client.expect(format!(
        r#"{{"type":"ROOM-REFUSED","room":"{room}","payload":{{"type":"private_room","msg":"This room is private"}}}}"#
    ));
}

fn expect_listener(client: &mut RawClient, text: &str) {
    client.send(text);
    client.expect(
        r#"{"type":"ROOM-REFUSED","room":"news","payload":{"type":"listen_only","msg":"You may only listen in this room"}}"#,
    );
}

#[test]
fn a_client_enters_only_the_rooms_that_its_token_lists() {
    on_own_with_keys(&[private_rooms_by_token()], |server, _| {
        let mut a = enter(server, "a", &json!({ "lobby": "join", "odd": "shout" }));
        expect_private(&mut a, "odd");
        expect_private(&mut a, "Lobby");
        a.send(request("JOIN", "lobby"));
        a.expect(list("lobby", &["a"]));
        // The claim of another app, or of none.
        for (id, rooms) in [("b", json!(["lobby"])), ("c", json!("lobby")), ("d", Value::Null)] {
            expect_private(&mut enter(server, id, &rooms), "lobby");
        }
        let mut e = come(server, "e", &token("e", 1));
        e.expect(OPEN);
        expect_private(&mut e, "lobby");
        a.expect_nothing("a");
        assert_eq!(server.get("/app/rooms/lobby/peers").status, 401);
        assert_eq!(server.get("/app/peers").status, 200);
    });
}

#[test]
fn a_right_in_the_room_of_a_network_counts_for_its_rooms_with_pins() {
    on_own_with_keys(&[private_rooms_by_token()], |server, _| {
        let mut a = enter(server, "a", &json!({ "~near": "join" }));
        for room in ["~near", "~near:4821"] {
            a.send(request("JOIN", room));
            a.expect(list(room, &["a"]));
        }
        expect_private(&mut a, "nearby");
        let mut b = enter(server, "b", &json!({ "lobby": "join" }));
        for room in ["~near", "~near:4821", "~near/lan"] {
            expect_private(&mut b, room);
        }
        // It comes back, and its proof still lists the room.
        let mut again = enter(server, "a", &json!({ "~near": "join" }));
        again.expect(list("~near", &["a"]));
        again.expect(list("~near:4821", &["a"]));
        let mut changed = enter(server, "a", &json!({ "lobby": "join" }));
        changed.expect_nothing("a");
        assert_eq!(server.get("/app/rooms/~near/peers").status, 401);
    });
}

#[test]
fn a_listener_hears_everything_and_sends_nothing() {
    on_both_with_keys(&[private_rooms_by_token()], |server, _| {
        let mut a = enter(server, "a", &json!({ "news": "listen" }));
        let mut b = enter(server, "b", &json!({ "news": "join" }));
        b.send(request("JOIN", "news"));
        b.expect(list("news", &["b"]));
        expect_listener(&mut a, r#"{"type":"ROOM-JOIN","room":"news","data":"look at me"}"#);
        a.send(request("JOIN", "news"));
        a.expect(list("news", &["a", "b"]));
        b.expect(change("JOINED", "news", "a"));
        expect_listener(&mut a, r#"{"type":"ROOM-UPDATE","room":"news","data":"look at me"}"#);
        expect_listener(&mut a, r#"{"type":"ROOM-SEND","room":"news","payload":1}"#);
        expect_listener(&mut a, r#"{"type":"ROOM-SEND","room":"news","dst":"b","payload":1}"#);
        b.send(r#"{"type":"ROOM-SEND","room":"news","payload":2}"#);
        a.expect(r#"{"type":"ROOM-MESSAGE","room":"news","src":"b","payload":2}"#);
        b.send(r#"{"type":"ROOM-UPDATE","room":"news","data":3}"#);
        a.expect(r#"{"type":"ROOM-UPDATED","room":"news","id":"b","data":3}"#);
        a.send(request("LEAVE", "news"));
        b.expect(change("LEFT", "news", "a"));
    });
}

#[test]
fn a_client_that_comes_back_without_a_room_in_its_token_is_not_in_it_any_more() {
    on_own_with_keys(&[private_rooms_by_token()], |server, _| {
        let mut a = enter(server, "a", &json!({ "hall": "join", "lobby": "join" }));
        let mut b = enter(server, "b", &json!({ "hall": "join", "lobby": "join" }));
        for room in ["hall", "lobby"] {
            a.send(request("JOIN", room));
            a.expect(list(room, &["a"]));
            b.send(request("JOIN", room));
            b.expect(list(room, &["a", "b"]));
            a.expect(change("JOINED", room, "b"));
        }
        b.send(r#"{"type":"ROOM-UPDATE","room":"hall","data":1}"#);
        a.expect(r#"{"type":"ROOM-UPDATED","room":"hall","id":"b","data":1}"#);
        // A listener has no data.
        let mut again = enter(server, "b", &json!({ "hall": "listen" }));
        again.expect(list("hall", &["a", "b"]));
        a.expect(change("UPDATED", "hall", "b"));
        a.expect(change("LEFT", "lobby", "b"));
        expect_private(&mut again, "lobby");
        a.expect_nothing("a");
    });
}

#[test]
fn a_client_that_comes_back_without_a_room_in_its_token_gets_no_message_that_waited_for_it_there() {
    on_own_with_keys(&[private_rooms_by_token()], |server, _| {
        let both = json!({ "hall": "join", "lobby": "join" });
        let mut a = enter(server, "a", &both);
        let mut b = enter(server, "b", &both);
        for room in ["hall", "lobby"] {
            a.send(request("JOIN", room));
            a.expect(list(room, &["a"]));
            b.send(request("JOIN", room));
            b.expect(list(room, &["a", "b"]));
            a.expect(change("JOINED", room, "b"));
        }
        drop(b);
        crate::harness::wait_until("b to be gone", || {
            server.node().tenant("app").is_none_or(|tenant| !tenant.has_peer("b"))
        });
        for room in ["lobby", "hall"] {
            a.send(format!(r#"{{"type":"ROOM-SEND","room":"{room}","payload":"to {room}","request":1}}"#));
            a.expect(format!(r#"{{"type":"ROOM-OK","room":"{room}","request":1}}"#));
        }
        let mut again = enter(server, "b", &json!({ "hall": "listen" }));
        again.expect(r#"{"type":"ROOM-MESSAGE","room":"hall","src":"a","payload":"to hall"}"#);
        again.expect(list("hall", &["a", "b"]));
        a.expect(change("LEFT", "lobby", "b"));
        again.expect_nothing("b");
    });
}

#[test]
fn without_the_setting_the_claim_limits_nothing() {
    on_own_with_tokens(|server, _| {
        let mut a = enter(server, "a", &json!({ "news": "listen" }));
        a.send(r#"{"type":"ROOM-JOIN","room":"lobby","data":1}"#);
        a.expect(r#"{"type":"ROOM-MEMBERS","room":"lobby","members":[{"id":"a","data":1}]}"#);
        a.send(r#"{"type":"ROOM-JOIN","room":"news","data":1}"#);
        a.expect(r#"{"type":"ROOM-MEMBERS","room":"news","members":[{"id":"a","data":1}]}"#);
    });
}
