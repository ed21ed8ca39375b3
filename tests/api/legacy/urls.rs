//! URLs and content types of posts of 0.3.x clients, and CORS.

use peerbroker_config::{Dialect, Dialects, MountPath};

use crate::harness::legacy::{HEAD_START, post};
use crate::harness::messages::{forwarded, forwarded_offer, message, offer};
use crate::harness::{TestServer, on_own, on_own_with, token_of};

const WORDS: [&str; 5] = ["id?i=0", "offer", "answer", "candidate", "leave"];

fn status(server: &TestServer, target: &str) -> u16 {
    server.begin_post_at(target, "{}").response(false).status
}

#[test]
fn a_wrong_key_is_refused() {
    on_own(|server| {
        for word in WORDS {
            let response = server.begin_post_at(&format!("/wrong/a/t/{word}"), "{}").response(false);
            assert_eq!(response.status, 401, "{word}");
        }
        let refused = server.begin_post_at("/wrong/a/t/id?i=0", "").response(false);
        assert_eq!(refused.text(), "Invalid key provided");
        server.advance(HEAD_START);
        assert!(!server.realm().contains("a"));
    });
}

#[test]
fn the_key_in_the_address_counts() {
    on_own_with(
        |config| config.key = peerbroker_core::vocabulary::ApiKey::parse("my key").unwrap(),
        |server| {
            let stream = server.begin_stream_at("a", &format!("/my%20key/a/{}/id?i=0", token_of("a")));
            server.greeted(stream).expect_nothing(server, "a");
            assert_eq!(server.post_target("a", "offer"), format!("/my%20key/a/{}/offer", "token%2Dof%2Da"));
            assert_eq!(status(server, "/peerjs/a/t/id?i=0"), 401);
        },
    );
}

#[test]
fn malformed_parts_are_bad_requests_that_say_why() {
    on_own(|server| {
        let long = |len| "x".repeat(len);
        let ways = [
            ("/peerjs/%zz/t".to_owned(), "No id, token, or key supplied to websocket server"),
            ("/peerjs/a/%FF".to_owned(), "No id, token, or key supplied to websocket server"),
            ("/peerjs/a%0Ab/t".to_owned(), "Invalid id provided: it has control characters"),
            ("/peerjs/a/t%00".to_owned(), "Invalid token provided: it has control characters"),
            (format!("/peerjs/{}/t", long(513)), "Invalid id provided: it is longer than 512 bytes"),
            (format!("/peerjs/a/{}", long(4097)), "Invalid token provided: it is longer than 4096 bytes"),
            (format!("/{}/a/t", long(129)), "Invalid key provided: it is longer than 128 bytes"),
        ];
        for (parts, why) in ways {
            for word in WORDS {
                let response = server.begin_post_at(&format!("{parts}/{word}"), "{}").response(false);
                assert_eq!((response.status, response.text()), (400, why), "{parts}/{word}");
            }
        }
        // Repeated slashes are one, so an empty part is a missing one.
        for parts in ["/peerjs//t", "/peerjs/a/", "//a/t"] {
            for word in WORDS {
                assert_eq!(
                    server.begin_post_at(&format!("{parts}/{word}"), "{}").response(false).status,
                    404
                );
            }
        }
    });
}

#[test]
fn parts_at_their_bounds_are_taken() {
    on_own(|server| {
        let id = "x".repeat(512);
        let token = "y".repeat(4096);
        let stream = server.begin_stream_at("long", &server.post_target_with(&id, &token, "id?i=0"));
        let mut stream = server.greeted(stream);
        let target = server.post_target_with(&id, &token, "offer");
        assert_eq!(server.begin_post_at(&target, &offer(&id, "1")).response(false).status, 200);
        stream.expect(forwarded_offer(&id, &id, "1"));
    });
}

#[test]
fn id_and_token_are_percent_decoded_once() {
    on_own(|server| {
        for id in ["a b", "ünï/ç%41?#&=+", "日本", "100%"] {
            let mut stream = server.stream(id);
            let mut b = server.client("b");
            b.send(offer(id, "1"));
            stream.expect(forwarded_offer("b", id, "1"));
            assert_eq!(server.post(id, "offer", &offer("b", "2")).status, 200);
            b.expect(forwarded_offer(id, "b", "2"));
            // The WebSocket's URL has the same id and token in another encoding.
            server.upgraded(id).expect_nothing(id);
            stream.expect_end();
        }
    });
}

#[test]
fn a_doubled_path_and_a_final_slash_are_understood() {
    on_own(|server| {
        for doubled in ["/peerjs/peerjs", "/peerjs/peerjs/"] {
            let at = |word: &str| format!("{}/a/{}/{word}", doubled.trim_end_matches('/'), token_of("a"));
            let stream = server.begin_stream_at("a", &at("id?i=0"));
            let mut stream = server.greeted(stream);
            for word in ["offer", "offer/"] {
                let posted = server.begin_post_at(&at(word), &offer("a", "1")).response(false);
                assert_eq!(posted.status, 200, "{doubled} {word}");
                stream.expect(forwarded_offer("a", "a", "1"));
            }
        }
    });
}

