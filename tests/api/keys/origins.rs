//! Origins that may use a key.

use peerbroker_keys::{Change, Key, Origin};

use crate::harness::guests::problem;
use crate::harness::keys::{key, on_both_with_keys, on_own_with_keys, plain_key};
use crate::harness::legacy::post;
use crate::harness::messages::{error, message};
use crate::harness::{RawClient, TestServer};

const FOREIGN: &str = "This origin may not use the key";

const ADMITTED: [&str; 4] =
    ["https://example.com", "https://a.example.org", "https://a.b.example.org", "http://localhost:3000"];
const REFUSED: [&str; 9] = [
    "http://example.com",
    "https://example.com:8443",
    "https://example.com.evil.test",
    "https://example.org",
    "https://evilexample.org",
    "https://a.example.org.evil.test",
    "http://localhost",
    "https://EXAMPLE.com",
    "null",
];

fn origins() -> Change {
    let origins = ["https://example.com", "https://*.example.org", "http://localhost:3000"];
    let origins = origins.map(|origin| Origin::parse(origin).unwrap()).into();
    Change { origins: Some(origins), allow_discovery: Some(true.into()), ..Change::default() }
}

fn bound() -> [Key; 2] {
    let native = Change { allow_no_origin: Some(true), ..origins() };
    [key("web", origins()), key("native", native)]
}

fn line(origin: &str) -> String {
    format!("Origin: {origin}\r\n")
}

fn peer(server: &TestServer, key: &str, headers: &str) -> RawClient {
    let mut client = server.begin_with(&server.target_of(key, "a"), headers);
    client.expect_accepted();
    client
}

/// A client that was admitted and has left.
fn expect_admitted(server: &TestServer, key: &str, headers: &str) {
    let mut client = peer(server, key, headers);
    client.expect_open();
    client.expect_closed_by_us(Some(1000));
}

fn guest(server: &TestServer, key: &str, headers: &str) -> RawClient {
    let mut guest = server.begin_with(&server.root_of(key), headers);
    guest.expect_accepted();
    guest
}

fn begin_post(server: &TestServer, word: &str, headers: &str, body: &str) -> (u16, String) {
    let mut http = server.http();
    http.send(post(&server.post_target_of("web", "a", word), headers, body.as_bytes()));
    let response = http.response(false);
    (response.status, response.text().to_owned())
}

#[test]
fn a_key_without_origins_may_be_used_from_everywhere() {
    on_own_with_keys(&[plain_key("one")], |server, _| {
        for headers in ["", "Origin: https://anywhere.test\r\n", "Origin: null\r\n", "Origin: \r\n"] {
            expect_admitted(server, "one", headers);
            guest(server, "one", headers).expect_quiet();
        }
    });
}

#[test]
fn a_key_with_origins_may_be_used_from_these_alone() {
    on_both_with_keys(&bound(), |server, _| {
        for origin in ADMITTED {
            expect_admitted(server, "web", &line(origin));
            guest(server, "web", &line(origin)).expect_quiet();
        }
        for origin in REFUSED {
            peer(server, "web", &line(origin)).expect_refused(error(FOREIGN));
            guest(server, "web", &line(origin)).expect_guest_refused(problem(FOREIGN), 4014);
        }
        assert!(server.tenant("web").peers().is_empty());
    });
}

#[test]
fn a_client_without_an_origin_is_admitted_only_if_the_key_allows_it() {
    on_own_with_keys(&bound(), |server, _| {
        for headers in ["", "Origin: \r\n"] {
            peer(server, "web", headers).expect_refused(error(FOREIGN));
            guest(server, "web", headers).expect_guest_refused(problem(FOREIGN), 4014);
            expect_admitted(server, "native", headers);
            guest(server, "native", headers).expect_quiet();
        }
        // A page always sends its origin.
        peer(server, "native", &line("https://evil.test")).expect_refused(error(FOREIGN));
        guest(server, "native", &line("https://evil.test")).expect_guest_refused(problem(FOREIGN), 4014);
    });
}

#[test]
fn an_unknown_key_is_told_before_a_foreign_origin() {
    on_own_with_keys(&bound(), |server, _| {
        let mut client = server.begin_with(&server.target_of("unknown", "a"), &line("https://evil.test"));
        client.expect_accepted();
        client.expect_refused(error("Invalid key provided"));
    });
}

