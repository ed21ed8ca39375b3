//! `GET /{key}/peers` in pages.

use peerbroker_keys::{Change, Origin};

use crate::harness::keys::{key, on_own_with_keys};
use crate::harness::{RawClient, TestServer, on_own, on_own_with};

/// Ids in an order that only their registration explains.
const IDS: [&str; 7] = ["b", "a", "ü", "Z", "a b&c=d+e%", "10", "9"];
const SORTED: [&str; 7] = ["10", "9", "Z", "a", "a b&c=d+e%", "b", "ü"];
const MOST: usize = 1000;

fn on_own_with_discovery(test: impl Fn(&TestServer)) {
    on_own_with(|config| config.key_settings.allow_discovery = true.into(), test);
}

fn ids(server: &TestServer, query: &str) -> Vec<String> {
    let answer = server.get(&format!("/peerjs/peers{query}"));
    assert_eq!(answer.status, 200, "{query}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json; charset=utf-8"));
    serde_json::from_slice(&answer.body).expect("an array of ids")
}

/// All pages of this size, each requested after the last id of the previous one, up to a short page.
fn all_in_pages_of(server: &TestServer, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        query.extend_pairs(all.last().map(|last| ("after", last)));
        let page = ids(server, &format!("?{}", query.finish()));
        assert!(page.len() <= limit, "{page:?}");
        let is_last = page.len() < limit;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

fn clients(server: &TestServer) -> Vec<RawClient> {
    IDS.map(|id| server.client(id)).into()
}

#[test]
fn peers_come_in_pages_in_the_order_of_their_bytes() {
    on_own_with_discovery(|server| {
        let _clients = clients(server);
        for limit in [1, 2, 3, 7, 8, 100_000] {
            assert_eq!(all_in_pages_of(server, limit), SORTED, "{limit}");
        }
        assert_eq!(ids(server, "?after=Z"), SORTED[3..]);
        assert_eq!(ids(server, "?after=Y"), SORTED[2..], "one that is not there");
        assert_eq!(ids(server, "?limit=2&after="), SORTED[..2]);
        assert_eq!(ids(server, "?limit=2&ts=1&limit=1"), SORTED[..1], "of repeated names the last");
        assert_eq!(ids(server, "?after=%C3%BC"), [""; 0]);
        assert_eq!(ids(server, "/?limit=1"), SORTED[..1]);
        assert_eq!(ids(server, "?ts=1&version=1.5.5"), IDS, "no page: the plain form");
    });
}

#[test]
fn no_page_has_more_than_a_thousand() {
    on_own_with_discovery(|server| {
        let _clients: Vec<_> = (0..=MOST).map(|n| server.client(&format!("{n:05}"))).collect();
        for query in ["?limit=1000", "?limit=1001", "?after=", "?limit=18446744073709551615"] {
            assert_eq!(ids(server, query).len(), MOST, "{query}");
        }
        assert_eq!(ids(server, "?after=00999"), ["01000"]);
        assert_eq!(ids(server, "").len(), MOST + 1, "the plain form has all");
    });
}

#[test]
fn an_invalid_limit_is_a_bad_request() {
    on_own_with_discovery(|server| {
        for limit in ["0", "-1", "x", "", "1.5", "%20", "18446744073709551616"] {
            let refused = server.get(&format!("/peerjs/peers?limit={limit}"));
            assert_eq!(
                (refused.status, refused.text()),
                (400, "limit is a whole number from 1 on\n"),
                "{limit}"
            );
        }
    });
}

#[test]
fn a_client_that_may_not_list_peers_gets_no_page_of_the_list() {
    on_own(|server| {
        for query in ["?limit=1", "?after=a", "?limit=0"] {
            assert_eq!(server.get(&format!("/peerjs/peers{query}")).status, 401, "{query}");
            assert_eq!(server.get(&format!("/unknown/peers{query}")).status, 401, "{query}");
        }
    });
    let origins = Some(vec![Origin::parse("https://a.example").unwrap()]);
    let web = key("web", Change { allow_discovery: Some(true.into()), origins, ..Change::default() });
    on_own_with_keys(&[web], |server, _| {
        let from =
            |origin| server.request("GET", "/web/peers?limit=1", &format!("Origin: {origin}\r\n")).status;
        assert_eq!((from("https://a.example"), from("https://b.example")), (200, 403));
    });
}

#[test]
fn a_page_has_the_peers_of_its_key_alone() {
    let discovery = || Change { allow_discovery: Some(true.into()), ..Change::default() };
    on_own_with_keys(&[key("one", discovery()), key("two", discovery())], |server, _| {
        let _clients = (server.client_of("one", "a"), server.client_of("two", "b"), server.client("c"));
        let _guest = server.guest_of("one", "a guest");
        assert_eq!(server.get("/one/peers?limit=5").text(), r#"["a"]"#);
        assert_eq!(server.get("/two/peers?after=a").text(), r#"["b"]"#);
    });
}

#[test]
fn the_members_of_a_room_are_listed_where_discovery_is_on() {
    on_own_with(
        |config| config.key_settings.allow_discovery = true.into(),
        |server| {
            let mut b = server.client("b");
            let mut a = server.client("a");
            for client in [&mut b, &mut a] {
                client.send(r#"{"type":"ROOM-JOIN","room":"x y"}"#);
                client.expect_text();
            }
            let listed = |room: &str| server.get(&format!("/peerjs/rooms/{room}/peers")).text().to_owned();
            assert_eq!((listed("x%20y"), listed("x")), (r#"["a","b"]"#.to_owned(), "[]".to_owned()));
            assert_eq!(server.get("/peerjs/rooms/%zz/peers").status, 400);
            assert_eq!(server.get("/unknown/rooms/x/peers").status, 401);
        },
    );
}
