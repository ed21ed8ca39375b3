//! Admission and refusal of clients.

use crate::harness::messages::{HEARTBEAT, ID_TAKEN, error, forwarded_offer, offer};
use crate::harness::{RawClient, on_own, on_own_with, wire};

const INCOMPLETE: &str = "No id, token, or key supplied to websocket server";
const WRONG_KEY: &str = "Invalid key provided";
const FULL: &str = "Server has reached its concurrent user limit";

/// `crates/node/src/session/admission.rs` has all that may be wrong with a query.
#[test]
fn a_client_with_a_bad_query_hears_why_before_a_taken_id_is_looked_at() {
    on_own_with(
        |config| config.key = peerbroker_core::vocabulary::ApiKey::parse("123").unwrap(),
        |server| {
            let mut holder = server.client("a");
            for (query, why) in [
                ("", INCOMPLETE),
                ("key=123&id=a", INCOMPLETE),
                ("key=&id=a&token=t", INCOMPLETE),
                ("key=wrong&id=a", INCOMPLETE),
                ("Key=123&ID=a&Token=t", INCOMPLETE),
                ("key=wrong&id=a&token=other", WRONG_KEY),
                ("key=0123&id=a&token=other", WRONG_KEY),
                ("key=%20123&id=a&token=other", WRONG_KEY),
                ("key=123&id=a%0Ab&token=t", "Invalid id provided: it has control characters"),
                ("key=123&id=a&token=%00", "Invalid token provided: it has control characters"),
            ] {
                eprintln!("{query}");
                server.connect_with_query(query).expect_refused(error(why));
            }
            holder.expect_nothing("a");
            assert_eq!(server.realm().len(), 1);
        },
    );
}

#[test]
fn the_limit_refuses_newcomers_but_no_takeover_and_a_taken_id_comes_first() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 2,
        |server| {
            let mut a = server.client("a");
            let mut b = server.client("b");
            server.connect_with_query("key=peerjs&id=c&token=t").expect_refused(error(FULL));
            let mut again = server.client("a");
            assert_eq!(a.expect_close(), Some(4001));
            server.connect_with_query("key=peerjs&id=c&token=t").expect_refused(error(FULL));
            let mut thief = server.begin("a", "another token");
            again.expect_ping();
            again.pong(b"");
            thief.expect_accepted();
            thief.expect_refused(ID_TAKEN);
            again.expect_nothing("a");
            b.expect_closed_by_us(None);
            server.wait_for_peers(1);
            let _c = server.client("c");
        },
    );
}

#[test]
fn a_refused_socket_holds_no_place_is_in_no_list_and_is_not_heard() {
    on_own_with(
        |config| config.key_settings.allow_discovery = true.into(),
        |server| {
            let mut b = server.client("b");
            let mut refused = server.connect_with_query("key=wrong&id=a&token=t");
            refused.send(offer("b", "1"));
            refused.send(HEARTBEAT);
            refused.expect(error(WRONG_KEY));
            assert_eq!(server.get("/peerjs/peers").text(), r#"["b"]"#);
            refused.expect_closed_with(None);
            assert_eq!(server.told_about("a"), []);
            b.expect_nothing("b");
        },
    );
}

#[test]
fn messages_sent_with_the_handshake_are_handled_after_registration_also_if_only_half_came_with_it() {
    on_own(|server| {
        let mut b = server.client("b");
        let mut a = server.connect("a");
        let mut bytes = RawClient::handshake(&server.target("a", "t")).into_bytes();
        let half = wire::text(&offer("a", r#""in two pieces""#));
        bytes.extend(wire::text(&offer("b", r#""early""#)));
        bytes.extend(wire::text(&offer("a", r#""to myself""#)));
        bytes.extend(&half[..9]);
        a.send_raw(bytes);
        a.expect_accepted();
        a.expect_open();
        a.expect(forwarded_offer("a", "a", r#""to myself""#));
        b.expect(forwarded_offer("a", "b", r#""early""#));
        a.send_raw(&half[9..]);
        a.expect(forwarded_offer("a", "a", r#""in two pieces""#));
    });
}

#[test]
fn ids_are_compared_exactly() {
    on_own(|server| {
        let ids = ["abc", "ABC", "abc ", "\u{e9}", "e\u{301}", "__proto__", "constructor"];
        let mut clients: Vec<RawClient> = ids.iter().map(|id| server.client(id)).collect();
        for (client, id) in clients.iter_mut().zip(ids) {
            client.expect_nothing(id);
        }
        assert_eq!(server.realm().len(), ids.len());
    });
}

#[test]
fn a_token_that_only_begins_alike_is_another_token() {
    on_own(|server| {
        let mut holder = server.client_with_token("a", "secret");
        for token in ["secre", "secret2", "Secret", "secret "] {
            let mut newcomer = server.begin("a", token);
            holder.expect_ping();
            holder.pong(b"");
            newcomer.expect_accepted();
            newcomer.expect_refused(ID_TAKEN);
        }
    });
}

#[test]
fn every_origin_may_connect() {
    on_own_with(
        |config| config.cors = vec!["http://allowed.test".parse().unwrap()],
        |server| {
            for origin in ["http://allowed.test", "http://other.test", "null", ""] {
                let mut client = server.connect(origin);
                let origin = format!("\r\nOrigin: {origin}\r\n\r\n");
                let target = server.target("a", "t");
                client.send_raw(RawClient::handshake(&target).replace("\r\n\r\n", &origin));
                let response = client.expect_accepted();
                assert_eq!(response.header("access-control-allow-origin"), None);
                client.expect_open();
                drop(client);
                server.wait_until_gone("a");
            }
        },
    );
}

#[test]
fn the_limit_holds_when_many_come_at_once() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 10,
        |server| {
            let mut clients: Vec<RawClient> =
                (0..50).map(|n| server.begin(&format!("peer-{n}"), "t")).collect();
            let mut admitted = 0;
            for client in &mut clients {
                client.expect_accepted();
                match client.expect_text().as_str() {
                    r#"{"type":"OPEN"}"# => admitted += 1,
                    text => assert_eq!(text, error(FULL)),
                }
            }
            assert_eq!(admitted, 10);
            assert_eq!(server.realm().len(), 10);
        },
    );
}