#[test]
fn streams_and_posts_from_elsewhere_are_401() {
    on_own_with_keys(&bound(), |server, _| {
        let mut here = peer(server, "web", &line(ADMITTED[0]));
        here.expect_open();
        let body = message("OFFER", "a", "1");
        for headers in [&line("https://evil.test"), "", "Origin: null\r\n"] {
            assert_eq!(begin_post(server, "id?i=0", headers, ""), (401, FOREIGN.to_owned()));
            assert_eq!(begin_post(server, "offer", headers, &body), (401, "Unauthorized".to_owned()));
        }
        here.expect_nothing("a");
        assert_eq!(begin_post(server, "offer", &line(ADMITTED[1]), &body).0, 200);
        here.expect(crate::harness::messages::forwarded_offer("a", "a", "1"));
    });
}

#[test]
fn a_page_from_elsewhere_gets_an_id_so_that_its_websocket_is_told_why() {
    on_both_with_keys(&bound(), |server, _| {
        let key_of = |headers: &str| {
            let answer = server.http().request("GET", &format!("{}web/id", server.root()), headers);
            assert_eq!((answer.status, answer.text().len()), (200, 36), "{headers}");
            assert_eq!(answer.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed.map(|origin| line(&origin)).unwrap_or_default(), headers);
            answer.header("x-peerbroker-key")
        };
        for origin in ADMITTED {
            assert_eq!(key_of(&line(origin)), None, "{origin}");
        }
        for headers in REFUSED.map(line).iter().map(String::as_str).chain([""]) {
            assert_eq!(key_of(headers).as_deref(), Some("foreign_origin"), "{headers}");
            peer(server, "web", headers).expect_refused(error(FOREIGN));
        }
    });
}

#[test]
fn lists_of_peers_are_not_for_pages_from_elsewhere() {
    on_own_with_keys(&bound(), |server, _| {
        for target in ["/web/peers", "/w%65b/peers", "/web/ice"] {
            for origin in ADMITTED {
                assert_eq!(server.request("GET", target, &line(origin)).status, 200, "{target} {origin}");
            }
            for origin in REFUSED {
                let response = server.request("GET", target, &line(origin));
                assert_eq!((response.status, response.text()), (403, "Forbidden"), "{target} {origin}");
            }
            assert_eq!(server.request("GET", target, "").status, 403);
            assert_eq!(server.request("HEAD", target, "").status, 403);
        }
        for target in ["/native/peers", "/native/ice"] {
            assert_eq!(server.request("GET", target, "").status, 200);
            assert_eq!(server.request("GET", target, &line("https://evil.test")).status, 403);
        }
    });
}

#[test]
fn other_origins_count_for_newcomers_and_nobody_has_to_go() {
    on_own_with_keys(&bound(), |server, keys| {
        let mut here = peer(server, "web", &line(ADMITTED[0]));
        here.expect_open();
        let other = vec![Origin::parse("https://other.test").unwrap()];
        keys.change("web", Change { origins: Some(other), ..Change::default() });
        here.expect_nothing("a");
        peer(server, "web", &line(ADMITTED[0])).expect_refused(error(FOREIGN));
        here.expect_nothing("a");
        let mut again = peer(server, "web", &line("https://other.test"));
        again.expect_open();
        assert_eq!(here.expect_close(), Some(4001));
    });
}

#[test]
fn an_origin_longer_than_any_real_one_may_use_no_key() {
    on_own_with_keys(&[plain_key("k")], |server, _| {
        let of = |length: usize| format!("Origin: https://{}\r\n", "a".repeat(length - "https://".len()));
        for (length, fine) in [(300, true), (301, false), (60_000, false)] {
            let mut client = server.begin_with(&server.target_of("k", "a"), &of(length));
            client.expect_accepted();
            if fine {
                client.expect_open();
                client.expect_closed_by_us(Some(1000));
            } else {
                client.expect_refused(error(FOREIGN));
            }
            let ids = server.http().request("GET", &format!("{}k/id", &server.root()), &of(length));
            assert_eq!(ids.header("x-peerbroker-key").is_none(), fine, "{length}");
        }
    });
}
