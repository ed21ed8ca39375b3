//! Posted messages, and the responses.

use peerbroker_core::vocabulary::CloseReason;

use crate::harness::http_client::Response;
use crate::harness::legacy::post;
use crate::harness::messages::{HEARTBEAT, LEAVE, forwarded, forwarded_offer, message, offer};
use crate::harness::{TestServer, Told, on_own, on_own_with, wait_until};

fn post_bytes(server: &TestServer, id: &str, body: &[u8]) -> Response {
    let mut http = server.http();
    http.send(post(&server.post_target(id, "offer"), "", body));
    http.response(false)
}

#[test]
fn a_post_that_is_not_a_message_is_refused_and_reaches_nobody() {
    on_own(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        let refused = [
            "",
            "null",
            "[]",
            "{}",
            "this is not JSON",
            r#"{"type":"OFFER"}"#,
            r#"{"type":"OFFER","dst":7}"#,
            r#"{"type":"offer","dst":"b"}"#,
            r#"{"type":"EXPIRE","dst":"b"}"#,
            r#"{"type":"OFFER","dst":"b"} x"#,
        ];
        for body in refused {
            let response = server.post("a", "offer", body);
            assert_eq!((response.status, response.text()), (400, "This is not a PeerJS message."), "{body}");
        }
        for body in [&b"\xFF"[..], b"{\"type\":\"OFFER\",\"dst\":\"b\",\"payload\":\"\xC3\"}"] {
            assert_eq!(post_bytes(server, "a", body).status, 400);
        }
        b.expect_nothing("b");
        a.expect_nothing("a");
    });
}

#[test]
fn the_message_says_what_it_is_and_not_the_address() {
    on_own(|server| {
        let _a = server.client("a");
        let mut b = server.client("b");
        for word in ["offer", "answer", "candidate", "leave"] {
            assert_eq!(server.post("a", word, &message("ANSWER", "b", "1")).status, 200);
            b.expect(forwarded("ANSWER", "a", "b", "1"));
        }
    });
}

