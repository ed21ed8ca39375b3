//! Keys whose clients prove that they own an id.

pub mod rooms;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use peerbroker_keys::{Auth, Change, JwtKey, Key};
use serde_json::{Value, json};

use crate::harness::keys::{Keys, key, on_own_with_keys};
use crate::harness::legacy::post;
use crate::harness::messages::{ID_TAKEN, error, forwarded_offer, offer};
use crate::harness::{RawClient, TestServer};

const SECRET: &str = "a secret of thirty-two bytes or more";
const INVALID: &str = "Invalid token provided";
const OPEN: &str = r#"{"type":"OPEN"}"#;

pub fn with_tokens() -> Key {
    let auth = Auth::Jwt { verify: JwtKey::Secret(SECRET.to_owned()) };
    key("app", Change { auth: Some(auth), ..Change::default() })
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A token that is valid for an hour. `number` makes it unique.
pub fn token(sub: &str, number: u64) -> String {
    signed(&json!({ "sub": sub, "exp": seconds() + 3600, "jti": number }))
}

fn come(server: &TestServer, id: &str, token: &str) -> RawClient {
    server.connect_with_query(&format!("key=app&id={id}&token={token}"))
}

fn expect_refused(mut client: RawClient, text: &str) {
    client.expect(text);
    client.expect_closed_with(None);
}

/// Nobody knows if the client owns its id: over a WebSocket, and over HTTP.
fn expect_unavailable(server: &TestServer) {
    let mut client = come(server, "a", &token("a", 1));
    client.expect(error("Server is not available at the moment"));
    client.expect_closed_with(Some(1013));
    let stream = server.request("POST", "/app/c/token/id?i=0", "Content-Length: 0\r\n");
    assert_eq!((stream.status, stream.text()), (503, "Server is not available at the moment"));
    let mut http = server.http();
    http.send(post("/app/a/token/offer", "", offer("b", "1").as_bytes()));
    assert_eq!(http.response(false).status, 503);
}

fn on_own_with_tokens(test: impl Fn(&TestServer, &Keys<'_>)) {
    on_own_with_keys(&[with_tokens()], test);
}

#[test]
fn an_end_of_a_pipe_needs_a_token_or_a_pipe_that_is_in_an_offer() {
    on_own_with_tokens(|server, _| {
        let end = |pipe: &str, query: &str| {
            let target = format!("{}pipe/{pipe}?key=app&end=AAAAAAAAAAAAAAAAAAAAAQ{query}", server.root());
            let mut end = server.begin_at(&target);
            end.expect_accepted();
            end
        };
        let unknown = "AAAAAAAAAAAAAAAAAAAAAg";
        end(unknown, "").expect_closed_with(Some(4014));
        end(unknown, &format!("&peer=b&token={}", token("a", 1))).expect_closed_with(Some(4014));
        let mut proved = end(unknown, &format!("&peer=a&token={}", token("a", 1)));
        proved.ping(b"");
        proved.expect_pong();
        // A page whose script knows no token, with a library that has sent one.
        let mut a = come(server, "a", &token("a", 1));
        a.expect(OPEN);
        let offered = "AQIDBAUGBwgJCgsMDQ4PEA";
        end(offered, "").expect_closed_with(Some(4014));
        a.send(offer(
            "b",
            &json!({ "sdp": { "type": "offer", "sdp": format!("v=0\r\na=pipe:1 {offered} key\r\n") } })
                .to_string(),
        ));
        a.expect_nothing("a");
        let mut offered = end(offered, "");
        offered.ping(b"");
        offered.expect_pong();
    });
}

#[test]
fn a_token_for_an_id_gives_the_id() {
    on_own_with_tokens(|server, _| {
        let mut a = come(server, "a", &token("a", 1));
        let mut b = come(server, "b", &token("b", 1));
        a.expect(OPEN);
        b.expect(OPEN);
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
    });
}

#[test]
fn no_other_token_gets_it() {
    on_own_with_tokens(|server, _| {
        let hour = seconds() + 3600;
        for bad in [
            "anything".to_owned(),
            token("b", 1),
            signed(&json!({ "sub": "a" })),
            signed(&json!({ "sub": "a", "exp": hour, "nbf": hour })),
            signed(&json!({ "sub": "a", "exp": hour, "aud": "another key" })),
            signed(&json!({ "exp": hour })),
            format!("{}x", token("a", 1)),
        ] {
            expect_refused(come(server, "a", &bad), &error(INVALID));
        }
        // Only a client with a token that was valid hears more.
        let expired = signed(&json!({ "sub": "a", "exp": seconds() - 3600 }));
        expect_refused(come(server, "a", &expired), &error("The token has expired"));
        expect_refused(come(server, "a", &format!("{expired}x")), &error(INVALID));
        assert!(server.tenant("app").is_empty());
        come(server, "a", &signed(&json!({ "sub": "a", "exp": hour, "aud": "app" }))).expect(OPEN);
    });
}

#[test]
fn a_fresh_token_of_the_same_subject_takes_over_and_a_stolen_one_of_another_does_not() {
    on_own_with_tokens(|server, _| {
        let mut old = come(server, "a", &token("a", 1));
        old.expect(OPEN);
        expect_refused(come(server, "a", &token("b", 1)), &error(INVALID));
        let mut new = come(server, "a", &token("a", 2));
        new.expect(OPEN);
        old.expect_closed_with(Some(4001));
    });
}

#[test]
fn a_prefix_gives_any_id_with_that_prefix_to_the_first_client() {
    on_own_with_tokens(|server, _| {
        let mine = token("room-*", 1);
        let other = token("room-*", 2);
        let mut a = come(server, "room-1", &mine);
        a.expect(OPEN);
        expect_refused(come(server, "lobby", &mine), &error(INVALID));
        let mut thief = come(server, "room-1", &other);
        let ping = a.expect_ping();
        a.pong(&ping);
        expect_refused_as_taken(&mut thief);
        let mut again = come(server, "room-1", &mine);
        again.expect(OPEN);
        a.expect_closed_with(Some(4001));
    });
}

fn expect_refused_as_taken(client: &mut RawClient) {
    client.expect(ID_TAKEN);
    client.expect_closed_with(None);
}

#[test]
fn a_token_in_a_request_for_an_id_gives_its_own() {
    on_own_with_tokens(|server, _| {
        let get =
            |token: &str| server.request("GET", "/app/id", &format!("Authorization: Bearer {token}\r\n"));
        let alice = get(&token("alice", 1));
        assert_eq!((alice.status, alice.text()), (200, "alice"));
        let room = get(&token("room-*", 1));
        assert!(room.text().starts_with("room-") && room.text().len() == 5 + 36, "{}", room.text());
        assert_eq!(get("nonsense").status, 401);
        let anybody = server.request("GET", "/app/id", "");
        assert_eq!((anybody.status, anybody.text().len()), (200, 36));
    });
}

#[test]
fn streams_and_posts_need_a_token_as_well() {
    on_own_with_tokens(|server, _| {
        let mut b = come(server, "b", &token("b", 1));
        b.expect(OPEN);
        let mut a = come(server, "a", &token("a", 1));
        a.expect(OPEN);
        let send = |token: &str, number: u32| {
            let target = format!("/app/a/{token}/offer");
            let mut http = server.http();
            http.send(post(&target, "", offer("b", &number.to_string()).as_bytes()));
            http.response(false).status
        };
        // A new token with the same subject is the same owner.
        assert_eq!(send(&token("a", 2), 1), 200);
        b.expect(forwarded_offer("a", "b", "1"));
        assert_eq!(send(&token("b", 1), 2), 401);
        assert_eq!(send("nonsense", 3), 401);
        b.expect_nothing("b");
        let stream = server.request("POST", "/app/c/nonsense/id?i=0", "Content-Length: 0\r\n");
        assert_eq!((stream.status, stream.text()), (401, INVALID));
    });
}

#[test]
fn guests_have_no_way_to_prove_anything_and_are_refused() {
    on_own_with_tokens(|server, _| {
        let mut guest = server.begin_at(&server.root_of("app"));
        guest.expect_accepted();
        guest.expect_guest_refused(json!({ "type": "error", "val": INVALID }).to_string(), 4014);
    });
}

#[test]
fn a_changed_secret_applies_to_the_next_client() {
    on_own_with_tokens(|server, keys| {
        let mut here = come(server, "a", &token("a", 1));
        here.expect(OPEN);
        let auth =
            Auth::Jwt { verify: JwtKey::Secret("another secret of more than thirty-two bytes".to_owned()) };
        keys.change("app", Change { auth: Some(auth), ..Change::default() });
        expect_refused(come(server, "b", &token("b", 1)), &error(INVALID));
        here.send(offer("a", "1"));
        here.expect(forwarded_offer("a", "a", "1"));
    });
}

#[test]
fn with_a_secret_that_cannot_be_used_everybody_is_told_to_come_back() {
    let short = Auth::Jwt { verify: JwtKey::Secret("short".to_owned()) };
    let broken = key("app", Change { auth: Some(short), ..Change::default() });
    on_own_with_keys(&[broken], |server, _| {
        expect_unavailable(server);
        // The other keys are unchanged.
        let _b = server.client("b");
    });
}

/// A webhook that answers each request with this status.
fn webhook(status: &'static str) -> Key {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for tcp in listener.incoming().map(Result::unwrap) {
            let mut lines = BufReader::new(&tcp).lines().map_while(Result::ok);
            lines.find(String::is_empty);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            (&tcp).write_all(answer.as_bytes()).unwrap();
        }
    });
    asks(url)
}

fn asks(url: String) -> Key {
    key("app", Change { auth: Some(Auth::Webhook { url }), ..Change::default() })
}

#[test]
fn a_webhook_that_fails_says_nothing_about_a_client() {
    for status in ["403 Forbidden", "404 Not Found"] {
        on_own_with_keys(&[webhook(status)], |server, _| {
            come(server, "a", "token").expect_refused(error(INVALID));
        });
    }
    for status in
        ["429 Too Many Requests", "302 Found", "500 Internal Server Error", "503 Service Unavailable"]
    {
        on_own_with_keys(&[webhook(status)], |server, _| expect_unavailable(server));
    }
    on_own_with_keys(&[asks("http://127.0.0.1:1/".to_owned())], |server, _| expect_unavailable(server));
}
