//! Mistakes of clients in the log.

mod messages;
mod proxies;
mod tokens;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::sqlite::SqliteKeys;
use peerbroker_keys::{Change, Key, KeyStore as _, Settings};
use rustls::ClientConnection;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use testkit::turn_client::{Datagrams, TurnClient, turn_of};
use testkit::wait::wait_until;

use crate::directory::Directory;
use crate::http_client::TIMEOUT;
use crate::program::{Ended, Program, run};
use crate::raw_client::RawClient;

/// Runs a program while clients make mistakes, and returns the lines of its log.
fn log_of(args: &[&str], mistakes: impl FnOnce(&Program)) -> Vec<String> {
    let mut program = Program::start(args);
    mistakes(&program);
    let Ended { stderr, .. } = program.stop();
    stderr.lines().map(str::to_owned).collect()
}

/// The only line with this text.
fn line<'a>(log: &'a [String], text: &str) -> &'a str {
    let mut lines = log.iter().filter(|line| line.contains(text));
    let line = lines.next().unwrap_or_else(|| panic!("{text} in {log:#?}"));
    assert!(lines.next().is_none(), "{text} twice in {log:#?}");
    assert!(line.contains(" INFO "), "{line}");
    line
}

/// Sends bytes as they are, and reads the answer.
fn raw(program: &Program, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(program.address).unwrap();
    tcp.set_read_timeout(Some(TIMEOUT)).unwrap();
    tcp.write_all(bytes).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_wrong_key_is_logged_once_with_the_right_one() {
    let log = log_of(&[], |program| {
        for id in ["alice", "bob", "carl"] {
            let target = format!("/peerjs?key=peerjss&id={id}&token=hushhush");
            let origin = "\r\nOrigin: http://page.test\r\n\r\n";
            let mut client = RawClient::connect(program.address, id);
            client.send_raw(RawClient::handshake(&target).replacen("\r\n\r\n", origin, 1));
            client.expect_accepted();
            assert!(client.expect_text().contains("Invalid key provided"));
            client.expect_closed_with(None);
        }
    });
    let line = line(&log, "asked for the key");
    let told =
        r#""peerjss" (id "alice", from 127.0.0.1, a page of "http://page.test"): the key here is "peerjs""#;
    assert!(line.ends_with(told), "{line}");
    assert!(!log.concat().contains("hushhush"), "{log:#?}");
}

#[test]
fn a_wrong_path_is_logged_with_the_right_one() {
    const SCRIPTS: [&str; 4] = ["/peerjs.js", "/wrong/rooms.mjs", "/share.js", "/peerjs-1.5.5.min.js"];
    let log = log_of(&["--path", "/myapp"], |program| {
        assert_eq!(program.get("/peerjs/id").status, 200);
        for script in SCRIPTS {
            assert_eq!(program.get(script).status, 404);
        }
        let mut client = program.connect("/wrong/peerjs?key=peerjs&id=a&token=t");
        assert!(client.expect_text().contains("Wrong path: this broker is at /myapp"));
        client.expect_closed_with(None);
        for nothing in ["/wp-login.php", "/.env", "/myapp/favicon.png"] {
            assert_eq!(program.get(nothing).status, 404);
        }
    });
    for path in SCRIPTS.into_iter().chain(["/peerjs/id", "/wrong/peerjs"]) {
        let line = line(&log, &format!("asked for {path:?}"));
        assert!(line.contains(r#"the path of this broker is "/myapp""#), "{line}");
    }
    assert!(line(&log, "asked for a path that is not here").contains("/wp-login.php"));
}

/// A dev server with `rewrite: path => path.replace(/^\/peer/, '')` makes `/js` of `/peerjs`.
#[test]
fn a_websocket_at_a_path_without_one_is_logged_with_the_path_that_is_served() {
    let log = log_of(&["--path", "/app"], |program| {
        for path in ["/app/js", "/app/js", "/app/somewhere"] {
            let mut client = RawClient::connect(program.address, "a");
            client.send_raw(RawClient::handshake(&format!("{path}?key=peerjs&id=a&token=hushhush")));
            assert_eq!(client.expect_response().status, 404);
        }
    });
    for path in ["/app/js", "/app/somewhere"] {
        let line = line(&log, &format!("asked for a WebSocket at {path:?}"));
        assert!(line.contains(r#"the one of this broker is at "/app/peerjs""#), "{line}");
    }
    assert!(!log.concat().contains("harmless") && !log.concat().contains("hushhush"), "{log:#?}");
}

const SECRET: &str = "hushhush-hushhush-hushhush-hushhush";

fn signed(header: &Header, secret: &str, claims: &Value) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[test]
fn a_token_that_is_refused_or_odd_is_logged_with_the_reason() {
    let directory = Directory::new();
    let data = directory.arg("data");
    let file = directory.file("secret", SECRET);
    let args = ["keys", "add", "-k", "game", "--data_dir", &data, "--jwt_secret_file", &file];
    assert_eq!(run(&args, &[]).status.code(), Some(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let hour = now + 3600;
    let good = Header::default();
    let by_us = |claims: Value| signed(&good, SECRET, &claims);
    let refused = [
        (by_us(json!({"sub": "a", "exp": now - 5 * 3600})), "has expired", "it expired 5 h ago"),
        (
            by_us(json!({"sub": "a", "exp": hour, "aud": "chess"})),
            "audience",
            r#"its aud is "chess", and has to be "game" or missing. If it cannot be changed, add a key with its name"#,
        ),
        (by_us(json!({"sub": "a", "exp": hour.to_string()})), "a wrong type", "its exp is a text: "),
        (by_us(json!({"sub": "a"})), "has no expiry", "add exp"),
        (by_us(json!({"sub": "bob", "exp": hour})), "is another id", r#"its sub is "bob""#),
        (
            by_us(json!({"sub": "a", "exp": hour, "nbf": hour})),
            "not valid yet",
            "60 min from now: the clock of its issuer, or of this machine, is wrong",
        ),
        (
            signed(&good, "another secret of thirty-two bytes", &json!({"sub": "a", "exp": hour})),
            "signature",
            "another secret",
        ),
        (
            signed(&Header::new(Algorithm::HS512), SECRET, &json!({"sub": "a", "exp": hour})),
            "another algorithm",
            r#"its alg is "HS512""#,
        ),
        ("x7tyf3h2k1".to_owned(), "is not a JSON Web Token", "does the page pass `token` to Peer?"),
    ];
    let odd = [
        (by_us(json!({"sub": "a", "exp": hour * 1000})), "is in milliseconds", "divide by 1000"),
        (
            by_us(json!({"sub": "a", "exp": hour * 3, "iat": hour})),
            "issued in the future",
            "60 min from now: the clock",
        ),
    ];
    let log = log_of(&["--data_dir", &data], |program| {
        for (token, reason, _) in &refused {
            let mut client = program.connect(&format!("/peerjs?key=game&id=a&token={token}"));
            let is_expired = *reason == "has expired";
            let told = if is_expired { "The token has expired" } else { "Invalid token provided" };
            assert!(client.expect_text().contains(told), "{reason}");
            client.expect_closed_with(None);
        }
        for (token, ..) in &odd {
            program.connect(&format!("/peerjs?key=game&id=a&token={token}")).expect_open();
        }
        // The same again is counted.
        program.connect(&format!("/peerjs?key=game&id=a&token={}", refused[0].0)).expect_text();
    });
    for (token, reason, detail) in refused.iter().chain(&odd) {
        let line = line(&log, reason);
        assert!(
            line.contains(r#"for the key "game""#) && line.contains(r#"(id "a", from 127.0.0.1)"#),
            "{line}"
        );
        assert!(line.contains(detail), "{detail}: {line}");
        assert!(!log.concat().contains(token.as_str()), "{log:#?}");
    }
}

#[test]
fn a_token_whose_signer_decodes_the_secret_is_told_so() {
    let directory = Directory::new();
    let data = directory.arg("data");
    let hex = "0123456789abcdef".repeat(4);
    let base64 = format!("{}=", "c2VjcmV0IHNl".repeat(4) + "Y3JldHM");
    let bytes = |text: &str| {
        let pairs = (0..text.len()).step_by(2);
        pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect::<Vec<_>>()
    };
    let claims = json!({"sub": "a", "exp": 4_000_000_000_u64});
    let signed = |secret: EncodingKey| encode(&Header::default(), &claims, &secret).unwrap();
    let tokens = [
        ("hex", &hex, signed(EncodingKey::from_secret(&bytes(&hex)))),
        ("base64", &base64, signed(EncodingKey::from_base64_secret(&base64).unwrap())),
    ];
    for (form, secret, _) in &tokens {
        let file = directory.file("secret", secret);
        let args = ["keys", "add", "-k", form, "--data_dir", &data, "--jwt_secret_file", &file];
        assert_eq!(run(&args, &[]).status.code(), Some(0));
    }
    let log = log_of(&["--data_dir", &data], |program| {
        for (form, secret, token) in &tokens {
            let open = |token: &str| program.connect(&format!("/peerjs?key={form}&id=a&token={token}"));
            assert!(open(token).expect_text().contains("Invalid token provided"), "{form}");
            open(&signed(EncodingKey::from_secret(secret.as_bytes()))).expect_open();
        }
    });
    for (form, ..) in tokens {
        let line = line(&log, &format!("for the key {form:?}"));
        assert!(line.contains(&format!("its signer decoded the secret from {form}")), "{line}");
        assert!(line.contains("sign with the text as it is, without decoding it"), "{line}");
    }
}

/// A key that another process adds, and a client that comes at once.
#[test]
fn a_key_is_active_for_a_client_that_comes_in_the_moment_after_it_was_added() {
    let directory = Directory::new();
    let data = directory.arg("data");
    let program = Program::start(&["--data_dir", &data]);
    let store = SqliteKeys::open(data.as_ref()).unwrap();
    for number in 0..5 {
        let key = format!("key-{number}");
        store.add(Key::new(ApiKey::parse(&key).ok(), "", Settings::default())).unwrap();
        program.connect(&format!("/peerjs?key={key}&id=a&token=t")).expect_open();
        let parsed = ApiKey::parse(&key).unwrap();
        store.change(&parsed, Change { enabled: Some(false), ..Change::default() }).unwrap();
        wait_until("the key is disabled", || {
            let answer = program.get(&format!("/{key}/id"));
            answer.header("x-peerbroker-key").is_some()
        });
        store.change(&parsed, Change { enabled: Some(true), ..Change::default() }).unwrap();
        program.connect(&format!("/peerjs?key={key}&id=b&token=t")).expect_open();
    }
}

#[test]
fn a_proxy_that_cuts_the_path_is_logged_once() {
    let log = log_of(&[], |program| {
        for id in ["alice", "bob"] {
            assert_eq!(program.get("/id").status, 200);
            let target = format!("/?key=peerjs&id={id}&token=hushhush&version=1.5.5");
            program.connect(&target).expect_open();
        }
    });
    let line = line(&log, r#"sent a request of PeerJS to "/""#);
    assert!(line.contains("a proxy in front cuts the path: have it pass …/peerjs unchanged"), "{line}");
    assert!(!log.concat().contains("not here"), "{log:#?}");
    assert!(!log.concat().contains("hushhush"), "{log:#?}");
}

#[test]
fn a_websocket_without_its_upgrade_is_logged_with_the_words_of_the_404() {
    let log = log_of(&[], |program| {
        let answer = program.get("/peerjs?key=peerjs&id=a&token=hushhush");
        assert!(answer.text().contains("the proxy in front drops the Upgrade header"), "{}", answer.text());
    });
    let line = line(&log, r#"asked for "/peerjs" (GET)"#);
    assert!(line.contains("this is the address of the WebSocket"), "{line}");
    assert!(
        line.ends_with("the proxy in front drops the Upgrade header: have it forward WebSocket upgrades"),
        "{line}"
    );
}

#[test]
fn a_user_of_turn_is_refused_with_the_settings_of_the_homeserver_too() {
    let flags = ["--turn", "127.0.0.1:0", "--turn_secret", SECRET, "--root_key", "peerjs"];
    let log = log_of(&flags, |program| {
        let at = turn_of(program);
        let refused =
            [("another secret", "9999999999:@u:matrix.test"), (SECRET, "1000000000:@u:matrix.test")];
        for (secret, username) in [refused, refused].concat() {
            let refused = TurnClient::allocate_with(secret, username, Box::new(Datagrams::to(at)));
            assert_eq!(refused.err(), Some(401), "{username}");
        }
    });
    let wrong = line(&log, "asked for TURN with a wrong username or password");
    assert!(wrong.contains("do all nodes have it, and the homeserver (turn_shared_secret)?"), "{wrong}");
    let expired = line(&log, "asked for TURN with credentials that have expired");
    assert!(
        expired.contains("a homeserver's user for longer than turn_user_lifetime, or a clock is wrong"),
        "{expired}"
    );
}

#[test]
fn an_origin_that_cors_does_not_list_is_logged_once() {
    let log = log_of(&["--cors", "http://a.test"], |program| {
        // The last one is that of the server's own pages.
        for origin in ["http://a.test", "http://b.test", "http://b.test", "http://server.test"] {
            program.request("/peerjs/id", &format!("Origin: {origin}\r\n"));
        }
    });
    let line = line(&log, "may not read answers");
    assert!(
        line.contains(r#"on pages of "http://b.test" (from 127.0.0.1): add that origin to --cors"#),
        "{line}"
    );
}

#[test]
fn a_list_of_peers_while_discovery_is_off_is_logged_with_the_flag() {
    let log = log_of(&[], |program| {
        for _ in 0..3 {
            assert_eq!(program.get("/peerjs/peers").status, 401);
        }
    });
    let line = line(&log, "asked for the list of the peers");
    assert!(
        line.contains(r#"of the key "peerjs", which is off (from 127.0.0.1): --allow_discovery"#),
        "{line}"
    );
}

#[test]
fn a_room_of_a_network_while_discovery_is_off_is_logged_with_the_flag() {
    let join = r#"{"type":"ROOM-JOIN","room":"~near"}"#;
    let log = log_of(&[], |program| {
        let mut client = program.client("a");
        client.send(join);
        assert!(client.expect_text().contains("near_off"));
    });
    let line = line(&log, "joined the room ~near");
    assert!(line.contains("--allow_discovery near lets those of one network do so"), "{line}");
    let log = log_of(&["--allow_discovery", "near"], |program| {
        let mut client = program.client("a");
        client.send(join);
        client.expect(r#"{"type":"ROOM-MEMBERS","room":"~near","members":[{"id":"a"}]}"#);
        assert_eq!(program.get("/peerjs/peers").text(), r#"["a"]"#);
    });
    assert!(!log.iter().any(|line| line.contains("~near") || line.contains("list of the peers")), "{log:?}");
}

#[test]
fn a_key_of_another_site_is_logged_when_its_list_of_peers_is_refused() {
    let directory = crate::directory::Directory::new();
    let file = directory.file("p.toml", "[[api_key]]\nkey = 'game'\norigins = ['https://game.test']\n");
    let log = log_of(&["--config", &file], |program| {
        let refused = program.request("/game/peers", "Origin: http://other.test\r\n");
        assert_eq!(refused.status, 403);
    });
    assert!(line(&log, "may not use the key").contains(r#""game" from the origin "http://other.test""#));
}

/// The request of a browser, and the words of the log and of the 404.
#[test]
fn a_request_for_another_protocol_or_for_one_that_is_off_says_so() {
    let peerjs = "--dialects +peerjs turns the protocol of PeerJS on";
    let socket_io = "socket.io is another protocol, which this broker does not speak";
    let script = r#"the script is at /peerjs.js: begin its src with a slash"#;
    let pages = "the demos and the documentation are off: --pages=false";
    for (flag, path, hint) in [
        ("--dialects=peerjs", "/socket.io/?EIO=4&transport=polling", socket_io),
        ("--dialects=topics", "/peerjs/id", peerjs),
        ("--dialects=topics", "/rooms.js", peerjs),
        ("--dialects=peerjs", "/lessons/peerjs.js", script),
        ("--pages=false", "/broker/slides/", pages),
        ("--pages=false", "/slides", pages),
    ] {
        let mut told = String::new();
        let log = log_of(&[flag], |program| {
            let answer = program.get(path);
            assert_eq!(answer.status, 404, "{path}");
            told = answer.text().to_lowercase();
        });
        let line = line(&log, &format!("asked for {:?} (GET)", path.split('?').next().unwrap()));
        assert!(line.to_lowercase().contains(&hint.to_lowercase()), "{path}: {line}");
        assert!(told.contains(&hint.to_lowercase()), "{path}: {told}");
    }
}

/// WebSockets of clients that are not those of PeerJS.
#[test]
fn a_websocket_at_a_wrong_address_is_logged_and_told_with_the_address_of_each_protocol() {
    let all = "peerjs,room_codes,calls,topics,nostr,rxdb,tracker,matchbox";
    let everything = "this broker speaks the protocols of room codes, calls, y-webrtc, Trystero, Nostr and WebTorrent at /app/; PeerJS at \
        /app/peerjs; RxDB at /app/rxdb; Matchbox at /app/matchbox/ROOM";
    let rxdb = "the address is /app/rxdb: the room of RxDB is its `topic`, and not in the address";
    let matchbox = "the address is /app/matchbox/ROOM: the name of a room is one segment, without a slash";
    let y_websocket = "if it is y-websocket, which adds a room to the address: that is another protocol. Use y-webrtc, or a server of y-websocket";
    let peerjs_only = "this broker speaks the protocols of PeerJS at /app/peerjs";
    for (dialects, path, hint) in [
        (all, "/app/signal", everything),
        (all, "/announce?key=peerjs", everything),
        (all, "/", everything),
        (all, "/app/rxdb/notes", rxdb),
        (all, "/app/matchbox/a/b", matchbox),
        (all, "/app/matchbox/x/", matchbox),
        (all, "/app/minutes", y_websocket),
        ("peerjs", "/app/rxdb", "--dialects +rxdb turns the protocol of RxDB on"),
        ("peerjs", "/announce", "--dialects +tracker turns the protocol of WebTorrent on, at /app/"),
        (
            "topics",
            "/app/peerjs?key=peerjs&id=a&token=t",
            "--dialects +peerjs turns the protocol of PeerJS on",
        ),
        ("peerjs", "/app/socket.io/?EIO=4&transport=websocket", "socket.io is another protocol"),
        ("peerjs,topics", "/app/matchbox/duel", "--dialects +matchbox turns the protocol of Matchbox on"),
        (
            "peerjs",
            "/app/",
            "--dialects turns on the protocols that are spoken here: +room_codes, +calls, +topics, +nostr, +tracker",
        ),
        ("peerjs", "/app/", peerjs_only),
    ] {
        let mut told = String::new();
        let log = log_of(&["--path", "/app", "--dialects", dialects], |program| {
            let mut client = RawClient::connect(program.address, "client");
            client.send_raw(RawClient::handshake(path));
            let answer = client.expect_response();
            assert_eq!(answer.status, 404, "{path}");
            told = answer.text().to_owned();
        });
        let line = line(&log, "asked for a WebSocket at");
        assert!(line.to_lowercase().contains(&hint.to_lowercase()), "{path}: {hint}: {line}");
        assert!(told.to_lowercase().contains(&hint.to_lowercase()), "{path}: {hint}: {told}");
        assert!(!line.contains("the one of this broker"), "{line}");
    }
}

#[test]
fn a_get_without_an_upgrade_is_told_the_same_at_the_address_of_each_protocol() {
    for (dialects, path, hint) in [
        ("peerjs,rxdb", "/rxdb", "The proxy in front drops the Upgrade header"),
        ("peerjs,matchbox", "/matchbox/duel?next=2", "The proxy in front drops the Upgrade header"),
        ("peerjs", "/rxdb", "--dialects +rxdb turns the protocol of RxDB on"),
        ("peerjs", "/matchbox/duel", "--dialects +matchbox turns the protocol of Matchbox on"),
    ] {
        let log = log_of(&["--dialects", dialects], |program| {
            let answer = program.get(path);
            assert_eq!(answer.status, 404, "{path}");
            assert!(answer.text().to_lowercase().contains(&hint.to_lowercase()), "{path}: {}", answer.text());
        });
        let line = line(&log, &format!("asked for {:?} (GET)", path.split('?').next().unwrap()));
        assert!(line.to_lowercase().contains(&hint.to_lowercase()), "{path}: {line}");
    }
}

#[test]
fn a_client_without_id_token_and_key_at_the_address_of_peerjs_is_another_one() {
    let log = log_of(&[], |program| {
        let mut client = program.connect("/peerjs");
        client.expect_text();
        client.expect_closed_with(None);
        let mut client = program.connect("/peerjs?key=&id=a&token=t");
        client.expect_text();
        client.expect_closed_with(None);
    });
    let no_peerjs = line(&log, "was refused: No id, token, or key supplied");
    assert!(no_peerjs.contains("y-webrtc and others connect to the root, RxDB to /rxdb"), "{no_peerjs}");
    assert!(line(&log, "was refused for its empty key").contains("does the page pass an empty `key`?"));
}

#[test]
fn a_wrong_key_or_none_at_the_root_is_logged_with_the_place_of_the_right_one() {
    let directory = Directory::new();
    let file = directory.file("p.toml", "no_default_key = true\n[[api_key]]\nkey = 'game'\n");
    let log = log_of(&["--config", &file], |program| {
        for target in ["/", "/rxdb?key=gmae"] {
            let mut client = program.connect(target);
            assert!(client.expect_text().contains("Invalid key provided"), "{target}");
            client.expect_closed_with((target == "/").then_some(4014));
        }
    });
    let none = line(&log, "sent no key");
    assert!(
        none.contains(r#"the key here is "game". The address of its WebSocket takes ?key=…, and --root_key"#),
        "{none}"
    );
    let wrong = line(&log, r#"asked for the key "gmae", by ?key= in the address"#);
    assert!(
        wrong.contains(r#"the key here is "game". --root_key is the key of clients that send none"#),
        "{wrong}"
    );
}

/// Two pages that come back as soon as the other one has taken the id.
#[test]
fn an_id_that_two_pages_take_from_each_other_is_a_duplicated_tab() {
    let mut reasons = Vec::new();
    let log = log_of(&[], |program| {
        let open = || {
            let mut page = program.connect("/peerjs?key=peerjs&id=teacher&token=t");
            page.expect_open();
            page
        };
        let mut last = open();
        for _ in 0..5 {
            let next = open();
            let close = last.expect_frame(8, "a close frame");
            assert_eq!(close[..2], 4001_u16.to_be_bytes(), "the same code");
            reasons.push(String::from_utf8(close[2..].to_vec()).unwrap());
            last = next;
        }
    });
    let replaced = "replaced by a newer connection";
    let duplicated = "two pages use this id and one token: a duplicated tab?";
    assert_eq!(reasons, [replaced, replaced, replaced, duplicated, duplicated]);
    let line = line(&log, r#"takes the id "teacher" of the key "peerjs" from itself"#);
    assert!(line.ends_with(r#"two pages use the id "teacher" and one token: a duplicated tab?"#), "{line}");
}

/// "User17 cannot connect": the recipe of docs/LOGS.md.
#[test]
fn each_refused_client_is_found_by_its_id_at_debug_with_its_fields() {
    let ids: Vec<String> = (0..30).map(|n| format!("user{n}")).collect();
    for format in ["text", "json"] {
        let args = ["--log", "peerbroker=debug", "--log_format", format, "--concurrent_limit", "1"];
        let log = log_of(&args, |program| {
            for id in &ids {
                let mut client = program.connect(&format!("/peerjs?key=old&id={id}&token=t"));
                client.expect_text();
                client.expect_closed_with(None);
            }
            program.connect("/peerjs?key=peerjs&id=first&token=t").expect_open();
        });
        for id in &ids {
            let quoted = format!("\"{id}\"");
            let quoted = if format == "json" { format!("\"id\":{quoted}") } else { format!("id {quoted}") };
            let mut lines =
                log.iter().filter(|line| line.contains("refused a client") && line.contains(&quoted));
            let line = lines.next().unwrap_or_else(|| panic!("{id} in {log:#?}"));
            let words = match format {
                "json" => [r#""key":"old""#, r#""address":"127.0.0.1""#, r#""reason":"invalid_key""#],
                _ => [r#"key "old""#, "from 127.0.0.1", "invalid_key"],
            };
            assert!(words.iter().all(|word| line.contains(word)), "{line}");
        }
    }
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_logged() {
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let log = log_of(&["--sslkey", &key, "--sslcert", &cert], |program| {
        let other = CertificateDer::from_pem_file(fixture("redis-ca.pem")).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(testkit::tls::trusting(other), name).unwrap();
        let mut tcp = TcpStream::connect(program.address).unwrap();
        tcp.set_read_timeout(Some(TIMEOUT)).unwrap();
        let error = client.complete_io(&mut tcp).expect_err("an unknown authority");
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        program.expect_log("does not trust the certificate");
    });
    let line = line(&log, "does not trust the certificate");
    assert!(line.contains("(from 127.0.0.1): browsers trust one of a public authority"), "{line}");
}

#[test]
fn tls_on_the_plain_port_is_logged() {
    let log = log_of(&[], |program| {
        // The start of a ClientHello.
        raw(program, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    });
    assert!(line(&log, "speaks TLS to the plain port").contains("without --sslkey"));
}

/// A webhook that answers 200 with this body.
fn webhook(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut question = Vec::new();
            // It is an object.
            while !question.ends_with(b"}") {
                let mut read = [0; 4096];
                let length = connection.read(&mut read).unwrap();
                question.extend(&read[..length]);
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            connection.write_all((head + body).as_bytes()).unwrap();
        }
    });
    url
}

#[test]
fn a_webhook_that_means_no_and_answers_200_is_named_once() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let url = webhook("{\"ok\": false}");
    let added = run(&["keys", "add", "-k", "game", "--auth_url", &url, "--data_dir", &data_dir], &[]);
    assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
    let log = log_of(&["--data_dir", &data_dir], |program| {
        for id in ["a", "b"] {
            program.connect(&format!("/peerjs?key=game&id={id}&token=t")).expect_open();
        }
    });
    let warnings: Vec<_> = log.iter().filter(|line| line.contains("answer 403 for a no")).collect();
    assert_eq!(warnings.len(), 1, "{log:#?}");
    assert!(
        warnings[0].contains("of the key \"game\" admits a client, and says \"ok\": false"),
        "{warnings:?}"
    );
}

#[test]
fn a_proxy_that_speaks_the_proxy_protocol_is_named_once() {
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let first = format!("PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\r\n{request}");
    let second = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[0; 12], request.as_bytes()].concat();
    for args in [&[][..], &["--sslkey", &key, "--sslcert", &cert]] {
        let log = log_of(args, |program| {
            raw(program, first.as_bytes());
            raw(program, &second);
        });
        assert!(line(&log, "speaks the PROXY protocol").contains("use --proxy_protocol"));
        assert!(!log.iter().any(|line| line.contains("plain HTTP to the TLS port")), "{log:?}");
    }
}

#[test]
fn plain_http_on_the_tls_port_is_answered_in_plain_http_and_logged() {
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let log = log_of(&["--sslkey", &key, "--sslcert", &cert], |program| {
        for _ in 0..2 {
            let answer =
                raw(program, b"GET /peerjs/id HTTP/1.1\r\nHost: localhost\r\nOrigin: http://p.test\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
            // Otherwise the console of a page would show an error of CORS.
            assert!(answer.contains("Access-Control-Allow-Origin: *\r\n"), "{answer}");
            assert!(answer.ends_with("or secure: true in PeerJS.\n"), "{answer}");
        }
    });
    assert!(line(&log, "speaks plain HTTP to the TLS port").contains("https://"));
}

#[test]
fn an_address_that_floods_and_one_that_guesses_tokens_have_a_line_each() {
    let args = [
        "--proxied",
        "--connections_per_address",
        "1",
        "--ops_port",
        "0",
        "--admin_token",
        "0123456789abcdef",
    ];
    let mut program = Program::start(&args);
    let (api, _) = program.expect_api();
    let from = "X-Forwarded-For: 198.51.100.9\r\n\r\n";
    let open = |id: &str| {
        let target = format!("/peerjs?key=peerjs&id={id}&token=t");
        let mut client = RawClient::connect(program.address, id);
        client.send_raw(RawClient::handshake(&target).replacen("\r\n\r\n", &format!("\r\n{from}"), 1));
        client
    };
    let mut first = open("a");
    first.expect_accepted();
    for _ in 0..30 {
        assert_eq!(open("b").expect_response().status, 429);
    }
    let guesser = api.with_token("fedcba9876543210");
    for _ in 0..300 {
        guesser.get("/api/stats");
    }
    let Ended { stderr, .. } = program.stop();
    let log: Vec<String> = stderr.lines().map(str::to_owned).collect();
    let flood = |what: &str| {
        let begin = format!(" WARN  peerbroker::runtime::mistakes] a client from {what}");
        log.iter().find(|line| line.contains(&begin)).unwrap_or_else(|| panic!("{begin} in {log:#?}"))
    };
    let limit = flood("198.51.100.9 wanted a connection, and has as many as an address may");
    assert!(limit.contains("--connections_per_address"), "{limit}");
    assert!(flood("127.0.0.1 guessed tokens of the API").contains("--ops_port"));
    // fail2ban puts a pattern of addresses in place of the tag.
    let filter = fs::read_to_string("deploy/fail2ban.conf").unwrap();
    let pattern = filter.lines().find_map(|line| line.strip_prefix("failregex = ")).unwrap();
    let found = |text: &str| {
        let mut grep = Command::new("grep");
        grep.args(["-P", &pattern.replace("<SUBNET>", r"[0-9a-f.:]+(?:/\d+)?")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut grep = grep.spawn().unwrap();
        grep.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(grep.wait_with_output().unwrap().stdout).unwrap().lines().count()
    };
    assert!(found(&stderr) >= 2, "{stderr}");
    assert_eq!(
        found(
            "[2026-11-29T23:00:00Z INFO  peerbroker::runtime::mistakes] a client asked for the key \"] a client from 10.0.0.1 guessed\""
        ),
        0
    );
    assert!(!stderr.contains("fedcba"), "{stderr}");
}
