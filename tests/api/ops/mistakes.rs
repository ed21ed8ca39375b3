//! Clients' mistakes, in words.

use peerbroker_config::{Ban, TurnSecret};
use peerbroker_core::vocabulary::Limit;
use serde_json::{Value, json};

use crate::harness::keys::INVALID_KEY;
use crate::harness::messages::error;
use crate::harness::ops::{with_api, with_everything};
use crate::harness::turn_client::{Datagrams, SECRET, TurnClient, USERNAME};
use crate::harness::wait_until;

#[test]
fn mistakes_of_clients_are_shown_in_words_with_their_numbers() {
    let (server, api) = with_api(&[], None, |_| {});
    for n in 0..3 {
        server.newcomer_of("peerjss", &format!("c{n}")).expect_refused(error(INVALID_KEY));
    }
    let mistakes = || api.get("/api/mistakes").json["mistakes"].take();
    wait_until("three times", || mistakes()[0]["times"] == 3);
    let shown = mistakes();
    assert_eq!(shown[0]["what"], "asked for the key \"peerjss\"");
    assert_eq!(shown[0]["hint"], "the key here is \"peerjs\"");
    assert_eq!((&shown[0]["latest"], &shown[0]["ago"]), (&json!("id \"c2\", from 127.0.0.1"), &json!(0)));
}

#[test]
fn a_wrong_path_is_shown_with_the_address_that_asked_for_it() {
    let (server, api) = with_api(&[], None, |_| {});
    assert_eq!(server.get("/wp-login.php").status, 404);
    let mistakes = || api.get("/api/mistakes").json["mistakes"].take();
    wait_until("the mistake", || !mistakes()[0].is_null());
    assert_eq!(mistakes()[0]["latest"], "from 127.0.0.1, GET \"/wp-login.php\"");
}

#[test]
fn a_full_link_to_another_node_is_shown() {
    let (server, api) = with_api(&[], None, |_| {});
    server.node().events().limit_hit(Limit::LinkBytes, None, Some([192, 0, 2, 1].into()));
    let mistakes = || api.get("/api/mistakes").json["mistakes"].take();
    wait_until("the mistake", || !mistakes()[0].is_null());
    let expected = "from 192.0.2.1 sent more to a room or topic than the link to another node takes";
    assert_eq!(mistakes()[0]["what"], expected);
}

/// Of many users with an old key, each is found by his id.
#[test]
fn the_last_refusals_of_an_id_are_found_whatever_its_key_was() {
    let (server, api) = with_api(&[], None, |_| {});
    for n in 0..30 {
        server.newcomer_of("old", &format!("User{n}")).expect_refused(error(INVALID_KEY));
    }
    let refusals = |search: &str| api.get(&format!("/api/refusals?search={search}")).json["refusals"].take();
    wait_until("all of them", || refusals("user").as_array().unwrap().len() == 30);
    let found = refusals("user17");
    let expected = json!([{
        "kind": "refused", "key": "old", "id": "User17", "address": "127.0.0.1", "reason": "invalid_key", "ago": 0,
    }]);
    assert_eq!(found, expected);
    assert_eq!(refusals("127.0").as_array().unwrap().len(), 30);
    assert_eq!(refusals("user30"), json!([]));
}

#[test]
fn clients_whose_address_is_banned_or_over_a_limit_are_found_by_id_and_address() {
    let (server, api) = with_api(&[], None, |config| {
        config.proxied = true;
        config.address_limits.opens_per_second = 1;
    });
    let status = |id: &str, address: &str| {
        let target = server.target_of("peerjs", id);
        server.begin_with(&target, &format!("X-Forwarded-For: {address}\r\n")).expect_response().status
    };
    assert_eq!(api.post("/api/bans", &json!({ "network": "198.51.100.20" })).status, 201);
    assert_eq!(status("User20", "198.51.100.20"), 403);
    let refused = (0..20).find(|n| status(&format!("many{n}"), "192.0.2.1") == 429).unwrap();
    let refusals = |search: &str| api.get(&format!("/api/refusals?search={search}")).json["refusals"].take();
    for (id, address, reason) in [
        ("User20", "198.51.100.20", "banned"),
        (&format!("many{refused}"), "192.0.2.1", "too_many_connections"),
    ] {
        wait_until("the refusal", || !refusals(id)[0].is_null());
        let expected = json!([{
            "kind": "refused", "key": "peerjs", "id": id, "address": address, "reason": reason, "ago": 0,
        }]);
        assert_eq!((refusals(id), refusals(address)), (expected.clone(), expected));
    }
}

/// Their connections are refused before they have said anything, however many there are.
#[test]
fn a_banned_address_that_goes_on_connecting_is_one_refusal() {
    let (server, api) = with_api(&[], None, |config| config.bans = vec![Ban::parse("127.0.0.1").unwrap()]);
    for _ in 0..3 {
        assert_eq!(server.get("/").status, 403);
    }
    let refusals = || api.get("/api/refusals?search=127.0.0.1").json["refusals"].take();
    wait_until("the refusal", || !refusals()[0].is_null());
    let expected = json!([{ "kind": "refused", "address": "127.0.0.1", "reason": "banned", "ago": 0 }]);
    assert_eq!(refusals(), expected);
}

#[test]
fn a_refusal_of_turn_is_shown_with_what_was_wrong() {
    let (server, api) = with_everything();
    server.reconfigure(|config| config.ice.turn_secret = Some(TurnSecret::parse(SECRET).unwrap()));
    let at = server.turn_urls().unwrap().stun[0].strip_prefix("stun:").unwrap().parse().unwrap();
    let mistakes = || api.get("/api/mistakes").json["mistakes"].take();
    for (secret, username, what) in [
        ("another secret", USERNAME, "asked for TURN with a wrong username or password"),
        (SECRET, "0:peerjs", "asked for TURN with credentials that have expired"),
        (SECRET, "9999999999:x", "asked for TURN for the key \"x\", which may not use it"),
    ] {
        let refused = TurnClient::allocate_with(secret, username, Box::new(Datagrams::to(at)));
        assert_eq!(refused.err(), Some(401), "{what}");
        let is_it = |mistake: &Value| mistake["what"] == what && mistake["latest"] == "from 127.0.0.1";
        wait_until(what, || mistakes().as_array().unwrap().iter().any(is_it));
    }
}