#[test]
fn a_peer_that_is_called_as_the_key_is_posted_for_as_any_other() {
    on_own(|server| {
        let mut stream = server.stream("peerjs");
        assert_eq!(server.post("peerjs", "candidate", &message("CANDIDATE", "peerjs", "1")).status, 200);
        stream.expect(forwarded("CANDIDATE", "peerjs", "peerjs", "1"));
    });
}

#[test]
fn streams_and_posts_hang_below_the_mount_path() {
    on_own_with(
        |config| config.path = MountPath::parse("/my/app").unwrap(),
        |server| {
            let mut stream = server.stream("a");
            assert_eq!(server.post("a", "offer", &offer("a", "1")).status, 200);
            stream.expect(forwarded_offer("a", "a", "1"));
            for word in WORDS {
                assert_eq!(status(server, &format!("/peerjs/a/t/{word}")), 404);
            }
        },
    );
}

#[test]
fn other_addresses_and_other_methods_are_nothing_here() {
    on_own(|server| {
        let _a = server.client("a");
        let token = token_of("a");
        for rest in ["", "/", "/offers", "/OFFER", "/expire", "/heartbeat", "/id/x", "/offer/x"] {
            assert_eq!(status(server, &format!("/peerjs/a/{token}{rest}")), 404, "{rest:?}");
        }
        for target in
            ["/offer", "/peerjs/offer", "/peerjs/a/offer", "/x/y/peerjs/a/t/offer", "/x/peerjs/a/t/id"]
        {
            assert_eq!(status(server, target), 404, "{target}");
        }
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            for word in WORDS {
                let target = server.post_target("a", word);
                assert_eq!(server.request(method, &target, "").status, 404, "{method} {word}");
            }
        }
    });
}

#[test]
fn without_peerjs_there_are_no_streams_and_no_posts() {
    on_own_with(
        |config| config.dialects = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]),
        |server| {
            for word in WORDS {
                let response = server.begin_post_at(&format!("/peerjs/a/t/{word}"), "{}").response(false);
                assert_eq!(response.status, 404, "{word}");
            }
        },
    );
}

#[test]
fn every_answer_may_be_read_by_the_page_that_asked() {
    on_own(|server| {
        let origin = "Origin: http://page.test\r\n";
        let allowed = |headers: &crate::harness::http_client::Response| {
            assert_eq!(headers.header("access-control-allow-origin").as_deref(), Some("http://page.test"));
            assert!(headers.header("vary").unwrap().split(", ").any(|name| name == "Origin"));
        };
        let mut http = server.http();
        http.send(post(&server.post_target("a", "id?i=0"), origin, b""));
        let head = http.head();
        assert_eq!(head.status, 200);
        allowed(&head);
        let _b = server.client("b");
        let good = server.post_target("b", "offer");
        for (target, body, status) in [
            (good.as_str(), offer("b", "1").as_str(), 200),
            (good.as_str(), "nonsense", 400),
            ("/wrong/b/t/offer", "{}", 401),
            ("/wrong/b/t/id?i=0", "{}", 401),
            ("/peerjs/%zz/t/offer", "{}", 400),
            ("/peerjs/b/t/nothing", "{}", 404),
        ] {
            let mut http = server.http();
            http.send(post(target, origin, body.as_bytes()));
            let response = http.response(false);
            assert_eq!(response.status, status, "{target}");
            allowed(&response);
        }
    });
}

#[test]
fn a_page_may_ask_whether_it_may_post_json() {
    on_own(|server| {
        let headers = "Origin: http://page.test\r\nAccess-Control-Request-Method: POST\r\n\
                       Access-Control-Request-Headers: content-type\r\n";
        for word in WORDS {
            let response = server.request("OPTIONS", &server.post_target("a", word), headers);
            assert_eq!(response.status, 204, "{word}");
            assert!(response.header("access-control-allow-methods").unwrap().contains("POST"));
            assert_eq!(response.header("access-control-allow-headers").as_deref(), Some("content-type"));
            assert_eq!(response.header("access-control-allow-origin").as_deref(), Some("http://page.test"));
        }
    });
}

#[test]
fn only_pages_of_listed_origins_may_read_the_answers() {
    on_own_with(
        |config| config.cors = vec!["http://a.test".parse().unwrap()],
        |server| {
            for (origin, allowed) in [("http://a.test", Some("http://a.test")), ("http://b.test", None)] {
                let mut http = server.http();
                http.send(post(&server.post_target("a", "id?i=0"), &format!("Origin: {origin}\r\n"), b""));
                assert_eq!(http.head().header("access-control-allow-origin").as_deref(), allowed);
            }
        },
    );
}
