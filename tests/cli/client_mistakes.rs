//! What the log says about mistakes of clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::http_client::PATIENCE;
use crate::program::{Ended, Program};
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
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
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
    let log = log_of(&["--path", "/myapp"], |program| {
        assert_eq!(program.get("/peerjs/id").status, 404);
        let mut client = program.connect("/wrong/peerjs?key=peerjs&id=a&token=t");
        assert!(client.expect_text().contains("Wrong path: this broker is at /myapp"));
        client.expect_closed_with(None);
        for nothing in ["/wp-login.php", "/.env", "/myapp/favicon.ico"] {
            assert_eq!(program.get(nothing).status, 404);
        }
    });
    for path in ["/peerjs/id", "/wrong/peerjs"] {
        let line = line(&log, &format!("asked for {path:?}"));
        assert!(line.contains(r#"the path of this broker is "/myapp""#), "{line}");
    }
    assert!(line(&log, "asked for a path that is not here").contains("/wp-login.php"));
}

#[test]
fn tls_on_the_plain_port_is_logged() {
    let log = log_of(&[], |program| {
        // The start of a ClientHello.
        raw(program, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    });
    assert!(line(&log, "speaks TLS to the plain port").contains("without --sslkey"));
}

#[test]
fn plain_http_on_the_tls_port_is_answered_in_plain_http_and_logged() {
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (key, cert) = (fixture("ec-pkcs8.key"), fixture("ec-chain.pem"));
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