#[test]
fn the_sender_of_a_post_is_the_client_that_posted_it() {
    on_own(|server| {
        let _a = server.client("a");
        let mut b = server.client("b");
        server.post("a", "offer", r#"{"type":"OFFER","src":"forged","dst":"b","payload":1,"more":2}"#);
        b.expect(forwarded_offer("a", "b", "1"));
    });
}

#[test]
fn many_posts_go_through_one_connection() {
    on_own(|server| {
        let _a = server.client("a");
        let mut b = server.client("b");
        let mut http = server.http();
        let target = server.post_target("a", "offer");
        for n in 0..5 {
            http.send(post(&target, "", offer("b", &n.to_string()).as_bytes()));
            assert_eq!(http.response(false).status, 200);
            b.expect(forwarded_offer("a", "b", &n.to_string()));
        }
        // The same without waiting for the responses.
        let pipelined: Vec<u8> =
            (5..9).flat_map(|n: usize| post(&target, "", offer("b", &n.to_string()).as_bytes())).collect();
        http.send(pipelined);
        for n in 5..9 {
            assert_eq!(http.response(false).status, 200);
            b.expect(forwarded_offer("a", "b", &n.to_string()));
        }
    });
}

#[test]
fn a_body_may_come_in_chunks() {
    on_own(|server| {
        let _a = server.client("a");
        let mut b = server.client("b");
        let mut http = server.http();
        let target = server.post_target("a", "offer");
        let body = offer("b", "1");
        http.send(format!("POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"));
        let (first, rest) = body.split_at(5);
        for part in [first, rest, ""] {
            http.send(format!("{:x}\r\n{part}\r\n", part.len()));
        }
        assert_eq!(http.response(false).status, 200);
        b.expect(forwarded_offer("a", "b", "1"));
    });
}

#[test]
fn a_body_may_be_as_large_as_a_message_and_no_larger() {
    on_own_with(
        |config| config.max_message_bytes = 300,
        |server| {
            let _a = server.client("a");
            let mut b = server.client("b");
            let body = |len: usize| {
                let rest = offer("b", "\"\"").len();
                offer("b", &format!("\"{}\"", "x".repeat(len - rest)))
            };
            assert_eq!(server.post("a", "offer", &body(300)).status, 200);
            assert_eq!(b.expect_text().len(), 300 + r#""src":"a","#.len());
            for len in [301, 40_000] {
                let response = server.post("a", "offer", &body(len));
                assert_eq!((response.status, response.text()), (413, "Payload Too Large"), "{len}");
            }
            b.expect_nothing("b");
        },
    );
}

#[test]
fn a_body_without_end_is_refused_when_it_is_larger_than_a_message() {
    on_own(|server| {
        let _a = server.client("a");
        let mut http = server.http();
        let target = server.post_target("a", "offer");
        http.send(format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 1073741824\r\n\r\n"));
        http.send(vec![b'x'; (1 << 20) + 1]);
        assert_eq!(http.response(false).status, 413);
    });
}

#[test]
fn leave_without_a_dst_is_the_end_of_a_stream() {
    on_own(|server| {
        for body in [LEAVE, r#"{"type":"LEAVE","dst":null}"#] {
            let mut a = server.stream("a");
            let mut b = server.client("b");
            let before = server.told_about("a").len();
            assert_eq!(server.post("a", "leave", body).status, 200);
            assert!(!server.realm().contains("a"), "gone before the answer");
            a.expect_end();
            b.expect_nothing("b");
            wait_until("the end", || server.told_about("a").len() > before);
            assert_eq!(
                server.told_about("a").last(),
                Some(&Told::Disconnected("a".into(), CloseReason::Left))
            );
        }
    });
}

#[test]
fn leave_without_a_dst_is_the_end_of_a_websocket_as_well() {
    on_own(|server| {
        let mut a = server.client("a");
        assert_eq!(server.post("a", "leave", LEAVE).status, 200);
        a.expect_closed_with(Some(1000));
        assert!(!server.realm().contains("a"));
    });
}

#[test]
fn a_post_is_a_sign_of_life() {
    on_own(|server| {
        let mut a = server.client("a");
        for body in [HEARTBEAT.to_owned(), offer("a", "1"), "nonsense".to_owned()] {
            server.advance(std::time::Duration::from_millis(19_999));
            server.post("a", "offer", &body);
            server.advance(std::time::Duration::from_millis(19_999));
            if body.contains("OFFER") {
                a.expect(forwarded_offer("a", "a", "1"));
            }
            a.expect_nothing("a");
        }
    });
}

#[test]
fn a_body_that_breaks_off_reaches_nobody() {
    // The embedded transport answers too, but nobody reads it.
    on_own(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        let request = post(&server.post_target("a", "offer"), "", offer("b", "1").as_bytes());
        for cut in [1, 10, request.len() - 1] {
            let mut http = server.http();
            http.send(&request[..request.len() - cut]);
            drop(http);
        }
        server.settle();
        b.expect_nothing("b");
        a.expect_nothing("a");
    });
}

#[test]
fn a_body_waits_with_its_client_while_the_post_is_held() {
    on_own(|server| {
        let mut b = server.client("b");
        let mut http = server.http();
        let request = post(&server.post_target("a", "offer"), "", offer("b", "1").as_bytes());
        let (most, rest) = request.split_at(request.len() - 3);
        http.send(most);
        server.settle();
        let _a = server.client("a");
        server.settle();
        b.expect_nothing("b");
        http.send(rest);
        assert_eq!(http.response(false).status, 200);
        b.expect(forwarded_offer("a", "b", "1"));
    });
}

#[test]
fn nothing_is_relayed_for_a_client_that_left_while_its_body_came_whoever_has_its_id_by_now() {
    for has_successor in [false, true] {
        on_own(|server| {
            let a = server.client("a");
            let mut b = server.client("b");
            let mut http = server.http();
            let request = post(&server.post_target("a", "offer"), "", offer("b", r#""forged""#).as_bytes());
            let (most, rest) = request.split_at(request.len() - 3);
            http.send(most);
            server.settle();
            drop(a);
            server.wait_until_gone("a");
            let successor = has_successor.then(|| server.client_with_token("a", "another token"));
            http.send(rest);
            let status = http.response(false).status;
            b.expect_nothing("b");
            if let Some(mut successor) = successor {
                successor.expect_nothing("a");
            }
            assert_eq!(status, 401, "{has_successor}");
        });
    }
}

#[test]
fn a_post_during_a_takeover_counts_towards_the_rate_limit_of_the_new_connection() {
    on_own(|server| {
        let _a = server.client("a");
        let mut http = server.http();
        let request = post(&server.post_target("a", "offer"), "", offer("b\nb", "1").as_bytes());
        let (most, rest) = request.split_at(request.len() - 3);
        http.send(most);
        server.settle();
        let mut a = server.client("a");
        http.send(rest);
        assert_eq!(http.response(false).status, 200);
        a.expect(crate::harness::messages::expired("b\nb", "a"));
    });
}

#[test]
fn a_request_about_a_room_can_be_posted_and_is_answered_on_the_connection() {
    on_own(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        let request = |kind: &str| format!(r#"{{"type":"ROOM-{kind}","room":"r","payload":1}}"#);
        for (client, members) in [("a", r#"[{"id":"a"}]"#), ("b", r#"[{"id":"a"},{"id":"b"}]"#)] {
            assert_eq!(server.post(client, "room-join", &request("JOIN")).status, 200);
            let list = format!(r#"{{"type":"ROOM-MEMBERS","room":"r","members":{members}}}"#);
            if client == "a" { &mut a } else { &mut b }.expect(list);
        }
        a.expect(r#"{"type":"ROOM-JOINED","room":"r","id":"b"}"#);
        assert_eq!(server.post("b", "room-send", &request("SEND")).status, 200);
        a.expect(r#"{"type":"ROOM-MESSAGE","room":"r","src":"b","payload":1}"#);
        assert_eq!(server.post("b", "room-leave", &request("LEAVE")).status, 200);
        a.expect(r#"{"type":"ROOM-LEFT","room":"r","id":"b"}"#);
        let watch = r#"{"type":"PRESENCE-WATCH","ids":["b"]}"#;
        assert_eq!(server.post("a", "presence-watch", watch).status, 200);
        a.expect(r#"{"type":"PRESENCE","id":"b","online":true}"#);
    });
}
