//! Admission and refusal of clients.

use crate::harness::messages::{HEARTBEAT, ID_TAKEN, error, forwarded_offer, offer};
use crate::harness::{RawClient, Told, on_own, on_own_with, wait_until, wire};

const INCOMPLETE: &str = "No id, token, or key supplied to websocket server";
const WRONG_KEY: &str = "Invalid key provided";
const FULL: &str = "Server has reached its concurrent user limit";

/// Expects one text frame, an empty close frame, and the end.
fn expect_refused(client: &mut RawClient, text: &str) {
    client.expect(text);
    client.expect_closed_with(None);
}

#[test]
fn an_admitted_client_gets_open_first() {
    on_own(|server| {
        let mut client = server.connect_with_query("key=peerjs&id=alice&token=t");
        client.expect(r#"{"type":"OPEN"}"#);
        client.expect_nothing("alice");
        assert_eq!(server.told_about("alice"), [Told::Connected("alice".into())]);
    });
}

#[test]
fn a_missing_or_empty_id_token_or_key_is_refused_first_of_all() {
    on_own(|server| {
        for query in [
            "",
            "key=peerjs&token=t",
            "key=peerjs&id=a",
            "id=a&token=t",
            "key=&id=a&token=t",
            "key=peerjs&id=&token=t",
            "key=peerjs&id=a&token=",
            "key=wrong&id=a",
            "Key=peerjs&ID=a&Token=t",
        ] {
            expect_refused(&mut server.connect_with_query(query), &error(INCOMPLETE));
        }
        assert!(server.realm().is_empty());
    });
}

#[test]
fn a_wrong_key_is_refused_before_a_taken_id_is_looked_at() {
    on_own(|server| {
        let mut holder = server.client("a");
        for key in ["wrong", "PEERJS", "peerjs2", "peer", "%20peerjs"] {
            let mut client = server.connect_with_query(&format!("key={key}&id=a&token=other"));
            expect_refused(&mut client, &error(WRONG_KEY));
        }
        holder.expect_nothing("a");
    });
}

#[test]
fn an_id_that_is_taken_is_refused_and_the_holder_stays() {
    on_own(|server| {
        let mut holder = server.client("a");
        let mut newcomer = server.begin("a", "another token");
        holder.expect_ping();
        holder.pong(b"");
        newcomer.expect_accepted();
        expect_refused(&mut newcomer, ID_TAKEN);
        holder.expect_nothing("a");
        assert_eq!(server.realm().len(), 1);
    });
}

#[test]
fn an_id_that_is_taken_is_refused_before_the_limit_is_looked_at() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 1,
        |server| {
            let mut holder = server.client("a");
            let mut newcomer = server.begin("a", "another token");
            holder.expect_ping();
            holder.pong(b"");
            newcomer.expect_accepted();
            expect_refused(&mut newcomer, ID_TAKEN);
        },
    );
}

#[test]
fn the_limit_refuses_newcomers_but_no_takeover() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 2,
        |server| {
            let (mut a, _b) = (server.client("a"), server.client("b"));
            let mut c = server.connect_with_query("key=peerjs&id=c&token=t");
            expect_refused(&mut c, &error(FULL));
            let _again = server.client("a");
            assert_eq!(a.expect_close(), Some(4001));
            let mut c = server.connect_with_query("key=peerjs&id=c&token=t");
            expect_refused(&mut c, &error(FULL));
        },
    );
}

#[test]
fn a_place_that_was_given_back_can_be_taken_again() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 1,
        |server| {
            let mut a = server.client("a");
            a.close(None);
            a.expect_close();
            server.wait_for_peers(0);
            let _b = server.client("b");
        },
    );
}

#[test]
fn a_limit_of_zero_refuses_everybody() {
    on_own_with(
        |config| config.key_settings.concurrent_limit = 0,
        |server| {
            let mut client = server.connect_with_query("key=peerjs&id=a&token=t");
            expect_refused(&mut client, &error(FULL));
        },
    );
}

#[test]
fn a_refused_socket_holds_no_place_and_is_in_no_list() {
    on_own_with(
        |config| config.key_settings.allow_discovery = true,
        |server| {
            let mut refused = server.connect_with_query("key=wrong&id=a&token=t");
            refused.expect(error(WRONG_KEY));
            assert_eq!(server.get("/peerjs/peers").text(), "[]");
            assert!(server.realm().is_empty());
            assert_eq!(server.told_about("a"), []);
        },
    );
}

#[test]
fn messages_of_a_refused_socket_are_ignored() {
    on_own(|server| {
        let mut b = server.client("b");
        let mut refused = server.connect_with_query("key=wrong&id=a&token=t");
        refused.send(offer("b", "1"));
        refused.send(HEARTBEAT);
        expect_refused(&mut refused, &error(WRONG_KEY));
        b.expect_nothing("b");
    });
}

