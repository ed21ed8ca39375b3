//! Texts with a meaning for shells, databases or file systems are ordinary ids and keys.

use std::sync::Arc;

use peerbroker_keys::sqlite::SqliteKeys;
use peerbroker_keys::{Change, Key, KeyStore as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::directory::Directory;
use crate::harness::http_client::Response;
use crate::harness::keys::{INVALID_KEY, api_key, key, plain_key};
use crate::harness::legacy::post;
use crate::harness::messages::{error, forwarded_offer, offer};
use crate::harness::{RawClient, TestServer, Transport, token_of};

const HOSTILE: [&str; 24] = [
    "'; DROP TABLE keys; --",
    "' OR '1'='1",
    "\" OR 1=1 --",
    "one' --",
    "one\\",
    "%",
    "_",
    "*",
    "../x",
    "..",
    ".",
    "../../../../etc/passwd",
    "..\\..\\x",
    "%2e%2e",
    "..%2fx",
    "%00",
    "/",
    "a/b?c#d&e=f",
    "$(reboot)`reboot`;|&",
    "${jndi:ldap://a.test/x}",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "\u{202e}\u{2028}",
    "one ",
];

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Runs a test with keys in a database of SQLite.
fn on_own_with_database(keys: &[Key], test: impl Fn(&TestServer, &SqliteKeys)) {
    let directory = Directory::new();
    let store = Arc::new(SqliteKeys::open(&directory.at("data")).unwrap());
    keys.iter().for_each(|key| store.add(key.clone()).unwrap());
    test(&TestServer::start_with_keys(Transport::Own, |_| {}, store.clone()), &store);
}

fn come(server: &TestServer, key: &str, id: &str) -> RawClient {
    server.newcomer_of(&encoded(key), &encoded(id))
}

fn posted(server: &TestServer, key: &str, id: &str, word: &str, body: &str) -> Response {
    let token = encoded(&token_of(id));
    let target = format!("/{}/{}/{token}/{word}", encoded(key), encoded(id));
    let mut http = server.http();
    http.send(post(&target, "", body.as_bytes()));
    http.response(false)
}

fn get(server: &TestServer, key: &str, what: &str) -> Response {
    server.get(&format!("/{}/{what}", encoded(key)))
}

#[test]
fn an_unknown_key_is_unknown_for_any_text() {
    let keys = [plain_key("one"), plain_key("two")];
    on_own_with_database(&keys, |server, store| {
        let before = store.all().unwrap();
        for text in HOSTILE {
            come(server, text, "a").expect_refused(error(INVALID_KEY));
            let stream = posted(server, text, "a", "id?i=0", "");
            assert_eq!((stream.status, stream.text()), (401, INVALID_KEY), "{text}");
            assert_eq!(posted(server, text, "a", "offer", &offer("b", "1")).status, 401, "{text}");
            assert_eq!(get(server, text, "peers?limit=1").status, 401, "{text}");
            let fresh = get(server, text, "id");
            assert_eq!((fresh.status, fresh.body.len()), (200, 36), "{text}");
        }
        assert_eq!(store.all().unwrap(), before);
        server.client_of("one", "a").expect_nothing("a");
    });
}

#[test]
fn a_key_that_is_there_is_exactly_that_one() {
    let discovery = Change { allow_discovery: Some(true.into()), ..Change::default() };
    on_own_with_database(&[plain_key("one")], |server, store| {
        HOSTILE.iter().for_each(|text| store.add(key(text, discovery.clone())).unwrap());
        server.read_keys();
        for (n, text) in HOSTILE.into_iter().enumerate() {
            let mut client = come(server, text, "a");
            client.expect_open();
            assert_eq!(posted(server, text, "a", "offer", &offer("a", "1")).status, 200, "{text}");
            client.expect(forwarded_offer("a", "a", "1"));
            assert_eq!(get(server, text, "peers").text(), r#"["a"]"#, "{text}");
            assert_eq!(get(server, text, "peers?limit=1").text(), r#"["a"]"#, "{text}");
            store.remove(&api_key(text)).unwrap();
            server.read_keys();
            client.expect_closed_with(Some(4004));
            assert_eq!(store.all().unwrap().len(), HOSTILE.len() - n, "{text} is gone, and no other");
        }
        server.client_of("one", "a").expect_nothing("a");
    });
}

#[test]
fn any_text_as_an_id_names_exactly_that_id() {
    let discovery = Change { allow_discovery: Some(true.into()), ..Change::default() };
    on_own_with_database(&[key("one", discovery)], |server, store| {
        let before = store.all().unwrap();
        let mut bystander = server.client_of("one", "bystander");
        for text in HOSTILE {
            let mut client = come(server, "one", text);
            client.expect_open();
            bystander.send(offer(text, "1"));
            client.expect(forwarded_offer("bystander", text, "1"));
            assert_eq!(posted(server, "one", text, "offer", &offer("bystander", "2")).status, 200, "{text}");
            bystander.expect(forwarded_offer(text, "bystander", "2"));
            let listed: Vec<String> = serde_json::from_slice(&get(server, "one", "peers").body).unwrap();
            assert_eq!(listed, ["bystander", text]);
            let page = format!("peers?after={}", encoded(text));
            let behind: Vec<String> = serde_json::from_slice(&get(server, "one", &page).body).unwrap();
            assert_eq!(behind, if text < "bystander" { vec!["bystander"] } else { vec![] }, "{text}");
            client.expect_closed_by_us(Some(1000));
            bystander.expect_nothing("bystander");
        }
        assert_eq!(store.all().unwrap(), before);
    });
}

#[test]
fn a_path_is_not_walked_and_is_decoded_once() {
    on_own_with_database(&[plain_key("one"), plain_key("..")], |server, _| {
        // Each asks for the peers of a key without discovery, of an unknown key, or for nothing.
        for (target, status) in [
            ("/../peers", 401),
            ("/%2e%2e/peers", 401),
            ("/%252e%252e/peers", 401),
            ("/..%2fone/peers", 401),
            ("/one/../two/peers", 404),
            ("/one/%2e%2e/peers", 404),
            ("/one%2fpeers", 404),
            ("/../../etc/passwd", 404),
            ("/%00/peers", 401),
            ("/one%00/peers", 401),
            ("/one%0d%0aX-Odd:%201/peers", 401),
            ("/%ff/peers", 400),
        ] {
            let answer = server.get(target);
            assert_eq!(answer.status, status, "{target}");
            assert_eq!(answer.header("x-odd"), None, "{target}");
        }
    });
}

#[test]
fn a_zero_byte_and_other_control_characters_are_refused_wherever_a_name_can_stand() {
    on_own_with_database(&[plain_key("one")], |server, store| {
        let before = store.all().unwrap();
        for text in ["\0", "one\0", "\0one", "a\nb", "a\r\nb", "\u{1b}[2J", "\u{7f}", "\u{85}"] {
            let has = |what: &str| error(&format!("Invalid {what} provided: it has control characters"));
            come(server, text, "a").expect_refused(has("key"));
            come(server, "one", text).expect_refused(has("id"));
            let token = format!("key=one&id=a&token={}", encoded(text));
            server.connect_with_query(&token).expect_refused(has("token"));
            for (key, id) in [(text, "a"), ("one", text)] {
                assert_eq!(posted(server, key, id, "offer", &offer("b", "1")).status, 400, "{key:?} {id:?}");
                assert_eq!(posted(server, key, id, "id?i=0", "").status, 400, "{key:?} {id:?}");
            }
            assert_eq!(get(server, text, "peers").status, 401, "{text:?}");
        }
        assert!(server.tenant("one").is_empty());
        assert_eq!(store.all().unwrap(), before);
    });
}