#[test]
fn a_message_sent_with_the_handshake_is_handled_after_registration() {
    on_own(|server| {
        let mut b = server.client("b");
        let mut a = server.connect("a");
        let mut bytes = RawClient::handshake(&server.target("a", "t")).into_bytes();
        bytes.extend(wire::text(&offer("b", r#""early""#)));
        bytes.extend(wire::text(&offer("a", r#""to myself""#)));
        a.send_raw(bytes);
        a.expect_accepted();
        a.expect_open();
        a.expect(forwarded_offer("a", "a", r#""to myself""#));
        b.expect(forwarded_offer("a", "b", r#""early""#));
    });
}

#[test]
fn half_a_message_sent_with_the_handshake_is_completed_later() {
    on_own(|server| {
        let mut a = server.connect("a");
        let frame = wire::text(&offer("a", r#""in two pieces""#));
        let mut bytes = RawClient::handshake(&server.target("a", "t")).into_bytes();
        bytes.extend(&frame[..9]);
        a.send_raw(bytes);
        a.expect_accepted();
        a.expect_open();
        a.send_raw(&frame[9..]);
        a.expect(forwarded_offer("a", "a", r#""in two pieces""#));
    });
}

#[test]
fn of_repeated_parameters_the_last_counts_and_unknown_ones_are_ignored() {
    on_own(|server| {
        let query = "id=x&key=wrong&version=1.5.5&id=last&token=u&key=peerjs&ts=17&token=t";
        let mut client = server.connect_with_query(query);
        client.expect_open();
        client.expect_nothing("last");
        let mut again = server.client_with_token("last", "t");
        assert_eq!(client.expect_close(), Some(4001));
        again.expect_nothing("last");
    });
}

#[test]
fn parameters_are_form_encoded() {
    on_own(|server| {
        for (encoded, id) in [
            ("a+b", "a b"),
            ("a%20b%2Bc", "a b+c"),
            ("%C3%A9t%C3%A9", "été"),
            ("bad%FFutf8", "bad\u{FFFD}utf8"),
            ("stray%zz%", "stray%zz%"),
            ("a;b", "a;b"),
            ("%22quoted%22%5C", "\"quoted\"\\"),
        ] {
            let mut client = server.connect_with_query(&format!("key=peerjs&id={encoded}&token=t"));
            client.expect_open();
            client.expect_nothing(id);
        }
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
fn a_key_that_looks_like_a_number_is_a_key() {
    on_own_with(
        |config| config.key = peerbroker::wire::ApiKey::parse("123").unwrap(),
        |server| {
            server.client("a").expect_nothing("a");
            let mut other = server.connect_with_query("key=0123&id=b&token=t");
            expect_refused(&mut other, &error(WRONG_KEY));
        },
    );
}

#[test]
fn values_beyond_their_bounds_are_refused() {
    on_own(|server| {
        let long = |len| "x".repeat(len);
        for (key, id, token, text) in [
            ("peerjs".into(), long(513), long(1), "Invalid id provided: it is longer than 512 bytes"),
            ("peerjs".into(), long(1), long(4097), "Invalid token provided: it is longer than 4096 bytes"),
            (long(129), long(1), long(1), "Invalid key provided: it is longer than 128 bytes"),
            ("peerjs".into(), "a%0Ab".into(), long(1), "Invalid id provided: it has control characters"),
            ("peerjs".into(), "a%C2%85b".into(), long(1), "Invalid id provided: it has control characters"),
            ("peerjs".into(), "a".into(), "%00".into(), "Invalid token provided: it has control characters"),
            ("%1B[2J".into(), "a".into(), "t".into(), "Invalid key provided: it has control characters"),
        ] {
            let mut client = server.connect_with_query(&format!("key={key}&id={id}&token={token}"));
            expect_refused(&mut client, &error(text));
        }
        assert!(server.realm().is_empty());
    });
}

#[test]
fn values_at_their_limits_are_accepted() {
    on_own(|server| {
        let (id, token) = ("é".repeat(256), "t".repeat(4096));
        server.client_with_token(&id, &token).expect_nothing(&id);
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
            expect_refused(&mut newcomer, ID_TAKEN);
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
fn a_refused_socket_that_does_not_answer_its_close_is_cut_off() {
    on_own_with(
        |config| config.close_timeout = std::time::Duration::from_millis(50),
        |server| {
            let mut refused = server.connect_with_query("key=wrong&id=a&token=t");
            refused.expect(error(WRONG_KEY));
            assert_eq!(refused.expect_close(), None);
            refused.expect_end();
            wait_until("nobody", || server.realm().is_empty());
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
